//! Decides whether the monitor is blind. Pure: the caller passes the wall-clock time.

use std::collections::HashMap;

use serde_json::json;

use super::notice::{Blindness, Finding};
use crate::alert::{Alert, AlertPosition};
use crate::app::batch::Settled;
use crate::config::MonitorConfig;
use crate::event::{EventTime, HOUR_SECONDS, PartitionId};
use crate::source::Lag;
use crate::text;

/// Silence is unusual when at least this many requests were expected. If requests are a Poisson
/// process, 20 expected requests produce none once in 500 million times.
const USUAL_REQUESTS: f64 = 20.0;

/// The stored progress of one partition.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub last_offset: i64,
    /// Event time of the newest event of the last batch.
    pub newest: EventTime,
}

/// The pipeline's state, published once a second.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    pub lags: Vec<Lag>,
    pub seen: HashMap<PartitionId, Seen>,
}

impl Observation {
    pub fn note(&mut self, settled: &Settled) {
        if let Settled::Stored { partition, last_offset, newest: Some(newest), .. } = settled {
            let seen = Seen { last_offset: *last_offset, newest: *newest };
            self.seen.insert(partition.clone(), seen);
        }
    }

    /// Returns the end of the log of `partition` a moment ago.
    pub fn log_end(&self, partition: &PartitionId) -> Option<i64> {
        let lag = self.lags.iter().find(|lag| lag.partition == *partition);
        lag.map(|lag| lag.log_end)
    }
}

#[derive(Debug)]
pub struct Watch {
    config: MonitorConfig,
    start: EventTime,
    /// The time at which each partition was last not behind.
    kept_up: HashMap<PartitionId, EventTime>,
    lag: Blindness,
    silence: Blindness,
}

impl Watch {
    pub fn new(config: &MonitorConfig, policy_version: &str, start: EventTime) -> Self {
        Self {
            config: config.clone(),
            start,
            kept_up: HashMap::new(),
            lag: Blindness::new("lag", policy_version),
            silence: Blindness::new("silence", policy_version),
        }
    }

    /// Returns an alert when partitions fall behind, or when the last of them has caught up.
    pub fn look_at_lag(&mut self, observation: &Observation, now: EventTime) -> Option<Alert> {
        let Observation { lags, seen } = observation;
        self.kept_up.retain(|partition, _| lags.iter().any(|lag| lag.partition == *partition));
        let bound = self.config.max_lag_seconds;
        let mut behind = Vec::new();
        for lag in lags {
            let newest = seen.get(&lag.partition).map(|seen| seen.newest);
            let is_recent = newest.is_some_and(|newest| now.seconds_since(newest) <= bound);
            let kept_up = self.kept_up.entry(lag.partition.clone()).or_insert(now);
            if lag.records == 0 || is_recent {
                *kept_up = now;
            } else if now.seconds_since(*kept_up) > bound {
                behind.push((newest.unwrap_or(self.start), lag));
            }
        }
        let worst = behind.iter().min_by_key(|(newest, lag)| (*newest, &lag.partition));
        let finding = worst.map(|(newest, lag)| self.lag_finding(*newest, lag, &behind, seen, now));
        self.lag.update(finding, now)
    }

    fn lag_finding(
        &self,
        newest: EventTime,
        worst: &Lag,
        behind: &[(EventTime, &Lag)],
        seen: &HashMap<PartitionId, Seen>,
        now: EventTime,
    ) -> Finding {
        let delay = now.seconds_since(newest).round();
        let records: u64 = behind.iter().map(|(_, lag)| lag.records).sum();
        let PartitionId { topic, partition } = &worst.partition;
        let next = seen.get(&worst.partition).map_or(0, |seen| seen.last_offset + 1);
        Finding {
            since: newest,
            position: AlertPosition {
                topic: topic.clone(),
                partition: *partition,
                first_offset: next,
                last_offset: worst.log_end - 1,
            },
            headline: match behind.len() {
                1 => format!("{topic}/{partition} is {delay} s behind"),
                count => format!("{count} partitions are up to {delay} s behind"),
            },
            sentence: format!(
                "{} of {} wait to be judged; the newest event of {topic}/{partition} that was \
                 judged is {delay} s old, more than {} s are too much.",
                counted(records, "record"),
                counted(behind.len() as u64, "partition"),
                self.config.max_lag_seconds
            ),
            observed: delay,
            expected: self.config.max_lag_seconds,
            p_value: 0.0,
            fields: fields(&[
                ("lag", json!(records)),
                ("gap", json!(delay)),
                ("partitions", json!(behind.len())),
            ]),
        }
    }

    /// Returns true when nothing was stored for so long that the usual rate must be checked.
    pub fn is_silent(&self, last_stored: EventTime, now: EventTime) -> bool {
        now.seconds_since(last_stored) > self.config.max_silence_seconds
    }

