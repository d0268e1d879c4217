//! The requests that a key's own client makes.

use std::net::IpAddr;

use rand::RngExt;

use super::key::Key;
use super::products::Route;
use super::random::{Random, chance, log_normal, pick_weighted};
use super::record::{AccessRecord, request_id};
use super::signing::Signed;
use super::weather::Weather;
use crate::event::EventTime;

const ORDINARY_ERRORS: [(u16, f64); 8] = [
    (400, 2.0),
    (401, 0.1),
    (404, 4.0),
    (409, 0.8),
    (422, 1.5),
    (429, 0.3),
    (500, 1.2),
    (503, 0.6),
];

/// What one request asks and gets.
#[derive(Clone, Copy)]
pub(super) struct Exchange {
    pub time: EventTime,
    pub address: IpAddr,
    pub route: &'static Route,
    pub status: u16,
}

impl Key {
    /// The own client's request at `time`; `None` while its owner is in the air.
    pub fn own_request(
        &mut self,
        time: EventTime,
        sequence: u32,
        weather: &Weather,
        random: &mut Random,
    ) -> Option<AccessRecord> {
        let address = self.whereabouts.site(time, random)?.address(time, random);
        let route = pick_weighted(random, &self.routes);
        let status = self.own_status(time, route, weather, random);
        let signed = self.signer.sign(time, random);
        Some(self.record(Exchange { time, address, route, status }, signed, sequence, random))
    }

    fn own_status(
        &self,
        time: EventTime,
        route: &Route,
        weather: &Weather,
        random: &mut Random,
    ) -> u16 {
        if self.banned_from.is_some_and(|banned| banned <= time) {
            403
        } else if let Some(status) = weather.status(time, random) {
            status
        } else if chance(random, self.error_share) {
            pick_weighted(random, &ORDINARY_ERRORS)
        } else {
            route.success()
        }
    }

    /// The log record of an exchange in this key's name.
    pub fn record(
        &self,
        exchange: Exchange,
        signed: Signed,
        sequence: u32,
        random: &mut Random,
    ) -> AccessRecord {
        let Exchange { time, address, route, status } = exchange;
        AccessRecord {
            time,
            request_id: request_id(self.index, sequence),
            key_id: self.registered.key_id.clone(),
            client_ip: address,
            method: route.method,
            path: route.path(random),
            status,
            latency_ms: self.latency(route, status, random),
            bytes_in: bytes_in(route, random),
            bytes_out: bytes_out(route, status, random),
            user_agent: self.user_agent,
            environment: self.registered.environment.clone(),
            scope: route.scope,
            tenant: Some(self.registered.tenant.clone()),
            nonce: signed.nonce,
            client_time: signed.client_time,
            signature: signed.signature,
        }
    }

    /// Milliseconds with one decimal. Refusals are quick, timeouts take their time.
    fn latency(&self, route: &Route, status: u16, random: &mut Random) -> f32 {
        let median = match status {
            401 | 403 | 429 => 4.0,
            504 => 30_000.0,
            _ => route.latency_ms * self.latency_factor,
        };
        let sigma = if status == 504 { 0.01 } else { 0.45 };
        ((log_normal(random, median, sigma) * 10.0).round() / 10.0) as f32
    }
}

fn bytes_in(route: &Route, random: &mut Random) -> u32 {
    match route.method {
        "POST" | "PUT" => log_normal(random, 700.0, 0.7) as u32,
        _ => random.random_range(180..420),
    }
}

fn bytes_out(route: &Route, status: u16, random: &mut Random) -> u32 {
    if status >= 400 {
        random.random_range(60..220)
    } else {
        log_normal(random, route.bytes_out, 0.6) as u32
    }
}
