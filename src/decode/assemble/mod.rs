//! Checks the fields of a record and builds an event from them. A required field that is missing or
//! unusable rejects the record; an unusable optional field is left out.

mod key;
mod optional;

use std::net::IpAddr;

use compact_str::CompactString;

use self::optional::{Optional, label, latency, nonce_number, validity};
use super::format::Format;
use super::forwarded::Proxies;
use super::left_out::LeftOut;
use super::pseudonym::Pseudonyms;
use super::public_ids::PublicIds;
use super::raw_event::{Field, RawEvent};
use super::reason::RejectReason;
use super::scalar::Scalar;
use super::{address, mask, path, text, time};
use crate::event::{AccessEvent, EventTime, Nonce};

/// 2000-01-01. Earlier times come from clocks that were never set.
const EARLIEST: EventTime = EventTime::from_seconds(946_684_800);

/// The reason why a record is not an event.
#[derive(Debug)]
pub(super) struct Refusal {
    pub reason: RejectReason,
    pub detail: String,
}

impl Refusal {
    pub fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// The decoder's settings and limits for one batch.
pub(super) struct Context<'a> {
    /// Names the fields as the log does.
    pub format: &'a Format,
    pub pseudonyms: &'a Pseudonyms,
    pub public_ids: &'a PublicIds,
    pub proxies: &'a Proxies,
    pub has_pepper: bool,
    /// Whether the records come from a topic that this program wrote.
    pub is_repartitioned: bool,
    /// Later times are rejected.
    pub latest: EventTime,
}

impl Context<'_> {
    /// Passes the event to `emit`, which builds it in its final place in memory. Unusable optional
    /// fields are left out and counted in `left_out`.
    pub fn assemble(
        &self,
        raw: &RawEvent<'_>,
        left_out: &mut LeftOut,
        emit: impl FnOnce(AccessEvent),
    ) -> Result<(), Refusal> {
        if let Some(field) = raw.duplicate {
            return Err(self.duplicate(field));
        }
        let time = self.time(&raw.time)?;
        let key_id = self.key_id(raw)?;
        let peer = self.client_ip(&raw.client_ip)?;
        let method = self
            .required_text(Field::Method, &raw.method, |t| text::bounded(t, text::METHOD_BYTES))?;
        let path = match &raw.path {
            Scalar::Empty => path::path(""),
            given => self.required_text(Field::Path, given, path::path)?,
        };
        let status = self.status(&raw.status)?;
        let mut optional = Optional { raw, left_out };
        let client_ip = self.forwarded_for(peer, &mut optional).unwrap_or(peer);
        emit(AccessEvent {
            time,
            key_id,
            client_ip,
            method,
            path,
            status,
            request_id: optional.exact(Field::RequestId, |id| self.request_id(id)),
            latency_ms: optional.read(Field::LatencyMs, latency),
            bytes_in: optional.read(Field::BytesIn, Scalar::unsigned),
            bytes_out: optional.read(Field::BytesOut, Scalar::unsigned),
            user_agent: optional
                .text(Field::UserAgent, |t| text::bounded(t, text::USER_AGENT_BYTES)),
            environment: optional.text(Field::Environment, label),
            scope: optional.text(Field::Scope, label),
            tenant: optional.text(Field::Tenant, label),
            nonce: optional.exact(Field::Nonce, |nonce| self.nonce(nonce)),
            client_time: optional.read(Field::ClientTime, time::parse),
            signature: optional.exact(Field::Signature, |t| self.pseudonyms.signature(t)),
            authenticated: optional.read(Field::Authenticated, Scalar::boolean),
            has_secret: self.has_secret(raw),
            validity_ms: optional.read(Field::ValidityMs, validity),
            client_fingerprint: optional.text(Field::ClientFingerprint, label),
            auth_method: optional.text(Field::AuthMethod, label),
        });
        Ok(())
    }

    pub fn duplicate(&self, field: Field) -> Refusal {
        let label = self.format.label(field);
        let detail = format!("field {label} occurs twice; write it once");
        Refusal::new(RejectReason::DuplicateField, detail)
    }

    fn time(&self, scalar: &Scalar<'_>) -> Result<EventTime, Refusal> {
        let time = match time::parse(scalar) {
            Some(time) => time,
            None => {
                let expected = "RFC 3339 with an offset, or epoch seconds, ms, us or ns";
                return Err(self.unusable(Field::Time, scalar, expected));
            }
        };
        if time < EARLIEST {
            let label = self.format.label(Field::Time);
            let detail = format!("field {label} is {time}, expected 2000-01-01 or later");
            return Err(Refusal::new(RejectReason::TimeOutOfRange, detail));
        }
        if time > self.latest {
            let (label, latest) = (self.format.label(Field::Time), self.latest);
            let detail = format!("field {label} is {time}, expected no later than {latest}");
            return Err(Refusal::new(RejectReason::FutureTime, detail));
        }
        Ok(time)
    }

    /// Whether the log contained the raw key. Behind a repartitioned topic, only this program's own
    /// mark shows that.
    fn has_secret(&self, raw: &RawEvent<'_>) -> bool {
        let is_marked = raw.keywatch_has_secret.boolean() == Some(true);
        raw.key_id.is_absent() || (self.is_repartitioned && is_marked)
    }

    /// Returns the client for whom a trusted proxy asked. `None`: the peer is the client, or nobody
    /// knows another.
    fn forwarded_for(&self, peer: IpAddr, optional: &mut Optional<'_, '_>) -> Option<IpAddr> {
        if !self.proxies.trusts(peer) {
            return None;
        }
        let client = |header: &Scalar<'_>| self.proxies.client(&header.text()?);
        optional.read(Field::ForwardedFor, client)
    }

    /// Returns the client's address if it is not the one that the log names.
    pub fn client_behind_proxy(&self, raw: &RawEvent<'_>) -> Option<IpAddr> {
        let peer = address::parse(&raw.client_ip.text()?)?;
        self.forwarded_for(peer, &mut Optional { raw, left_out: &mut LeftOut::default() })
    }

    fn request_id(&self, id: &str) -> CompactString {
        if id.len() > text::REQUEST_ID_BYTES {
            compact_str::format_compact!("{}", self.pseudonyms.text(id))
        } else {
            text::bounded(id, text::REQUEST_ID_BYTES)
        }
    }

    fn nonce(&self, nonce: &str) -> Nonce {
        Nonce { fingerprint: self.pseudonyms.nonce(nonce), number: nonce_number(nonce) }
    }
}

