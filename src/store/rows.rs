//! Defines the rows of the ClickHouse tables. Pure: it has no transport. Field names and order are
//! those of `sql/`; the types are those that the crate `clickhouse` writes as RowBinary.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::decode::Rejection;
use crate::enrich::{network_kind, typical_radius_km};
use crate::event::{
    AccessEvent, Coordinates, EnrichedEvent, EventTime, Fingerprint, Nonce, Origin, PartitionId,
    RecordPosition,
};

/// A row of `access_events`. It borrows from the event, so that writing a row does not allocate.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct EventRow<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub record_offset: i64,
    pub record_index: u32,
    /// Microseconds since the epoch, as all times in this module.
    pub time: i64,
    pub key_id: &'a str,
    /// IPv4 addresses are stored as mapped IPv6 addresses.
    pub client_ip: Ipv6Addr,
    pub method: &'a str,
    pub path: &'a str,
    pub status: u16,
    pub request_id: &'a str,
    pub latency_ms: Option<f32>,
    pub bytes_in: Option<u64>,
    pub bytes_out: Option<u64>,
    pub user_agent: &'a str,
    pub environment: &'a str,
    pub scope: &'a str,
    pub tenant: &'a str,
    pub nonce_fingerprint: u128,
    pub client_time: Option<i64>,
    pub signature_fingerprint: u128,
    pub country: &'a str,
    pub region: &'a str,
    pub city: &'a str,
    pub latitude: Option<f32>,
    pub longitude: Option<f32>,
    pub asn: u32,
    pub as_name: &'a str,
    /// The reason why the event was not judged; empty when it was.
    pub quarantined: &'a str,
    pub authenticated: Option<bool>,
    pub has_secret: bool,
    pub validity_ms: Option<u32>,
    pub client_fingerprint: &'a str,
    pub auth_method: &'a str,
}

impl<'a> EventRow<'a> {
    pub fn new(partition: &'a PartitionId, enriched: &'a EnrichedEvent) -> Self {
        let EnrichedEvent { event, position, origin } = enriched;
        let coordinates = origin.coordinates.as_ref();
        Self {
            topic: &partition.topic,
            partition: partition.partition,
            record_offset: position.offset,
            record_index: position.index,
            time: event.time.as_micros(),
            key_id: &event.key_id,
            client_ip: mapped(event.client_ip),
            method: &event.method,
            path: &event.path,
            status: event.status,
            request_id: event.request_id.as_deref().unwrap_or_default(),
            latency_ms: event.latency_ms,
            bytes_in: event.bytes_in,
            bytes_out: event.bytes_out,
            user_agent: event.user_agent.as_deref().unwrap_or_default(),
            environment: event.environment.as_deref().unwrap_or_default(),
            scope: event.scope.as_deref().unwrap_or_default(),
            tenant: event.tenant.as_deref().unwrap_or_default(),
            nonce_fingerprint: event.nonce.map_or(0, |nonce| nonce.fingerprint.0),
            client_time: event.client_time.map(|time| time.as_micros()),
            signature_fingerprint: event.signature.map_or(0, |fingerprint| fingerprint.0),
            country: &origin.country,
            region: &origin.region,
            city: &origin.city,
            latitude: coordinates.map(|place| place.latitude as f32),
            longitude: coordinates.map(|place| place.longitude as f32),
            asn: origin.asn,
            as_name: &origin.as_name,
            quarantined: "",
            authenticated: event.authenticated,
            has_secret: event.has_secret,
            validity_ms: event.validity_ms,
            client_fingerprint: event.client_fingerprint.as_deref().unwrap_or_default(),
            auth_method: event.auth_method.as_deref().unwrap_or_default(),
        }
    }

