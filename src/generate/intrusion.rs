//! An attack under way: requests in a key's name beside those of its own client.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use compact_str::{CompactString, format_compact};
use rand::RngExt;

use super::attacks::{AttackKind, Recipe, SiteChoice, Trick};
use super::cast::height;
use super::key::Key;
use super::kinds::Kind;
use super::label::Label;
use super::products::Route;
use super::random::{Random, chance, exponential, pick, pick_weighted};
use super::record::{AccessRecord, request_id};
use super::signing::{ClientNonce, Signed};
use super::traffic::Exchange;
use super::whereabouts::Site;
use super::window::Window;
use crate::event::EventTime;

/// Requests that an eavesdropper keeps.
const CAPTURED: usize = 32;
/// A delayed replay waits at most this long.
const LONGEST_DELAY_SECONDS: f64 = 6.0 * 3_600.0;
/// Of the keys that stuffing tries, the share that exists.
const EXISTING_KEYS: f64 = 0.02;
/// Mean seconds between requests that come together.
const WITHIN_BURST: f64 = 2.0;
const SMALL_COUNTER_LENGTH: u64 = 50;
const TOOLS: &[&str] = &[
    "python-requests/2.32.3",
    "curl/8.11.1",
    "Go-http-client/1.1",
    "aiohttp/3.11.10",
    "node-fetch",
];

pub(super) struct Intrusion {
    pub label: Arc<Label>,
    recipe: &'static Recipe,
    window: Window,
    /// `None` on the key's own machines.
    site: Option<Site>,
    tool: Option<&'static str>,
    per_second: f64,
    next: Option<EventTime>,
    captured: VecDeque<AccessRecord>,
    capture_until: EventTime,
    low_nonce: Option<u64>,
    made: u64,
}

impl Intrusion {
    pub fn new(
        kind: AttackKind,
        window: Window,
        key: &Key,
        begin: EventTime,
        random: &mut Random,
    ) -> Self {
        let recipe = kind.recipe();
        let site = site(recipe.site, key, random);
        let delay = (window.start.seconds_since(begin) * 0.3).min(LONGEST_DELAY_SECONDS);
        let capture_until = match recipe.manner.trick {
            Trick::Replay => window.end,
            Trick::ReplayLater => window.start.plus_seconds(-delay),
            _ => begin,
        };
        let source_ip = site
            .filter(|_| recipe.manner.invents_keys)
            .map(|site| site.address(window.start, random));
        Self {
            label: Arc::new(label(kind, window, key, source_ip)),
            recipe,
            window,
            site,
            tool: recipe.manner.foreign_agent.then(|| pick(random, TOOLS)),
            per_second: height(recipe.pace, key.rhythm.mean_per_second()),
            next: Some(window.start),
            captured: VecDeque::new(),
            capture_until,
            low_nonce: None,
            made: 0,
        }
    }

    pub const fn next_time(&self) -> Option<EventTime> {
        self.next
    }

    /// Lets the eavesdropper see a request of the key's own client.
    pub fn overhear(&mut self, record: &AccessRecord) {
        if record.time >= self.capture_until || record.status >= 300 || record.signature.is_none() {
            return;
        }
        if self.captured.len() == CAPTURED {
            self.captured.pop_front();
        }
        self.captured.push_back(record.clone());
    }

    /// The request that is due; `None` when there is nothing to replay yet.
    pub fn request(
        &mut self,
        key: &mut Key,
        sequence: u32,
        random: &mut Random,
    ) -> Option<AccessRecord> {
        let time = self.next?;
        self.next = self.after(time, random);
        let address = self.address(key, time, random)?;
        let record = match self.recipe.manner.trick {
            Trick::Replay => replayed(self.captured.back()?, time, address, key.index, sequence),
            Trick::ReplayLater if self.captured.is_empty() => return None,
            Trick::ReplayLater => {
                let captured = &self.captured[random.random_range(0..self.captured.len())];
                replayed(captured, time, address, key.index, sequence)
            }
            _ => self.forged(key, time, address, sequence, random),
        };
        self.made += 1;
        Some(record)
    }

    fn after(&self, time: EventTime, random: &mut Random) -> Option<EventTime> {
        let ramp = if self.recipe.pace.ramp { 0.02 + 0.98 * self.window.share(time) } else { 1.0 };
        let burst = self.recipe.pace.burst;
        let goes_on = burst > 1.0 && chance(random, 1.0 - 1.0 / burst);
        let mean = if goes_on { WITHIN_BURST } else { burst / (self.per_second * ramp) };
        let gap = exponential(random, mean).max(1e-5);
        Some(time.plus_seconds(gap)).filter(|next| *next < self.window.end)
    }

