//! Ordinary things that look like attacks and are none. Seasons, cron bursts
//! and fleets in several regions are in the characters and always there.

use super::kinds::kinds;

kinds! {
    /// What may confuse a detector; never labelled.
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
        /// Every key asks for twice as much for hours.
        MarketingDay = "marketing_day",
        /// A service moves to other machines, maybe another region, of its AS.
        Deploy = "deploy",
        /// Somebody who works in two cities and flies between them.
        Traveller = "traveller",
        /// A telephone changes its carrier, in its city.
        CarrierSwitch = "carrier_switch",
        /// A suspended key gets 403 until its client gives up.
        Ban = "ban",
        /// A key is replaced by another; both are used during the overlap.
        KeyRotation = "key_rotation",
    }
}

impl ConfuserKind {
    /// Those that happen to single keys, each key at most one.
    pub const OF_ONE_KEY: [Self; 5] =
        [Self::Deploy, Self::Traveller, Self::CarrierSwitch, Self::Ban, Self::KeyRotation];
}
