//! Sends mails to the SMTP server and interprets its replies.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use lettre::address::{Address, Envelope};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error};
use lettre::{AsyncTransport, Message, Tokio1Executor};

use super::wording::{mask_address, one_line};
use crate::config::{EmailConfig, SmtpTls};
use crate::deliver::{ChannelError, DeliveryError};

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Transport {
    smtp: AsyncSmtpTransport<Tokio1Executor>,
    host: String,
}

impl Transport {
    pub(super) fn new(config: &EmailConfig) -> Result<Self, ChannelError> {
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .timeout(Some(PATIENCE))
            .tls(tls(config)?);
        if let Some(credentials) = credentials(config)? {
            builder = builder.credentials(credentials);
        }
        Ok(Self { smtp: builder.build(), host: config.host.clone() })
    }

    /// Sends to all recipients at once. If the server refuses the mail permanently, each recipient
    /// is tried alone, so that one bad address does not block the others.
    pub(super) async fn send(&self, message: &Message) -> Result<String, DeliveryError> {
        let envelope = message.envelope();
        let mail = message.formatted();
        let result = self.smtp.send_raw(envelope, &mail).await;
        let recipients = envelope.to();
        match result.map_err(|error| self.judge(&error, recipients)) {
            Ok(_) => Ok(format!("accepted by {} for {}", self.host, masked(recipients))),
            Err(DeliveryError::Permanent { .. }) if recipients.len() > 1 => {
                self.send_singly(envelope, &mail).await
            }
            Err(error) => Err(error),
        }
    }

    async fn send_singly(&self, envelope: &Envelope, mail: &[u8]) -> Result<String, DeliveryError> {
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        for recipient in envelope.to() {
            let to = vec![recipient.clone()];
            let single = Envelope::new(envelope.from().cloned(), to.clone())
                .map_err(|error| DeliveryError::Permanent { reason: error.to_string() })?;
            match self.smtp.send_raw(&single, mail).await {
                Ok(_) => accepted.push(recipient.clone()),
                Err(error) => {
                    refused.push(format!("{}: {}", masked(&to), self.judge(&error, &to)));
                }
            }
        }
        let refused = refused.join("; ");
        if accepted.is_empty() {
            return Err(DeliveryError::Permanent { reason: refused });
        }
        tracing::warn!(refused, "the SMTP server refuses some recipients");
        Ok(format!("accepted by {} for {}; refused: {refused}", self.host, masked(&accepted)))
    }

    fn judge(&self, error: &Error, recipients: &[Address]) -> DeliveryError {
        let host = &self.host;
        // Servers like to repeat the recipient's address in their answer.
        let said = recipients.iter().fold(error.to_string(), |text, recipient| {
            text.replace(recipient.as_ref() as &str, &mask_address(recipient.as_ref()))
        });
        let said = one_line(&said, 500);
        if let Some(reason) = blocked(error) {
            return DeliveryError::Blocked {
                reason: format!("SMTP server {host}: {reason} ({said})"),
            };
        }
        let reason = format!("SMTP server {host}: {said}");
        if error.is_permanent() {
            DeliveryError::Permanent { reason }
        } else {
            DeliveryError::Retryable { reason, retry_after: None }
        }
    }
}

/// The fault that the operator must repair before any mail can leave; `None` for other errors.
fn blocked(error: &Error) -> Option<&'static str> {
    // RFC 4954, section 6, and RFC 3207: refused for lack of, or because of, credentials.
    if let Some(530 | 534 | 535 | 538) = error.status().map(u16::from) {
        return Some("refused the login: check email.username and email.password");
    }
    if is_tls_failure(error) {
        return Some(
            "TLS failed: check email.tls, and email.ca_file if the certificate is your own",
        );
    }
    error
        .is_client()
        .then_some("cannot serve this client: check email.tls, email.username and email.port")
}

fn is_tls_failure(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn masked(recipients: &[Address]) -> String {
    recipients.iter().map(|to| mask_address(to.as_ref())).collect::<Vec<_>>().join(", ")
}

fn credentials(config: &EmailConfig) -> Result<Option<Credentials>, ChannelError> {
    let Some(username) = &config.username else { return Ok(None) };
    if config.password.is_empty() {
        let reason = "is missing though email.username is set".into();
        return Err(ChannelError::Config { key: "email.password", reason });
    }
    if config.tls == SmtpTls::None && !is_loopback(&config.host) {
        let reason = "is `none`, which would send the password unencrypted".into();
        return Err(ChannelError::Config { key: "email.tls", reason });
    }
    Ok(Some(Credentials::new(username.clone(), config.password.reveal().to_owned())))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn tls(config: &EmailConfig) -> Result<Tls, ChannelError> {
    if config.tls == SmtpTls::None {
        return Ok(Tls::None);
    }
    let mut parameters = TlsParameters::builder(config.host.clone());
    if let Some(path) = &config.ca_file {
        let key = "email.ca_file";
        let pem = std::fs::read(path).map_err(|reason| ChannelError::File {
            key,
            path: path.display().to_string(),
            reason,
        })?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| ChannelError::Config {
            key,
            reason: format!("{} holds no usable PEM certificate: {error}", path.display()),
        })?;
        parameters = parameters.add_root_certificate(certificate);
    }
    let parameters = parameters
        .build()
        .map_err(|error| ChannelError::Start { channel: "email", reason: error.to_string() })?;
    Ok(match config.tls {
        SmtpTls::Implicit => Tls::Wrapper(parameters),
        _ => Tls::Required(parameters),
    })
}
