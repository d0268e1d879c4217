//! Builds the settings of Kafka clients, forwards their logs, and tracks their connection.

use parking_lot::{Mutex, MutexGuard};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, error, info, warn};

use crate::config::KafkaConfig;

/// Properties that have their own setting or that exactly-once storage depends on.
const RESERVED: [&str; 15] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "isolation.level",
    "enable.idempotence",
    "transactional.id",
    "acks",
    "request.required.acks",
];

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{0} must not be empty")]
    Empty(&'static str),
    #[error("properties: `{0}` cannot be set here: it has its own setting or must not change")]
    Reserved(String),
    #[error("properties: `{property}`: {reason}")]
    Property { property: String, reason: String },
    #[error("librdkafka rejects the settings: {0}")]
    Refused(String),
}

/// Converts an error of librdkafka and drops the value, which may be a secret.
impl From<KafkaError> for SettingsError {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, reason, property, _) => Self::Property { property, reason },
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Returns settings for brokers, security and the passed-through properties, on top of `defaults`.
pub(crate) fn client_config(
    config: &KafkaConfig,
    defaults: &[(&str, &str)],
) -> Result<ClientConfig, SettingsError> {
    if config.brokers.trim().is_empty() {
        return Err(SettingsError::Empty("brokers"));
    }
    let mut client = ClientConfig::new();
    client.set_log_level(RDKafkaLogLevel::Info);
    client.set("client.id", "keywatch");
    // librdkafka looks for a missing topic at this interval.
    client.set("topic.metadata.refresh.interval.ms", "10000");
    for (property, value) in defaults {
        client.set(*property, *value);
    }
    for (property, value) in &config.properties {
        if RESERVED.contains(&property.as_str()) {
            return Err(SettingsError::Reserved(property.clone()));
        }
        client.set(property, value);
    }
    client.set("bootstrap.servers", &config.brokers);
    client.set("security.protocol", config.security_protocol.as_str());
    let secrets = [
        ("sasl.mechanism", config.sasl_mechanism.as_deref()),
        ("sasl.username", config.sasl_username.as_deref()),
        (
            "sasl.password",
            Some(config.sasl_password.reveal()).filter(|password| !password.is_empty()),
        ),
    ];
    for (property, value) in secrets {
        if let Some(value) = value {
            client.set(property, value);
        }
    }
    Ok(client)
}

/// Forwards a log line of librdkafka. Connection failures also arrive as errors, and
/// [`ConnectionLog`] reports those once instead of at each attempt.
pub(crate) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    if matches!(facility, "FAIL" | "ERROR") {
        return debug!(target: "librdkafka", facility, "{message}");
    }
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => error!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Warning => warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// A fault of the connection to the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Unreachable,
    /// No broker can be reached, and a name of one is unknown.
    Name,
    Credentials,
    Encryption,
}

#[derive(Debug, Default)]
struct Connection {
    was_up: bool,
    fault: Option<Fault>,
    /// The reason why the last broker was lost; the error "all brokers are down" does not give it.
    last_reason: String,
    /// The last error of another kind, such as a missing topic.
    last_complaint: String,
}

/// Logs once that the connection is lost and once that it is restored.
#[derive(Debug)]
pub(crate) struct ConnectionLog {
    brokers: String,
    connection: Mutex<Connection>,
}

impl ConnectionLog {
    pub(crate) fn new(config: &KafkaConfig) -> Self {
        Self { brokers: config.brokers.clone(), connection: Mutex::default() }
    }

    /// Receives an error from the client context and logs it if it is new.
    pub(crate) fn error(&self, error: &KafkaError, reason: &str) {
        if let Some(message) = self.news_of(error.rdkafka_error_code(), reason) {
            error!(brokers = %self.brokers, "{message}");
        }
    }

    /// Notes that a broker is connected or accepted a record.
    pub(crate) fn up(&self) {
        let mut connection = self.lock();
        connection.was_up = true;
        if connection.fault.take().is_some() {
            info!(brokers = %self.brokers, "Kafka is reachable again");
        }
    }