impl Context<'_> {
    fn client_ip(&self, scalar: &Scalar<'_>) -> Result<IpAddr, Refusal> {
        scalar.text().and_then(|text| address::parse(&text)).ok_or_else(|| {
            let is_list = scalar.text().is_some_and(|text| address::is_list(&text));
            let expected = if is_list {
                "one IPv4 or IPv6 address and not a list: log the address that the gateway saw"
            } else {
                "an IPv4 or IPv6 address"
            };
            self.unusable(Field::ClientIp, scalar, expected)
        })
    }

    fn status(&self, scalar: &Scalar<'_>) -> Result<u16, Refusal> {
        text::status(scalar).ok_or_else(|| {
            let expected = "an HTTP status from 100 to 599, or 0 for none";
            self.unusable(Field::Status, scalar, expected)
        })
    }

    fn required_text(
        &self,
        field: Field,
        scalar: &Scalar<'_>,
        make: impl FnOnce(&str) -> CompactString,
    ) -> Result<CompactString, Refusal> {
        match scalar {
            Scalar::Text(text) => Ok(make(text)),
            _ => Err(self.unusable(field, scalar, "a string")),
        }
    }

    /// Rejects a required field that is missing or unusable.
    fn unusable(&self, field: Field, scalar: &Scalar<'_>, expected: &str) -> Refusal {
        if !scalar.is_absent() {
            return self.bad(field, scalar, expected);
        }
        let label = self.format.label(field);
        let detail = format!("field {label} is missing or empty, expected {expected}");
        Refusal::new(reasons(field)[0], detail)
    }

    fn bad(&self, field: Field, scalar: &Scalar<'_>, expected: &str) -> Refusal {
        let (label, found) = (self.format.label(field), mask::found(field.name(), scalar));
        Refusal::new(reasons(field)[1], format!("field {label} is {found}, expected {expected}"))
    }
}

/// The reasons for a required field that is missing, and for one that is unusable.
fn reasons(field: Field) -> [RejectReason; 2] {
    use RejectReason as R;
    match field {
        Field::Time => [R::MissingTime, R::BadTime],
        Field::ClientIp => [R::MissingClientIp, R::BadClientIp],
        Field::Method => [R::MissingMethod, R::BadMethod],
        Field::Path => [R::MissingPath, R::BadPath],
        Field::Status => [R::MissingStatus, R::BadStatus],
        Field::ApiKey => [R::MissingKeyId, R::BadApiKey],
        _ => [R::MissingKeyId, R::BadKeyId],
    }
}

fn is_replaced(text: &str) -> bool {
    text.contains('\u{fffd}')
}
