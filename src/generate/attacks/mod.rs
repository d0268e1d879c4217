//! The attacks: one for every sign that a log can show.

mod lifecycle;
mod location;
mod recipe;
mod replay;
#[cfg(test)]
mod tests;
mod theft;
mod traffic;

pub(super) use recipe::{Lifecycle, Pace, Recipe, SigningNeed, SiteChoice, Trick};

use super::kinds::kinds;

kinds! {
    /// The attacks that are generated and labelled.
    AttackKind, "attack", by_name_only [Mimicry], {
        /// The key's own client suddenly makes many times its requests.
        RateSpike = "rate_spike",
        /// The rate creeps up over hours.
        SlowRamp = "slow_ramp",
        /// Most of many requests fail with 4xx and 5xx.
        ErrorBurst = "error_burst",
        /// The key pushes against its quota and mostly gets 429.
        ThrottledBurst = "throttled_burst",
        /// Used on another continent while in use at home.
        ImpossibleTravel = "impossible_travel",
        /// Used in another country of the region.
        NewLocation = "new_location",
        /// Used in its country from a hosting or VPN network.
        NewNetwork = "new_network",
        /// Used from outside its registered CIDRs, next door.
        IpNotAllowed = "ip_not_allowed",
        /// Captured requests sent again within seconds from another address.
        NonceReplay = "nonce_replay",
        /// Captured requests sent again much later from a rented machine.
        DelayedReplay = "delayed_replay",
        /// Captured signatures sent again, by a client without nonces.
        SignatureReuse = "signature_reuse",
        /// Old client times, answered 2xx.
        StaleTimestamp = "stale_timestamp",
        /// Nonces below those already used.
        OutOfOrderNonce = "out_of_order_nonce",
        /// Small counters, used again and again, instead of random nonces.
        WeakNonce = "weak_nonce",
        /// 401 and 403 for bad signatures.
        AuthFailureBurst = "auth_failure_burst",
        /// One source tries many keys.
        CredentialStuffing = "credential_stuffing",
        /// Administration routes that were never granted.
        UnexpectedEndpoint = "unexpected_endpoint",
        /// A development key in production, or the reverse.
        EnvironmentMismatch = "environment_mismatch",
        /// The old key after the end of the rotation's overlap.
        RetiredKeyUse = "retired_key_use",
        /// An expired key, answered 2xx.
        ExpiredKeyUse = "expired_key_use",
        /// A revoked key, answered 2xx.
        RevokedKeyUse = "revoked_key_use",
        /// A key silent for long wakes on a rented machine.
        DormantKeyUse = "dormant_key_use",
        /// Keys and secrets created, rotated and read in haste.
        RotationAbuse = "rotation_abuse",
        /// Theft: new network, new endpoints, many requests.
        Takeover = "takeover",
        /// A thief who takes his time and large answers.
        SlowExfiltration = "slow_exfiltration",
        /// A thief on the key's own machines who does a little of everything differently.
        Mimicry = "mimicry",
    }
}

impl AttackKind {
    pub(super) const fn recipe(self) -> &'static Recipe {
        match self {
            Self::RateSpike => &traffic::RATE_SPIKE,
            Self::SlowRamp => &traffic::SLOW_RAMP,
            Self::ErrorBurst => &traffic::ERROR_BURST,
            Self::ThrottledBurst => &traffic::THROTTLED_BURST,
            Self::ImpossibleTravel => &location::IMPOSSIBLE_TRAVEL,
            Self::NewLocation => &location::NEW_LOCATION,
            Self::NewNetwork => &location::NEW_NETWORK,
            Self::IpNotAllowed => &location::IP_NOT_ALLOWED,
            Self::NonceReplay => &replay::NONCE_REPLAY,
            Self::DelayedReplay => &replay::DELAYED_REPLAY,
            Self::SignatureReuse => &replay::SIGNATURE_REUSE,
            Self::StaleTimestamp => &replay::STALE_TIMESTAMP,
            Self::OutOfOrderNonce => &replay::OUT_OF_ORDER_NONCE,
            Self::WeakNonce => &replay::WEAK_NONCE,
            Self::AuthFailureBurst => &traffic::AUTH_FAILURE_BURST,
            Self::CredentialStuffing => &theft::CREDENTIAL_STUFFING,
            Self::UnexpectedEndpoint => &theft::UNEXPECTED_ENDPOINT,
            Self::EnvironmentMismatch => &lifecycle::ENVIRONMENT_MISMATCH,
            Self::RetiredKeyUse => &lifecycle::RETIRED_KEY_USE,
            Self::ExpiredKeyUse => &lifecycle::EXPIRED_KEY_USE,
            Self::RevokedKeyUse => &lifecycle::REVOKED_KEY_USE,
            Self::DormantKeyUse => &lifecycle::DORMANT_KEY_USE,
            Self::RotationAbuse => &theft::ROTATION_ABUSE,
            Self::Takeover => &theft::TAKEOVER,
            Self::SlowExfiltration => &theft::SLOW_EXFILTRATION,
            Self::Mimicry => &theft::MIMICRY,
        }
    }
}
