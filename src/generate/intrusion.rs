//! Runs an attack: it makes requests in a key's name beside those of the key's own clients.

use std::collections::VecDeque;
use std::sync::Arc;

use compact_str::CompactString;
use rand::RngExt;

use super::attacks::{AttackKind, Names, Recipe, Trick};
use super::key::Key;
use super::kinds::Kind;
use super::label::Label;
use super::random::{Random, chance, exponential, pick, pick_weighted};
use super::record::{AccessRecord, request_id};
use super::whereabouts::{Caller, Whereabouts};
use super::window::Window;
use crate::event::{EventTime, KeyId};

/// The number of captured requests that an eavesdropper keeps.
const CAPTURED: usize = 32;
/// A delayed replay waits at most this long.
const LONGEST_DELAY_SECONDS: f64 = 6.0 * 3_600.0;
/// Mean number of seconds between requests of a burst.
const WITHIN_BURST: f64 = 2.0;
/// The share of repeatable requests that is sent again while they are valid.
const SENT_AGAIN_SOON: f64 = 0.4;
/// Refused requests at this rate must be detected; at a lower rate, detection is optional.
const LOUD_PER_SECOND: f64 = 1.0;
const DAY: f64 = 86_400.0;
/// Requests queued to be sent again within seconds.
const QUEUED: usize = 4;
const TOOLS: &[&str] = &[
    "python-requests/2.32.3",
    "curl/8.11.1",
    "Go-http-client/1.1",
    "aiohttp/3.11.10",
    "node-fetch",
];

/// The facts that an attacker knows in advance.
#[derive(Clone, Copy)]
pub(super) struct Intelligence<'a> {
    /// The beginning of the log.
    pub begin: EventTime,
    /// The part of the log in which attacks may happen.
    pub open: Window,
    /// Public ids of keys; a sample of them in a very large fleet.
    pub ids: &'a Arc<[KeyId]>,
}

pub(super) struct Intrusion {
    pub label: Arc<Label>,
    pub recipe: &'static Recipe,
    pub window: Window,
    /// `None` means the location of the key's own client.
    from: Option<Whereabouts>,
    pub tool: Option<&'static str>,
    per_second: f64,
    next: Option<EventTime>,
    captured: VecDeque<AccessRecord>,
    capture_until: EventTime,
    pub low_nonce: Option<u64>,
    pub ids: Arc<[KeyId]>,
    pub made: u64,
}

impl Intrusion {
    /// Plans the attack, preceded by its prelude if it has one.
    pub fn plan(
        kind: AttackKind,
        window: Window,
        key: &Key,
        known: Intelligence<'_>,
        random: &mut Random,
    ) -> Vec<Self> {
        let window = at_night(kind, window, key, known.open, random);
        let main = Self::new(kind, window, key, known, random);
        let Some((prelude, seconds)) = kind.recipe().prelude else { return vec![main] };
        let before = main.window.start.plus_seconds(-seconds).max(known.open.start);
        let window = Window { start: before, end: main.window.start };
        let mut first = Self::new(prelude, window, key, known, random);
        first.from.clone_from(&main.from);
        vec![first, main]
    }

    fn new(
        kind: AttackKind,
        window: Window,
        key: &Key,
        known: Intelligence<'_>,
        random: &mut Random,
    ) -> Self {
        let recipe = kind.recipe();
        let from = recipe.site.whereabouts(key.home(), random);
        let delay = (window.start.seconds_since(known.begin) * 0.3).min(LONGEST_DELAY_SECONDS);
        let capture_until = match recipe.manner.trick {
            Trick::Replay | Trick::ReplaySoon | Trick::ReplayHere | Trick::NewNonce => window.end,
            Trick::ReplayLater => window.start.plus_seconds(-delay),
            _ => known.begin,
        };
        let waits = matches!(recipe.manner.trick, Trick::ReplaySoon | Trick::ReplayHere);
        let label = label(kind, window, key, known.ids, from.as_ref(), random);
        Self {
            label: Arc::new(label),
            recipe,
            window,
            from,
            tool: recipe.manner.foreign_agent.then(|| pick(random, TOOLS)),
            per_second: (recipe.pace.factor * key.mean_per_second()).max(recipe.pace.at_least),
            // An attacker that repeats requests at once waits for the first one.
            next: Some(window.start).filter(|_| !waits),
            captured: VecDeque::new(),
            capture_until,
            low_nonce: None,
            ids: Arc::clone(known.ids),
            made: 0,
        }
    }

    pub const fn next_time(&self) -> Option<EventTime> {
        self.next
    }

    /// Lets the eavesdropper see a request of the key's own client.
    pub fn overhear(&mut self, record: &AccessRecord, random: &mut Random) {
        if record.time >= self.capture_until || record.status >= 300 || record.signature.is_none() {
            return;
        }
        let (seconds, share) = match self.recipe.manner.trick {
            Trick::ReplaySoon => (random.random_range(0.5..4.0), SENT_AGAIN_SOON),
            Trick::ReplayHere if record.method == "POST" => (random.random_range(0.3..3.0), 1.0),
            Trick::ReplayHere => return,
            _ => return self.capture(record),
        };
        let again = record.time.plus_seconds(seconds);
        let is_time = self.window.contains(record.time) && self.window.contains(again);
        let has_room = self.captured.len() < QUEUED && self.made < self.recipe.manner.at_most;
        if is_time && has_room && chance(random, share) {
            self.capture(record);
            self.next.get_or_insert(again);
        }
    }

    fn capture(&mut self, record: &AccessRecord) {
        if self.captured.len() == CAPTURED {
            self.captured.pop_front();
        }
        self.captured.push_back(record.clone());
    }

