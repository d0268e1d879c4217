//! A small language for logs: keys that do things at places and times.

use std::sync::Arc;

use compact_str::{CompactString, format_compact};
use keywatch::alert::Alert;
use keywatch::config::{DetectConfig, PolicyConfig};
use keywatch::detect::outlier::Model;
use keywatch::engine::{BatchOutcome, Engine};
use keywatch::event::{
    AccessEvent, Coordinates, EnrichedEvent, EventTime, Fingerprint, Nonce, Origin, PartitionId,
    RecordPosition, ShardId,
};
use keywatch::network::NetworkKind;
use keywatch::registry::Registry;

#[derive(Clone, Copy)]
pub struct Place {
    pub ip: &'static str,
    pub asn: u32,
    pub country: &'static str,
    pub region: &'static str,
    pub city: &'static str,
    pub latitude: f64,
    pub longitude: f64,
}

pub const LONDON: Place = Place {
    ip: "192.0.2.10",
    asn: 64_500,
    country: "GB",
    region: "England",
    city: "London",
    latitude: 51.5,
    longitude: -0.1,
};
pub const AMSTERDAM: Place = Place {
    ip: "198.51.100.10",
    asn: 64_501,
    country: "NL",
    region: "North Holland",
    city: "Amsterdam",
    latitude: 52.4,
    longitude: 4.9,
};
pub const NEW_YORK: Place = Place {
    ip: "203.0.113.10",
    asn: 64_502,
    country: "US",
    region: "New York",
    city: "New York",
    latitude: 40.7,
    longitude: -74.0,
};
pub const SYDNEY: Place = Place {
    ip: "198.18.5.10",
    asn: 64_503,
    country: "AU",
    region: "New South Wales",
    city: "Sydney",
    latitude: -33.9,
    longitude: 151.2,
};

/// The network of a hosting company.
pub const HOSTER: u32 = 64_999;
/// The network of another one.
pub const OTHER_HOSTER: u32 = 64_997;
/// The exits of a virtual private network.
pub const VPN: u32 = 64_998;

/// Monday, 2026-01-05, midnight UTC.
const START: i64 = 1_767_571_200;

#[derive(Default)]
pub struct Scene {
    requests: Vec<(AccessEvent, Arc<Origin>)>,
}

/// The request just added, to say more about it.
pub struct Request<'a>(&'a mut AccessEvent);

impl Request<'_> {
    pub fn nonce(self, nonce: &str) -> Self {
        let hash = nonce.bytes().fold(7u128, |h, b| h.wrapping_mul(1_000_003) ^ u128::from(b));
        self.0.nonce = Some(Nonce { fingerprint: Fingerprint(hash), number: nonce.parse().ok() });
        self
    }

    pub fn signature(self, signature: u128) -> Self {
        self.0.signature = Some(Fingerprint(signature));
        self
    }

    pub fn valid_for(self, millis: u32) -> Self {
        self.0.validity_ms = Some(millis);
        self
    }

    pub fn status(self, status: u16) -> Self {
        self.0.status = status;
        self
    }

    /// The gateway says that the credential was good, whatever the status.
    pub fn authenticated(self) -> Self {
        self.0.authenticated = Some(true);
        self
    }

    pub fn latency(self, seconds: f32) -> Self {
        self.0.latency_ms = Some(1_000.0 * seconds);
        self
    }

    pub fn method(self, method: &str) -> Self {
        self.0.method = method.into();
        self
    }

    pub fn path(self, path: &str) -> Self {
        self.0.path = path.into();
        self
    }

    pub fn ip(self, ip: &str) -> Self {
        self.0.client_ip = ip.parse().unwrap();
        self
    }

    pub fn agent(self, agent: &str) -> Self {
        self.0.user_agent = Some(agent.into());
        self
    }

    pub fn fingerprint(self, fingerprint: &str) -> Self {
        self.0.client_fingerprint = Some(fingerprint.into());
        self
    }

    pub fn tenant(self, tenant: &str) -> Self {
        self.0.tenant = Some(tenant.into());
        self
    }

    pub fn bytes_out(self, bytes: u64) -> Self {
        self.0.bytes_out = Some(bytes);
        self
    }

    pub fn request_id(self, id: &str) -> Self {
        self.0.request_id = Some(id.into());
        self
    }

    pub fn signed_at(self, seconds: f64) -> Self {
        self.0.client_time = Some(EventTime::from_seconds(START).plus_seconds(seconds));
        self
    }
}

