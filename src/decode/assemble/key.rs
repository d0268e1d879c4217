//! Finds the key of a request: a public id, or the hash of a raw key.

use super::{Context, Refusal, is_replaced};
use crate::decode::raw_event::{Field, RawEvent};
use crate::decode::reason::RejectReason;
use crate::decode::scalar::Scalar;
use crate::decode::text;
use crate::event::KeyId;

impl Context<'_> {
    /// Returns the public id if there is one, and otherwise that of the raw key: the registered one,
    /// or the key's hash. A raw key beside a public id is dropped unread.
    pub fn key_id(&self, raw: &RawEvent<'_>) -> Result<KeyId, Refusal> {
        if self.holds_raw_key(&raw.key_id) {
            return self.pseudonym(raw, Field::KeyId);
        }
        if !raw.key_id.is_absent() {
            return self.public_id(raw).map(|id| self.public_ids.public(id));
        }
        if raw.api_key.is_absent() {
            let [id, key] = [Field::KeyId, Field::ApiKey].map(|field| self.format.label(field));
            let both = if id.contains("(`key_id`)") || key == "`api_key`" && id != "`key_id`" {
                format!("{id} is")
            } else {
                format!("both {id} and {key} are")
            };
            let detail = format!("{both} missing or empty, expected the id of a key");
            return Err(Refusal::new(RejectReason::MissingKeyId, detail));
        }
        self.pseudonym(raw, Field::ApiKey)
    }

    /// Where clients send the key itself as the user of HTTP Basic authentication, gateways log it
    /// as the user's name. Keywatch's own format says itself which of the two it holds.
    fn holds_raw_key(&self, key_id: &Scalar<'_>) -> bool {
        let is_secret = || key_id.text().is_some_and(|id| text::is_secret(&id));
        self.format.is_mapped() && is_secret()
    }

    fn pseudonym(&self, raw: &RawEvent<'_>, field: Field) -> Result<KeyId, Refusal> {
        let scalar = raw.value(field);
        let api_key = scalar.text().filter(|key| !(raw.is_lossy && is_replaced(key)));
        let Some(api_key) = api_key else {
            return Err(self.bad(field, scalar, "a string of UTF-8"));
        };
        if !self.has_pepper {
            let label = self.format.label(field);
            let detail = format!(
                "field {label} holds a raw key, which must be hashed: set decode.pepper_file, \
                 decode.pepper or KEYWATCH__DECODE__PEPPER, or log `key_id` instead"
            );
            return Err(Refusal::new(RejectReason::MissingPepper, detail));
        }
        Ok(self.public_ids.key_id(self.pseudonyms.key_hash(&api_key)))
    }

    fn public_id(&self, raw: &RawEvent<'_>) -> Result<KeyId, Refusal> {
        let usable = raw.key_id.text().filter(|id| {
            let is_sound = id.len() <= text::KEY_ID_BYTES && !text::has_control(id);
            is_sound && !id.trim().is_empty() && !(raw.is_lossy && is_replaced(id))
        });
        usable.map(KeyId::new).ok_or_else(|| {
            let expected = "1 to 256 bytes of UTF-8 without control characters";
            self.unusable(Field::KeyId, &raw.key_id, expected)
        })
    }
}