    /// Rebuilds the event from its row. Nonces come back as fingerprints. The accuracy of
    /// coordinates is not stored and is estimated from the kind of place.
    pub fn to_event(&self) -> EnrichedEvent {
        let text = |text: &str| (!text.is_empty()).then(|| text.into());
        let fingerprint = |hash: u128| (hash != 0).then_some(Fingerprint(hash));
        let nonce = |fingerprint| Nonce { fingerprint, number: None };
        let event = AccessEvent {
            time: EventTime::from_micros(self.time),
            key_id: self.key_id.into(),
            client_ip: self.client_ip.to_canonical(),
            method: self.method.into(),
            path: self.path.into(),
            status: self.status,
            request_id: text(self.request_id),
            latency_ms: self.latency_ms,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            user_agent: text(self.user_agent),
            environment: text(self.environment),
            scope: text(self.scope),
            tenant: text(self.tenant),
            nonce: fingerprint(self.nonce_fingerprint).map(nonce),
            client_time: self.client_time.map(EventTime::from_micros),
            signature: fingerprint(self.signature_fingerprint),
            authenticated: self.authenticated,
            has_secret: self.has_secret,
            validity_ms: self.validity_ms,
            client_fingerprint: text(self.client_fingerprint),
            auth_method: text(self.auth_method),
        };
        let position = RecordPosition { offset: self.record_offset, index: self.record_index };
        EnrichedEvent { event, position, origin: Arc::new(self.origin()) }
    }

    fn origin(&self) -> Origin {
        let kind = network_kind(self.asn, self.as_name);
        let accuracy_km = typical_radius_km(self.city, self.region).max(kind.least_radius_km());
        let coordinates = self.latitude.zip(self.longitude).map(|(latitude, longitude)| {
            let (latitude, longitude) = (f64::from(latitude), f64::from(longitude));
            Coordinates { latitude, longitude, accuracy_km }
        });
        Origin {
            country: self.country.into(),
            region: self.region.into(),
            city: self.city.into(),
            coordinates,
            asn: self.asn,
            as_name: self.as_name.into(),
            kind,
        }
    }
}

/// A row of `rejected_events`; the server adds the time.
#[derive(Clone, Row, Serialize)]
pub struct RejectionRow<'a> {
    topic: &'a str,
    partition: i32,
    record_offset: i64,
    record_index: u32,
    reason: &'a str,
    detail: &'a str,
    masked_payload: &'a str,
}

impl<'a> RejectionRow<'a> {
    pub fn new(partition: &'a PartitionId, rejection: &'a Rejection) -> Self {
        Self {
            topic: &partition.topic,
            partition: partition.partition,
            record_offset: rejection.position.offset,
            record_index: rejection.position.index,
            reason: rejection.reason.as_str(),
            detail: &rejection.detail,
            masked_payload: &rejection.masked_payload,
        }
    }
}

/// A row of `alerts`: the columns worth querying, and the whole alert as JSON.
#[derive(Clone, Row, Serialize)]
pub struct AlertRow<'a> {
    id: &'a str,
    revision: u32,
    r#type: &'a str,
    /// Empty when the incident is not about a key.
    key_id: &'a str,
    source_ip: Option<Ipv6Addr>,
    tenant: &'a str,
    severity: &'a str,
    risk: f64,
    confidence: f64,
    action: &'a str,
    dry_run: bool,
    title: &'a str,
    explanation: &'a str,
    detectors: Vec<&'a str>,
    first_event_time: i64,
    last_event_time: i64,
    detected_event_time: i64,
    detected_at: i64,
    topic: &'a str,
    partition: i32,
    first_offset: i64,
    last_offset: i64,
    policy_version: &'a str,
    model_version: &'a str,
    alert: String,
    /// The process that delivers it.
    written_by: &'a str,
}

