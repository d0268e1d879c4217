//! Warns about settings that work but are probably not intended.

use std::net::SocketAddr;

use crate::config::{
    Config, KafkaConfig, OWNER_CHANNEL, SecurityProtocol, SmtpTls, SourceKind, TlsConfig,
};
use crate::http::url::{is_local, is_remote_http};

/// Whether a warning applies, and its sentence.
type Doubt = (bool, &'static str);

/// Returns one sentence for each doubtful setting. No sentence contains a secret.
pub fn warnings(config: &Config) -> Vec<String> {
    let doubts = [of_actions(config), of_sight(config), of_sources(config), of_receivers(config)];
    let applying = doubts.into_iter().flatten().filter(|(applies, _)| *applies);
    let mut warnings: Vec<String> = applying.map(|(_, text)| text.to_owned()).collect();
    for (name, channel) in &config.channel {
        let text = format!("channel.{name}.url is http: alerts travel unencrypted");
        warnings.extend(is_remote_http(channel.url.reveal()).then_some(text));
    }
    warnings
}

fn of_actions(config: &Config) -> Vec<Doubt> {
    let rules = &config.policy.rules.rules;
    let is_asked = rules.iter().any(|rule| rule.channels.iter().any(|it| it == OWNER_CHANNEL));
    vec![
        (
            !config.policy.dry_run,
            "policy.dry_run is false: keys will be revoked through the webhook",
        ),
        (
            !config.policy.dry_run && config.webhook.is_none(),
            "policy.dry_run is false, but without [webhook] nothing can revoke a key",
        ),
        (
            config.channel_names().is_empty(),
            "no [email], [webhook], [channel.NAME] or [alerts_topic]: alerts are stored and sent to nobody",
        ),
        (
            config.owner.is_some() && !is_asked,
            "[owner] is set up, and no rule of policy.rules_file names the channel `owner`: nobody is \
             asked",
        ),
    ]
}

fn of_sight(config: &Config) -> Vec<Doubt> {
    vec![
        (
            config.enrich.city_databases.is_empty(),
            "enrich.city_databases is empty: locations are unknown, and geo.* detectors never fire",
        ),
        (
            config.enrich.asn_databases.is_empty(),
            "enrich.asn_databases is empty: networks are unknown, and network.* detectors never fire",
        ),
        (
            config.decode.pepper.is_empty(),
            "decode.pepper is not set: records with `api_key` are rejected, and fingerprints of \
             nonces can be guessed by anyone who reads them",
        ),
    ]
}

fn of_sources(config: &Config) -> Vec<Doubt> {
    let registry = &config.registry;
    vec![
        (
            config.source.kind == SourceKind::Http
                && config.source.http.token.is_empty()
                && config.source.http.tokens.is_empty()
                && !config.source.http.listen.ip().is_loopback(),
            "source.http.listen is open to the network without source.http.token",
        ),
        (
            config.source.kind == SourceKind::Http
                && is_open_plaintext(config.source.http.listen, &config.source.http.tls),
            "source.http.listen is open to the network without source.http.tls: events and tokens \
             travel unencrypted",
        ),
        (
            registry.listen.is_some_and(|listen| is_open_plaintext(listen, &registry.tls)),
            "registry.listen is open to the network without registry.tls: tokens and raw keys travel \
             unencrypted",
        ),
        (
            config.source.kind == SourceKind::Kafka && is_plaintext_elsewhere(&config.source.kafka),
            "source.kafka.security_protocol does not encrypt, and a broker is not on this machine: \
             events travel unencrypted",
        ),
    ]
}

fn of_receivers(config: &Config) -> Vec<Doubt> {
    vec![
        (
            config.email.as_ref().is_some_and(|email| {
                email.tls == SmtpTls::None && (email.username.is_some() || !is_local(&email.host))
            }),
            "email.tls is \"none\": mails and the password travel unencrypted",
        ),
        (
            is_remote_http(&config.clickhouse.url),
            "clickhouse.url is http: events and the password travel unencrypted",
        ),
        (
            is_open_plaintext(config.service.listen, &config.service.tls),
            "service.listen is open to the network without service.tls: metrics travel unencrypted",
        ),
        (
            config.webhook.as_ref().is_some_and(|webhook| is_remote_http(&webhook.url)),
            "webhook.url is http: alerts travel unencrypted",
        ),
        (
            config
                .owner
                .as_ref()
                .is_some_and(|owner| owner.webhook_url.as_deref().is_some_and(is_remote_http)),
            "owner.webhook_url is http: links that answer for owners travel unencrypted",
        ),
    ]
}

fn is_open_plaintext(listen: SocketAddr, tls: &TlsConfig) -> bool {
    !listen.ip().is_loopback() && !tls.is_on()
}

fn is_plaintext_elsewhere(kafka: &KafkaConfig) -> bool {
    use SecurityProtocol::{Plaintext, SaslPlaintext};
    let is_here = |broker: &str| {
        let host = broker.trim().rsplit_once(':').map_or(broker, |(host, _)| host);
        is_local(host.trim_matches(['[', ']']))
    };
    matches!(kafka.security_protocol, Plaintext | SaslPlaintext)
        && !kafka.brokers.split(',').all(is_here)
}
