//! Finds violations of the key registry: `policy.*`, `lifecycle.*`, and scopes that were not
//! granted.

use compact_str::CompactString;
use serde_json::{Value, json};

use super::Signal;
use crate::alert::DetectorId;
use crate::answer::Answer;
use crate::event::{AccessEvent, EventTime, HOUR_SECONDS};
use crate::profile::silence::SilenceProfile;
use crate::registry::{DeedKind, Deeds, KeyStatus, RegisteredKey};
use crate::text::duration;

/// Probability that a rule is broken innocently (a stale registry, a forgotten machine) when the
/// API accepted the request, ...
const BROKEN_INNOCENTLY: f64 = 1e-7;
/// ... and when the API refused it: the API enforces the rule, and somebody only tried.
const TRIED_INNOCENTLY: f64 = 1e-2;

/// A rule whose breach is less likely to be innocent than this is reported, whatever the size of the
/// fleet: it is a fact, and has no budget of false alerts.
pub const FACT: f64 = 1e-5;

/// Revocations and expirations reach all gateways within this time.
const PROPAGATION_SECONDS: f64 = 60.0;

/// A key that is used all the time is safe to switch off after an hour of silence, and not sooner.
const MIN_GAP_SECONDS: f64 = HOUR_SECONDS;

/// An alert lists this many networks of a key.
const SHOWN_NETWORKS: usize = 20;

/// A rule that an event breaks.
#[derive(Clone, Copy, Debug)]
pub struct BrokenRule<'a> {
    pub p_value: f64,
    rule: Rule<'a>,
}

/// A kind of rule, with the value that breaks it.
#[derive(Clone, Copy, Debug)]
enum Rule<'a> {
    Network,
    /// The environment that the key was used in.
    Environment(&'a CompactString),
    Revoked,
    Expired,
    Retired,
    /// The scope that the request needs.
    Scope(&'a CompactString),
}

/// A use of a key that its store has suspended or revoked, as far as Keywatch was told.
#[derive(Clone, Copy, Debug)]
pub struct UseAfter {
    pub p_value: f64,
    kind: DeedKind,
    since: EventTime,
}

/// Whether this event uses a key after its suspension or revocation.
pub fn find_use_after(deeds: &Deeds, event: &AccessEvent) -> Option<UseAfter> {
    let (kind, since) = deeds.ended(&event.key_id, event.time)?;
    let is_refused = event.answer() == Answer::Refused;
    let p_value = if is_refused { TRIED_INNOCENTLY } else { BROKEN_INNOCENTLY };
    has_passed(since, event).then_some(UseAfter { p_value, kind, since })
}

impl UseAfter {
    pub fn into_signal(self, event: &AccessEvent) -> Signal {
        let (kind, since, status) = (self.kind.as_str(), self.since, event.status);
        Signal {
            detector: DetectorId::RevokedKeyUse,
            p_value: self.p_value,
            observed: None,
            expected: None,
            headline: format!("a {kind} key was used"),
            sentence: format!(
                "The key was {kind} at {since}, and is used still. The answer was {status}."
            ),
            fields: json!({ format!("{kind}_at"): since, "status": status }),
            ceiling: None,
        }
    }
}

/// All rules that this event breaks. Each is a finding of its own.
pub fn find_broken_rules<'a>(key: &RegisteredKey, event: &'a AccessEvent) -> Vec<BrokenRule<'a>> {
    let is_refused = event.answer() == Answer::Refused;
    let p_value = if is_refused { TRIED_INNOCENTLY } else { BROKEN_INNOCENTLY };
    [
        is_outside_networks(key, event).then_some(Rule::Network),
        foreign_environment(key, event).map(Rule::Environment),
        is_past(key.revoked_at, key, KeyStatus::Revoked, event).then_some(Rule::Revoked),
        key.expires_at.is_some_and(|moment| has_passed(moment, event)).then_some(Rule::Expired),
        is_past(key.grace_ends_at, key, KeyStatus::Retired, event).then_some(Rule::Retired),
        missing_scope(key, event).map(Rule::Scope),
    ]
    .into_iter()
    .flatten()
    .map(|rule| BrokenRule { p_value, rule })
    .collect()
}

fn is_outside_networks(key: &RegisteredKey, event: &AccessEvent) -> bool {
    !key.allowed_cidrs.is_empty() && !key.allowed_cidrs.contains(event.client_ip)
}

fn foreign_environment<'a>(
    key: &RegisteredKey,
    event: &'a AccessEvent,
) -> Option<&'a CompactString> {
    let used = event.environment.as_ref()?;
    let registered = &key.environment;
    let differs = !registered.is_empty() && is_production(used) != is_production(registered);
    differs.then_some(used)
}

/// Environments differ when one of them is production and the other is not.
fn is_production(environment: &CompactString) -> bool {
    ["production", "prod", "live"].iter().any(|name| environment.eq_ignore_ascii_case(name))
}