    /// The request that is due; `None` if nothing has been captured to replay yet.
    pub fn request(
        &mut self,
        key: &mut Key,
        sequence: u32,
        random: &mut Random,
    ) -> Option<AccessRecord> {
        let time = self.next?;
        self.next = self.after(time, random);
        let caller = self.caller(key, time, random)?;
        let record = match self.recipe.manner.trick {
            Trick::Replay | Trick::ReplayLater | Trick::NewNonce => {
                let captured = self.chosen(random)?.clone();
                self.sent_again(captured, time, caller, key, sequence, random)
            }
            Trick::ReplaySoon => {
                let captured = self.captured.pop_front()?;
                self.sent_again(captured, time, caller, key, sequence, random)
            }
            Trick::ReplayHere => {
                let captured = self.captured.pop_front()?;
                let caller = Caller { address: captured.client_ip, ..caller };
                self.sent_again(captured, time, caller, key, sequence, random)
            }
            _ => self.forged(key, time, caller, sequence, random),
        };
        self.made += 1;
        Some(record)
    }

    fn after(&self, time: EventTime, random: &mut Random) -> Option<EventTime> {
        let manner = &self.recipe.manner;
        if self.made + 1 >= manner.at_most {
            return None;
        }
        if matches!(manner.trick, Trick::ReplaySoon | Trick::ReplayHere) {
            let again = time.plus_seconds(random.random_range(0.1..0.5));
            return Some(again).filter(|_| self.captured.len() > 1);
        }
        let factor = self.recipe.pace.shape.factor(self.window, time);
        let burst = self.recipe.pace.burst;
        let goes_on = burst > 1.0 && chance(random, 1.0 - 1.0 / burst);
        let mean = if goes_on { WITHIN_BURST } else { burst / (self.per_second * factor) };
        let gap = exponential(random, mean).max(1e-5);
        Some(time.plus_seconds(gap)).filter(|next| *next < self.window.end)
    }

    /// Two machines take turns.
    fn caller(&self, key: &Key, time: EventTime, random: &mut Random) -> Option<Caller> {
        if let Some(Whereabouts::Fleet(machines)) = &self.from {
            let machine = &machines[(self.made % machines.len() as u64) as usize];
            return Some(Caller { address: machine.address(time, random), member: 0 });
        }
        self.from.as_ref().unwrap_or(&key.clients[0].whereabouts).caller(time, random)
    }

    /// The captured request to send again: any of them for a delayed replay, otherwise the newest.
    fn chosen(&self, random: &mut Random) -> Option<&AccessRecord> {
        match self.recipe.manner.trick {
            Trick::ReplayLater if self.captured.is_empty() => None,
            Trick::ReplayLater => Some(&self.captured[random.random_range(0..self.captured.len())]),
            _ => self.captured.back(),
        }
    }

    /// The captured request sent again: with another id and another address, but the same signed
    /// fields.
    fn sent_again(
        &self,
        captured: AccessRecord,
        time: EventTime,
        caller: Caller,
        key: &mut Key,
        sequence: u32,
        random: &mut Random,
    ) -> AccessRecord {
        let mut record = AccessRecord {
            time,
            client_ip: caller.address,
            request_id: request_id(key.index, sequence),
            ..captured
        };
        if self.recipe.manner.trick == Trick::NewNonce {
            let signed = key.signers[0].sign(time, random);
            record.nonce = signed.nonce;
            record.client_time = signed.client_time;
        }
        if let (true, Some(statuses)) = (self.recipe.manner.outsider, self.recipe.manner.statuses) {
            record.status = pick_weighted(random, statuses);
            record.authenticated = record.authenticated.map(|_| false);
            record.tenant = None;
        }
        record
    }
}

/// Moves the window to a night of the key's home, if the log has room for it.
fn at_night(
    kind: AttackKind,
    window: Window,
    key: &Key,
    open: Window,
    random: &mut Random,
) -> Window {
    let Some((from, to)) = kind.recipe().night else { return window };
    let offset = f64::from(key.home().utc_offset_minutes) * 60.0;
    let since_midnight = (window.start.as_seconds() + offset).rem_euclid(DAY);
    let wanted = random.random_range(from..to) * 3_600.0;
    let back = (since_midnight - wanted).rem_euclid(DAY);
    let moved =
        |seconds: f64| Window::starting(window.start.plus_seconds(seconds), window.seconds());
    let fits = |moved: &Window| open.start <= moved.start && moved.end <= open.end;
    [moved(-back), moved(DAY - back)].into_iter().find(fits).unwrap_or(window)
}

fn label(
    kind: AttackKind,
    window: Window,
    key: &Key,
    ids: &[KeyId],
    from: Option<&Whereabouts>,
    random: &mut Random,
) -> Label {
    let recipe = kind.recipe();
    let manner = &recipe.manner;
    let is_on_many = matches!(manner.names, Names::PublicIds | Names::Mixed);
    // The attack comes from one address, and its source is what a detector can see.
    let source = match from {
        Some(Whereabouts::Fixed(site)) if manner.names != Names::Victim => Some(site),
        _ => None,
    };
    Label {
        key_id: (!is_on_many).then(|| key.registered.key_id.clone()),
        kind: CompactString::const_new(kind.name()),
        start: window.start,
        end: window.end,
        detectors: recipe.detectors.iter().copied().map(CompactString::const_new).collect(),
        source_ip: source.map(|site| site.address(window.start, random)),
        keys: if is_on_many { ids.to_vec() } else { Vec::new() },
        max_action: manner.outsider.then(|| CompactString::const_new("notify")),
        optional: manner.outsider && !is_on_many && recipe.pace.at_least < LOUD_PER_SECOND,
    }
}
