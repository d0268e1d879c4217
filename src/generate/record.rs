//! Defines an access log record in the `keywatch` format, before decoding.

use std::fmt::Write;
use std::net::IpAddr;

use compact_str::CompactString;
use serde::Serialize;

use super::agents::ClientFingerprint;
use super::random::scramble;
use super::signing::{ClientNonce, Signature};
use crate::event::{EventTime, KeyId};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccessRecord {
    pub time: EventTime,
    pub request_id: CompactString,
    pub key_id: KeyId,
    pub client_ip: IpAddr,
    pub method: &'static str,
    pub path: CompactString,
    pub status: u16,
    pub latency_ms: f32,
    pub bytes_in: u32,
    pub bytes_out: u32,
    pub user_agent: &'static str,
    pub environment: CompactString,
    pub scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<CompactString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<ClientNonce>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_time: Option<EventTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validity_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_fingerprint: Option<ClientFingerprint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<&'static str>,
}

/// Unique by construction: a bijection of the key's number and the request's number.
pub(super) fn request_id(key: u32, sequence: u32) -> CompactString {
    let number = scramble((u64::from(key) << 32) | u64::from(sequence));
    let mut id = CompactString::default();
    // Writing into a string cannot fail.
    let _ = write!(id, "req_{number:016x}");
    id
}
