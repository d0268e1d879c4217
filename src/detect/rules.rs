//! What the key registry forbids: `policy.*`, `lifecycle.*`, and scopes that were not granted.

use compact_str::CompactString;
use serde_json::json;

use super::Signal;
use crate::alert::DetectorId;
use crate::event::{AccessEvent, EventTime};
use crate::registry::{KeyStatus, RegisteredKey};

/// Chance that a rule is broken innocently (a stale registry, a forgotten machine) when the
/// API let the request pass, ...
const BROKEN_INNOCENTLY: f64 = 1e-7;
/// ... and when it refused it: the rule is enforced, and someone only tried.
const TRIED_INNOCENTLY: f64 = 1e-2;

/// Revocations and expirations reach all gateways within this time.
const PROPAGATION_SECONDS: f64 = 60.0;

/// The rules that this event breaks.
pub fn broken_rules(key: &RegisteredKey, event: &AccessEvent) -> Vec<Signal> {
    [
        ip_not_allowed(key, event),
        environment_mismatch(key, event),
        revoked_key_use(key, event),
        expired_key_use(key, event),
        retired_key_use(key, event),
        scope_not_granted(key, event),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn signal(
    detector: DetectorId,
    event: &AccessEvent,
    headline: String,
    sentence: String,
    fields: serde_json::Value,
) -> Signal {
    let refused = matches!(event.status, 401 | 403);
    Signal {
        detector,
        p_value: if refused { TRIED_INNOCENTLY } else { BROKEN_INNOCENTLY },
        observed: None,
        expected: None,
        headline,
        sentence: format!("{sentence} The answer was {}.", event.status),
        fields,
    }
}

fn ip_not_allowed(key: &RegisteredKey, event: &AccessEvent) -> Option<Signal> {
    let allowed = &key.allowed_cidrs;
    if allowed.is_empty() || allowed.iter().any(|net| net.contains(&event.client_ip)) {
        return None;
    }
    let networks: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    Some(signal(
        DetectorId::IpNotAllowed,
        event,
        format!("used from {}, outside its allowed networks", event.client_ip),
        format!(
            "{} is not in the key's allowed networks {}.",
            event.client_ip,
            networks.join(", ")
        ),
        json!({ "ip": event.client_ip, "allowlist": networks }),
    ))
}

fn environment_mismatch(key: &RegisteredKey, event: &AccessEvent) -> Option<Signal> {
    let used = event.environment.as_ref()?;
    let registered = &key.environment;
    if registered.is_empty() || is_production(used) == is_production(registered) {
        return None;
    }
    Some(signal(
        DetectorId::EnvironmentMismatch,
        event,
        format!("a {registered} key was used in {used}"),
        format!("The key is registered for {registered} and was used in {used}."),
        json!({ "registered_environment": registered, "used_environment": used }),
    ))
}

/// Environments differ when one of them is production and the other is not.
fn is_production(environment: &CompactString) -> bool {
    ["production", "prod", "live"].iter().any(|name| environment.eq_ignore_ascii_case(name))
}

fn has_passed(moment: EventTime, event: &AccessEvent) -> bool {
    event.time.seconds_since(moment) > PROPAGATION_SECONDS
}

fn revoked_key_use(key: &RegisteredKey, event: &AccessEvent) -> Option<Signal> {
    let is_revoked = match key.revoked_at {
        Some(moment) => has_passed(moment, event),
        None => key.status == KeyStatus::Revoked,
    };
    is_revoked.then(|| {
        signal(
            DetectorId::RevokedKeyUse,
            event,
            "a revoked key was used".into(),
            format!("The key was revoked{}.", at(key.revoked_at)),
            json!({ "revoked_at": key.revoked_at, "status": event.status }),
        )
    })
}

fn expired_key_use(key: &RegisteredKey, event: &AccessEvent) -> Option<Signal> {
    let moment = key.expires_at.filter(|moment| has_passed(*moment, event))?;
    Some(signal(
        DetectorId::ExpiredKeyUse,
        event,
        "an expired key was used".into(),
        format!("The key expired{}.", at(Some(moment))),
        json!({ "expires_at": moment, "status": event.status }),
    ))
}

fn retired_key_use(key: &RegisteredKey, event: &AccessEvent) -> Option<Signal> {
    let is_retired = match key.grace_ends_at {
        Some(moment) => has_passed(moment, event),
        None => key.status == KeyStatus::Retired,
    };
    is_retired.then(|| {
        signal(
            DetectorId::RetiredKeyUse,
            event,
            "a key was used after its rotation".into(),
            format!(
                "The key was replaced, and the time in which both were valid ended{}.",
                at(key.grace_ends_at)
            ),
            json!({ "rotated_to": key.rotated_to, "grace_ends_at": key.grace_ends_at }),
        )
    })
}

fn scope_not_granted(key: &RegisteredKey, event: &AccessEvent) -> Option<Signal> {
    let scope = event.scope.as_ref()?;
    if key.scopes.is_empty() || key.scopes.contains(scope) {
        return None;
    }
    Some(signal(
        DetectorId::UnexpectedEndpoint,
        event,
        format!("used {scope}, which it was not granted"),
        format!("{} {} needs the scope {scope}.", event.method, event.path),
        json!({ "route": event.path, "scope": scope, "granted_scopes": key.scopes }),
    ))
}

fn at(moment: Option<EventTime>) -> String {
    moment.map(|moment| format!(" at {moment}")).unwrap_or_default()
}
