//! Takes the rows of a file into the registry, except those that contradict others.

use std::collections::HashMap;

use super::read::{self, Line};
use super::{Hasher, KeyChange, KeyEvent, KeyEventKind, KeyStatus, RegisteredKey, RegistryError};
use crate::event::{EventTime, KeyHash, KeyId};

/// A row that is not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub line: u64,
    pub reason: String,
}

/// The registrations before the import, by key.
pub type Stored = HashMap<KeyId, RegisteredKey>;

/// The result of an import, which nobody has stored yet.
#[derive(Debug, Default)]
pub struct Import {
    pub change: KeyChange,
    pub refused: Vec<Refused>,
    /// Keys that were not registered before, ...
    pub added: usize,
    /// ... keys whose registration differs from before, ...
    pub changed: usize,
    /// ... and keys whose registration is the same.
    pub unchanged: usize,
}

/// More rotations in a row are a mistake, and following them would take long.
const LONGEST_CHAIN: usize = 1_000;

impl Import {
    /// Reads the text of a file and compares it with what is stored.
    ///
    /// # Errors
    /// The file as a whole cannot be read: a CSV without a column `key_id` or `api_key`.
    pub fn read(
        name: &str,
        text: &str,
        hasher: Hasher<'_>,
        stored: &Stored,
        now: EventTime,
    ) -> Result<Self, RegistryError> {
        let lines = read::lines(name, text, hasher)?;
        let mut taken = Taken::new(stored);
        let mut import = Self::default();
        for Line { number, key } in lines {
            match key.and_then(|key| taken.take(number, key)) {
                Ok(key) => import.add(stored.get(&key.key_id), key, now),
                Err(reason) => import.refused.push(Refused { line: number, reason }),
            }
        }
        Ok(import)
    }

    fn add(&mut self, before: Option<&RegisteredKey>, key: RegisteredKey, now: EventTime) {
        match before {
            Some(before) if *before == key => {
                self.unchanged += 1;
                return;
            }
            Some(_) => self.changed += 1,
            None => self.added += 1,
        }
        self.change.events.extend(events(before, &key, now));
        self.change.keys.push(key);
    }
}

/// The rows taken so far, for the rules that concern several rows.
struct Taken<'a> {
    stored: &'a Stored,
    lines: HashMap<KeyId, u64>,
    successors: HashMap<KeyId, Option<KeyId>>,
    hashes: HashMap<KeyHash, KeyId>,
}

impl<'a> Taken<'a> {
    fn new(stored: &'a Stored) -> Self {
        let hash = |key: &RegisteredKey| Some((key.key_hash?, key.key_id.clone()));
        let hashes = stored.values().filter_map(hash).collect();
        Self { stored, hashes, lines: HashMap::new(), successors: HashMap::new() }
    }

    fn take(&mut self, line: u64, mut key: RegisteredKey) -> Result<RegisteredKey, String> {
        if let Some(first) = self.lines.get(&key.key_id) {
            return Err(format!("line {first} registers the key {} already", key.key_id));
        }
        // A file without hashes, exported from elsewhere, must not part a key from its raw form.
        key.key_hash =
            key.key_hash.or_else(|| self.stored.get(&key.key_id).and_then(|it| it.key_hash));
        if let Some(hash) = key.key_hash
            && let Some(other) = self.hashes.get(&hash).filter(|other| **other != key.key_id)
        {
            return Err(format!("the key {other} has the same raw key"));
        }
        self.check_rotation(&key)?;
        self.lines.insert(key.key_id.clone(), line);
        self.successors.insert(key.key_id.clone(), key.rotated_to.clone());
        if let Some(hash) = key.key_hash {
            self.hashes.insert(hash, key.key_id.clone());
        }
        Ok(key)
    }

    /// Follows the rotations from the key. They must end, and not where they began.
    fn check_rotation(&self, key: &RegisteredKey) -> Result<(), String> {
        let mut next = key.rotated_to.as_ref();
        for _ in 0..LONGEST_CHAIN {
            match next {
                None => return Ok(()),
                Some(id) if *id == key.key_id => {
                    let first = key.rotated_to.as_deref().unwrap_or_default();
                    return Err(format!(
                        "field `rotated_to`: {first} is rotated back to {id}, in a circle"
                    ));
                }
                Some(id) => next = self.successor(id),
            }
        }
        Err(format!("field `rotated_to`: more than {LONGEST_CHAIN} rotations follow each other"))
    }

    fn successor(&self, key_id: &KeyId) -> Option<&KeyId> {
        match self.successors.get(key_id) {
            Some(successor) => successor.as_ref(),
            None => self.stored.get(key_id)?.rotated_to.as_ref(),
        }
    }
}

