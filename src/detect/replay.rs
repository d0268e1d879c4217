//! `replay.duplicate_nonce`, `replay.duplicate_signature`, `replay.stale_timestamp`,
//! `replay.out_of_order_nonce`, `replay.weak_nonce`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Signal;
use super::geo::duration;
use crate::alert::DetectorId;
use crate::event::{AccessEvent, EnrichedEvent, EventTime, Fingerprint, Nonce, RecordPosition};
use crate::profile::nonce::{Discipline, NonceProfile, Repetitions, SMALL_STEP};
use crate::profile::place::same_prefix;
use crate::profile::{ClockProfile, Profile};

/// The first request that carried a nonce.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct FirstUse {
    pub time: EventTime,
    pub ip: IpAddr,
    pub status: u16,
    pub position: RecordPosition,
}

/// A client that repeats a request after a failure does so within this time, perhaps from
/// another address of its network.
const RETRY_SECONDS: f64 = 120.0;
/// Without a visible failure (the answer was lost on its way) it does so at once, from the
/// same address.
const BLIND_RETRY_SECONDS: f64 = 15.0;

/// Pseudo-count of repetitions that a client makes by mistake from the same address, ...
const MISTAKES_HERE: f64 = 0.05;
/// ... from a neighbouring one, ...
const MISTAKES_NEARBY: f64 = 1e-4;
/// ... and from another network.
const MISTAKES_ELSEWHERE: f64 = 1e-9;

/// Whether a repeated nonce is only a client that tries again.
pub fn is_retry(event: &AccessEvent, first: &FirstUse) -> bool {
    let gap = event.time.seconds_since(first.time).abs();
    let failed = first.status >= 500 || matches!(first.status, 408 | 425 | 429 | 499);
    if failed {
        same_prefix(event.client_ip, first.ip) && gap <= RETRY_SECONDS
    } else {
        event.client_ip == first.ip && gap <= BLIND_RETRY_SECONDS
    }
}

/// What came again, in a request that is no retry.
#[derive(Clone, Copy, Debug)]
pub struct Repetition {
    pub earlier: Earlier,
    pub fingerprint: Fingerprint,
}

/// The request before.
#[derive(Clone, Copy, Debug)]
pub enum Earlier {
    Known(FirstUse),
    /// There was one within so many seconds, hardly ever in error
    /// ([`crate::profile::sightings::ONE_FALSE_IN`]). Which one,
    /// only a store could tell.
    Within {
        seconds: f64,
    },
}

/// `replay.duplicate_nonce`, `replay.duplicate_signature`: something that must be used once
/// came again in a different request. `usual` is how often this key does that by mistake.
pub fn duplicate(
    detector: DetectorId,
    usual: Repetitions,
    enriched: &EnrichedEvent,
    repetition: &Repetition,
) -> Signal {
    let event = &enriched.event;
    let what = if detector == DetectorId::DuplicateSignature { "signature" } else { "nonce" };
    let again =
        format!("came again from {} at {} (status {})", event.client_ip, event.time, event.status);
    let (mistakes, gap, sentence) = match repetition.earlier {
        Earlier::Known(first) => {
            let gap = event.time.seconds_since(first.time);
            let FirstUse { time, ip, status, .. } = first;
            let later = duration(gap.abs());
            let sentence = format!(
                "A {what} first used from {ip} at {time} (status {status}) {again}, {later} later."
            );
            (mistakes(event.client_ip, first.ip), Some(gap), sentence)
        }
        Earlier::Within { seconds } => {
            let before = duration(seconds);
            let sentence = format!(
                "A {what} that was used within the {before} before {again}. The request that used \
                 it first is no longer in memory, and there is no store to ask."
            );
            // Of all that could be, the most innocent.
            (MISTAKES_HERE, None, sentence)
        }
    };
    // Beta posterior of the share of repetitions; a broken client's is high.
    let p_value = (f64::from(usual.repeated) + mistakes) / (f64::from(usual.seen) + 1.0);
    Signal {
        detector,
        p_value: p_value.min(1.0),
        observed: gap,
        expected: None,
        headline: format!("a signed request was sent again from {}", event.client_ip),
        sentence,
        fields: json!({
            "first_request": first_request(&repetition.earlier),
            "second_request": {
                "time": event.time, "ip": event.client_ip, "status": event.status,
                "offset": enriched.position.offset, "request_id": event.request_id,
            },
            "gap_seconds": gap,
            "fingerprint": repetition.fingerprint.to_string(),
        }),
    }
}

fn mistakes(here: IpAddr, first: IpAddr) -> f64 {
    if here == first {
        MISTAKES_HERE
    } else if same_prefix(here, first) {
        MISTAKES_NEARBY
    } else {
        MISTAKES_ELSEWHERE
    }
}

fn first_request(earlier: &Earlier) -> Value {
    match earlier {
        Earlier::Known(first) => json!({
            "time": first.time, "ip": first.ip, "status": first.status,
            "offset": first.position.offset,
        }),
        Earlier::Within { .. } => Value::Null,
    }
}

/// Clocks of honest clients settle; a skew this many deviations off is not theirs.
const MIN_CLOCK_SAMPLES: u32 = 10;
const CLOCK_DEVIATIONS: f64 = 8.0;

