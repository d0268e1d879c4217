//! Makes the requests of a key's own client.

use std::net::IpAddr;

use compact_str::{CompactString, format_compact};
use rand::RngExt;

use super::agents::ClientFingerprint;
use super::client::Client;
use super::key::Key;
use super::products::Route;
use super::random::{Random, chance, log_normal, pick_weighted};
use super::record::{AccessRecord, request_id};
use super::signing::Signed;
use super::weather::Weather;
use crate::event::EventTime;

/// One request and its response.
pub(super) struct Exchange {
    pub time: EventTime,
    pub address: IpAddr,
    pub agent: &'static str,
    pub route: &'static Route,
    pub path: CompactString,
    pub status: u16,
    pub signed: Signed,
    /// Whether the API accepted the credential; `None` if it did not check.
    pub authenticated: Option<bool>,
}

impl Client {
    fn status(
        &self,
        time: EventTime,
        route: &Route,
        weather: &Weather,
        random: &mut Random,
    ) -> u16 {
        if let Some(status) = self.refusal(time).or_else(|| weather.status(time, random)) {
            status
        } else if chance(random, self.error_share) {
            pick_weighted(random, self.errors)
        } else {
            route.success()
        }
    }

    fn path(&self, route: &Route, time: EventTime, random: &mut Random) -> CompactString {
        let path = route.path(random);
        if self.uses_next_version(time, random) { next_version(&path) } else { path }
    }
}

impl Key {
    /// The request of client number `client` at `time`; `None` while its user is away.
    pub fn own_request(
        &mut self,
        client: usize,
        time: EventTime,
        sequence: u32,
        weather: &Weather,
        random: &mut Random,
    ) -> Option<AccessRecord> {
        let client = &self.clients[client];
        if !client.shows_up(time, random) {
            return None;
        }
        let caller = client.whereabouts.caller(time, random)?;
        let agent = client.agents.of(caller.member, time);
        let route = pick_weighted(random, &client.routes);
        let status = client.status(time, route, weather, random);
        let path = client.path(route, time, random);
        // A gateway in an outage does not check credentials.
        let is_down = weather.is_outage(time) && status >= 500;
        let authenticated = (!is_down).then_some(status != 401);
        let signed = self.signers[client.signer].sign(time, random);
        let address = caller.address;
        let exchange =
            Exchange { time, address, agent, route, path, status, signed, authenticated };
        Some(self.record(exchange, sequence, random))
    }

    /// The log record of an exchange in this key's name.
    pub fn record(&self, exchange: Exchange, sequence: u32, random: &mut Random) -> AccessRecord {
        let Exchange { time, address, agent, route, path, status, signed, authenticated } =
            exchange;
        let is_refused = authenticated == Some(false);
        AccessRecord {
            time,
            request_id: request_id(self.index, sequence),
            key_id: self.registered.key_id.clone(),
            client_ip: address,
            method: route.method,
            path,
            status,
            latency_ms: self.latency(route, status, random),
            bytes_in: bytes_in(route, random),
            bytes_out: bytes_out(route, status, random),
            user_agent: agent,
            environment: self.registered.environment.clone(),
            scope: route.scope,
            // The gateway knows the tenant once it has accepted the key.
            tenant: (!is_refused).then(|| self.registered.tenant.clone()),
            nonce: signed.nonce,
            client_time: signed.client_time,
            signature: signed.signature,
            authenticated: authenticated.filter(|_| self.gateway.logs_outcome),
            validity_ms: self.signers[0].validity_ms,
            client_fingerprint: self.gateway.logs_tls.then(|| ClientFingerprint::of(agent)),
            auth_method: self.gateway.logs_method.then_some(self.auth_method()),
        }
    }

    fn auth_method(&self) -> &'static str {
        if self.signers[0].sends_signature { "hmac" } else { "api_key" }
    }

    /// Milliseconds with one decimal. Refusals are quick, and timeouts are slow.
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

/// Replaces `/v1/…` by `/v2/…`; a path without a version stays unchanged.
fn next_version(path: &str) -> CompactString {
    match path.as_bytes() {
        [b'/', b'v', digit @ b'1'..=b'8', ..] => {
            format_compact!("/v{}{}", digit - b'0' + 1, &path[3..])
        }
        _ => path.into(),
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
