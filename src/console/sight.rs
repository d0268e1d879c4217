//! Tells which detectors see nothing, because the log lacks the field that they judge.

use serde::Deserialize;

use super::Console;
use crate::alert::DetectorId as D;
use crate::store::StoreError;

/// Requests of the last hour, and how many of them carry each field.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Inputs {
    pub events: u64,
    nonce: u64,
    client_time: u64,
    signature: u64,
    country: u64,
    network: u64,
    user_agent: u64,
    client_fingerprint: u64,
    bytes_out: u64,
    environment: u64,
    /// Changes of the key registry in ClickHouse, ever.
    key_changes: u64,
    /// Registrations of canaries there, ever.
    canaries: u64,
}

/// What the configuration gives to detectors.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// There is a registry file, whose content the console does not know.
    pub registry_file: bool,
    /// Whether whole hours of behaviour are judged.
    pub behaviour: bool,
}

/// Reads what the requests of the last hour carry.
///
/// # Errors
/// [`StoreError`].
pub async fn load(console: &Console) -> Result<Inputs, StoreError> {
    let sql = include_str!("../../sql/console/inputs.sql");
    Ok(console.store.query_rows(sql, &[]).await?.pop().unwrap_or_default())
}

/// Detectors that lack their input, and the way to give it.
#[derive(Clone, Debug, PartialEq)]
pub struct Blind {
    pub detectors: &'static [D],
    pub lacks: &'static str,
    /// Share of the requests that carry the field.
    pub share: f64,
}

/// Fields that fewer requests carry are reported.
const ENOUGH: f64 = 0.01;

impl Inputs {
    /// The blind detectors. Without requests in the last hour nothing can be told.
    pub fn blind(&self, given: Given) -> Vec<Blind> {
        if self.events == 0 {
            return Vec::new();
        }
        let all_if = |is_given: bool| if is_given { self.events } else { 0 };
        let registry = all_if(given.registry_file || self.key_changes > 0);
        let fields: [(u64, &'static [D], &'static str); 12] = [
            (
                self.nonce,
                &[D::DuplicateNonce, D::OutOfOrderNonce, D::WeakNonce],
                "the log carries no `nonce`",
            ),
            (self.signature, &[D::DuplicateSignature], "the log carries no `signature`"),
            (self.client_time, &[D::StaleTimestamp], "the log carries no `client_time`"),
            (
                self.country,
                &[D::ImpossibleTravel, D::NewLocation],
                "no database in [enrich] city_databases knows the addresses",
            ),
            (
                self.network,
                &[D::NewAsn],
                "no database in [enrich] asn_databases knows the addresses",
            ),
            (self.user_agent, &[D::NewAgent], "the log carries no `user_agent`"),
            (
                self.client_fingerprint,
                &[D::NewFingerprint],
                "the log carries no `client_fingerprint`",
            ),
            (self.bytes_out, &[D::BulkExport], "the log carries no `bytes_out`"),
            (
                registry,
                &[D::IpNotAllowed, D::RetiredKeyUse, D::ExpiredKeyUse, D::RevokedKeyUse],
                "no key is registered: see `keywatch keys import --help`",
            ),
            (
                registry.min(self.environment),
                &[D::EnvironmentMismatch],
                "needs a key registry, and `environment` in the log",
            ),
            (
                all_if(given.registry_file || self.canaries > 0),
                &[D::CanaryUse],
                "no canary key is registered: see docs/KEYS.md",
            ),
            (all_if(given.behaviour), &[D::BehaviourOutlier], "`models.judge_behaviour` is off"),
        ];
        let share = |count: u64| count as f64 / self.events as f64;
        fields
            .into_iter()
            .filter(|(count, ..)| share(*count) < ENOUGH)
            .map(|(count, detectors, lacks)| Blind { detectors, lacks, share: share(count) })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Given = Given { registry_file: true, behaviour: true };
    const NONE: Given = Given { registry_file: false, behaviour: true };

    fn full() -> Inputs {
        Inputs {
            events: 1_000,
            nonce: 1_000,
            client_time: 1_000,
            signature: 1_000,
            country: 1_000,
            network: 1_000,
            user_agent: 1_000,
            client_fingerprint: 1_000,
            bytes_out: 1_000,
            environment: 1_000,
            key_changes: 0,
            canaries: 0,
        }
    }

    #[test]
    fn a_detector_without_its_field_is_blind() {
        assert_eq!(full().blind(FILE), []);
        let blind = Inputs { nonce: 3, ..full() }.blind(FILE);
        assert_eq!(blind.len(), 1);
        assert!(blind[0].detectors.contains(&D::DuplicateNonce));
        assert_eq!(Inputs { nonce: 30, ..full() }.blind(FILE), []);
    }

    #[test]
    fn without_a_registry_its_rules_are_blind() {
        let detectors: Vec<_> =
            full().blind(NONE).iter().flat_map(|b| b.detectors).copied().collect();
        assert!(
            detectors.contains(&D::RevokedKeyUse) && detectors.contains(&D::EnvironmentMismatch)
        );
        assert_eq!(Inputs { key_changes: 1, canaries: 1, ..full() }.blind(NONE), []);
    }

    #[test]
    fn behaviour_that_is_not_judged_is_not_seen() {
        let blind = full().blind(Given { behaviour: false, ..FILE });
        assert_eq!(blind[0].detectors, [D::BehaviourOutlier]);
    }

    #[test]
    fn without_requests_nothing_is_said() {
        assert_eq!(Inputs::default().blind(NONE), []);
    }
}