    /// Returns an alert when no request arrives although `usual` requests an hour are expected, and
    /// when requests arrive again.
    pub fn look_at_silence(
        &mut self,
        topic: &str,
        last_stored: EventTime,
        usual: f64,
        now: EventTime,
    ) -> Option<Alert> {
        let gap = now.seconds_since(last_stored).round();
        let expected = usual * gap / HOUR_SECONDS;
        let is_blind = self.is_silent(last_stored, now) && expected >= USUAL_REQUESTS;
        let finding = is_blind.then(|| Finding {
            since: last_stored,
            position: AlertPosition {
                topic: topic.into(),
                partition: 0,
                first_offset: 0,
                last_offset: 0,
            },
            headline: format!("nothing came for {gap} s"),
            sentence: format!(
                "Nothing was stored for {gap} s, in which about {expected:.0} requests are usual \
                 at this hour: the log, its way here or this monitor is broken."
            ),
            observed: 0.0,
            expected: expected.round(),
            p_value: (-expected).exp(),
            fields: fields(&[("lag", json!(0)), ("gap", json!(gap))]),
        });
        self.silence.update(finding, now)
    }
}

/// `1 record`, `2 records`.
fn counted(count: u64, noun: &str) -> String {
    format!("{count} {}", text::plural(count, noun))
}

fn fields(fields: &[(&str, serde_json::Value)]) -> serde_json::Map<String, serde_json::Value> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::alert::{AlertType, DetectorId};

    fn at(seconds: f64) -> EventTime {
        EventTime::from_seconds(1_700_000_000).plus_seconds(seconds)
    }

    fn watch() -> Watch {
        Watch::new(&MonitorConfig::default(), "v1", at(0.0))
    }

    fn observation(records: u64, newest: f64) -> Observation {
        let partition = PartitionId { topic: "t".into(), partition: 3 };
        let lag = Lag { partition: partition.clone(), records, log_end: 100 };
        let seen = Seen { last_offset: 49, newest: at(newest) };
        Observation { lags: vec![lag], seen: [(partition, seen)].into() }
    }

    #[test]
    fn lasting_lag_raises_one_alert_and_its_end_one_more() {
        let mut watch = watch();
        assert_eq!(watch.look_at_lag(&observation(5, 0.0), at(1.0)), None);
        assert_eq!(watch.look_at_lag(&observation(50, 0.0), at(300.0)), None);
        let opened = watch.look_at_lag(&observation(50, 0.0), at(700.0)).unwrap();
        assert_eq!((&opened.key_id, opened.source_ip), (&None, None));
        assert_eq!(opened.detectors, [DetectorId::MonitorBlind]);
        assert_eq!((opened.position.first_offset, opened.position.last_offset), (50, 99));
        assert_eq!(opened.evidence[0].fields["lag"], 50);
        assert_eq!(opened.title, "Keywatch is blind: t/3 is 700 s behind");
        assert!(opened.explanation.starts_with("50 records of 1 partition wait"), "{opened:?}");
        assert_eq!(watch.look_at_lag(&observation(60, 0.0), at(800.0)), None);
        let resolved = watch.look_at_lag(&observation(0, 0.0), at(900.0)).unwrap();
        assert_eq!((resolved.alert_type, &resolved.id), (AlertType::Resolved, &opened.id));
        assert_eq!(resolved.revision, 2);
        assert_eq!(watch.look_at_lag(&observation(0, 0.0), at(901.0)), None);
    }

    #[test]
    fn a_backlog_that_is_worked_off_in_time_is_not_blindness() {
        let mut watch = watch();
        for second in 0..250 {
            let backlog = observation(1_000_000, -86_400.0);
            assert_eq!(watch.look_at_lag(&backlog, at(f64::from(second))), None);
        }
        assert_eq!(watch.look_at_lag(&observation(10, 299.0), at(301.0)), None);
    }

    #[test]
    fn another_process_that_sees_the_same_says_the_same() {
        let mut ids = Vec::new();
        for start in [0.0, 40.0] {
            let mut watch = Watch::new(&MonitorConfig::default(), "v1", at(start));
            watch.look_at_lag(&observation(5, 20.0), at(start));
            ids.push(watch.look_at_lag(&observation(5, 20.0), at(900.0)).unwrap().id);
        }
        assert_eq!(ids[0], ids[1]);
    }

    #[test]
    fn silence_counts_where_traffic_is_usual() {
        let mut watch = watch();
        assert!(!watch.is_silent(at(0.0), at(299.0)));
        assert_eq!(watch.look_at_silence("t", at(0.0), 100.0, at(400.0)), None, "11 are usual");
        let opened = watch.look_at_silence("t", at(0.0), 3_600.0, at(400.0)).unwrap();
        assert_eq!(opened.evidence[0].expected, Some(400.0));
        let resolved = watch.look_at_silence("t", at(410.0), 3_600.0, at(411.0)).unwrap();
        assert_eq!(resolved.alert_type, AlertType::Resolved);
    }
}
