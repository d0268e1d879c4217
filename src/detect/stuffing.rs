//! `auth.credential_stuffing`: one source tries many keys, mostly failing.

use ipnet::IpNet;
use serde_json::json;

use super::Signal;
use super::geo::duration;
use super::statistics::negative_binomial_tail;
use crate::alert::DetectorId;
use crate::event::EventTime;
use crate::profile::rate::Forecast;
use crate::profile::source::{Attempt, SourceProfile};

/// Of the keys that an honest source uses, this share is refused: mistyped, expired, for
/// another environment ...
const USUAL_SHARE: f64 = 0.02;
/// ... and so many more a window, whatever the number of its keys.
const USUAL_KEYS: f64 = 0.1;
/// A network has many tenants, each with their mistakes.
const USUAL_KEYS_OF_NETWORK: f64 = 0.5;
/// Fewer refused keys than this are nobody's list.
pub const MIN_REFUSED: u64 = 6;
/// Refused keys come in clumps: the size of the negative binomial for their count.
const CLUMPING: f64 = 1.0;
/// However many keys fail, that alone is an attempt and no theft.
const ATTEMPT: f64 = 1e-8;
/// Chance that the holder of a key uses it from the very address that is trying keys.
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
}

/// Whether the source tries keys. Keys that are refused where they are at home do not count:
/// a ban or an outage is the API's doing.
pub fn find_stuffing(source: IpNet, profile: &SourceProfile, threshold: f64) -> Option<Stuffing> {
    let refused = profile.keys_refused();
    if refused.round() < MIN_REFUSED as f64 {
        return None;
    }
    let tried = profile.keys_tried();
    let is_machine = !matches!(source.prefix_len(), 24 | 48);
    let few = if is_machine { USUAL_KEYS } else { USUAL_KEYS_OF_NETWORK };
    let expected = few + tried * USUAL_SHARE.max(f64::from(profile.usual_share));
    let forecast = Forecast { mean: expected, size: CLUMPING };
    let p_value = negative_binomial_tail(refused.round() as u64, forecast);
    let answered = profile.keys_answered();
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
    })
}

impl Stuffing {
    pub const fn source(&self) -> IpNet {
        self.source
    }

    /// The first refusal that counts.
    pub const fn since(&self) -> EventTime {
        self.since
    }

    /// For the source's incident.
    pub fn into_signal(self, last: &Attempt) -> Signal {
        let Self { tried, refused, answered, .. } = self;
        let leaked = match answered {
            0 => String::new(),
            1 => ", 1 of an existing key with success".to_owned(),
            keys => format!(", {keys} of existing keys with success"),
        };
        Signal {
            detector: DetectorId::CredentialStuffing,
            p_value: self.p_value,
            observed: Some(refused.round()),
            expected: Some(self.expected),
            headline: format!("tried {tried:.0} keys and was refused with {refused:.0}{leaked}"),
            sentence: format!(
                "{} tried {tried:.0} different keys within {}, {:.0}% of them refused (401 or \
                 403){leaked}; {:.1} refused keys would be usual.",
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
        }
    }

    /// For the incident of a key that was answered there. `last` is the attempt by which that
    /// came to light.
    pub fn leak_signal(&self, last: &Attempt) -> Signal {
        let Self { tried, refused, .. } = self;
        Signal {
            detector: DetectorId::CredentialStuffing,
            p_value: INNOCENT_USE,
            observed: None,
            expected: None,
            headline: format!("accepted from {}, which tries one key after another", self.name()),
            sentence: format!(
                "The key was accepted from {}, which tried {tried:.0} keys within {} and was \
                 refused with {refused:.0}: it is on somebody's list.",
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
        }
    }

    fn name(&self) -> String {
        match self.source {
            IpNet::V4(net) if net.prefix_len() == 32 => net.addr().to_string(),
            net => net.to_string(),
        }
    }
}
