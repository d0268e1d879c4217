//! Plans the traffic of the demo: two days of history, then live traffic with attacks.
//!
//! The traffic merges two fleets. The settled keys have two days of history at a low rate, so that
//! the models know them; all attacks are on them. The busy keys produce the rest of the requested
//! rate. They have only minutes of history, since days at their rate could not be replayed in
//! seconds.

use std::iter::Peekable;

use crate::backtest::labels::Label;
use crate::event::EventTime;
use crate::generate::{
    AttackKind, Character, ConfuserKind, GeneratedEvent, Generator, Kind, Plan, Selection,
};

const SETTLED_KEYS: u32 = 200;
const SETTLED_PER_SECOND: f64 = 1.5;
const HISTORY_SECONDS: f64 = 2.0 * 86_400.0;

const BUSY_KEYS: u32 = 100;
pub(super) const KEYS: u32 = SETTLED_KEYS + BUSY_KEYS;
/// The length of the busy keys' history: short enough not to delay the demo, and long enough that
/// the live part does not look like a burst of all keys.
const BUSY_HISTORY_SECONDS: (f64, f64) = (120.0, 300.0);
const BUSY_HISTORY_EVENTS: f64 = 60_000.0;

/// Time between the start of the live part and its first attack ...
const CALM_SECONDS: f64 = 3.0;
/// ... and the largest share of the live part that an attack lasts, so that many attacks are
/// visible from their start.
const LONGEST_ATTACK_SHARE: f64 = 0.6;

const SETTLED_SEED: u64 = 7;
const BUSY_SEED: u64 = 8;

/// Attacks that show within seconds and that have a detector.
const ATTACKS: [AttackKind; 11] = [
    AttackKind::RateSpike,
    AttackKind::ThrottledBurst,
    AttackKind::ImpossibleTravel,
    AttackKind::NewLocation,
    AttackKind::NewNetwork,
    AttackKind::NonceReplay,
    AttackKind::DelayedReplay,
    AttackKind::StaleTimestamp,
    AttackKind::OutOfOrderNonce,
    AttackKind::AuthFailureBurst,
    AttackKind::Takeover,
];

/// Benign patterns that look like attacks. An outage of the whole API is left out, as it would fill
/// the demo's two days with errors, and so are gaps in the log.
fn confusers() -> Selection<ConfuserKind> {
    let left_out = [
        ConfuserKind::Outage,
        ConfuserKind::MarketingDay,
        ConfuserKind::LateEvents,
        ConfuserKind::LogOutage,
        ConfuserKind::LateBatch,
        ConfuserKind::RepeatedFile,
    ];
    let kept = ConfuserKind::ALL.iter().filter(|kind| !left_out.contains(kind));
    Selection(kept.copied().collect())
}

/// The events of both fleets, in order of arrival.
pub(super) struct Traffic {
    settled: Peekable<Generator>,
    busy: Option<Peekable<Generator>>,
    labels: Vec<Label>,
    /// The time at which the history ends and the live part begins.
    pub(super) present: EventTime,
}

impl Traffic {
    /// `rate` is in events a second over the live part, without the attacks.
    pub(super) fn new(present: EventTime, seconds: f64, rate: f64) -> Self {
        let settled = Generator::new(&settled_plan(present, seconds));
        let labels = settled.labels().iter().map(|label| judged(label)).collect();
        let busy = busy_plan(present, seconds, rate).map(|plan| Generator::new(&plan).peekable());
        Self { settled: settled.peekable(), busy, labels, present }
    }

    /// The attacks, in order of their start.
    pub(super) fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The share of the history that is over at `time`, from 0 to 1.
    pub(super) fn history_share(&self, time: EventTime) -> f64 {
        (1.0 - self.present.seconds_since(time) / HISTORY_SECONDS).clamp(0.0, 1.0)
    }

