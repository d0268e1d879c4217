//! Lists benign patterns that look like attacks. Seasons, cron bursts and fleets in several regions
//! belong to the characters and are always present.

use super::characters::Character;
use super::kinds::kinds;

kinds! {
    /// A benign pattern that may confuse a detector; it is never labelled.
    ConfuserKind, "confuser", by_name_only [], {
        /// After a 5xx the client sends the same signed request again, seconds later.
        ClientRetries = "client_retries",
        /// The log delivers a record twice, with its request id.
        Redelivery = "redelivery",
        /// Records arrive seconds late, behind younger ones.
        LateEvents = "late_events",
        /// Home, office and mobile addresses change within their prefix.
        AddressRotation = "address_rotation",
        /// The API is down for minutes, then every client comes back at once.
        Outage = "outage",
        /// Every key makes twice as many requests for hours.
        MarketingDay = "marketing_day",
        /// A service moves to other machines, maybe another region, of its AS.
        Deploy = "deploy",
        /// A person who works in two cities and flies between them.
        Traveller = "traveller",
        /// A telephone changes its carrier and stays in its city.
        CarrierSwitch = "carrier_switch",
        /// A suspended key gets 403 until its client gives up.
        Ban = "ban",
        /// A key is replaced by another; the old one fades out while the new one takes over.
        KeyRotation = "key_rotation",
        /// A service moves to another AS of the same organisation.
        SiblingDeploy = "sibling_deploy",
        /// A service moves from one cloud to another over days.
        CloudMigration = "cloud_migration",
        /// A client changes from one version of the API to the next.
        ApiVersion = "api_version",
        /// A client's library gets an upgrade.
        ClientUpgrade = "client_upgrade",
        /// A client reads or writes years of data again, for hours.
        Backfill = "backfill",
        /// The office sets its clocks forward by an hour.
        DaylightSaving = "daylight_saving",
        /// Nobody is at the office for four days.
        LongWeekend = "long_weekend",
        /// The key has expired, and its client keeps sending requests.
        ExpiredLoop = "expired_loop",
        /// A counter of nonces restarts.
        CounterReset = "counter_reset",
        /// Nonces in milliseconds become microseconds.
        NonceUnit = "nonce_unit",
        /// The log has a gap of minutes.
        LogOutage = "log_outage",
        /// Some keys' records of ten minutes arrive all at once, much later.
        LateBatch = "late_batch",
        /// A file with some minutes of records is delivered a second time.
        RepeatedFile = "repeated_file",
    }
}

impl ConfuserKind {
    /// Confusers that happen to single keys; each key has at most one.
    pub const OF_ONE_KEY: [Self; 15] = [
        Self::Deploy,
        Self::Traveller,
        Self::CarrierSwitch,
        Self::Ban,
        Self::KeyRotation,
        Self::SiblingDeploy,
        Self::CloudMigration,
        Self::ApiVersion,
        Self::ClientUpgrade,
        Self::Backfill,
        Self::DaylightSaving,
        Self::LongWeekend,
        Self::ExpiredLoop,
        Self::CounterReset,
        Self::NonceUnit,
    ];

    /// The character of the keys that play it.
    pub(super) const fn character(self) -> Character {
        match self {
            Self::Traveller | Self::DaylightSaving | Self::LongWeekend => Character::OfficeHours,
            Self::CarrierSwitch => Character::Mobile,
            Self::ExpiredLoop => Character::Poller,
            Self::CounterReset | Self::NonceUnit => Character::Trader,
            _ => Character::SteadyServer,
        }
    }
}