impl Scene {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn at(&self, seconds: f64) -> EventTime {
        EventTime::from_seconds(START).plus_seconds(seconds)
    }

    pub fn request(&mut self, key: &str, place: Place, seconds: f64) -> Request<'_> {
        let event = AccessEvent::minimal(self.at(seconds), key, place.ip.parse().unwrap());
        let origin = Origin {
            country: place.country.into(),
            region: place.region.into(),
            city: place.city.into(),
            coordinates: Some(Coordinates {
                latitude: place.latitude,
                longitude: place.longitude,
                accuracy_km: 50.0,
            }),
            asn: place.asn,
            as_name: network_name(place.asn),
            kind: match place.asn {
                HOSTER | OTHER_HOSTER => NetworkKind::Hosting,
                VPN => NetworkKind::Vpn,
                _ => NetworkKind::Access,
            },
        };
        self.requests.push((event, Arc::new(origin)));
        Request(&mut self.requests.last_mut().unwrap().0)
    }

    /// A request every `every` seconds, from `start` for `length` seconds.
    pub fn steady(&mut self, key: &str, place: Place, start: f64, length: f64, every: f64) {
        let count = (length / every) as u32;
        for n in 0..count {
            self.request(key, place, start + f64::from(n) * every);
        }
    }

    /// The log in time order, as it would be read.
    pub fn events(&self) -> Vec<EnrichedEvent> {
        let mut requests = self.requests.clone();
        requests.sort_by_key(|(event, _)| event.time);
        let place = |(offset, (event, origin))| EnrichedEvent {
            event,
            position: RecordPosition { offset: offset as i64, index: 0 },
            origin,
        };
        requests.into_iter().enumerate().map(place).collect()
    }

    pub fn engine() -> Engine {
        let (detect, policy) = (DetectConfig::default(), PolicyConfig::default());
        with_model(Engine::new(&detect, &policy, Registry::default()))
    }

    pub fn partition() -> PartitionId {
        PartitionId { topic: "log".into(), partition: 0 }
    }

    pub fn run(&self) -> Vec<Alert> {
        self.outcome().alerts
    }

    pub fn outcome(&self) -> BatchOutcome {
        self.outcome_under(&PolicyConfig::default())
    }

    pub fn outcome_under(&self, policy: &PolicyConfig) -> BatchOutcome {
        let engine = Engine::new(&DetectConfig::default(), policy, Registry::default());
        with_model(engine).process(ShardId::Shared, &Self::partition(), &self.events(), None)
    }

    /// The same log in batches whose sizes go round through `cuts`.
    pub fn run_in_batches(&self, cuts: &[usize]) -> Vec<Alert> {
        let mut engine = Self::engine();
        let events = self.events();
        let mut rest = &events[..];
        let mut alerts = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (batch, after) = rest.split_at((*cut).min(rest.len()));
            alerts.extend(engine.process(ShardId::Shared, &Self::partition(), batch, None).alerts);
            rest = after;
        }
        alerts
    }
}

fn network_name(asn: u32) -> CompactString {
    match asn {
        HOSTER => "Machines for Rent".into(),
        OTHER_HOSTER => "Other Machines".into(),
        VPN => "Example VPN".into(),
        64_500..64_600 => "Example Networks".into(),
        _ => format_compact!("Network {asn}"),
    }
}

/// With the model that the program carries.
pub fn with_model(mut engine: Engine) -> Engine {
    engine.set_model(Arc::new(Model::shipped().unwrap()));
    engine
}