    /// The next event, if it arrives before `end`.
    pub(super) fn next_before(&mut self, end: EventTime) -> Option<GeneratedEvent> {
        let arrival = |fleet: &mut Peekable<Generator>| fleet.peek().map(|event| event.arrival);
        let settled = arrival(&mut self.settled);
        let busy = self.busy.as_mut().and_then(arrival);
        let settled_first = match (settled, busy) {
            (Some(settled), Some(busy)) => settled <= busy,
            (settled, _) => settled.is_some(),
        };
        let first = if settled_first { &mut self.settled } else { self.busy.as_mut()? };
        first.next_if(|event| event.arrival < end)
    }
}

fn settled_plan(present: EventTime, seconds: f64) -> Plan {
    let mut plan = Plan::new(SETTLED_KEYS, HISTORY_SECONDS + seconds, SETTLED_SEED);
    plan.start = present.plus_seconds(-HISTORY_SECONDS);
    plan.characters = Character::settled();
    plan.attacks = Selection(ATTACKS.to_vec());
    plan.confusers = confusers();
    plan.clean_seconds = HISTORY_SECONDS + CALM_SECONDS.min(seconds / 4.0);
    plan.longest_attack_seconds = seconds * LONGEST_ATTACK_SHARE;
    plan.requests_per_second = Some(SETTLED_PER_SECOND);
    plan
}

/// The plan of the busy keys; `None` if the settled keys alone reach the rate.
fn busy_plan(present: EventTime, seconds: f64, rate: f64) -> Option<Plan> {
    let wanted = rate - SETTLED_PER_SECOND;
    if wanted < 1.0 {
        return None;
    }
    let (shortest, longest) = BUSY_HISTORY_SECONDS;
    let history = (BUSY_HISTORY_EVENTS / rate).clamp(shortest, longest);
    let mut plan = Plan::new(BUSY_KEYS, history + seconds, BUSY_SEED);
    plan.start = present.plus_seconds(-history);
    plan.characters = Character::settled();
    plan.attacks = Selection::none();
    plan.confusers = Selection::none();
    plan.requests_per_second = Some(wanted);
    // The requested rate is a mean over a week, but the live part is one hour of it, so the plan is
    // measured first.
    let made = Generator::new(&plan).filter(|event| event.arrival >= present).count();
    let correction = (wanted * seconds / made.max(1) as f64).clamp(0.2, 5.0);
    plan.requests_per_second = Some(wanted * correction);
    Some(plan)
}

fn judged(label: &crate::generate::Label) -> Label {
    Label {
        key_id: label.key_id.clone(),
        kind: label.kind.to_string(),
        start: label.start,
        end: label.end,
        detectors: label.detectors.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESENT: EventTime = EventTime::from_seconds(1_780_000_000);

    #[test]
    fn the_past_comes_first_and_the_live_part_has_the_rate_asked_for() {
        let mut traffic = Traffic::new(PRESENT, 30.0, 200.0);
        let mut last = EventTime::default();
        let mut history = 0;
        while let Some(event) = traffic.next_before(PRESENT) {
            assert!(event.arrival >= last && event.label.is_none());
            last = event.arrival;
            history += 1;
        }
        assert!((150_000..500_000).contains(&history), "{history}");
        let end = PRESENT.plus_seconds(1e6);
        let live: Vec<_> = std::iter::from_fn(|| traffic.next_before(end)).collect();
        let ordinary = live.iter().filter(|event| event.label.is_none()).count() as f64;
        assert!((0.7..1.4).contains(&(ordinary / 30.0 / 200.0)), "{ordinary}");
        assert!(live.iter().any(|event| event.label.is_some()));
    }

    #[test]
    fn attacks_begin_soon_and_within_the_live_part() {
        for seconds in [10.0, 60.0, 600.0] {
            let traffic = Traffic::new(PRESENT, seconds, 100.0);
            let end = PRESENT.plus_seconds(seconds + 0.001);
            let labels = traffic.labels();
            assert!(labels.len() >= ATTACKS.len());
            assert!(labels.iter().all(|label| label.start >= PRESENT && label.end <= end));
            assert!(labels[0].start.seconds_since(PRESENT) < 3.0 + seconds / 20.0);
        }
    }
}
