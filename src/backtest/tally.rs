//! Counts the events of a run: volumes, and the requests of the keys that the report may show.

use std::collections::HashMap;

use crate::alert::Alert;
use crate::engine::{Disposition, ScoredBatch};
use crate::event::{AccessEvent, EventTime, KeyId};

use super::figures::Volume;
use super::labels::Label;
use super::span::Span;
use super::timeline::Timeline;

/// The largest number of rejections kept for display.
const SHOWN_REJECTIONS: usize = 5;

/// Keys whose requests are counted over the whole run, in case an incident follows. Further keys
/// are counted from their first incident on.
const MAX_TIMELINES: usize = 20_000;

/// Initial width of a bin in a key's timeline.
const TIMELINE_SECONDS: u32 = 60;

/// The counts of the run, of the labels and of their keys.
#[derive(Debug, Default)]
pub struct Observed {
    pub volume: Volume,
    /// Times of the first and the last event.
    pub span: Option<(EventTime, EventTime)>,
    /// For each label: the requests of its key during the attack, by event time.
    pub attack_requests: Vec<Vec<EventTime>>,
    /// For each label: the requests around it, of its key, or of all keys if the label names none.
    pub attack_timelines: Vec<Timeline>,
    pub key_timelines: HashMap<KeyId, Timeline>,
}

pub struct Tally<'a> {
    labels: &'a [Label],
    by_key: HashMap<&'a KeyId, Vec<usize>>,
    of_all_keys: Vec<usize>,
    observed: Observed,
    span: Span,
    rejections: Vec<String>,
}

impl<'a> Tally<'a> {
    pub fn new(labels: &'a [Label]) -> Self {
        let mut by_key: HashMap<&KeyId, Vec<usize>> = HashMap::new();
        let mut of_all_keys = Vec::new();
        for (index, label) in labels.iter().enumerate() {
            match &label.key_id {
                Some(key) => by_key.entry(key).or_default().push(index),
                None => of_all_keys.push(index),
            }
        }
        let timeline = |label: &Label| {
            let (from, to) = label.surroundings();
            Timeline::spanning(to.seconds_since(from))
        };
        let observed = Observed {
            attack_requests: vec![Vec::new(); labels.len()],
            attack_timelines: labels.iter().map(timeline).collect(),
            ..Observed::default()
        };
        Self {
            labels,
            by_key,
            of_all_keys,
            observed,
            span: Span::default(),
            rejections: Vec::new(),
        }
    }

    pub fn add(&mut self, scored: &ScoredBatch) {
        self.note_rejections(scored);
        for (enriched, disposition) in scored.events.iter().zip(&scored.outcome.dispositions) {
            match disposition {
                Disposition::Redelivered => self.observed.volume.redelivered += 1,
                _ => self.count(&enriched.event),
            }
        }
        self.follow_keys_of(&scored.outcome.alerts);
    }

    /// The counts, and the first few rejections as text.
    pub fn finish(mut self, keys: usize) -> (Observed, Vec<String>) {
        self.observed.span = self.span.bounds();
        let seconds = self.observed.span.map_or(0.0, |(first, last)| last.seconds_since(first));
        self.observed.volume.days = seconds / 86_400.0;
        self.observed.volume.keys = keys;
        (self.observed, self.rejections)
    }

    fn note_rejections(&mut self, scored: &ScoredBatch) {
        self.observed.volume.rejections += scored.rejected();
        self.observed.volume.skipped += scored.skipped;
        for (field, number) in scored.fields_left_out.iter() {
            *self.observed.volume.fields_left_out.entry(field).or_default() += number;
        }
        let room = SHOWN_REJECTIONS.saturating_sub(self.rejections.len());
        self.rejections.extend(scored.rejections.iter().take(room).map(|rejection| {
            let (topic, line) = (&scored.partition.topic, rejection.position.offset);
            format!("{topic}:{line}: {}: {}", rejection.reason, rejection.detail)
        }));
    }

    fn count(&mut self, event: &AccessEvent) {
        self.observed.volume.events += 1;
        self.span.add(event.time);
        let own = self.by_key.get(&event.key_id).into_iter().flatten();
        for &index in own.chain(&self.of_all_keys) {
            let label = &self.labels[index];
            let (from, to) = label.surroundings();
            if from <= event.time && event.time <= to {
                self.observed.attack_timelines[index].add(event.time);
            }
            if label.key_id.is_some() && label.lasts_at(event.time) {
                self.observed.attack_requests[index].push(event.time);
            }
        }
        let timelines = &mut self.observed.key_timelines;
        if let Some(timeline) = timelines.get_mut(&event.key_id) {
            timeline.add(event.time);
        } else if timelines.len() < MAX_TIMELINES {
            let timeline = timelines.entry(event.key_id.clone());
            timeline.or_insert_with(|| Timeline::new(TIMELINE_SECONDS)).add(event.time);
        }
    }

    fn follow_keys_of(&mut self, alerts: &[Alert]) {
        for key_id in alerts.iter().filter_map(|alert| alert.key_id.as_ref()) {
            if !self.observed.key_timelines.contains_key(key_id) {
                let timeline = Timeline::new(TIMELINE_SECONDS);
                self.observed.key_timelines.insert(key_id.clone(), timeline);
            }
        }
    }
}
