//! Models the programs that call the API: their user agents, their upgrades and their TLS
//! fingerprints.

use std::fmt;

use serde::{Serialize, Serializer};

use super::random::{Random, pick, scramble};
use super::window::Window;
use crate::event::EventTime;

pub(super) const SERVER: &[&str] = &[
    "axios/1.7.9",
    "okhttp/4.12.0",
    "Go-http-client/2.0",
    "python-httpx/0.28.1",
    "Java-http-client/21.0.5",
    "acme-sdk-node/3.4.1 node/22.12.0",
    "acme-sdk-python/2.9.0 python/3.12.8",
    "acme-sdk-go/1.15.2",
];
pub(super) const PEOPLE: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.2 Safari/605.1.15",
    "PostmanRuntime/7.43.0",
    "acme-desktop/5.2.0 (Windows)",
];
pub(super) const PHONES: &[&str] = &[
    "AcmeApp/8.1.0 (iPhone; iOS 18.2)",
    "AcmeApp/8.0.3 (Android 15; Pixel 8)",
    "AcmeApp/7.9.6 (Android 14; SM-S921B)",
];
/// User agents of the users of one app; the newest version is the most common.
pub(super) const APP_USERS: &[&str] = &[
    "AcmeApp/8.1.0 (iPhone; iOS 18.2)",
    "AcmeApp/8.1.0 (iPhone; iOS 17.6)",
    "AcmeApp/8.1.0 (Android 15; Pixel 8)",
    "AcmeApp/8.0.3 (Android 15; SM-S921B)",
    "AcmeApp/8.0.3 (iPhone; iOS 18.1)",
    "AcmeApp/7.9.6 (Android 14; SM-A546B)",
    "AcmeApp/7.9.6 (iPad; iPadOS 17.6)",
    "AcmeApp/7.2.0 (Android 12; moto g31)",
];
pub(super) const BROWSERS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.2 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 Version/18.2 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
];
pub(super) const MONITORS: &[&str] =
    &["Pingdom.com_bot_version_1.4", "UptimeRobot/2.0", "Blackbox-Exporter/0.25.0"];
pub(super) const JOBS: &[&str] =
    &["curl/8.5.0", "python-requests/2.31.0", "Apache-HttpClient/5.3.1"];
/// Versions of one library, older and newer.
const UPGRADES: &[(&str, &str)] = &[
    ("acme-sdk-python/2.9.0 python/3.12.8", "acme-sdk-python/2.10.1 python/3.13.1"),
    ("acme-sdk-node/3.4.1 node/22.12.0", "acme-sdk-node/4.0.0 node/22.12.0"),
    ("okhttp/4.12.0", "okhttp/5.0.0"),
    ("axios/1.7.9", "axios/1.8.1"),
    ("python-httpx/0.27.2", "python-httpx/0.28.1"),
];

/// Which program sends a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Agents {
    One(&'static str),
    /// Each user has one of these programs; the first ones are the most common.
    Many(&'static [&'static str]),
    /// One version is replaced by the next.
    Upgraded {
        before: &'static str,
        after: &'static str,
        over: Window,
    },
}

impl Agents {
    pub fn any(list: &[&'static str], random: &mut Random) -> Self {
        Self::One(pick(random, list))
    }

    pub fn upgraded(over: Window, random: &mut Random) -> Self {
        let (before, after) = pick(random, UPGRADES);
        Self::Upgraded { before, after, over }
    }

    pub fn of(&self, member: u64, time: EventTime) -> &'static str {
        let draw = scramble(member) >> 11;
        let share = draw as f64 / (1_u64 << 53) as f64;
        match self {
            Self::One(agent) => agent,
            Self::Many(agents) => agents[(share * share * agents.len() as f64) as usize],
            Self::Upgraded { before, after, over } => {
                if share < over.progress(time) {
                    after
                } else {
                    before
                }
            }
        }
    }
}

/// A TLS fingerprint in the form of JA4 (FoxIO). All versions of one program have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientFingerprint(u64);

impl ClientFingerprint {
    pub(super) fn of(agent: &str) -> Self {
        let letters = agent.bytes().filter(|byte| !byte.is_ascii_digit() && *byte != b'.');
        Self(letters.fold(0, |hash, byte| scramble(hash ^ u64::from(byte))))
    }
}

impl fmt::Display for ClientFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ciphers, extensions) = (12 + self.0 % 7, 9 + (self.0 >> 8) % 8);
        let (one, other) = (self.0 >> 16, scramble(self.0) >> 16);
        write!(f, "t13d{ciphers:02}{extensions:02}h2_{one:012x}_{other:012x}")
    }
}

impl Serialize for ClientFingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::stream;
    use super::*;

    #[test]
    fn versions_of_a_program_share_a_fingerprint_and_programs_differ() {
        let of = ClientFingerprint::of;
        for (before, after) in &UPGRADES[1..] {
            assert_eq!(of(before), of(after));
        }
        assert_ne!(of("curl/8.5.0"), of("axios/1.7.9"));
        let text = of("curl/8.5.0").to_string();
        assert_eq!((text.len(), &text[..4]), (36, "t13d"));
    }

    #[test]
    fn an_upgrade_is_over_after_its_window() {
        let over = Window::starting(EventTime::from_seconds(100), 100.0);
        let agents = Agents::upgraded(over, &mut stream(1, 0));
        let Agents::Upgraded { before, after, .. } = agents else { return };
        let used = |second| {
            (0..200).filter(|m| agents.of(*m, EventTime::from_seconds(second)) == after).count()
        };
        assert_eq!((used(50), used(250)), (0, 200));
        assert!((50..150).contains(&used(150)));
        assert_eq!(before.split('/').next(), after.split('/').next());
    }
}
