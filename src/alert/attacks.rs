//! Names what a sign is a sign of, in the words of public catalogues.

use serde::{Deserialize, Serialize};

use super::DetectorId;

/// The version of MITRE ATT&CK whose technique ids these are.
pub const ATTACK_VERSION: &str = "19";

/// The techniques that detectors are signs of, with their names in MITRE ATT&CK.
pub const TECHNIQUES: [(&str, &str); 12] = [
    ("T1078", "Valid Accounts"),
    ("T1098.001", "Additional Cloud Credentials"),
    ("T1110", "Brute Force"),
    ("T1110.004", "Credential Stuffing"),
    ("T1119", "Automated Collection"),
    ("T1213", "Data from Information Repositories"),
    ("T1499", "Endpoint Denial of Service"),
    ("T1526", "Cloud Service Discovery"),
    ("T1550", "Use Alternate Authentication Material"),
    ("T1552", "Unsecured Credentials"),
    ("T1552.001", "Credentials In Files"),
    ("T1595", "Active Scanning"),
];

/// Entries of public catalogues for one detector. Detectors of the monitor have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct References {
    /// Techniques of MITRE ATT&CK.
    pub techniques: &'static [&'static str],
    /// Risks of the OWASP API Security Top 10 of 2023.
    pub owasp_api: &'static [&'static str],
    /// Weaknesses by which such an attack succeeds.
    pub cwe: &'static [&'static str],
}

/// The entries for all detectors of an alert, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attacks {
    /// The version of MITRE ATT&CK.
    pub version: String,
    pub techniques: Vec<String>,
    pub owasp_api: Vec<String>,
    pub cwe: Vec<String>,
}

impl Attacks {
    /// The entries for these detectors; `None` if there are none.
    pub fn of(detectors: &[DetectorId]) -> Option<Self> {
        let mut all = Self { version: ATTACK_VERSION.to_owned(), ..Self::default() };
        for detector in detectors {
            let References { techniques, owasp_api, cwe } = detector.references();
            add(&mut all.techniques, techniques);
            add(&mut all.owasp_api, owasp_api);
            add(&mut all.cwe, cwe);
        }
        (!all.techniques.is_empty()).then_some(all)
    }

    /// All entries in one line.
    pub fn in_words(&self) -> String {
        let names = self.techniques.iter().chain(&self.owasp_api).chain(&self.cwe);
        let names = names.map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("{names} (ATT&CK v{})", self.version)
    }
}

fn add(all: &mut Vec<String>, names: &[&str]) {
    for name in names {
        if all.iter().all(|known| known != name) {
            all.push((*name).to_owned());
        }
    }
}

impl DetectorId {
    pub const fn references(self) -> References {
        let (techniques, owasp_api, cwe): (&[&str], &[&str], &[&str]) = match self {
            Self::RateSpike => (&["T1078"], &["API4:2023"], &["CWE-770"]),
            Self::ErrorBurst => (&["T1595"], &["API8:2023"], &["CWE-799"]),
            Self::ThrottledBurst => (&["T1499"], &["API4:2023"], &["CWE-770"]),
            Self::AuthFailureBurst => (&["T1110"], &["API2:2023"], &["CWE-307"]),
            Self::CredentialStuffing => (&["T1110.004"], &["API2:2023"], &["CWE-307"]),
            Self::ImpossibleTravel | Self::NewLocation | Self::NewAsn => {
                (&["T1078"], &["API2:2023"], &["CWE-522"])
            }
            Self::DuplicateNonce | Self::DuplicateSignature | Self::OutOfOrderNonce => {
                (&["T1550"], &["API2:2023"], &["CWE-294"])
            }
            Self::StaleTimestamp => (&["T1550"], &["API2:2023"], &["CWE-294"]),
            Self::WeakNonce => (&["T1550"], &["API2:2023"], &["CWE-330"]),
            Self::IpNotAllowed => (&["T1078"], &["API2:2023"], &["CWE-863"]),
            Self::EnvironmentMismatch => (&["T1078"], &["API8:2023"], &["CWE-668"]),
            Self::UnexpectedEndpoint => (&["T1526"], &["API5:2023"], &["CWE-285"]),
            Self::RetiredKeyUse | Self::ExpiredKeyUse => (&["T1078"], &["API9:2023"], &["CWE-324"]),
            Self::RevokedKeyUse => (&["T1078"], &["API2:2023"], &["CWE-613"]),
            Self::DormantKeyUse => (&["T1078"], &["API9:2023"], &["CWE-522"]),
            Self::RotationAbuse => (&["T1098.001"], &["API2:2023"], &["CWE-269"]),
            Self::BehaviourOutlier => (&["T1078"], &["API2:2023"], &["CWE-522"]),
            Self::NewAgent | Self::NewFingerprint => (&["T1078"], &["API2:2023"], &["CWE-522"]),
            Self::BulkExport => (&["T1119", "T1213"], &["API6:2023"], &["CWE-770"]),
            Self::Enumeration => (&["T1119"], &["API1:2023"], &["CWE-639"]),
            Self::LeakedKey => (&["T1552.001"], &["API2:2023"], &["CWE-798"]),
            Self::CanaryUse => (&["T1552"], &["API2:2023"], &["CWE-522"]),
            Self::MonitorBlind
            | Self::MonitorDegraded
            | Self::PromiseBroken
            | Self::BreakerOpen => (&[], &[], &[]),
        };
        References { techniques, owasp_api, cwe }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    #[test]
    fn each_detector_of_keys_has_entries_of_all_catalogues_in_their_form() {
        for detector in DetectorId::VARIANTS {
            let References { techniques, owasp_api, cwe } = detector.references();
            let is_empty = techniques.is_empty() && owasp_api.is_empty() && cwe.is_empty();
            assert_eq!(is_empty, detector.is_of_monitor(), "{detector}");
            assert!(techniques.iter().all(|it| it.starts_with('T') && it.len() >= 5));
            assert!(owasp_api.iter().all(|it| it.starts_with("API") && it.ends_with(":2023")));
            assert!(cwe.iter().all(|it| it.starts_with("CWE-")));
        }
    }

    #[test]
    fn each_technique_has_a_name_and_a_detector() {
        let detectors = DetectorId::VARIANTS.iter();
        let used: std::collections::BTreeSet<_> =
            detectors.flat_map(|detector| detector.references().techniques).copied().collect();
        assert_eq!(used, TECHNIQUES.iter().map(|(technique, _)| *technique).collect());
    }

    #[test]
    fn an_alert_names_each_entry_once() {
        let attacks = Attacks::of(&[DetectorId::NewAsn, DetectorId::NewLocation]);
        assert_eq!(attacks.map(|it| it.techniques), Some(vec!["T1078".to_owned()]));
        assert_eq!(Attacks::of(&[DetectorId::MonitorBlind]), None);
    }
}
