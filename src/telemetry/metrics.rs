//! Defines every metric: its name, kind, unit and meaning.
//!
//! Other code only increments and sets metrics. A test below finds each use in `src/` and compares
//! it, and `docs/METRICS.md`, with this table.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::TelemetryError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    /// In seconds, with buckets from a millisecond to a minute.
    Histogram,
}

/// One metric, as it is described to Prometheus and in `docs/METRICS.md`.
pub struct Metric {
    pub kind: Kind,
    pub name: &'static str,
    pub unit: Unit,
    #[cfg_attr(not(test), expect(dead_code, reason = "a test holds docs/METRICS.md against it"))]
    pub labels: &'static [&'static str],
    pub meaning: &'static str,
}

const SECONDS_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// All metrics, in the order of the document.
pub const METRICS: &[Metric] = &[
    row(
        Kind::Gauge,
        "keywatch_build_info",
        Unit::Count,
        &["version"],
        "Always 1; the label carries the running version",
    ),
    row(
        Kind::Counter,
        "keywatch_source_records_total",
        Unit::Count,
        &["topic", "partition"],
        "Records read",
    ),
    row(
        Kind::Counter,
        "keywatch_source_bytes_total",
        Unit::Bytes,
        &["topic", "partition"],
        "Payload read",
    ),
    row(
        Kind::Gauge,
        "keywatch_source_lag_records",
        Unit::Count,
        &["topic", "partition"],
        "Records of a Kafka partition that are not stored yet",
    ),
    row(Kind::Counter, "keywatch_events_total", Unit::Count, &[], "Events decoded and scored"),
    row(
        Kind::Counter,
        "keywatch_rejections_total",
        Unit::Count,
        &[],
        "Records or parts of records that could not be decoded",
    ),
    row(
        Kind::Counter,
        "keywatch_fields_left_out_total",
        Unit::Count,
        &["field"],
        "Optional fields that were unusable and left out of their events",
    ),
    row(
        Kind::Counter,
        "keywatch_expired_events_total",
        Unit::Count,
        &[],
        "Events older than `raw_retention_days`: ClickHouse deletes their rows soon",
    ),
    row(
        Kind::Counter,
        "keywatch_http_displaced_connections_total",
        Unit::Count,
        &[],
        "Connections without a request that gave way to new ones, because an endpoint had no place left",
    ),
    row(
        Kind::Counter,
        "keywatch_logins_total",
        Unit::Count,
        &["outcome"],
        "Tries to log in to the console: `let_in`, `wrong`, `too_often`, `busy` or `unavailable`",
    ),
    row(
        Kind::Counter,
        "keywatch_quarantined_total",
        Unit::Count,
        &["reason"],
        "Events stored and not judged, since their time is ahead of the clock or far behind the log",
    ),
    row(
        Kind::Counter,
        "keywatch_replay_lookups_total",
        Unit::Count,
        &[],
        "Repeated nonces and signatures whose first use had left memory and was looked up in ClickHouse",
    ),
    row(
        Kind::Counter,
        "keywatch_replay_forgotten_total",
        Unit::Count,
        &[],
        "Nonces and signatures forgotten within the replay horizon, for lack of memory",
    ),
    row(
        Kind::Counter,
        "keywatch_source_looks_total",
        Unit::Count,
        &[],
        "Evaluations of the sources of all partitions",
    ),
    row(
        Kind::Counter,
        "keywatch_logs_cut_back_total",
        Unit::Count,
        &["topic", "partition"],
        "Times that the log of a partition was found to end before what is stored of it",
    ),
    row(
        Kind::Counter,
        "keywatch_passed_over_records_total",
        Unit::Count,
        &[],
        "Records of logs that were cut back, at offsets that other records had: neither judged nor stored",
    ),
    row(
        Kind::Counter,
        "keywatch_skipped_offsets_total",
        Unit::Count,
        &[],
        "Offsets without a record: dropped by retention before they were stored, compacted, or taken by the end of a transaction",
    ),
    row(
        Kind::Counter,
        "keywatch_dead_letters_lost_total",
        Unit::Count,
        &[],
        "Rejections that were not copied to the dead letter topic; `rejected_events` has them",
    ),
    row(
        Kind::Counter,
        "keywatch_unconfirmed_batches_total",
        Unit::Count,
        &[],
        "Kafka batches passed on although no broker gave the topic's ID for five seconds",
    ),
    row(
        Kind::Counter,
        "keywatch_abandoned_batches_total",
        Unit::Count,
        &[],
        "Batches given up because another process had claimed their partition",
    ),
    row(
        Kind::Gauge,
        "keywatch_ledger_findings",
        Unit::Count,
        &["finding"],
        "Faults in the ledger's last day: gap, overlap, in doubt, behind",
    ),
    row(
        Kind::Counter,
        "keywatch_alerts_total",
        Unit::Count,
        &["type", "severity"],
        "Alert revisions stored",
    ),
    row(
        Kind::Histogram,
        "keywatch_event_to_alert_seconds",
        Unit::Seconds,
        &[],
        "Time from the request that caused an alert until the alert is stored",
    ),
    row(
        Kind::Gauge,
        "keywatch_revocations_waiting",
        Unit::Count,
        &["restraint"],
        "Proposed revocations of all processes that wait: budget, breaker, approval_pending",
    ),
    row(
        Kind::Gauge,
        "keywatch_suspensions_waiting",
        Unit::Count,
        &["restraint"],
        "Proposed suspensions of all processes that wait, as above",
    ),
    row(
        Kind::Gauge,
        "keywatch_breaker_open",
        Unit::Count,
        &["cause"],
        "1 while the breaker is open: share (of the keys in use), or a family of detectors",
    ),
    row(
        Kind::Gauge,
        "keywatch_revocations_withdrawn",
        Unit::Count,
        &[],
        "Proposals that are not requested, because people have dismissed, rejected or suppressed them",
    ),
    row(
        Kind::Counter,
        "keywatch_owner_questions_total",
        Unit::Count,
        &["outcome"],
        "Questions to owners of keys: sent, or not asked: limit, no_address, no_use, asked_before",
    ),
    row(
        Kind::Counter,
        "keywatch_owner_answers_total",
        Unit::Count,
        &["answer", "incident"],
        "Answers of owners: it_was_me or it_was_not_me, while the incident is open or closed",
    ),
    row(
        Kind::Gauge,
        "keywatch_suppressions_active",
        Unit::Count,
        &[],
        "Suppressions and maintenance windows in force",
    ),
    row(
        Kind::Counter,
        "keywatch_suppressed_total",
        Unit::Count,
        &["channel", "severity"],
        "Alert revisions that were stored and not sent, because people have suppressed their evidence",
    ),
    row(
        Kind::Gauge,
        "keywatch_quiet_incidents",
        Unit::Count,
        &[],
        "Incidents that people have closed and whose evidence of the same kind is kept quiet",
    ),
    row(
        Kind::Counter,
        "keywatch_kept_quiet_total",
        Unit::Count,
        &["channel", "severity"],
        "Alert revisions that were stored and not sent, because people have closed their incidents",
    ),
    row(
        Kind::Counter,
        "keywatch_stored_rows_total",
        Unit::Count,
        &["table"],
        "Rows stored in ClickHouse",
    ),
    row(
        Kind::Counter,
        "keywatch_registry_rows_total",
        Unit::Count,
        &[],
        "Registrations and events that a topic brought into the key registry",
    ),
    row(
        Kind::Counter,
        "keywatch_registry_rejections_total",
        Unit::Count,
        &[],
        "Records of the key registry's topic that were refused; the log has the offset and reason",
    ),
    row(
        Kind::Counter,
        "keywatch_store_retries_total",
        Unit::Count,
        &[],
        "Failed requests to ClickHouse that are retried",
    ),
    row(
        Kind::Histogram,
        "keywatch_store_batch_seconds",
        Unit::Seconds,
        &[],
        "Time from the intent of a batch in the ledger to its completion",
    ),
    row(
        Kind::Counter,
        "keywatch_state_rounds_total",
        Unit::Count,
        &["outcome"],
        "Times that the state of a shard was saved, or could not be (`failed`)",
    ),
    row(Kind::Counter, "keywatch_state_bytes_total", Unit::Bytes, &[], "Saved state, compressed"),
    row(
        Kind::Histogram,
        "keywatch_state_restore_seconds",
        Unit::Seconds,
        &[],
        "Time to restore the state of a shard",
    ),
    row(
        Kind::Counter,
        "keywatch_state_rescored_events_total",
        Unit::Count,
        &[],
        "Events scored again after a restart, because they came after the saved state",
    ),
    row(
        Kind::Gauge,
        "keywatch_model_feature_stability",
        Unit::Count,
        &["against", "feature"],
        "Population stability index of a behaviour feature, current against training: above 0.25 the feature has drifted",
    ),
    row(
        Kind::Gauge,
        "keywatch_model_tail_promised_share",
        Unit::Count,
        &["family"],
        "Share of key-hours that a family's model promises in the tail of its scores",
    ),
    row(
        Kind::Gauge,
        "keywatch_model_tail_measured_share",
        Unit::Count,
        &["family"],
        "Measured share of key-hours in that tail: above the promise, p-values are raised to the measured share",
    ),
    row(
        Kind::Counter,
        "keywatch_deliveries_total",
        Unit::Count,
        &["channel", "outcome"],
        "Attempts to deliver an alert",
    ),
    row(
        Kind::Gauge,
        "keywatch_deliveries_waiting",
        Unit::Count,
        &["channel"],
        "Alerts that a channel holds and has not delivered yet",
    ),
    row(
        Kind::Histogram,
        "keywatch_event_to_delivery_seconds",
        Unit::Seconds,
        &["channel"],
        "Time from the request that caused an alert until the receiver accepts it",
    ),
];