/// Whether the moment has passed, or, if no moment is registered, whether the key has this status.
fn is_past(
    moment: Option<EventTime>,
    key: &RegisteredKey,
    status: KeyStatus,
    event: &AccessEvent,
) -> bool {
    match moment {
        Some(moment) => has_passed(moment, event),
        None => key.status == status,
    }
}

fn has_passed(moment: EventTime, event: &AccessEvent) -> bool {
    event.time.seconds_since(moment) > PROPAGATION_SECONDS
}

fn missing_scope<'a>(key: &RegisteredKey, event: &'a AccessEvent) -> Option<&'a CompactString> {
    let scope = event.scope.as_ref()?;
    (!key.scopes.is_empty() && !key.scopes.contains(scope)).then_some(scope)
}

impl BrokenRule<'_> {
    pub const fn detector(&self) -> DetectorId {
        match self.rule {
            Rule::Network => DetectorId::IpNotAllowed,
            Rule::Environment(_) => DetectorId::EnvironmentMismatch,
            Rule::Revoked => DetectorId::RevokedKeyUse,
            Rule::Expired => DetectorId::ExpiredKeyUse,
            Rule::Retired => DetectorId::RetiredKeyUse,
            Rule::Scope(_) => DetectorId::UnexpectedEndpoint,
        }
    }

    /// `silence` tells when it is safe to switch a retired key off.
    pub fn into_signal(
        self,
        key: &RegisteredKey,
        event: &AccessEvent,
        silence: &SilenceProfile,
    ) -> Signal {
        let (headline, sentence) = self.words(key, event, silence);
        Signal {
            detector: self.detector(),
            p_value: self.p_value,
            observed: None,
            expected: None,
            headline,
            sentence: format!("{sentence} The answer was {}.", event.status),
            fields: self.fields(key, event, silence),
            ceiling: None,
        }
    }

    /// A clause for the title and a sentence.
    fn words(
        &self,
        key: &RegisteredKey,
        event: &AccessEvent,
        silence: &SilenceProfile,
    ) -> (String, String) {
        let AccessEvent { client_ip, method, path, .. } = event;
        let registered = &key.environment;
        match self.rule {
            Rule::Network => (
                format!("used from {client_ip}, outside its allowed networks"),
                format!(
                    "{client_ip} is not in the key's allowed networks {}.",
                    networks(key).join(", ")
                ),
            ),
            Rule::Environment(used) => (
                format!("a {registered} key was used in {used}"),
                format!("The key is registered for {registered} and was used in {used}."),
            ),
            Rule::Revoked => (
                "a revoked key was used".into(),
                format!("The key was revoked{}.", at(key.revoked_at)),
            ),
            Rule::Expired => (
                "an expired key was used".into(),
                format!("The key expired{}.", at(key.expires_at)),
            ),
            Rule::Retired => (
                "a key was used after its rotation".into(),
                format!(
                    "The key was replaced, and the time in which both were valid ended{}. {client_ip} \
                     still uses it. It is safe to switch off when nobody has used it for {}, the \
                     longest that it was ever silent.",
                    at(key.grace_ends_at),
                    duration(silence.longest_seconds().max(MIN_GAP_SECONDS)),
                ),
            ),
            Rule::Scope(scope) => (
                format!("used {scope}, which it was not granted"),
                format!("{method} {path} needs the scope {scope}."),
            ),
        }
    }

    fn fields(&self, key: &RegisteredKey, event: &AccessEvent, silence: &SilenceProfile) -> Value {
        match self.rule {
            Rule::Network => json!({ "ip": event.client_ip, "allowlist": networks(key) }),
            Rule::Environment(used) => {
                json!({ "registered_environment": key.environment, "used_environment": used })
            }
            Rule::Revoked => json!({ "revoked_at": key.revoked_at, "status": event.status }),
            Rule::Expired => json!({ "expires_at": key.expires_at, "status": event.status }),
            Rule::Retired => {
                json!({
                    "rotated_to": key.rotated_to, "grace_ends_at": key.grace_ends_at,
                    "still_used_from": event.client_ip, "still_used_by": event.user_agent,
                    "usual_gap_seconds": silence.longest_seconds().round(),
                })
            }
            Rule::Scope(scope) => json!({
                "route": event.path, "scope": scope, "granted_scopes": key.scopes,
            }),
        }
    }
}

/// The first networks of the list, and how many more there are: an alert is a message, and not a
/// copy of the registry.
fn networks(key: &RegisteredKey) -> Vec<String> {
    let networks = key.allowed_cidrs.as_slice();
    let (first, rest) = networks.split_at(networks.len().min(SHOWN_NETWORKS));
    let more = (!rest.is_empty()).then(|| format!("and {} more", rest.len()));
    first.iter().map(ToString::to_string).chain(more).collect()
}

fn at(moment: Option<EventTime>) -> String {
    moment.map(|moment| format!(" at {moment}")).unwrap_or_default()
}
