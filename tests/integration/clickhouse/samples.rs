//! Makes sample events and alerts.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use keywatch::alert::{
    Action, Alert, AlertPosition, AlertType, DetectorId, Evidence, Guidance, Handling, Severity,
};
use keywatch::decode::{RejectReason, Rejection};
use keywatch::event::{
    AccessEvent, Coordinates, EnrichedEvent, EventTime, Fingerprint, Nonce, Origin, PartitionId,
    RecordPosition,
};
use keywatch::network::NetworkKind;
use keywatch::store::{Claim, StoredBatch};

pub fn partition(number: i32) -> PartitionId {
    PartitionId { topic: "access".into(), partition: number }
}

/// A successful request of `key_id` from Germany; each test changes the fields that it is about.
pub fn event(offset: i64, time: EventTime, key_id: &str) -> EnrichedEvent {
    EnrichedEvent {
        event: AccessEvent {
            time,
            key_id: key_id.into(),
            client_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            method: "GET".into(),
            path: "/v1/orders".into(),
            status: 200,
            request_id: Some(format!("request-{offset}").into()),
            latency_ms: Some(12.5),
            bytes_in: Some(100),
            bytes_out: Some(2_000),
            user_agent: Some("client/1.0".into()),
            environment: Some("production".into()),
            scope: None,
            tenant: Some("acme".into()),
            nonce: Some(Nonce { fingerprint: Fingerprint(u128::MAX - 5), number: None }),
            client_time: Some(time.plus_seconds(-0.25)),
            signature: None,
            authenticated: None,
            has_secret: false,
            validity_ms: None,
            client_fingerprint: None,
            auth_method: None,
        },
        position: RecordPosition { offset, index: 0 },
        origin: origin("DE", 64_500),
    }
}

pub fn origin(country: &str, asn: u32) -> Arc<Origin> {
    Arc::new(Origin {
        country: country.into(),
        region: "Region".into(),
        city: "City".into(),
        coordinates: Some(Coordinates { latitude: 52.52, longitude: 13.4, accuracy_km: 20.0 }),
        asn,
        as_name: format!("Network {asn}").into(),
        kind: NetworkKind::Access,
    })
}

/// `count` events of 97 keys, from varied addresses, routes and statuses, one every
/// `step_seconds` from `start`. Offsets begin at `first_offset`.
pub fn varied_events(
    count: usize,
    first_offset: i64,
    start: EventTime,
    step_seconds: f64,
) -> Vec<EnrichedEvent> {
    (0..count)
        .map(|i| {
            let time = start.plus_seconds(i as f64 * step_seconds);
            let mut enriched = event(first_offset + i as i64, time, &format!("key-{}", i % 97));
            let sample = &mut enriched.event;
            sample.client_ip = IpAddr::V4(Ipv4Addr::new(10, 0, (i % 3) as u8, (i % 5) as u8));
            sample.path = format!("/v1/resource/{}", i % 7).into();
            sample.status = [200, 201, 302, 401, 403, 404, 429, 500][i % 8];
            sample.bytes_in = (i % 4 != 0).then_some(i as u64);
            sample.latency_ms = (i % 6 != 0).then_some((i % 300) as f32);
            enriched.origin = origin(["DE", "US", ""][i % 3], [64_500, 0, 64_501, 64_502][i % 4]);
            enriched
        })
        .collect()
}

/// A batch of `events`, whose offsets rise by one.
pub fn batch<'a>(partition: &'a PartitionId, events: &'a [EnrichedEvent]) -> StoredBatch<'a> {
    StoredBatch {
        first_offset: events.first().unwrap().position.offset,
        last_offset: events.last().unwrap().position.offset,
        events,
        ..unclaimed(partition)
    }
}

/// A batch without rows, of a partition without an owner.
pub fn unclaimed(partition: &PartitionId) -> StoredBatch<'_> {
    static NOBODY: LazyLock<Claim> = LazyLock::new(Claim::default);
    StoredBatch::empty(partition, &NOBODY)
}

pub fn rejection(offset: i64, reason: RejectReason) -> Rejection {
    Rejection {
        position: RecordPosition { offset, index: 0 },
        reason,
        detail: format!("record {offset}: {reason}"),
        masked_payload: "{\"api_key\":\"***\"".into(),
        parts: 1,
        key_id: None,
    }
}

pub fn alert(id: &str, revision: u32, key_id: &str, detected_at: EventTime) -> Alert {
    Alert {
        id: id.into(),
        revision,
        alert_type: if revision == 1 { AlertType::Opened } else { AlertType::Updated },
        key_id: Some(key_id.into()),
        source_ip: Some("2001:db8::7".parse().unwrap()),
        affected_keys: Vec::new(),
        tenant: Some("acme".into()),
        severity: Severity::High,
        risk: 70.5 + f64::from(revision),
        confidence: 0.75,
        action: Action::Notify,
        restraint: None,
        dry_run: true,
        title: format!("Impossible travel of {key_id}"),
        explanation: "Two places, 9,000 km apart, within 10 minutes; it's odd.".into(),
        detectors: vec![DetectorId::ImpossibleTravel, DetectorId::RateSpike],
        evidence: vec![Evidence {
            ceiling: None,
            detector: DetectorId::ImpossibleTravel,
            score: 60.0,
            p_value: 0.5,
            observed: Some(54_000.0),
            expected: None,
            fields: serde_json::Map::new(),
        }],
        first_event_time: detected_at.plus_seconds(-60.0),
        last_event_time: detected_at.plus_seconds(-1.0),
        detected_event_time: detected_at.plus_seconds(-1.0),
        detected_at,
        position: AlertPosition {
            topic: "access".into(),
            partition: 0,
            first_offset: 5,
            last_offset: 9,
        },
        policy_version: "default".into(),
        model_version: "built-in".into(),
        guidance: Guidance::default(),
        handling: Handling::default(),
    }
}