const fn row(
    kind: Kind,
    name: &'static str,
    unit: Unit,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { kind, name, unit, labels, meaning }
}

/// Starts to record the process's metrics; the handle renders them.
///
/// # Errors
/// Returns an error if a recorder was installed before.
pub fn install() -> Result<PrometheusHandle, TelemetryError> {
    let recorder = recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|_| TelemetryError::AlreadyInstalled { what: "metrics" })?;
    gauge!("keywatch_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// A recorder that knows every metric's meaning and buckets; it is not installed.
#[expect(clippy::expect_used, reason = "SECONDS_BUCKETS is a constant that is not empty")]
pub(super) fn recorder() -> PrometheusRecorder {
    let builder = PrometheusBuilder::new().set_buckets(&SECONDS_BUCKETS).expect("buckets");
    let recorder = builder.build_recorder();
    metrics::with_local_recorder(&recorder, describe);
    recorder
}

fn describe() {
    for metric in METRICS {
        let Metric { name, unit, meaning, .. } = *metric;
        match metric.kind {
            Kind::Counter => describe_counter!(name, unit, meaning),
            Kind::Gauge => describe_gauge!(name, unit, meaning),
            Kind::Histogram => describe_histogram!(name, unit, meaning),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn repository() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    fn macro_name(kind: Kind) -> &'static str {
        match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }

    fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rust_files(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// The first arguments of all `counter!(..)`, `gauge!(..)` and `histogram!(..)` calls above the
    /// tests of a file.
    fn metrics_used_in(source: &str) -> BTreeSet<(&'static str, String)> {
        let code = source.split("#[cfg(test)]").next().unwrap();
        let mut used = BTreeSet::new();
        for kind in [Kind::Counter, Kind::Gauge, Kind::Histogram].map(macro_name) {
            for (at, call) in code.match_indices(&format!("{kind}!(")) {
                let is_whole_word = !code[..at].ends_with(['_', '`']);
                let argument = code[at + call.len()..].split([',', ')']).next().unwrap().trim();
                if is_whole_word {
                    used.insert((kind, argument.trim_matches('"').to_owned()));
                }
            }
        }
        used
    }

    #[test]
    fn uses_are_found_however_they_are_laid_out() {
        let source = r#"
            counter!("keywatch_a_total").increment(1);
            metrics::histogram!(
                "keywatch_b_seconds", "stage" => "decode").record(0.1);
            describe_gauge!("keywatch_c", unit);
            #[cfg(test)] gauge!("keywatch_d");
        "#;
        let expected = [("counter", "keywatch_a_total"), ("histogram", "keywatch_b_seconds")];
        let expected = expected.map(|(kind, name)| (kind, name.to_owned()));
        assert_eq!(metrics_used_in(source), BTreeSet::from(expected));
    }

    #[test]
    fn every_metric_used_is_in_the_table() {
        let described: BTreeSet<_> =
            METRICS.iter().map(|metric| (macro_name(metric.kind), metric.name)).collect();
        let mut files = Vec::new();
        rust_files(&repository().join("src"), &mut files);
        for file in files {
            for (kind, name) in metrics_used_in(&fs::read_to_string(&file).unwrap()) {
                assert!(
                    described.contains(&(kind, name.as_str())),
                    "{}: {kind}!({name}) is not in METRICS of src/telemetry/metrics.rs",
                    file.display()
                );
            }
        }
    }

    #[test]
    fn names_say_their_unit_as_prometheus_wants() {
        for Metric { name, kind, unit, .. } in METRICS {
            assert!(name.starts_with("keywatch_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            let base = name.trim_end_matches("_total");
            assert_eq!(base.ends_with("_seconds"), *unit == Unit::Seconds, "{name}");
            assert_eq!(base.ends_with("_bytes"), *unit == Unit::Bytes, "{name}");
        }
    }

    #[test]
    fn the_document_is_the_table() {
        let document = fs::read_to_string(repository().join("docs/METRICS.md")).unwrap();
        let rows: Vec<String> = METRICS
            .iter()
            .map(|Metric { kind, name, unit, labels, meaning }| {
                let (kind, unit, labels) = (macro_name(*kind), unit.as_str(), labels.join(", "));
                format!("| `{name}` | {kind} | {unit} | {labels} | {meaning} |")
            })
            .collect();
        let documented: Vec<&str> =
            document.lines().filter(|line| line.starts_with("| `keywatch_")).collect();
        assert_eq!(documented, rows, "the rows of docs/METRICS.md should be:\n{}", rows.join("\n"));
    }

    #[test]
    fn histograms_have_buckets_and_help() {
        let recorder = recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("keywatch_test_seconds").record(0.3);
            metrics::gauge!("keywatch_build_info", "version" => "0.0.0").set(1.0);
        });
        let text = recorder.handle().render();
        assert!(text.contains("keywatch_test_seconds_bucket{le=\"0.25\"} 0"), "{text}");
        assert!(text.contains("keywatch_test_seconds_bucket{le=\"0.5\"} 1"), "{text}");
        assert!(text.contains("# HELP keywatch_build_info Always 1"), "{text}");
    }
}
