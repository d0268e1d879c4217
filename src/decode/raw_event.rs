//! Holds the fields of the access-event contract as one log format delivered them, unchecked. Every
//! format produces this type; `assemble` turns it into an event.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::scalar::Scalar;

#[derive(Debug, Default)]
pub(super) struct RawEvent<'a> {
    pub time: Scalar<'a>,
    pub key_id: Scalar<'a>,
    pub api_key: Scalar<'a>,
    pub client_ip: Scalar<'a>,
    /// For whom the last proxy asked: a list, joined by commas.
    pub forwarded_for: Scalar<'a>,
    pub method: Scalar<'a>,
    pub path: Scalar<'a>,
    pub status: Scalar<'a>,
    pub request_id: Scalar<'a>,
    pub latency_ms: Scalar<'a>,
    pub bytes_in: Scalar<'a>,
    pub bytes_out: Scalar<'a>,
    pub user_agent: Scalar<'a>,
    pub environment: Scalar<'a>,
    pub scope: Scalar<'a>,
    pub tenant: Scalar<'a>,
    pub nonce: Scalar<'a>,
    pub client_time: Scalar<'a>,
    pub signature: Scalar<'a>,
    pub authenticated: Scalar<'a>,
    pub validity_ms: Scalar<'a>,
    pub client_fingerprint: Scalar<'a>,
    pub auth_method: Scalar<'a>,
    /// Set by this program on a repartitioned event whose log contained the raw key.
    pub keywatch_has_secret: Scalar<'a>,
    /// A field that occurs twice. It is undefined which value counts (RFC 8259 section 4).
    pub duplicate: Option<Field>,
    /// Bytes or escapes of the record could not be decoded and were replaced by U+FFFD.
    pub is_lossy: bool,
}

impl<'a> RawEvent<'a> {
    /// Reads the format `keywatch`: one JSON object with the contract's own field names.
    /// Unknown fields are skipped unread.
    pub fn read_keywatch(&mut self, json: &'a str) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        // The event is filled in place: moving an event of this size costs as much as reading a
        // field.
        deserializer.deserialize_map(ObjectVisitor { event: self })?;
        deserializer.end()
    }
}

struct ObjectVisitor<'e, 'a> {
    event: &'e mut RawEvent<'a>,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key::<Name>()? {
            let Some(field) = name.0 else {
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = match field {
                Field::Nonce => Scalar::exact(entries.next_value::<&RawValue>()?),
                Field::ForwardedFor => Scalar::joined(entries.next_value::<&RawValue>()?),
                _ => entries.next_value()?,
            };
            let slot = self.event.slot(field);
            if slot.is_absent() {
                *slot = value;
            } else {
                self.event.duplicate = Some(field);
            }
        }
        Ok(())
    }
}

macro_rules! fields {
    ($($variant:ident $name:ident),* $(,)?) => {
        /// A field of the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) enum Field { $($variant),* }

        impl Field {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$variant),)*
                    _ => None,
                }
            }

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name)),* }
            }
        }

        impl<'a> RawEvent<'a> {
            pub fn slot(&mut self, field: Field) -> &mut Scalar<'a> {
                match field { $(Field::$variant => &mut self.$name),* }
            }

            pub fn value(&self, field: Field) -> &Scalar<'a> {
                match field { $(Field::$variant => &self.$name),* }
            }
        }

    };
}

fields! {
    Time time,
    KeyId key_id,
    ApiKey api_key,
    ClientIp client_ip,
    ForwardedFor forwarded_for,
    Method method,
    Path path,
    Status status,
    RequestId request_id,
    LatencyMs latency_ms,
    BytesIn bytes_in,
    BytesOut bytes_out,
    UserAgent user_agent,
    Environment environment,
    Scope scope,
    Tenant tenant,
    Nonce nonce,
    ClientTime client_time,
    Signature signature,
    Authenticated authenticated,
    ValidityMs validity_ms,
    ClientFingerprint client_fingerprint,
    AuthMethod auth_method,
    HasSecret keywatch_has_secret,
}

/// A field name, recognised without a copy.
struct Name(Option<Field>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
        Ok(Name(Field::named(name)))
    }
}