    fn address(&self, key: &Key, time: EventTime, random: &mut Random) -> Option<IpAddr> {
        match &self.site {
            Some(site) => Some(site.address(time, random)),
            None => Some(key.whereabouts.site(time, random)?.address(time, random)),
        }
    }

    /// A request of the attacker's own making.
    fn forged(
        &mut self,
        key: &mut Key,
        time: EventTime,
        address: IpAddr,
        sequence: u32,
        random: &mut Random,
    ) -> AccessRecord {
        let manner = &self.recipe.manner;
        let route = match manner.product {
            Some(product) => &product[random.random_range(0..product.len())],
            None if manner.prefers_rare_routes => rare_route(&key.routes, random),
            None => pick_weighted(random, &key.routes),
        };
        let status = match manner.statuses {
            Some(statuses) => pick_weighted(random, statuses),
            None => route.success(),
        };
        let signed = self.sign(key, time, random);
        let exchange = Exchange { time, address, route, status };
        let mut record = key.record(exchange, signed, sequence, random);
        self.disguise(&mut record, random);
        record
    }

    fn sign(&mut self, key: &mut Key, time: EventTime, random: &mut Random) -> Signed {
        let mut signed = key.signer.sign(time, random);
        match self.recipe.manner.trick {
            Trick::OldTime => {
                let age = random.random_range(300.0..3_600.0);
                signed.client_time = Some(time.plus_seconds(-age));
            }
            Trick::LowNonce => {
                let low = self.low_nonce.map_or_else(|| key.signer.low_number(), |last| last + 1);
                self.low_nonce = Some(low);
                signed.nonce = Some(ClientNonce::Number(low));
            }
            Trick::SmallCounter => {
                signed.nonce = Some(ClientNonce::Number(1 + self.made % SMALL_COUNTER_LENGTH));
            }
            Trick::Sign | Trick::Replay | Trick::ReplayLater => {}
        }
        signed
    }

    fn disguise(&self, record: &mut AccessRecord, random: &mut Random) {
        let manner = &self.recipe.manner;
        if let Some(tool) = self.tool {
            record.user_agent = tool;
        }
        if manner.other_environment {
            let is_production = record.environment == "production";
            record.environment = if is_production { "development" } else { "production" }.into();
        }
        record.bytes_out = (f64::from(record.bytes_out) * manner.bytes_factor) as u32;
        // The first request names the labelled key, so that the label starts with it.
        if manner.invents_keys && self.made > 0 && !chance(random, EXISTING_KEYS) {
            record.key_id = invented_key(random);
            record.tenant = None;
            record.status = 401;
        }
    }
}

/// By the inverse of its weight.
fn rare_route(routes: &[(&'static Route, f64)], random: &mut Random) -> &'static Route {
    let inverse: Vec<_> = routes.iter().map(|(route, weight)| (*route, 1.0 / weight)).collect();
    pick_weighted(random, &inverse)
}

fn site(choice: SiteChoice, key: &Key, random: &mut Random) -> Option<Site> {
    let home = key.whereabouts.home().place;
    if choice == SiteChoice::Neighbour {
        return Some(Site::neighbour(home));
    }
    choice.place(home, random).map(|place| Site::stranger(place, random))
}

fn label(kind: AttackKind, window: Window, key: &Key, source_ip: Option<IpAddr>) -> Label {
    Label {
        key_id: key.registered.key_id.clone(),
        kind: CompactString::const_new(kind.name()),
        start: window.start,
        end: window.end,
        detectors: kind.recipe().detectors.iter().copied().map(CompactString::const_new).collect(),
        source_ip,
    }
}

/// The captured request as a new one: another id, another address, the same signed fields.
fn replayed(
    captured: &AccessRecord,
    time: EventTime,
    client_ip: IpAddr,
    key: u32,
    sequence: u32,
) -> AccessRecord {
    AccessRecord { time, client_ip, request_id: request_id(key, sequence), ..captured.clone() }
}

fn invented_key(random: &mut Random) -> CompactString {
    format_compact!("kw_live_{:012x}", random.random::<u64>() >> 16)
}