    /// Returns the present problem in a few words; the log has the details.
    pub(crate) fn trouble(&self) -> Option<String> {
        let connection = self.lock();
        match connection.fault {
            Some(Fault::Unreachable) => Some("no Kafka broker can be reached".into()),
            Some(Fault::Name) => Some("the name of a Kafka broker cannot be resolved".into()),
            Some(Fault::Credentials) => Some("Kafka rejects the credentials".into()),
            Some(Fault::Encryption) => Some("cannot open an encrypted connection to Kafka".into()),
            None if connection.was_up => None,
            None => Some("not connected to Kafka yet".into()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock()
    }

    fn news_of(&self, code: Option<RDKafkaErrorCode>, reason: &str) -> Option<String> {
        use RDKafkaErrorCode as Code;
        let mut connection = self.lock();
        let fault = match code {
            Some(Code::Authentication | Code::SaslAuthenticationFailed) => Fault::Credentials,
            Some(Code::SSL) => Fault::Encryption,
            Some(Code::AllBrokersDown) => Fault::Unreachable,
            // One name of several may be unknown while brokers are reached by the others.
            Some(Code::Resolve) if connection.fault.is_some() => Fault::Name,
            Some(Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut) => {
                connection.last_reason = reason.to_owned();
                return None;
            }
            _ if connection.last_complaint == reason => return None,
            _ => {
                connection.last_complaint = reason.to_owned();
                return Some(format!("Kafka: {reason}"));
            }
        };
        // The error "all brokers are down" follows the exact reason and must not hide it.
        let is_news = match connection.fault {
            None => true,
            Some(known) => fault != Fault::Unreachable && fault != known,
        };
        if !is_news {
            return None;
        }
        connection.fault = Some(fault);
        let has_exact_reason = fault == Fault::Unreachable && !connection.last_reason.is_empty();
        Some(describe(fault, if has_exact_reason { &connection.last_reason } else { reason }))
    }
}

fn describe(fault: Fault, why: &str) -> String {
    match fault {
        Fault::Unreachable => {
            format!("no Kafka broker can be reached; trying again until one can: {why}")
        }
        Fault::Name => format!(
            "the name of a Kafka broker cannot be resolved; trying again: check the name server, and brokers of source.kafka: {why}"
        ),
        Fault::Credentials => format!(
            "Kafka rejects the credentials; trying again: check sasl_mechanism, sasl_username and sasl_password of source.kafka: {why}"
        ),
        Fault::Encryption => format!(
            "cannot open an encrypted connection to Kafka; trying again: check security_protocol and ssl.ca.location of source.kafka: {why}"
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{Secret, SecurityProtocol};

    fn log() -> ConnectionLog {
        ConnectionLog::new(&KafkaConfig::default())
    }

    #[test]
    fn an_outage_is_said_once_with_its_reason_and_again_after_recovery() {
        let log = log();
        assert_eq!(log.trouble().unwrap(), "not connected to Kafka yet");
        let refused = "127.0.0.1:9: Connection refused";
        assert_eq!(log.news_of(Some(RDKafkaErrorCode::BrokerTransportFailure), refused), None);
        let down = || log.news_of(Some(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert!(down().unwrap().ends_with(refused));
        assert_eq!(down(), None);
        assert_eq!(log.trouble().unwrap(), "no Kafka broker can be reached");
        log.up();
        assert_eq!(log.trouble(), None);
        assert!(down().is_some());
    }

    #[test]
    fn a_name_that_is_gone_during_an_outage_is_named_once() {
        let log = log();
        let gone =
            || log.news_of(Some(RDKafkaErrorCode::Resolve), "Failed to resolve 'kafka:9092'");
        assert_eq!(gone(), None, "another name may do");
        assert!(log.news_of(Some(RDKafkaErrorCode::AllBrokersDown), "1/1").is_some());
        assert!(gone().unwrap().ends_with("Failed to resolve 'kafka:9092'"));
        assert_eq!(gone(), None);
        assert!(log.trouble().unwrap().contains("cannot be resolved"));
        log.up();
        assert_eq!((log.trouble(), gone()), (None, None));
    }

    #[test]
    fn refused_credentials_are_named_and_not_hidden_by_the_outage_that_follows() {
        let log = log();
        let refused = || log.news_of(Some(RDKafkaErrorCode::Authentication), "bad password");
        assert!(refused().unwrap().contains("sasl_password"));
        assert_eq!(log.news_of(Some(RDKafkaErrorCode::AllBrokersDown), "1/1"), None);
        assert_eq!(refused(), None);
    }

    #[test]
    fn another_complaint_is_said_once() {
        let log = log();
        let missing = || log.news_of(Some(RDKafkaErrorCode::UnknownTopicOrPartition), "no topic x");
        assert_eq!(missing().unwrap(), "Kafka: no topic x");
        assert_eq!(missing(), None);
    }

    #[test]
    fn security_and_properties_reach_the_client() {
        let config = KafkaConfig {
            security_protocol: SecurityProtocol::SaslSsl,
            sasl_mechanism: Some("PLAIN".into()),
            sasl_username: Some("user".into()),
            sasl_password: Secret::new("word"),
            properties: [("fetch.wait.max.ms".to_owned(), "7".to_owned())].into(),
            ..KafkaConfig::default()
        };
        let client = client_config(&config, &[("fetch.wait.max.ms", "100")]).unwrap();
        for (property, value) in [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "user"),
            ("sasl.password", "word"),
            ("fetch.wait.max.ms", "7"),
        ] {
            assert_eq!(client.get(property), Some(value), "{property}");
        }
    }

    #[test]
    fn properties_that_exactly_once_storage_depends_on_are_refused() {
        let properties = [("enable.auto.offset.store".to_owned(), "true".to_owned())].into();
        let config = KafkaConfig { properties, ..KafkaConfig::default() };
        let error = client_config(&config, &[]).unwrap_err().to_string();
        assert!(error.contains("`enable.auto.offset.store` cannot be set"), "{error}");
    }
}
