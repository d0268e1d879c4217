//! Checks `[registry]`.

use crate::config::{Config, Findings};
use crate::http::{Tokens, tls};

/// Reports settings with which rows cannot be taken.
pub fn check(config: &Config, findings: &mut Findings) {
    let registry = &config.registry;
    let is_open = registry.token.is_empty() && registry.tokens.is_empty();
    findings.require(
        registry.listen.is_none() || !is_open,
        "registry.token",
        "is needed: whoever may register keys can allow networks to them and have them judged as \
         revoked",
    );
    if let Err(error) = Tokens::new(&registry.token, &registry.tokens) {
        findings.require(false, "registry.tokens", error.to_string());
    }
    tls::check("registry.tls", &registry.tls, findings);
    check_topic(config, findings);
}

fn check_topic(config: &Config, findings: &mut Findings) {
    let Some(topic) = &config.registry.topic else { return };
    let kafka = &config.source.kafka;
    findings.require(!topic.is_empty(), "registry.topic", "is empty");
    findings.require(!kafka.brokers.is_empty(), "source.kafka.brokers", "is empty");
    let others = [&kafka.repartition_topic, &kafka.dead_letter_topic];
    let alerts = config.alerts_topic.as_ref().map(|alerts| &alerts.topic);
    let is_taken = kafka.topics.contains(topic)
        || others.into_iter().flatten().chain(alerts).any(|other| other == topic);
    findings.require(!is_taken, "registry.topic", "is also a topic of something else");
}
