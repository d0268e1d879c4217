//! Learns which client programs use a key, by families of user agents and by TLS fingerprints.

use std::collections::HashMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::repertoire::{Repertoire, Usage};
use crate::event::{AccessEvent, DAY_SECONDS, EventTime};

/// Most families, and most fingerprints, remembered for one key. A crowd uses more of them, and
/// often new ones.
pub const MAX_CLIENTS: usize = 24;
/// Longest product name, in bytes. Longer names are cut.
const MAX_NAME: usize = 40;
/// Most clients counted for the fleet.
const MAX_COUNTED: usize = 4_096;
/// Observations (hours with a client) of a key before its new clients count for the fleet's rate.
const SETTLED_OBSERVATIONS: f64 = 24.0;

/// The property of a request that identifies its client program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trait {
    /// The family of the user agent.
    Agent,
    /// The TLS or client fingerprint.
    Fingerprint,
}

/// Words that identify browser engines. The order matters, because browsers name several engines.
const ENGINES: [(&str, &str); 5] = [
    ("Firefox/", "gecko browser"),
    ("Chrome/", "chromium browser"),
    ("CriOS/", "webkit browser"),
    ("AppleWebKit/", "webkit browser"),
    ("Trident/", "trident browser"),
];

/// The family of a user agent, without versions: `python-requests`, `ccxt`, `chromium browser`.
pub fn agent_family(agent: &str) -> &str {
    if let Some(rest) = agent.strip_prefix("Mozilla/") {
        if let Some((_, robot)) = rest.split_once("compatible; ") {
            return product(robot);
        }
        let engine = ENGINES.iter().find(|(word, _)| rest.contains(word));
        return engine.map_or("other browser", |(_, family)| family);
    }
    product(agent)
}

/// The first word of a user agent, without its version.
fn product(agent: &str) -> &str {
    let agent = agent.trim_start();
    let end = agent.find(['/', ' ', ';', '(', ',']).unwrap_or(agent.len());
    let word = prefix(agent, end.min(MAX_NAME));
    let is_version = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '-' | '_');
    let name = word.trim_end_matches(is_version);
    let name = match name.strip_suffix(['v', 'V']) {
        Some(name) if name.len() < word.len() - 1 && name.ends_with(is_version) => {
            name.trim_end_matches(is_version)
        }
        _ => name,
    };
    if name.is_empty() { word } else { name }
}

/// Hash of a request's user agent family or fingerprint, without regard to case. `None` if the log
/// does not contain it.
fn id_of(which: Trait, event: &AccessEvent) -> Option<u32> {
    let word = match which {
        Trait::Agent => agent_family(event.user_agent.as_deref()?),
        Trait::Fingerprint => event.client_fingerprint.as_deref()?,
    };
    let word = Some(word).filter(|word| !word.is_empty() && *word != "-")?;
    // FNV-1a (Fowler, Noll and Vo).
    let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    });
    Some((hash ^ (hash >> 32)) as u32)
}

/// The clients of one key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ClientProfile {
    pub agents: Repertoire<MAX_CLIENTS>,
    /// `None` before the first fingerprint. Most logs have none.
    fingerprints: Option<Box<Repertoire<MAX_CLIENTS>>>,
    /// When a new program last appeared on a machine where the key was established.
    pub deployed_at: EventTime,
}

/// The client program of a request, and the key's use of it.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    pub id: u32,
    pub usage: Option<Usage>,
}

impl Client {
    /// The client of `event`. `None` if the log does not contain this trait.
    pub fn of(which: Trait, event: &AccessEvent, profile: &ClientProfile) -> Option<Self> {
        let id = id_of(which, event)?;
        let usage = profile.of(which).and_then(|clients| clients.usage(id, event.time));
        Some(Self { id, usage })
    }

    /// Whether the key is known to use this client.
    pub fn is_known(&self) -> bool {
        self.usage.is_some_and(|usage| usage.is_known)
    }

    /// Whether an alert reported this client in an earlier hour.
    pub fn was_told(&self) -> bool {
        self.usage.is_some_and(|usage| usage.is_marked && usage.observations >= 1.0)
    }
}

impl ClientProfile {
    /// The key's clients by this trait. `None` before the first fingerprint.
    pub fn of(&self, which: Trait) -> Option<&Repertoire<MAX_CLIENTS>> {
        match which {
            Trait::Agent => Some(&self.agents),
            Trait::Fingerprint => self.fingerprints.as_deref(),
        }
    }

    fn of_mut(&mut self, which: Trait) -> &mut Repertoire<MAX_CLIENTS> {
        match which {
            Trait::Agent => &mut self.agents,
            Trait::Fingerprint => self.fingerprints.get_or_insert_default(),
        }
    }

    /// Whether the event's program is known by each trait that the log contains. A program that hides
    /// a trait which the key's own programs show is none of them.
    pub fn knows_program_of(&self, event: &AccessEvent) -> bool {
        let is_known = |which| match Client::of(which, event, self) {
            Some(client) => client.is_known(),
            None => self.of(which).is_none_or(|clients| clients.known().is_empty()),
        };
        is_known(Trait::Agent) && is_known(Trait::Fingerprint)
    }

    /// Whether a new program appeared on one of the key's own machines within the day before `time`.
    pub fn is_deployed(&self, time: EventTime) -> bool {
        (0.0..DAY_SECONDS).contains(&time.seconds_since(self.deployed_at))
    }

