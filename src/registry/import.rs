//! Compares rows with the registry, and leaves out those that contradict others.

use std::collections::{HashMap, HashSet};

use indexmap::IndexSet;

use super::fitting::Fitting;
use super::row::{Entry, Row, Told};
use super::{KeyChange, KeyEvent, KeyEventKind, KeyStatus, RegisteredKey};
use crate::event::{EventTime, KeyId};

/// A row that is not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its line, its place, or its offset.
    pub number: u64,
    pub reason: String,
}

/// The registrations before the import, by key.
pub type Stored = HashMap<KeyId, RegisteredKey>;

/// What is stored of the keys that the rows name, and of those that they rotate to.
#[derive(Debug, Default)]
pub struct Known {
    pub keys: Stored,
    pub events: HashSet<KeyEvent>,
}

/// What a second row about the same key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// A mistake: the rows of a file stand side by side.
    Refused,
    /// A later state: the records of a topic follow each other.
    Follow,
}

/// The result of an import, which nobody has stored yet.
#[derive(Debug, Default)]
pub struct Import {
    pub change: KeyChange,
    pub refused: Vec<Refused>,
    /// Keys that were not registered before, ...
    pub added: usize,
    /// ... keys whose registration differs from before, ...
    pub changed: usize,
    /// ... and rows that say what is known already.
    pub unchanged: usize,
    /// Events that rows told, beside those that follow from registrations.
    pub recorded: usize,
}

impl Import {
    /// Compares the rows with what is known.
    pub fn of<'e>(
        entries: impl IntoIterator<Item = &'e Entry>,
        known: &Known,
        repeats: Repeats,
        now: EventTime,
    ) -> Self {
        let mut merge = Merge::new(known, repeats);
        let mut import = Self::default();
        for Entry { number, row } in entries {
            let taken = match row {
                Ok(Row::Key(key)) => merge.register(*number, key),
                Ok(Row::Event(told)) => merge.record(told),
                Err(reason) => Err(reason.clone()),
            };
            if let Err(reason) = taken {
                import.refused.push(Refused { number: *number, reason });
            }
        }
        import.add(merge, known, now);
        import
    }

    fn add(&mut self, merge: Merge<'_>, known: &Known, now: EventTime) {
        let Merge { fitting, told, unchanged, .. } = merge;
        self.unchanged = unchanged;
        self.recorded = told.len();
        let kinds: HashSet<_> = told.iter().map(|event| (&event.key_id, event.kind)).collect();
        let keys: HashSet<&KeyId> = told.iter().map(|event| &event.key_id).collect();
        let follows = |event: &KeyEvent| match event.kind {
            KeyEventKind::Changed => keys.contains(&event.key_id),
            kind => kinds.contains(&(&event.key_id, kind)),
        };
        for key in fitting.into_taken() {
            let before = known.keys.get(&key.key_id);
            match before {
                Some(before) if *before == key => {
                    self.unchanged += 1;
                    continue;
                }
                Some(_) => self.changed += 1,
                None => self.added += 1,
            }
            let events = events(before, &key, now).into_iter();
            self.change.events.extend(events.filter(|event| !follows(event)));
            self.change.keys.push(key);
        }
        self.change.events.extend(told);
    }
}

/// The rows that were taken so far.
struct Merge<'a> {
    known: &'a Known,
    repeats: Repeats,
    fitting: Fitting<'a>,
    lines: HashMap<KeyId, u64>,
    /// In the order in which they were told.
    told: IndexSet<KeyEvent>,
    /// Events that were known.
    unchanged: usize,
}

impl<'a> Merge<'a> {
    fn new(known: &'a Known, repeats: Repeats) -> Self {
        let (lines, told) = Default::default();
        Self { known, repeats, fitting: Fitting::new(&known.keys), lines, told, unchanged: 0 }
    }

    fn register(&mut self, line: u64, key: &RegisteredKey) -> Result<(), String> {
        if self.repeats == Repeats::Refused
            && let Some(first) = self.lines.get(&key.key_id)
        {
            return Err(format!("line {first} registers the key {} already", key.key_id));
        }
        self.fitting.take(key.clone())?;
        self.lines.insert(key.key_id.clone(), line);
        Ok(())
    }

