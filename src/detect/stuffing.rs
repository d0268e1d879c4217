//! Finds a source that tries many keys and is mostly refused: `auth.credential_stuffing`.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use serde_json::json;

use super::Signal;
use crate::alert::{Action, Ceiling, DetectorId, Restraint};
use crate::event::{DAY_SECONDS, EventTime};
use crate::profile::stuffing::{Scope, SourceAttempt, SourceProfile};
use crate::profile::wave::WaveProfile;
use crate::rate::{Forecast, negative_binomial_tail};
use crate::text::duration;

/// Share of an honest source's keys that is refused, because they are mistyped, expired or for
/// another environment ...
const USUAL_SHARE: f64 = 0.02;
/// ... and number of refused keys a window that is added, however many keys the source uses.
const USUAL_KEYS: f64 = 0.1;
/// The same number for a network: it has many tenants, and each makes mistakes.
const USUAL_KEYS_OF_NETWORK: f64 = 0.5;
/// Fewer refused keys than this are not a list.
pub const MIN_REFUSED: u64 = 6;
/// Refused keys come in clumps: size parameter of the negative binomial distribution of their
/// count.
const CLUMPING: f64 = 1.0;
/// Tenants of whom a key is refused away from home in an hour, whatever the fleet's own number.
const USUAL_HOLDERS: f64 = 0.5;
/// As [`CLUMPING`], for tenants: each counts once, so that they come in smaller clumps.
const CLUMPING_OF_HOLDERS: f64 = 4.0;
/// Keys that are refused away from home in an hour, whatever the fleet's own number.
const USUAL_KEYS_OF_FLEET: f64 = 2.0;
/// Fewer refused keys are not a wave, unless they belong to many holders.
const MIN_KEYS_OF_WAVE: f64 = 30.0;
/// Fewer networks are judged one by one.
const MIN_NETWORKS: f64 = 6.0;
/// Smallest p-value of a source without an accepted key: however many keys fail, that alone is not
/// a theft.
const ATTEMPT: f64 = 1e-8;
/// Probability that the holder of a key uses it from the very address that tries keys.
const INNOCENT_USE: f64 = 1e-8;

/// A source that tries keys.
#[derive(Clone, Copy, Debug)]
pub struct Stuffing {
    pub p_value: f64,
    source: IpNet,
    tried: f64,
    refused: f64,
    expected: f64,
    requests: u32,
    refusals: u32,
    answered: usize,
    since: EventTime,
    is_slow: bool,
}

/// Finds out whether the source tries keys. A refusal does not count where the key is established:
/// a ban or an outage is the API's doing.
pub fn find_stuffing(
    source: IpNet,
    scope: Scope,
    profile: &SourceProfile,
    threshold: f64,
) -> Option<Stuffing> {
    let refused = profile.keys_refused();
    if refused.round() < MIN_REFUSED as f64 {
        return None;
    }
    let tried = profile.keys_tried();
    let few = match scope {
        Scope::Machine => USUAL_KEYS,
        Scope::Network => USUAL_KEYS_OF_NETWORK,
    };
    let expected = few + tried * USUAL_SHARE.max(f64::from(profile.usual_share));
    let forecast = Forecast { mean: expected, size: CLUMPING };
    let p_value = negative_binomial_tail(refused.round() as u64, forecast);
    let answered = profile.affected().answered();
    (p_value < threshold).then_some(Stuffing {
        p_value: if answered == 0 { p_value.max(ATTEMPT) } else { p_value },
        source,
        tried,
        refused,
        expected,
        requests: profile.requests,
        refusals: profile.refused,
        answered,
        since: profile.since,
        is_slow: false,
    })
}

/// Finds out whether a network tries keys over a day, too slowly for an hour to show it.
pub fn find_slow_stuffing(
    source: IpNet,
    profile: &SourceProfile,
    threshold: f64,
) -> Option<Stuffing> {
    let found = find_stuffing(source, Scope::Network, profile, threshold)?;
    Some(Stuffing { is_slow: true, ..found })
}

/// Finds out whether a list is tried from many addresses, of which each tries little: by the holders
/// of existing keys, or by all keys. Keys that do not exist say that somebody tries keys, and not
/// whose.
pub fn find_wave(profile: &WaveProfile, threshold: f64) -> Option<Stuffing> {
    let tests = [of_holders(profile), of_keys(profile)].into_iter().flatten();
    let crowd = tests.min_by(|a, b| a.p_value().total_cmp(&b.p_value()))?;
    let Crowd { tried, expected } = crowd;
    // Two tests.
    let p_value = 2.0 * crowd.p_value();
    (p_value < threshold).then_some(Stuffing {
        p_value: p_value.max(ATTEMPT),
        source: everywhere(),
        tried,
        refused: tried,
        expected,
        requests: profile.refusals(),
        refusals: profile.refusals(),
        answered: profile.affected().answered(),
        since: profile.since()?,
        is_slow: false,
    })
}

