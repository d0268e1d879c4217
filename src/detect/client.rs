//! Finds a client program that a key was never used with: `client.new_agent`,
//! `client.new_fingerprint`.

use serde_json::json;

use super::Signal;
use crate::alert::DetectorId;
use crate::event::{AccessEvent, DAY_SECONDS};
use crate::profile::client::{Client, ClientProfile, FleetClients, Trait, agent_family};

/// A younger key has not yet shown its daily jobs.
pub const MIN_KNOWN_SECONDS: f64 = 1.5 * DAY_SECONDS;
/// Least number of hours in which a known client was used.
const MIN_OBSERVATIONS: f64 = 6.0;
/// Fewer make the client of a key that woke up a sign among others.
const MIN_YOUNG_OBSERVATIONS: f64 = 1.0;
/// The fleet's rate of new clients counts as this many observations of the key.
const FLEET_OBSERVATIONS: f64 = 400.0;
/// Each further request makes a mere trial less likely by this factor, up to the maximum below.
const FURTHER_REQUEST: f64 = 0.5;
const MAX_FRESH_REQUESTS: u16 = 8;
const SHOWN: usize = 6;

/// A client that is new to the key.
#[derive(Clone, Copy, Debug)]
pub struct NewClient {
    pub p_value: f64,
    /// Probability of any new one, whichever it is.
    pub turning: f64,
    /// Too little is known of the key to report a new client by itself.
    pub is_young: bool,
    which: Trait,
    requests: u16,
}

/// Finds a client that is new to the key. The key is young in its first day and a half, and in its
/// first six hours of use.
///
/// The p-value is the probability that the key turns to this client: the key's own rate of new
/// clients, with the fleet's rate as prior (a Gamma-Poisson mean), times the share of keys that
/// have such a client.
pub fn find_new_client(
    which: Trait,
    client: &Client,
    profile: &ClientProfile,
    known_seconds: f64,
    fleet: &FleetClients,
) -> Option<NewClient> {
    let clients = profile.of(which)?;
    let observations = clients.observations();
    if client.is_known() || observations < MIN_YOUNG_OBSERVATIONS {
        return None;
    }
    let is_young = known_seconds < MIN_KNOWN_SECONDS || observations < MIN_OBSERVATIONS;
    let own = f64::from(u8::from(client.usage.is_some()));
    // The first client of a key is not a change of client.
    let turns = (clients.misses() - 1.0 - own).max(0.0);
    let prior = FLEET_OBSERVATIONS * fleet.turning_rate(which);
    let turning = (prior + turns) / (FLEET_OBSERVATIONS + observations);
    let requests = clients.fresh_requests();
    let further = requests.clamp(1, MAX_FRESH_REQUESTS) - 1;
    let p_value =
        turning * fleet.share(which, client.id, own) * FURTHER_REQUEST.powi(i32::from(further));
    Some(NewClient { p_value: p_value.min(1.0), turning, is_young, which, requests })
}

impl NewClient {
    pub const fn detector(&self) -> DetectorId {
        match self.which {
            Trait::Agent => DetectorId::NewAgent,
            Trait::Fingerprint => DetectorId::NewFingerprint,
        }
    }

    pub fn into_signal(
        self,
        profile: &ClientProfile,
        fleet: &FleetClients,
        event: &AccessEvent,
    ) -> Signal {
        let known: Vec<&str> = profile
            .of(self.which)
            .map(|clients| clients.known())
            .unwrap_or_default()
            .into_iter()
            .filter_map(|id| fleet.name(self.which, id))
            .take(SHOWN)
            .collect();
        let agent = event.user_agent.as_deref().unwrap_or_default();
        let fingerprint = event.client_fingerprint.as_deref().unwrap_or_default();
        let (what, shown, fields) = match self.which {
            Trait::Agent => (
                "program",
                agent_family(agent),
                json!({
                    "agent": agent, "family": agent_family(agent), "known_agents": known,
                    "requests": self.requests, "ip": event.client_ip, "probability": self.p_value,
                }),
            ),
            Trait::Fingerprint => (
                "TLS client",
                fingerprint,
                json!({
                    "fingerprint": fingerprint, "known_fingerprints": known, "agent": agent,
                    "requests": self.requests, "ip": event.client_ip, "probability": self.p_value,
                }),
            ),
        };
        Signal {
            detector: self.detector(),
            p_value: self.p_value,
            observed: None,
            expected: None,
            headline: format!("used with {shown}, a {what} that is new to it"),
            sentence: format!(
                "Used with {shown} in {} request(s) in this hour, a {what} that the key never used \
                 before. Its usual ones: {}.",
                self.requests,
                known.join(", ")
            ),
            fields,
            ceiling: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::event::EventTime;

    fn request(hour: i64, agent: &str) -> AccessEvent {
        let time = EventTime::from_seconds(hour * 3_600);
        let mut event = AccessEvent::minimal(time, "key", Ipv4Addr::LOCALHOST.into());
        event.user_agent = Some(agent.into());
        event
    }

    /// The p-value of `requests` of `agent` in the hour after `hours` whose agents are `past`.
    fn p_value(
        hours: i64,
        past: impl Fn(i64) -> String,
        agent: &str,
        requests: usize,
    ) -> Option<f64> {
        let (mut profile, mut fleet) = (ClientProfile::default(), FleetClients::default());
        for key in 0..20 {
            let mut other = ClientProfile::default();
            for hour in 0..hours {
                let event = request(hour, if key < 15 { "ccxt/4.4" } else { "axios/1.7" });
                let client = Client::of(Trait::Agent, &event, &other)?;
                fleet.learn(Trait::Agent, &client, &event, &mut other);
            }
        }
        for hour in 0..hours {
            let event = request(hour, &past(hour));
            let client = Client::of(Trait::Agent, &event, &profile)?;
            fleet.learn(Trait::Agent, &client, &event, &mut profile);
        }
        let event = request(hours, agent);
        let client = Client::of(Trait::Agent, &event, &profile)?;
        for _ in 0..requests {
            profile.count_fresh(Trait::Agent, &client, event.time);
        }
        let found =
            find_new_client(Trait::Agent, &client, &profile, hours as f64 * 3_600.0, &fleet);
        found.filter(|found| !found.is_young).map(|found| found.p_value)
    }

    #[test]
    fn curl_on_a_ccxt_key_is_new() {
        let p = p_value(96, |_| "ccxt/4.4.1".into(), "curl/8.5.0", 8);
        assert!(p.is_some_and(|p| p < 5e-6), "{p:?}");
    }

    #[test]
    fn an_upgrade_of_the_library_is_not_a_new_client() {
        assert_eq!(p_value(96, |_| "ccxt/4.4.1".into(), "ccxt/5.0.0", 8), None);
    }

    #[test]
    fn a_key_that_turns_to_other_clients_often_is_not_surprising() {
        let turning = p_value(96, |hour| format!("tool{}x/1", hour % 30), "curl/8.5.0", 8);
        let steady = p_value(96, |_| "ccxt/4.4.1".into(), "curl/8.5.0", 8);
        let ratio = turning.zip(steady).map(|(turning, steady)| turning / steady);
        assert!(ratio.is_none_or(|ratio| ratio > 5.0), "{turning:?} {steady:?}");
    }

    #[test]
    fn a_young_key_is_not_judged_alone() {
        assert_eq!(p_value(20, |_| "ccxt/4.4.1".into(), "curl/8.5.0", 8), None);
    }
}