    /// An event that is known changes nothing: what came after it is known too.
    fn record(&mut self, told: &Told) -> Result<(), String> {
        let Told { event, step } = told;
        if self.known.events.contains(event) || self.told.contains(event) {
            self.unchanged += 1;
            return Ok(());
        }
        let is_issued = event.kind == KeyEventKind::Issued;
        let new = || {
            let key_id = event.key_id.clone();
            is_issued.then(|| RegisteredKey { key_id, ..RegisteredKey::default() })
        };
        let before = self.fitting.get(&event.key_id).cloned().or_else(new);
        let before = before.ok_or("the key is not registered; the event `issued` registers it")?;
        let after = before.after(step)?;
        if after != before || is_issued {
            self.fitting.take(after)?;
        }
        self.told.insert(event.clone());
        Ok(())
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
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::event::KeyHash;

    fn hasher(raw: &str) -> Option<KeyHash> {
        Some(KeyHash([raw.len() as u8; 32]))
    }

    const NOW: EventTime = EventTime::from_seconds(1_000);

    fn import(text: &str, stored: &Stored) -> Import {
        let entries = Entry::of_file("keys.jsonl".as_ref(), text, &hasher).unwrap();
        let known = Known { keys: stored.clone(), events: HashSet::new() };
        Import::of(&entries, &known, Repeats::Refused, NOW)
    }

    fn refused(text: &str, stored: &Stored) -> Vec<String> {
        let refused = import(text, stored).refused;
        refused.iter().map(|row| format!("{}: {}", row.number, row.reason)).collect()
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

    /// The records of a topic, numbered by their offsets.
    fn follow(records: &[&str], known: &Known) -> Import {
        let entry = |(offset, text): (u64, &&str)| Entry::read(offset, text, &hasher, NOW);
        let entries: Vec<Entry> = (10..).zip(records).map(entry).collect();
        Import::of(&entries, known, Repeats::Follow, NOW)
    }

    /// What is known after an import.
    fn after(import: &Import) -> Known {
        let keys = import.change.keys.iter();
        Known {
            keys: keys.map(|key| (key.key_id.clone(), key.clone())).collect(),
            events: import.change.events.iter().cloned().collect(),
        }
    }

    const LIFE: [&str; 5] = [
        r#"{"key_id":"a","owner":"ann"}"#,
        r#"{"key_id":"a","owner":"bob"}"#,
        r#"{"key_id":"a","event":"suspended","time":"1970-01-01T00:01:00Z","text":"lost"}"#,
        r#"{"key_id":"a","event":"resumed","time":"1970-01-01T00:02:00Z"}"#,
        r#"{"key_id":"a","event":"rotated","time":"1970-01-01T00:03:00Z","to":"b"}"#,
    ];

    #[test]
    fn the_records_of_a_topic_follow_each_other() {
        let import = follow(&LIFE, &Known::default());
        assert_eq!(import.refused, []);
        let [key] = &import.change.keys[..] else { panic!("{import:?}") };
        assert_eq!((&*key.owner, key.status), ("bob", KeyStatus::Retired));
        assert_eq!(key.rotated_to.as_deref(), Some("b"));
        let kinds: Vec<_> = import.change.events.iter().map(|event| event.kind).collect();
        use KeyEventKind::{Issued, Resumed, Rotated, Suspended};
        assert_eq!(kinds, [Issued, Suspended, Resumed, Rotated]);
        assert_eq!((import.added, import.recorded), (1, 3));
    }

    #[test]
    fn events_that_are_known_change_nothing() {
        let known = after(&follow(&LIFE, &Known::default()));
        let again = follow(&LIFE[2..], &known);
        assert!(again.change.is_empty(), "{again:?}");
        assert_eq!(again.unchanged, 3);
    }

    #[test]
    fn events_that_cannot_be_are_refused_by_their_offsets() {
        let records = [
            r#"{"key_id":"a","event":"suspended","time":"1970-01-01T00:01:00Z"}"#,
            r#"{"key_id":"a","event":"issued","time":"1970-01-01T00:01:00Z"}"#,
            r#"{"key_id":"a","event":"leaked","time":"1970-01-01T00:01:00Z"}"#,
            r#"{"key_id":"a","event":"rotated","time":"1970-01-01T00:01:00Z"}"#,
            r#"{"key_id":"a","event":"revoked","time":"1970-01-02T00:00:00Z"}"#,
            r#"{"key_id":"a","event":"stolen","time":"1970-01-01T00:01:00Z"}"#,
            r#"{"api_key":"sk_secret","event":"revoked","time":"1970-01-01T00:01:00Z"}"#,
            r#"{"key_id":"a","event":"revoked"}"#,
            r#"{"key_id":"a","event":"answered","time":"1970-01-01T00:01:00Z","url":"a\u0000"}"#,
        ];
        let import = follow(&records, &Known::default());
        let begins = [
            "10: the key is not registered",
            "12: field `event`: `keywatch keys leaked`",
            "13: field `to`: a rotation names",
            "14: field `time`: an event is recorded when",
            "15: field `event`: unknown variant",
            "16: field `api_key`: an event names",
            "17: missing field `time`",
            "18: field `url`: expected at most",
        ];
        assert_eq!(import.refused.len(), begins.len(), "{:#?}", import.refused);
        for (refused, begin) in import.refused.iter().zip(begins) {
            let found = format!("{}: {}", refused.number, refused.reason);
            assert!(found.starts_with(begin), "{found} does not begin with {begin}");
            assert!(!found.contains("sk_secret"), "{found}");
        }
        assert_eq!(import.change.keys.len(), 1, "the issued key");
    }

    #[test]
    fn an_event_names_keys_by_ids_that_a_registration_may_have() {
        let long = "x".repeat(257);
        let long = long.as_str();
        for (key_id, to, begin) in [
            ("", "b", "field `key_id` is empty"),
            (long, "b", "field `key_id`: expected at most 256 bytes"),
            ("a", " ", "field `to` is empty"),
            ("a", long, "field `to`: expected at most 256 bytes"),
        ] {
            let record = format!(
                r#"{{"key_id":"{key_id}","event":"rotated","time":"1970-01-01T00:01:00Z","to":"{to}"}}"#
            );
            let import = follow(&[record.as_str()], &Known::default());
            assert!(import.refused[0].reason.starts_with(begin), "{import:?}");
        }
    }
}