    /// Records that an alert reported this client. It must have been learned before.
    pub fn tell(&mut self, which: Trait, client: &Client) {
        self.of_mut(which).mark(client.id);
    }

    /// Makes these programs the key's own.
    pub fn take_up(&mut self, which: Trait, ids: impl Iterator<Item = u32>) {
        match which {
            Trait::Agent => self.agents.take_up(ids),
            Trait::Fingerprint => {
                if let Some(fingerprints) = &mut self.fingerprints {
                    fingerprints.take_up(ids);
                }
            }
        }
    }

    /// Counts a request if its client is not known.
    pub fn count_fresh(&mut self, which: Trait, client: &Client, time: EventTime) {
        if !client.is_known() {
            self.of_mut(which).count_fresh(time);
        }
    }
}

/// The clients of all keys, and the rate at which settled keys begin to use new ones.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct FleetClients {
    agents: Kinds,
    fingerprints: Kinds,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kinds {
    /// Number of keys that use each client, and the client's name.
    keys: HashMap<u32, (u32, CompactString), foldhash::fast::RandomState>,
    /// Sum of the numbers of keys over all clients.
    total: f64,
    /// Observations of settled keys.
    settled_hours: f64,
    /// Observations of settled keys with a new client.
    turns: f64,
}

/// Prior of the rate of new clients: one in this many hours.
const PRIOR_HOURS: f64 = 500.0;
/// Pseudo-count of keys for all unseen clients together.
const PRIOR_KEYS: f64 = 20.0;
/// Pseudo-count of keys for one unseen client.
const UNSEEN: f64 = 0.5;

impl FleetClients {
    fn of(&self, which: Trait) -> &Kinds {
        match which {
            Trait::Agent => &self.agents,
            Trait::Fingerprint => &self.fingerprints,
        }
    }

    /// Probability that a settled key begins to use a new client in one hour.
    pub fn turning_rate(&self, which: Trait) -> f64 {
        let kinds = self.of(which);
        (1.0 + kinds.turns) / (PRIOR_HOURS + kinds.settled_hours)
    }

    /// Share of this client among the clients of other keys. `own` is the count that the key
    /// itself added, which is subtracted. The share is above 0.
    pub fn share(&self, which: Trait, id: u32, own: f64) -> f64 {
        let kinds = self.of(which);
        let keys = kinds.keys.get(&id).map_or(0.0, |(keys, _)| f64::from(*keys));
        ((keys - own).max(0.0) + UNSEEN) / (kinds.total + PRIOR_KEYS)
    }

    /// Name of a client. `None` if no key uses it, or if there were too many clients to count it.
    pub fn name(&self, which: Trait, id: u32) -> Option<&str> {
        self.of(which).keys.get(&id).map(|(_, name)| name.as_str())
    }

    /// Learns the client of a request, once an hour for each client of a key.
    pub fn learn(
        &mut self,
        which: Trait,
        client: &Client,
        event: &AccessEvent,
        profile: &mut ClientProfile,
    ) {
        if client.usage.is_some_and(|usage| usage.is_counted) {
            return;
        }
        let clients = profile.of_mut(which);
        let is_settled = clients.observations() >= SETTLED_OBSERVATIONS;
        let is_new = clients.learn(client.id, event.time, false, false);
        let kinds = match which {
            Trait::Agent => &mut self.agents,
            Trait::Fingerprint => &mut self.fingerprints,
        };
        if is_settled {
            kinds.settled_hours += 1.0;
            kinds.turns += f64::from(u8::from(is_new));
        }
        if is_new {
            kinds.take_up(client.id, which, event);
        }
    }
}

impl Kinds {
    fn take_up(&mut self, id: u32, which: Trait, event: &AccessEvent) {
        self.total += 1.0;
        if self.keys.len() >= MAX_COUNTED && !self.keys.contains_key(&id) {
            return;
        }
        let name = match which {
            Trait::Agent => event.user_agent.as_deref().map_or("", agent_family),
            Trait::Fingerprint => event.client_fingerprint.as_deref().unwrap_or_default(),
        };
        let name = prefix(name, MAX_NAME);
        self.keys.entry(id).or_insert_with(|| (0, name.into())).0 += 1;
    }
}

/// At most `limit` bytes of a text, cut between characters.
fn prefix(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_one_library_are_one_client() {
        for (agent, family) in [
            ("ccxt/4.4.12", "ccxt"),
            ("python-requests/2.31.0", "python-requests"),
            ("acme-sdk-python/2.9.0 python/3.12.8", "acme-sdk-python"),
            ("AcmeApp/8.1.0 (iPhone; iOS 18.2)", "AcmeApp"),
            ("Pingdom.com_bot_version_1.4", "Pingdom.com_bot_version"),
            ("curl", "curl"),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                "Googlebot",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36",
                "chromium browser",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
                "gecko browser",
            ),
            (
                "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Version/18.2 Safari/604.1",
                "webkit browser",
            ),
            ("4.2", "4.2"),
            ("äöü/1", "äöü"),
            ("", ""),
        ] {
            assert_eq!(agent_family(agent), family, "{agent}");
        }
    }

    #[test]
    fn the_profile_takes_few_bytes() {
        assert!(size_of::<ClientProfile>() <= 40);
    }
}
