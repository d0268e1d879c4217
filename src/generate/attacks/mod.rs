//! Lists the attacks: one for every sign that a log can show.

mod harvest;
mod lifecycle;
mod location;
mod outsiders;
mod quiet;
mod recipe;
mod replay;
mod sites;
#[cfg(test)]
mod tests;
mod theft;
mod traffic;

pub(super) use recipe::{Lifecycle, Names, Recipe, Shape, SigningNeed, Trick};
pub(super) use sites::SiteChoice;

use super::kinds::kinds;

kinds! {
    /// The attacks that are generated and labelled.
    AttackKind, "attack", by_name_only [Mimicry, Knocking], {
        /// The key's own client suddenly makes many times its requests.
        RateSpike = "rate_spike",
        /// The rate creeps up over hours.
        SlowRamp = "slow_ramp",
        /// Most of many requests fail with 4xx and 5xx.
        ErrorBurst = "error_burst",
        /// The key pushes against its quota and mostly gets 429.
        ThrottledBurst = "throttled_burst",
        /// The key is used on another continent while it is in use at home.
        ImpossibleTravel = "impossible_travel",
        /// The key is used in another country of the region.
        NewLocation = "new_location",
        /// The key is used in its country from a hosting or VPN network.
        NewNetwork = "new_network",
        /// The key is used from an address just outside its registered CIDRs.
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
        /// Bursts of 401 and 403 for bad signatures.
        AuthFailureBurst = "auth_failure_burst",
        /// One source tries many keys.
        CredentialStuffing = "credential_stuffing",
        /// Requests to administration routes that the key was never granted.
        UnexpectedEndpoint = "unexpected_endpoint",
        /// A development key in production, or the reverse.
        EnvironmentMismatch = "environment_mismatch",
        /// The old key is used after the end of the rotation's overlap.
        RetiredKeyUse = "retired_key_use",
        /// An expired key, answered 2xx.
        ExpiredKeyUse = "expired_key_use",
        /// A revoked key, answered 2xx.
        RevokedKeyUse = "revoked_key_use",
        /// A key silent for long wakes on a rented machine.
        DormantKeyUse = "dormant_key_use",
        /// Keys and secrets are created, rotated and read in quick succession.
        RotationAbuse = "rotation_abuse",
        /// Theft: new network, new endpoints, many requests.
        Takeover = "takeover",
        /// A thief reads large responses over a long time.
        SlowExfiltration = "slow_exfiltration",
        /// A thief on the key's own machines whose behaviour differs a little in every respect.
        Mimicry = "mimicry",
        /// A few requests an hour through a residential proxy in the victim's own city.
        ResidentialProxy = "residential_proxy",
        /// A thief in another region of the victim's cloud, at night.
        SameCloudOtherRegion = "same_cloud_other_region",
        /// One rented machine that takes 200 times the share of a member of the crowd.
        ThiefInCrowd = "thief_in_crowd",
        /// The rate rises by a quarter every four hours, 28-fold in 60 hours.
        BoilingFrog = "boiling_frog",
        /// Very large responses at an ordinary rate.
        BulkExport = "bulk_export",
        /// One id after the other is requested (OWASP API1:2023).
        Enumeration = "enumeration",
        /// Captured requests sent again while they are valid, from another address.
        ReplayInWindow = "replay_in_window",
        /// A captured signature under a new nonce.
        ReplayNewNonce = "replay_new_nonce",
        /// 200 requests each sent twice within seconds from the key's own address, all accepted.
        FastReplay = "fast_replay",
        /// A dozen refused requests in two hours: the attempts that precede a theft.
        Knocking = "knocking",
        /// The theft that follows the knocking, from the same place.
        KnockedTheft = "knocked_theft",
        /// A key that was silent for days is quietly used abroad with another client.
        DormantQuiet = "dormant_quiet",
        /// The public ids of all keys are tried from one address; all are refused.
        TriedList = "tried_list",
        /// Hundreds of households that try a few keys each.
        DistributedStuffing = "distributed_stuffing",
        /// A flood of requests with wrong signatures for one key, from outside.
        SignatureGuessing = "signature_guessing",
        /// One invented nonce from two machines, refused.
        ForgedNonce = "forged_nonce",
        /// A refused request from another continent.
        ForgedAfar = "forged_afar",
        /// A refused request with a nonce of 9e18.
        ForgedHugeNonce = "forged_huge_nonce",
        /// Refused requests with the nonces that the victim uses next.
        ForgedNextNonce = "forged_next_nonce",
        /// Refused requests with old client times.
        ForgedOldTime = "forged_old_time",
        /// A captured request sent again, and refused.
        RefusedReplay = "refused_replay",
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
            Self::ResidentialProxy => &quiet::RESIDENTIAL_PROXY,
            Self::SameCloudOtherRegion => &quiet::SAME_CLOUD_OTHER_REGION,
            Self::ThiefInCrowd => &quiet::THIEF_IN_CROWD,
            Self::BoilingFrog => &harvest::BOILING_FROG,
            Self::BulkExport => &harvest::BULK_EXPORT,
            Self::Enumeration => &harvest::ENUMERATION,
            Self::ReplayInWindow => &replay::REPLAY_IN_WINDOW,
            Self::ReplayNewNonce => &replay::REPLAY_NEW_NONCE,
            Self::FastReplay => &replay::FAST_REPLAY,
            Self::Knocking => &quiet::KNOCKING,
            Self::KnockedTheft => &quiet::KNOCKED_THEFT,
            Self::DormantQuiet => &quiet::DORMANT_QUIET,
            Self::TriedList => &outsiders::TRIED_LIST,
            Self::DistributedStuffing => &outsiders::DISTRIBUTED_STUFFING,
            Self::SignatureGuessing => &outsiders::SIGNATURE_GUESSING,
            Self::ForgedNonce => &outsiders::FORGED_NONCE,
            Self::ForgedAfar => &outsiders::FORGED_AFAR,
            Self::ForgedHugeNonce => &outsiders::FORGED_HUGE_NONCE,
            Self::ForgedNextNonce => &outsiders::FORGED_NEXT_NONCE,
            Self::ForgedOldTime => &outsiders::FORGED_OLD_TIME,
            Self::RefusedReplay => &outsiders::REFUSED_REPLAY,
        }
    }
}