/// The events that turn one registration into another.
fn events(before: Option<&RegisteredKey>, key: &RegisteredKey, now: EventTime) -> Vec<KeyEvent> {
    let event = |kind, time: Option<EventTime>| {
        KeyEvent::new(key.key_id.clone(), kind, time.unwrap_or(now).min(now))
    };
    let Some(before) = before else {
        return vec![event(KeyEventKind::Issued, key.created_at)];
    };
    let mut events = Vec::new();
    if before.rotated_to != key.rotated_to && key.rotated_to.is_some() {
        events.push(event(KeyEventKind::Rotated, None));
    }
    if before.scopes != key.scopes {
        events.push(event(KeyEventKind::ScopeChanged, None));
    }
    if before.status != key.status {
        match key.status {
            KeyStatus::Active => events.push(event(KeyEventKind::Resumed, None)),
            KeyStatus::Suspended => events.push(event(KeyEventKind::Suspended, None)),
            KeyStatus::Revoked => events.push(event(KeyEventKind::Revoked, key.revoked_at)),
            // A rotation is an event of its own.
            KeyStatus::Retired => {}
        }
    }
    if events.is_empty() {
        events.push(event(KeyEventKind::Changed, None));
    }
    events
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hasher(raw: &str) -> Option<KeyHash> {
        Some(KeyHash([raw.len() as u8; 32]))
    }

    fn import(text: &str, stored: &Stored) -> Import {
        Import::read("keys.jsonl", text, &hasher, stored, EventTime::from_seconds(1_000)).unwrap()
    }

    fn refused(text: &str, stored: &Stored) -> Vec<String> {
        let refused = import(text, stored).refused;
        refused.iter().map(|row| format!("{}: {}", row.line, row.reason)).collect()
    }

    fn stored(text: &str) -> Stored {
        let keys = import(text, &Stored::new()).change.keys;
        keys.into_iter().map(|key| (key.key_id.clone(), key)).collect()
    }

    #[test]
    fn a_bad_row_is_refused_with_its_line_and_the_others_go_in() {
        let text = r#"{"key_id":"a","allowed_cidrs":["10.0.0.0/8"]}
{"key_id":"b","allowed_cidrs":["10.0.0.0/99"]}

{"key_id":"c","expires_at":"tomorrow"}
{"key_id":"a","owner":"twice"}
{"key_id":"d","rotated_to":"e"}
{"key_id":"e","rotated_to":"f"}
{"key_id":"f","rotated_to":"d"}
{"key_id":"g","rotated_to":"g"}
not json
{"key_id":"h","expires_at":"9000-01-01T00:00:00Z"}
"#;
        let import = import(text, &Stored::new());
        let ids: Vec<&str> = import.change.keys.iter().map(|key| key.key_id.as_str()).collect();
        assert_eq!(ids, ["a", "d", "e"]);
        let refused = refused(text, &Stored::new());
        let begins = [
            "2: field `allowed_cidrs[0]`: ",
            "4: field `expires_at`: ",
            "5: line 1 registers the key a already",
            "8: field `rotated_to`: d is rotated back to f, in a circle",
            "9: field `rotated_to`: the key is rotated to itself",
            "10: expected ",
            "11: field `expires_at`: expected a date from 1970 to 2199",
        ];
        assert_eq!(refused.len(), begins.len(), "{refused:#?}");
        for (found, begin) in refused.iter().zip(begins) {
            assert!(found.starts_with(begin), "{found} does not begin with {begin}");
        }
    }

    #[test]
    fn a_circle_with_stored_keys_is_refused_and_a_row_may_break_one_up() {
        let before = stored("{\"key_id\":\"a\",\"rotated_to\":\"b\"}");
        assert_eq!(refused(r#"{"key_id":"b","rotated_to":"a"}"#, &before).len(), 1);
        let both = "{\"key_id\":\"a\"}\n{\"key_id\":\"b\",\"rotated_to\":\"a\"}";
        assert_eq!(refused(both, &before), Vec::<String>::new());
    }

    #[test]
    fn a_raw_key_becomes_its_hash_and_is_not_in_any_message() {
        let import = import(
            "{\"key_id\":\"a\",\"api_key\":\"sk_1\"}\n{\"api_key\":\"sk_12\"}\n\
             {\"key_id\":\"b\",\"api_key\":\"sk_2\"}\n{\"key_id\":\"c\",\"api_key\":4711}\n\
             {\"key_id\":\"d\",\"key_hash\":\"sk_secret\"}",
            &Stored::new(),
        );
        let keys = &import.change.keys;
        assert_eq!(keys[0].key_hash, hasher("sk_1"));
        assert_eq!(keys[1].key_id, hasher("sk_12").unwrap().to_key_id());
        let refused = format!("{:?}", import.refused);
        assert!(refused.contains("the key a has the same raw key"), "{refused}");
        assert!(refused.contains("field `api_key`: expected text"), "{refused}");
        assert!(!refused.contains("sk_") && !refused.contains("4711"), "{refused}");
    }

    #[test]
    fn differences_become_events_and_what_is_the_same_is_not_stored_again() {
        let before = stored("{\"key_id\":\"a\",\"api_key\":\"sk\"}\n{\"key_id\":\"b\"}");
        let text = "{\"key_id\":\"a\"}\n{\"key_id\":\"b\",\"scopes\":[\"read\"],\"status\":\"revoked\"}\n\
                    {\"key_id\":\"c\",\"created_at\":\"1970-01-01T00:00:05Z\"}";
        let import = import(text, &before);
        assert_eq!((import.added, import.changed, import.unchanged), (1, 1, 1));
        let events: Vec<_> =
            import.change.events.iter().map(|event| (&*event.key_id, event.kind)).collect();
        let expected = [
            ("b", KeyEventKind::ScopeChanged),
            ("b", KeyEventKind::Revoked),
            ("c", KeyEventKind::Issued),
        ];
        assert_eq!(events, expected);
        assert_eq!(import.change.events[2].time, EventTime::from_seconds(5));
    }
}