/// Holders or keys that are refused to a crowd of addresses, and their usual number.
#[derive(Clone, Copy)]
struct Crowd {
    tried: f64,
    expected: f64,
}

impl Crowd {
    fn p_value(self) -> f64 {
        let forecast = Forecast { mean: self.expected, size: CLUMPING_OF_HOLDERS };
        negative_binomial_tail(self.tried.round() as u64, forecast)
    }
}

/// The refused holders of existing keys, unless they or their networks are few.
fn of_holders(profile: &WaveProfile) -> Option<Crowd> {
    let (tried, settled) = (profile.holders(), profile.affected().len() as f64);
    let is_crowd = profile.networks().round() >= MIN_NETWORKS;
    (is_crowd && tried.round().min(settled) >= MIN_REFUSED as f64)
        .then(|| Crowd { tried, expected: USUAL_HOLDERS + profile.usual() })
}

/// As [`of_holders`], for all refused keys. A log shows in a day how many wrong keys are usual.
fn of_keys(profile: &WaveProfile) -> Option<Crowd> {
    let tried = profile.keys();
    let is_crowd = profile.all_networks().round() >= MIN_NETWORKS;
    let is_known = profile.known_seconds() >= DAY_SECONDS;
    (is_crowd && is_known && tried >= MIN_KEYS_OF_WAVE)
        .then(|| Crowd { tried, expected: USUAL_KEYS_OF_FLEET + profile.usual_keys() })
}

/// The source of a list that is tried from many addresses.
pub const fn everywhere() -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0))
}

impl Stuffing {
    pub const fn source(&self) -> IpNet {
        self.source
    }

    /// Time of the first refusal that counts.
    pub const fn since(&self) -> EventTime {
        self.since
    }

    /// Whether a day shows the list, and no hour.
    pub const fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// The ceiling for the source's incident: nobody can throttle a crowd of addresses.
    pub fn ceiling(&self) -> Option<Ceiling> {
        let notify = Ceiling { most: Action::Notify, reason: Restraint::AttemptsOnly };
        (self.source == everywhere()).then_some(notify)
    }

    /// The signal for the source's incident.
    pub fn into_signal(self, last: &SourceAttempt) -> Signal {
        let Self { tried, refused, answered, .. } = self;
        let leaked = match answered {
            0 => String::new(),
            1 => "; 1 existing key was accepted".to_owned(),
            keys => format!("; {keys} existing keys were accepted"),
        };
        Signal {
            detector: DetectorId::CredentialStuffing,
            p_value: self.p_value,
            observed: Some(refused.round()),
            expected: Some(self.expected),
            headline: format!("tried {tried:.0} keys, of which {refused:.0} were refused{leaked}"),
            sentence: format!(
                "{} tried {tried:.0} different keys within {}, and {:.0}% of them were refused (401 \
                 or 403){leaked}. Usually {:.1} keys are refused.",
                self.name(),
                duration(last.time.seconds_since(self.since).max(1.0)),
                100.0 * refused / tried,
                self.expected,
            ),
            fields: json!({
                "source": self.name(),
                "ip": last.client_ip,
                "keys_tried": tried.round(),
                "keys_refused": refused.round(),
                "failure_share": refused / tried,
                "existing_keys_answered": answered,
                "requests": self.requests,
                "refusals": self.refusals,
                "since": self.since,
            }),
            ceiling: self.ceiling(),
        }
    }

    /// The signal for the incident of a key that was accepted from this source. `last` is the
    /// attempt that revealed it.
    pub fn leak_signal(&self, last: &SourceAttempt) -> Signal {
        let Self { tried, refused, .. } = self;
        let signal = Signal {
            detector: DetectorId::CredentialStuffing,
            p_value: INNOCENT_USE,
            observed: None,
            expected: None,
            headline: format!("accepted from {}, which tries many keys", self.name()),
            sentence: format!(
                "The key was accepted from {}, which tried {tried:.0} keys within {}, of which \
                 {refused:.0} were refused: the key may be on a list of stolen keys.",
                self.name(),
                duration(last.time.seconds_since(self.since).max(1.0)),
            ),
            fields: json!({
                "source": self.name(),
                "ip": last.client_ip,
                "keys_tried": tried.round(),
                "keys_refused": refused.round(),
                "failure_share": refused / tried,
                "since": self.since,
            }),
            ceiling: None,
        };
        // Another user of the same exit address may be the one who tries keys: those attempts prove
        // nothing about this key.
        signal.at_most(Action::Notify, Restraint::AttemptsOnly)
    }

    fn name(&self) -> String {
        match self.source {
            IpNet::V4(net) if net.prefix_len() == 32 => net.addr().to_string(),
            net if net == everywhere() => "a crowd of addresses".to_owned(),
            net => net.to_string(),
        }
    }
}