/// `replay.stale_timestamp`: the signed time is outside the validity window and far from
/// the key's own skew, and the request was accepted.
pub fn stale_timestamp(
    clock: &ClockProfile,
    event: &AccessEvent,
    client_time: EventTime,
    window_seconds: f64,
) -> Option<Signal> {
    let skew = event.time.seconds_since(client_time);
    let accepted = (200..400).contains(&event.status);
    if !accepted || skew.abs() <= window_seconds {
        return None;
    }
    let settled = clock.samples() >= MIN_CLOCK_SAMPLES;
    let usual = if settled { clock.usual_skew() } else { 0.0 };
    let spread = if settled { clock.deviation().max(1.0) } else { window_seconds };
    let excess = (skew - usual).abs();
    if excess <= window_seconds.max(CLOCK_DEVIATIONS * spread) {
        return None;
    }
    // A heavy tail (Cauchy squared): clients do sleep, queue and lose their clock.
    let p_value = (spread / excess).powi(3).min(1.0) * if settled { 1e-3 } else { 1e-1 };
    let side = if skew > 0.0 { "old" } else { "ahead of time" };
    Some(Signal {
        detector: DetectorId::StaleTimestamp,
        p_value,
        observed: Some(skew),
        expected: Some(usual),
        headline: format!("a request signed {} {side} was accepted", duration(skew.abs())),
        sentence: format!(
            "A request signed at {client_time} was accepted at {} (status {}): {} {side}, where \
             {window_seconds:.0} s are valid and this key's usual skew is {usual:.1} s.",
            event.time,
            event.status,
            duration(skew.abs()),
        ),
        fields: json!({
            "skew_seconds": skew,
            "window_seconds": window_seconds,
            "usual_skew_seconds": usual,
            "ip": event.client_ip,
            "status": event.status,
        }),
    })
}

/// A nonce that is a clock reading may differ by this much from its request's own time.
const MAX_NONCE_AGE_SECONDS: f64 = 60.0;
/// Requests that overlap in flight put a counter out of order by this many steps.
const REORDER_STEPS: u64 = 100;
/// Chance that an innocent client starts its nonces again, after the first time.
const RESTART: f64 = 1e-3;

/// `replay.out_of_order_nonce`: the nonce goes back for a key whose nonces always rise. A
/// request that is itself late in the log proves nothing.
pub fn out_of_order_nonce(profile: &Profile, event: &AccessEvent, nonce: &Nonce) -> Option<Signal> {
    let nonces = &profile.nonces;
    let number = nonce.number?;
    if !nonces.always_rises() || number >= nonces.highest() || event.time < profile.last_seen {
        return None;
    }
    if nonces.begins_again(number) {
        return None;
    }
    let step_back = nonces.highest() - number;
    let discipline = nonces.discipline();
    let ordinary = match discipline {
        Discipline::Time { per_second } => {
            let age = event.time.as_seconds() - number as f64 / per_second as f64;
            if age.abs() <= MAX_NONCE_AGE_SECONDS {
                return None;
            }
            (MAX_NONCE_AGE_SECONDS * per_second as f64) as u64
        }
        _ => REORDER_STEPS,
    };
    if step_back <= ordinary.max(nonces.usual_step_back().saturating_mul(2)) {
        return None;
    }
    let share = (f64::from(nonces.falls()) + 0.5) / (f64::from(nonces.rises()) + 1.0);
    let rises = nonces.rises();
    Some(Signal {
        detector: DetectorId::OutOfOrderNonce,
        p_value: (share * RESTART).min(1.0),
        observed: Some(step_back as f64),
        expected: Some(0.0),
        headline: "a nonce went backwards".to_owned(),
        sentence: format!(
            "After {rises} nonces that always rose, one from {} went back by {step_back}.",
            event.client_ip
        ),
        fields: json!({
            "steps_back": step_back,
            "fingerprint": nonce.fingerprint.to_string(),
            "usual_step_back": nonces.usual_step_back(),
            "discipline": discipline.as_str(),
            "ip": event.client_ip,
        }),
    })
}

/// So many small steps in a row are no chance.
const SMALL_STEPS: u32 = 3;

/// `replay.weak_nonce`: a key whose nonces could not be guessed now counts in small steps.
pub fn weak_nonce(nonces: &NonceProfile, event: &AccessEvent, nonce: &Nonce) -> Option<Signal> {
    let run = nonces.small_steps(nonce.number?);
    if nonces.discipline() != Discipline::Random || run < SMALL_STEPS {
        return None;
    }
    let seen = nonces.repetitions().seen;
    Some(Signal {
        detector: DetectorId::WeakNonce,
        p_value: (1.0 / (f64::from(seen) + 1.0)).powi(2).max(1e-9),
        observed: Some(f64::from(run)),
        expected: Some(0.0),
        headline: "its nonces have become guessable".to_owned(),
        sentence: format!(
            "After {seen} nonces that could not be guessed, {run} in a row from {} rose by at most \
             {SMALL_STEP}: another client, or a broken one.",
            event.client_ip
        ),
        fields: json!({
            "steps_in_a_row": run,
            "largest_step": SMALL_STEP,
            "discipline": nonces.discipline().as_str(),
            "ip": event.client_ip,
        }),
    })
}
