//! Tells whether the records of a topic are partitioned by API key. Each partition has its own profile
//! of a key.

use std::collections::HashMap;

use super::finding::{Finding, Level, finding};
use super::tally::Tally;
use crate::config::{Config, DecodeConfig};
use crate::event::KeyId;
use crate::text::{count, counted, share};

/// What the keys of the records are, where the sample is one of a topic.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RecordKeys {
    pub partitions: usize,
    pub unkeyed: u64,
    pub tombstones: u64,
}

/// The API keys, and in how many partitions their requests are.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// The partition of the first request of each; `None` after one in another partition.
    homes: HashMap<KeyId, Option<i32>>,
    scattered: usize,
}

impl Keys {
    pub fn count(&mut self, key_id: &KeyId, partition: i32) {
        match self.homes.get_mut(key_id) {
            None => drop(self.homes.insert(key_id.clone(), Some(partition))),
            Some(home) if home.is_some_and(|home| home != partition) => {
                *home = None;
                self.scattered += 1;
            }
            Some(_) => {}
        }
    }

    pub fn len(&self) -> usize {
        self.homes.len()
    }
}

/// Keys in several partitions, or records that would put them there.
pub(super) fn unpartitioned(tally: &Tally, config: &Config) -> Option<Finding> {
    let Tally { keys, record_keys: records, .. } = tally;
    let is_repartitioned = config.source.kafka.repartition_topic.is_some();
    let title = match (keys.scattered, records.unkeyed) {
        _ if is_repartitioned => return None,
        (0, 0) => return None,
        (0, _) if records.partitions < 2 => return None,
        (0, unkeyed) => {
            let share = share(unkeyed as f64 / tally.records as f64);
            format!("{share} of the records have no Kafka key")
        }
        (scattered, _) => {
            let (scattered, all) = (count(scattered), count(keys.len()));
            format!("the requests of {scattered} of {all} API keys are in several partitions")
        }
    };
    let detail = "each partition judges its part of a key by itself, so that a replay or a journey \
                  from one to another is not seen";
    let remedy = "producers: the key id as the record's key; or source.kafka.repartition_topic";
    Some(finding(Level::Warn, title, detail, remedy.to_owned()))
}

/// The service does not choose a format by itself.
pub(super) fn unnamed_format(tally: &Tally, config: &Config) -> Option<Finding> {
    let format = tally.format();
    let own = DecodeConfig::default().format;
    let is_chosen = tally.record_keys.partitions > 0 && config.decode.format == "auto";
    (is_chosen && format != own).then(|| {
        let title = format!("`keywatch run` needs the name of the format, {format}");
        let remedy = format!("[decode] format = \"{format}\"");
        finding(Level::Note, title, "", remedy)
    })
}

pub(super) fn tombstones(records: RecordKeys) -> Option<Finding> {
    let number = records.tombstones;
    (number > 0).then(|| {
        let title = format!("{} in the topic", counted(number as usize, "tombstone"));
        let detail = "a record without a payload is not a request; `keywatch run` counts it as `empty_record`";
        finding(Level::Note, title, detail, None)
    })
}
