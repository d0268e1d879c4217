//! Words for what the pages show: detectors, severities, states, probabilities.

use maud::{Markup, html};

use crate::alert::{Action, DetectorId, IncidentState, Severity};
use crate::text::{number, share};

/// The sign that a detector sees, as the end of a sentence.
pub const fn sign(detector: DetectorId) -> &'static str {
    use DetectorId as D;
    match detector {
        D::RateSpike => "requests far above the key's usual rate",
        D::ErrorBurst => "far more errors than usual",
        D::ThrottledBurst => "the key pushes against its quota",
        D::AuthFailureBurst => "far more refused requests than usual",
        D::CredentialStuffing => "one source tries many keys",
        D::ImpossibleTravel => "two places too far apart for the time between",
        D::NewLocation => "a place where the key is (almost) never used",
        D::NewAsn => "a network that the key (almost) never uses",
        D::DuplicateNonce => "a nonce that another request used",
        D::DuplicateSignature => "a signature that another request used",
        D::StaleTimestamp => "a signed time outside the validity window",
        D::OutOfOrderNonce => "a nonce goes back where nonces always rise",
        D::WeakNonce => "nonces that can be guessed",
        D::IpNotAllowed => "an address outside the registered networks",
        D::EnvironmentMismatch => "the wrong environment for this key",
        D::UnexpectedEndpoint => "a route or scope that the key never used",
        D::RetiredKeyUse => "the old key is used after its rotation",
        D::ExpiredKeyUse => "an expired key is used",
        D::RevokedKeyUse => "a revoked key is used",
        D::DormantKeyUse => "a silent key wakes up",
        D::RotationAbuse => "keys or secrets are created or read unusually fast",
        D::BehaviourOutlier => "an hour that is unlike the key's past",
        D::NewAgent => "a program that the key was never used with",
        D::NewFingerprint => "a TLS client that the key was never used with",
        D::BulkExport => "far more bytes than usual",
        D::Enumeration => "ids are requested in order",
        D::LeakedKey => "the key was reported leaked",
        D::CanaryUse => "a key that nobody may use was named",
        D::MonitorBlind => "Keywatch lags or receives nothing",
        D::PromiseBroken => "more false alerts than promised",
        D::BreakerOpen => "actions on too many keys",
        D::MonitorDegraded => "saved state was lost",
    }
}

/// A severity with a shape of its own, so that it can be told without colour.
pub fn severity(severity: Severity) -> Markup {
    let (class, path) = match severity {
        Severity::Low => ("low", "M6 2a4 4 0 1 1 0 8a4 4 0 1 1 0-8z"),
        Severity::Medium => ("medium", "M2 2h8v8h-8z"),
        Severity::High => ("high", "M6 1.6l5 8.8h-10z"),
        Severity::Critical => {
            ("critical", "M6 .6l1.8 3.6 4 .5-2.9 2.8.7 4-3.6-1.9-3.6 1.9.7-4L.2 4.7l4-.5z")
        }
    };
    html! {
        span class={ "severity " (class) } {
            svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" { path d=(path) {} }
            span { (severity) }
        }
    }
}

/// The advised action, and whether it was only recorded.
pub fn action(action: Action, is_dry_run: bool) -> Markup {
    let has_effect = action > Action::Notify;
    html! {
        span.action { (action) }
        @if is_dry_run && has_effect { " " span.tag title="Recorded, not requested" { "dry run" } }
    }
}

pub fn state(state: IncidentState) -> Markup {
    html! { span class={ "state " (state) } { (state) } }
}

/// `1 in 780,000`.
pub fn odds(p_value: f64) -> String {
    if p_value >= 0.5 {
        return "as often as not".into();
    }
    let one_in = 1.0 / p_value.max(f64::MIN_POSITIVE);
    match one_in {
        ..10.0 => format!("1 in {one_in:.1}"),
        ..1e6 => format!("1 in {}", number(one_in.round())),
        ..1e9 => format!("1 in {} million", number(one_in / 1e6)),
        ..1e12 => format!("1 in {} billion", number(one_in / 1e9)),
        _ => format!("1 in 10^{:.0}", one_in.log10().floor()),
    }
}

/// A confidence in words: `about 3 of 4 such alerts are true`.
pub fn confidence(confidence: f64) -> String {
    let word = match confidence {
        ..0.25 => "Unlikely to be theft",
        ..0.6 => "Could well be theft",
        ..0.9 => "Probably theft",
        _ => "Almost certainly theft",
    };
    format!("{word} ({} of such alerts are true)", share(confidence.clamp(0.0, 1.0)))
}

/// A sentence of ours, whose names stand between backticks.
pub fn with_code(sentence: &str) -> Markup {
    html! {
        @for (at, part) in sentence.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_read_well() {
        for (p, text) in [
            (0.7, "as often as not"),
            (0.2, "1 in 5.0"),
            (0.001, "1 in 1,000"),
            (1.28e-6, "1 in 781,250"),
            (2e-8, "1 in 50 million"),
            (0.0, "1 in 10^307"),
        ] {
            assert_eq!(odds(p), text);
        }
    }

    #[test]
    fn every_severity_has_a_shape_of_its_own() {
        let shapes: std::collections::BTreeSet<_> = Severity::ALL
            .iter()
            .map(|s| severity(*s).into_string().split(" d=").nth(1).map(str::to_owned))
            .collect();
        assert_eq!(shapes.len(), Severity::ALL.len());
    }
}
