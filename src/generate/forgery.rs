//! Forges an attacker's own requests: their routes, their signing and the key that they name.

use compact_str::{CompactString, format_compact};
use rand::RngExt;

use super::attacks::{Names, Trick};
use super::intrusion::Intrusion;
use super::key::Key;
use super::products::Route;
use super::random::{Random, chance, pick_weighted, scramble};
use super::record::AccessRecord;
use super::signing::{ClientNonce, Signed};
use super::traffic::Exchange;
use super::whereabouts::Caller;
use crate::event::EventTime;

/// The share of keys tried in stuffing that exist.
const EXISTING_KEYS: f64 = 0.02;
const SMALL_COUNTER_LENGTH: u64 = 50;
const FIRST_ID: u64 = 10_000;
const HUGE_NONCE: u64 = 9_000_000_000_000_000_000;

impl Intrusion {
    /// Makes a request of the attacker's own.
    pub(super) fn forged(
        &mut self,
        key: &mut Key,
        time: EventTime,
        caller: Caller,
        sequence: u32,
        random: &mut Random,
    ) -> AccessRecord {
        let manner = &self.recipe.manner;
        let route = self.route(key, random);
        let status = match manner.statuses {
            Some(statuses) => pick_weighted(random, statuses),
            None => route.success(),
        };
        let path = if manner.counts_up {
            route.path_of(FIRST_ID + self.made, random)
        } else {
            route.path(random)
        };
        let exchange = Exchange {
            time,
            address: caller.address,
            agent: self.tool.unwrap_or_else(|| key.clients[0].agents.of(caller.member, time)),
            route,
            path,
            status,
            signed: self.sign(key, time, random),
            authenticated: Some(!manner.outsider && status != 401),
        };
        let mut record = key.record(exchange, sequence, random);
        self.disguise(&mut record, random);
        record
    }

    fn route(&self, key: &Key, random: &mut Random) -> &'static Route {
        let manner = &self.recipe.manner;
        let own = &key.clients[0].routes;
        if let Some(product) = manner.product {
            &product[random.random_range(0..product.len())]
        } else if manner.prefers_rare_routes {
            rare_route(own, random)
        } else if manner.counts_up {
            own.iter()
                .map(|(route, _)| *route)
                .find(|route| route.method == "GET" && route.has_number())
                .unwrap_or(own[0].0)
        } else {
            pick_weighted(random, own)
        }
    }

    fn sign(&mut self, key: &mut Key, time: EventTime, random: &mut Random) -> Signed {
        let signer = &mut key.signers[0];
        if self.recipe.manner.outsider {
            // A guess must not advance the victim's counter.
            let ahead = 1 + self.made % 5;
            let next = signer.next_number(ahead);
            let mut guess = signer.clone().sign(time, random);
            self.guess(&mut guess, time, next, random);
            return guess;
        }
        let mut signed = signer.sign(time, random);
        match self.recipe.manner.trick {
            Trick::LowNonce => {
                let low = self.low_nonce.map_or_else(|| signer.low_number(), |last| last + 1);
                self.low_nonce = Some(low);
                signed.nonce = Some(ClientNonce::Number(low));
            }
            Trick::SmallCounter => {
                signed.nonce = Some(ClientNonce::Number(1 + self.made % SMALL_COUNTER_LENGTH));
            }
            Trick::OldTime => signed.client_time = Some(old_time(time, random)),
            _ => {}
        }
        signed
    }

    /// Fills in the nonce that an attacker without the secret would send.
    fn guess(&self, signed: &mut Signed, time: EventTime, next: u64, random: &mut Random) {
        match self.recipe.manner.trick {
            Trick::HugeNonce => signed.nonce = Some(ClientNonce::Number(HUGE_NONCE)),
            Trick::NextNonce => signed.nonce = Some(ClientNonce::Number(next)),
            Trick::InventedNonce => {
                let pair = self.window.start.as_micros() as u64 ^ (self.made / 2);
                signed.nonce = Some(ClientNonce::Number(scramble(pair) >> 11));
            }
            Trick::OldTime => signed.client_time = Some(old_time(time, random)),
            _ => {}
        }
    }

    fn disguise(&mut self, record: &mut AccessRecord, random: &mut Random) {
        let manner = &self.recipe.manner;
        if manner.other_environment {
            let is_production = record.environment == "production";
            record.environment = if is_production { "development" } else { "production" }.into();
        }
        record.bytes_out = (f64::from(record.bytes_out) * manner.bytes_factor) as u32;
        let invents = match manner.names {
            Names::Victim => return,
            // The first request names the labelled key, so that the label starts with it.
            Names::Invented => self.made > 0 && !chance(random, EXISTING_KEYS),
            Names::Mixed => chance(random, 0.8),
            Names::PublicIds => false,
        };
        if invents {
            record.key_id = invented_key(random);
            record.tenant = None;
            record.status = 401;
            record.authenticated = record.authenticated.map(|_| false);
        } else if manner.names != Names::Invented {
            let number = if manner.names == Names::Mixed {
                random.random_range(0..self.ids.len())
            } else {
                self.made as usize % self.ids.len()
            };
            record.key_id = self.ids[number].clone();
        }
    }
}

/// Picks a route with a weight inverse to its usual one.
fn rare_route(routes: &[(&'static Route, f64)], random: &mut Random) -> &'static Route {
    let inverse: Vec<_> = routes.iter().map(|(route, weight)| (*route, 1.0 / weight)).collect();
    pick_weighted(random, &inverse)
}

fn old_time(time: EventTime, random: &mut Random) -> EventTime {
    time.plus_seconds(-random.random_range(300.0..3_600.0))
}

fn invented_key(random: &mut Random) -> CompactString {
    format_compact!("kw_live_{:012x}", random.random::<u64>() >> 16)
}
