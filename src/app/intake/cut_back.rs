//! Notices that a log has lost records that are stored already, as after an unclean election of a
//! leader in Kafka. Other records then get their offsets, and the ledger says that these are stored.

use metrics::counter;
use serde_json::{Map, json};
use tokio::task;
use tracing::error;

use crate::alert::{Alert, AlertPosition, AlertType, DetectorId, Severity};
use crate::app::watchdog::{Finding, Notice, incident_id};
use crate::event::EventTime;
use crate::record::RawBatch;
use crate::source::GroupMember;

/// A log that ends, or ended, before what is stored of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutBack {
    /// The end of the log when it was noticed.
    pub log_end: i64,
    /// The last offset of the ledger.
    pub stored_to: i64,
}

impl CutBack {
    /// Compares the first batch of an ownership with the ledger.
    pub fn find(
        first: &RawBatch,
        stored_to: Option<i64>,
        group: Option<&dyn GroupMember>,
    ) -> Option<Self> {
        let (stored_to, group) = (stored_to?, group?);
        if !first.offsets_fell && first.log_end.is_none_or(|end| end > stored_to) {
            return None;
        }
        // The batch may have been read before another process stored more, so the leader is asked.
        let log_end = task::block_in_place(|| group.log_end(&first.partition))?;
        let found = Self { log_end, stored_to };
        found.is_certain(first).then(|| {
            found.tell(first);
            found
        })
    }

    const fn is_certain(&self, first: &RawBatch) -> bool {
        self.log_end <= self.stored_to || first.offsets_fell
    }

    fn tell(&self, first: &RawBatch) {
        let Self { log_end, stored_to } = self;
        let (topic, partition) = (first.partition.topic.to_string(), first.partition.partition);
        error!(
            topic,
            partition,
            log_end,
            stored_to,
            "the log was cut back: records that take stored offsets again are passed over"
        );
        let labels = [("topic", topic), ("partition", partition.to_string())];
        counter!("keywatch_logs_cut_back_total", &labels).increment(1);
    }

    /// The records of a stored batch that came after the cut, as far as that is certain.
    pub fn passed_over(&self, stored: &RawBatch) -> u64 {
        stored.records().filter(|(offset, _)| *offset >= self.log_end).count() as u64
    }

    /// The alert. One cut has one incident, whoever finds it and however often.
    pub fn alert(&self, first: &RawBatch, policy_version: &str, now: EventTime) -> Alert {
        let finding = self.finding(first, now);
        let notice = Notice {
            detector: DetectorId::MonitorDegraded,
            severity: Severity::High,
            title: format!("Keywatch passes over records: {}", finding.headline),
            explanation: finding.sentence.clone(),
            policy_version,
        };
        let kind = format!("cut back\0{}\0{}", first.topic_id, self.stored_to);
        let timeless = Finding { since: EventTime::from_micros(0), ..finding.clone() };
        notice.alert(&incident_id(&kind, &timeless), 1, AlertType::Opened, &finding, now)
    }

    fn finding(&self, first: &RawBatch, now: EventTime) -> Finding {
        let Self { log_end, stored_to } = *self;
        let (topic, partition) = (first.partition.topic.clone(), first.partition.partition);
        Finding {
            since: now,
            headline: format!("the log of {topic}/{partition} was cut back"),
            sentence: format!(
                "Records of {topic}/{partition} are stored up to offset {stored_to}, and Kafka has \
                 lost some of them: the log ended at offset {log_end} when this was noticed. New \
                 records take the lost offsets again, and count as stored until offset \
                 {stored_to}: nobody judges or stores them. What to do is in docs/OPERATIONS.md, \
                 \"A log that was cut back\"."
            ),
            position: AlertPosition {
                topic,
                partition,
                first_offset: log_end.min(stored_to),
                last_offset: stored_to,
            },
            observed: log_end as f64,
            expected: stored_to as f64 + 1.0,
            p_value: 1e-9,
            fields: Map::from_iter([
                ("log_end".to_owned(), json!(log_end)),
                ("stored_to".to_owned(), json!(stored_to)),
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PartitionId;

    fn batch(offsets: std::ops::Range<i64>) -> RawBatch {
        let mut batch = RawBatch::new(PartitionId { topic: "access".into(), partition: 1 });
        offsets.for_each(|offset| batch.push(offset, b"{}"));
        batch
    }

    #[test]
    fn one_cut_has_one_incident() {
        let cut_back = CutBack { log_end: 60, stored_to: 99 };
        let alert = |cut_back: CutBack, second| {
            cut_back.alert(&batch(0..60), "p", EventTime::from_seconds(second))
        };
        let first = alert(cut_back, 1);
        assert_eq!(first.id, alert(CutBack { log_end: 70, ..cut_back }, 2).id);
        assert_ne!(first.id, alert(CutBack { stored_to: 150, ..cut_back }, 1).id);
        assert_eq!((first.position.first_offset, first.position.last_offset), (60, 99));
    }

    #[test]
    fn a_log_that_goes_on_behind_the_ledger_is_no_cut_unless_its_offsets_fell() {
        let (grown, mut first) = (CutBack { log_end: 150, stored_to: 99 }, batch(100..120));
        assert!(!grown.is_certain(&first));
        first.offsets_fell = true;
        assert!(grown.is_certain(&first));
        assert!(CutBack { log_end: 99, stored_to: 99 }.is_certain(&batch(0..9)));
        assert!(!CutBack { log_end: 100, stored_to: 99 }.is_certain(&batch(0..9)));
    }

    #[test]
    fn only_records_behind_the_cut_are_passed_over() {
        assert_eq!(CutBack { log_end: 60, stored_to: 99 }.passed_over(&batch(50..70)), 10);
    }
}
