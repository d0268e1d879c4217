//! `replay.duplicate_nonce`, `replay.stale_timestamp`, `replay.out_of_order_nonce`.

use std::net::IpAddr;

use serde_json::json;

use super::Signal;
use super::geo::duration;
use crate::alert::DetectorId;
use crate::event::{AccessEvent, EnrichedEvent, EventTime, Nonce, RecordPosition};
use crate::profile::nonce::{Discipline, NonceProfile};
use crate::profile::place::same_prefix;
use crate::profile::{ClockProfile, Profile};

/// The first request that carried a nonce.
#[derive(Clone, Copy, Debug)]
pub struct FirstUse {
    pub time: EventTime,
    pub ip: IpAddr,
    pub status: u16,
    pub position: RecordPosition,
}

/// A client that repeats a request after a failure does so within this time.
const RETRY_SECONDS: f64 = 120.0;
/// Without a visible failure (the answer was lost on its way) it does so at once.
const BLIND_RETRY_SECONDS: f64 = 15.0;

/// Pseudo-count of repetitions that a client makes by mistake from its own network.
const BROKEN_CLIENT: f64 = 0.05;
/// The same from another network, where the client has never been seen to do it.
const BROKEN_CLIENT_ELSEWHERE: f64 = 1e-9;

/// Whether a repeated nonce is only a client that tries again.
fn is_retry(event: &AccessEvent, first: &FirstUse) -> bool {
    let gap = event.time.seconds_since(first.time).abs();
    let failed = first.status >= 500 || matches!(first.status, 408 | 425 | 429 | 499);
    let allowed = if failed { RETRY_SECONDS } else { BLIND_RETRY_SECONDS };
    same_prefix(event.client_ip, first.ip) && gap <= allowed
}

/// `replay.duplicate_nonce`: a nonce seen before in a different request.
pub fn duplicate_nonce(
    profile: &Profile,
    enriched: &EnrichedEvent,
    nonce: &Nonce,
    first: &FirstUse,
) -> Option<Signal> {
    let event = &enriched.event;
    if is_retry(event, first) {
        return None;
    }
    let at_home = same_prefix(event.client_ip, first.ip);
    let mistake = if at_home { BROKEN_CLIENT } else { BROKEN_CLIENT_ELSEWHERE };
    let (used, repeated) = profile.nonces.repetitions();
    // Beta posterior of the share of repeated nonces; a broken client's is high.
    let p_value = (f64::from(repeated) + mistake) / (f64::from(used) + 1.0);
    let gap = event.time.seconds_since(first.time);
    let source = if at_home { "the same network".to_owned() } else { event.client_ip.to_string() };
    Some(Signal {
        detector: DetectorId::DuplicateNonce,
        p_value: p_value.min(1.0),
        observed: Some(gap),
        expected: None,
        headline: format!("a signed request was sent again from {source}"),
        sentence: format!(
            "A nonce first used from {} at {} (status {}) came again from {} at {} (status {}), \
             {} later.",
            first.ip,
            first.time,
            first.status,
            event.client_ip,
            event.time,
            event.status,
            duration(gap.abs())
        ),
        fields: json!({
            "first_request": {
                "time": first.time, "ip": first.ip, "status": first.status,
                "offset": first.position.offset,
            },
            "second_request": {
                "time": event.time, "ip": event.client_ip, "status": event.status,
                "offset": enriched.position.offset, "request_id": event.request_id,
            },
            "gap_seconds": gap,
            "nonce_fingerprint": nonce.fingerprint.to_string(),
            "discipline": profile.nonces.discipline().as_str(),
        }),
    })
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

/// Requests that overlap in flight put nonces out of order by this much of the clock.
const REORDER_SECONDS: u64 = 30;
/// ... or by this many steps of a counter.
const REORDER_STEPS: u64 = 100;

/// `replay.out_of_order_nonce`: the nonce goes back for a key whose nonces always rise.
pub fn out_of_order_nonce(
    nonces: &NonceProfile,
    event: &AccessEvent,
    nonce: &Nonce,
) -> Option<Signal> {
    let number = nonce.number?;
    if !nonces.always_rises() || number >= nonces.highest() {
        return None;
    }
    let step_back = nonces.highest() - number;
    let discipline = nonces.discipline();
    let reorder = match discipline {
        Discipline::Time { per_second } => REORDER_SECONDS * per_second,
        _ => REORDER_STEPS,
    };
    if step_back <= reorder.max(nonces.usual_step_back().saturating_mul(2)) {
        return None;
    }
    let p_value = (f64::from(nonces.falls()) + 0.5) / (f64::from(nonces.rises()) + 1.0)
        * (reorder as f64 / step_back as f64);
    let rises = nonces.rises();
    Some(Signal {
        detector: DetectorId::OutOfOrderNonce,
        p_value: (p_value * 1e-3).min(1.0),
        observed: Some(step_back as f64),
        expected: Some(0.0),
        headline: "a nonce went backwards".to_owned(),
        sentence: format!(
            "After {rises} nonces that always rose, one from {} went back by {step_back}.",
            event.client_ip
        ),
        fields: json!({
            "steps_back": step_back,
            "nonce_fingerprint": nonce.fingerprint.to_string(),
            "usual_step_back": nonces.usual_step_back(),
            "discipline": discipline.as_str(),
            "ip": event.client_ip,
        }),
    })
}