impl<'a> AlertRow<'a> {
    /// # Errors
    /// Fails when the alert cannot be written as JSON (evidence with a number that JSON lacks).
    pub fn new(alert: &'a Alert, written_by: &'a str) -> serde_json::Result<Self> {
        Ok(Self {
            id: &alert.id,
            revision: alert.revision,
            r#type: alert.alert_type.as_str(),
            key_id: alert.key_id.as_deref().unwrap_or_default(),
            source_ip: alert.source_ip.map(mapped),
            tenant: alert.tenant.as_deref().unwrap_or_default(),
            severity: alert.severity.as_str(),
            risk: alert.risk,
            confidence: alert.confidence,
            action: alert.action.as_str(),
            dry_run: alert.dry_run,
            title: &alert.title,
            explanation: &alert.explanation,
            detectors: alert.detectors.iter().map(|detector| detector.as_str()).collect(),
            first_event_time: alert.first_event_time.as_micros(),
            last_event_time: alert.last_event_time.as_micros(),
            detected_event_time: alert.detected_event_time.as_micros(),
            detected_at: alert.detected_at.as_micros(),
            topic: &alert.position.topic,
            partition: alert.position.partition,
            first_offset: alert.position.first_offset,
            last_offset: alert.position.last_offset,
            policy_version: &alert.policy_version,
            model_version: &alert.model_version,
            alert: serde_json::to_string(alert)?,
            written_by,
        })
    }
}

pub(super) fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn enriched() -> EnrichedEvent {
        EnrichedEvent {
            event: AccessEvent {
                time: EventTime::from_seconds(1_700_000_000),
                key_id: "key-1".into(),
                client_ip: "192.0.2.7".parse().unwrap(),
                method: "GET".into(),
                path: "/v1/orders".into(),
                status: 200,
                request_id: None,
                latency_ms: Some(1.5),
                bytes_in: None,
                bytes_out: Some(0),
                user_agent: Some("curl/8".into()),
                environment: None,
                scope: None,
                tenant: None,
                nonce: Some(Nonce { fingerprint: Fingerprint(7), number: Some(42) }),
                client_time: None,
                signature: None,
                authenticated: Some(true),
                has_secret: false,
                validity_ms: Some(5_000),
                client_fingerprint: None,
                auth_method: Some("hmac".into()),
            },
            position: RecordPosition { offset: 9, index: 1 },
            origin: Arc::new(Origin {
                country: "DE".into(),
                coordinates: Some(Coordinates {
                    latitude: 52.5,
                    longitude: 13.25,
                    accuracy_km: 20.0,
                }),
                asn: 64500,
                ..Origin::default()
            }),
        }
    }

    #[test]
    fn unknown_fields_become_empty_and_zero_is_kept() {
        let partition = PartitionId { topic: "access".into(), partition: 3 };
        let enriched = enriched();
        let row = EventRow::new(&partition, &enriched);
        assert_eq!((row.topic, row.partition), ("access", 3));
        assert_eq!((row.record_offset, row.record_index), (9, 1));
        assert_eq!((row.request_id, row.user_agent), ("", "curl/8"));
        assert_eq!((row.bytes_in, row.bytes_out), (None, Some(0)));
        assert_eq!((row.nonce_fingerprint, row.signature_fingerprint), (7, 0));
        assert_eq!((row.latitude, row.longitude), (Some(52.5), Some(13.25)));
    }

    #[test]
    fn the_stored_fields_of_an_event_read_back() {
        let partition = PartitionId { topic: "access".into(), partition: 3 };
        let written = enriched();
        let read = EventRow::new(&partition, &written).to_event();
        let mut expected = written.event.clone();
        expected.nonce = Some(Nonce { fingerprint: Fingerprint(7), number: None });
        assert_eq!((read.event, read.position), (expected, written.position));
        assert_eq!((read.origin.asn, &read.origin.country), (64500, &written.origin.country));
        let place = read.origin.coordinates.unwrap();
        assert_eq!((place.latitude, place.accuracy_km), (52.5, 500.0), "a country's radius");
    }

    #[test]
    fn ipv4_addresses_are_mapped_and_ipv6_kept() {
        assert_eq!(mapped("192.0.2.7".parse().unwrap()).to_string(), "::ffff:192.0.2.7");
        assert_eq!(mapped("2001:db8::1".parse().unwrap()).to_string(), "2001:db8::1");
    }
}
