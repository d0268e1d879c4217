//! Checks `[source]`.

use crate::config::{Findings, HttpConfig, SourceConfig, SourceKind};
use crate::http::{Tokens, tls};

/// Reports settings with which no source can work.
pub fn check(config: &SourceConfig, findings: &mut Findings) {
    findings.require_positive("source.batch_records", config.batch_records as f64);
    findings.require_positive("source.batch_bytes", config.batch_bytes as f64);
    findings.require_positive("source.batch_milliseconds", config.batch_milliseconds as f64);
    check_http(&config.http, findings);
    let kafka = &config.kafka;
    findings.require(
        kafka.sasl_username.is_none() || !kafka.sasl_password.is_empty(),
        "source.kafka.sasl_username",
        "needs `sasl_password` or `sasl_password_file`",
    );
    let loops = kafka.repartition_topic.as_ref().is_some_and(|to| kafka.topics.contains(to));
    findings.require(
        !loops,
        "source.kafka.repartition_topic",
        "must not be one of `source.kafka.topics`",
    );
    match config.kind {
        SourceKind::Kafka => {
            findings.require(!kafka.brokers.is_empty(), "source.kafka.brokers", "is empty");
            findings.require(!kafka.topics.is_empty(), "source.kafka.topics", "is empty");
            findings.require(!kafka.group_id.is_empty(), "source.kafka.group_id", "is empty");
        }
        SourceKind::File => findings.require(
            !config.file.paths.is_empty(),
            "source.file.paths",
            "is empty; name the files to read",
        ),
        SourceKind::Stdin | SourceKind::Http => {}
    }
}

fn check_http(config: &HttpConfig, findings: &mut Findings) {
    findings.require_positive("source.http.max_body_bytes", config.max_body_bytes as f64);
    findings.require_positive("source.http.max_body_records", config.max_body_records as f64);
    if let Err(error) = Tokens::new(&config.token, &config.tokens) {
        findings.require(false, "source.http.tokens", error.to_string());
    }
    tls::check("source.http.tls", &config.tls, findings);
}
