//! Holds the playbooks, and fills in the values of an incident.

use crate::alert::{Alert, DetectorId};
use crate::event::EventTime;
use crate::facts::plain_id;
use crate::text::visible;

macro_rules! pages {
    ($detector:expr, $($variant:ident $name:literal),* $(,)?) => {
        match $detector {
            $(DetectorId::$variant => include_str!(concat!("../docs/playbooks/", $name, ".md")),)*
        }
    };
}

/// The page of a detector, with places for values in braces: `{key}`, `{since}`.
pub const fn page(detector: DetectorId) -> &'static str {
    pages!(
        detector,
        RateSpike "rate.spike",
        ErrorBurst "rate.error_burst",
        ThrottledBurst "limit.throttled_burst",
        AuthFailureBurst "auth.failure_burst",
        CredentialStuffing "auth.credential_stuffing",
        ImpossibleTravel "geo.impossible_travel",
        NewLocation "geo.new_location",
        NewAsn "network.new_asn",
        DuplicateNonce "replay.duplicate_nonce",
        DuplicateSignature "replay.duplicate_signature",
        StaleTimestamp "replay.stale_timestamp",
        OutOfOrderNonce "replay.out_of_order_nonce",
        WeakNonce "replay.weak_nonce",
        IpNotAllowed "policy.ip_not_allowed",
        EnvironmentMismatch "policy.environment_mismatch",
        UnexpectedEndpoint "scope.unexpected_endpoint",
        RetiredKeyUse "lifecycle.retired_key_use",
        ExpiredKeyUse "lifecycle.expired_key_use",
        RevokedKeyUse "lifecycle.revoked_key_use",
        DormantKeyUse "lifecycle.dormant_key_use",
        RotationAbuse "lifecycle.rotation_abuse",
        BehaviourOutlier "behaviour.outlier",
        NewAgent "client.new_agent",
        NewFingerprint "client.new_fingerprint",
        BulkExport "behaviour.bulk_export",
        Enumeration "access.enumeration",
        MonitorBlind "monitor.blind",
        PromiseBroken "monitor.promise_broken",
        BreakerOpen "monitor.breaker_open",
        LeakedKey "lifecycle.leaked_key",
        CanaryUse "lifecycle.canary_use",
        MonitorDegraded "monitor.degraded",
    )
}

/// The page of the alert's strongest detector with the incident's values. `None` for an alert
/// without detectors.
///
/// Values stand quoted where a shell would read them: whoever names keys must not write commands.
pub fn filled(alert: &Alert) -> Option<String> {
    let page = page(*alert.detectors.first()?);
    let day = |time: EventTime, seconds: f64| time.plus_seconds(seconds).to_string();
    let source = alert.source_ip.map(|ip| ip.to_string());
    let key = alert.key_id.as_deref().map(visible);
    let values = [
        ("{id}", plain_id(alert)),
        ("{key}", key.unwrap_or_else(|| "KEY".to_owned())),
        ("{source}", source.unwrap_or_else(|| "ADDRESS".to_owned())),
        ("{tenant}", visible(alert.tenant.as_deref().unwrap_or("TENANT"))),
        ("{since}", day(alert.first_event_time, -60.0)),
        ("{until}", day(alert.last_event_time, 60.0)),
    ];
    let mut is_command = false;
    let lines = page.lines().map(|line| {
        is_command ^= line.starts_with("```");
        fill(line, &values, is_command)
    });
    Some(lines.collect())
}

/// Fills one line. A value is not looked at again: it may hold braces too.
fn fill(line: &str, values: &[(&str, String)], is_command: bool) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(place) = rest.find('{') {
        let (before, from) = rest.split_at(place);
        text += before;
        let found = values.iter().find(|(name, _)| from.starts_with(name));
        let (value, length) = match found {
            // In prose, commands stand between backquotes.
            Some((name, value)) if is_command || text.matches('`').count() % 2 == 1 => {
                (quoted(value), name.len())
            }
            Some((name, value)) => (value.clone(), name.len()),
            None => ("{".to_owned(), 1),
        };
        text += &value;
        rest = &from[length..];
    }
    text + rest + "\n"
}

/// A word of a shell.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.:/".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    #[test]
    fn each_page_is_of_its_detector_and_has_all_parts() {
        for detector in DetectorId::VARIANTS {
            let page = page(*detector);
            assert!(page.starts_with(&format!("# {detector}: ")), "{detector}");
            for part in [
                "## What it means",
                "## Verify",
                "## Contain",
                "## Rotate without downtime",
                "## Tell the owner",
                "## When it is a false alarm",
            ] {
                assert!(page.contains(part), "{detector}: {part}");
            }
        }
    }

    #[test]
    fn values_are_filled_in_and_cannot_be_commands() {
        let values = [("{key}", "a'; rm -rf {id} `x`".to_owned()), ("{id}", "inc_1".to_owned())];
        let command = fill("hunt --key {key} {id} {other}", &values, true);
        assert_eq!(command, "hunt --key 'a'\\''; rm -rf {id} `x`' inc_1 {other}\n");
        assert_eq!(
            fill("Your key {id}: `show {id}`.", &values, false),
            "Your key inc_1: `show inc_1`.\n"
        );
    }
}
