//! The links of the audit log, and what makes them a chain. Pure.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::event::EventTime;

/// A row that belongs into the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: String,
    pub id: String,
    pub time: EventTime,
    /// The columns of the row, as `name=value`.
    pub record: Vec<String>,
}

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub number: u64,
    pub entry: Entry,
    /// The hash of the link before; empty for the first.
    pub previous: String,
    pub hash: String,
}

/// The end of the chain that the next link continues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub number: u64,
    pub hash: String,
}

/// `NUMBER:HASH`, as people note it.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

impl Head {
    /// Reads `NUMBER:HASH`.
    pub fn read(text: &str) -> Option<Self> {
        let (number, hash) = text.split_once(':')?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = number.parse().ok().filter(|_| is_hash)?;
        Some(Self { number, hash: hash.to_ascii_lowercase() })
    }

    /// The links that continue this head; their numbers begin with `first`, which is above it.
    pub fn continued(&self, first: u64, entries: Vec<Entry>) -> Vec<Link> {
        let mut previous = self.hash.clone();
        let link = |(number, entry)| {
            let hash = hash(number, &entry, &previous);
            let previous = std::mem::replace(&mut previous, hash.clone());
            Link { number, entry, previous, hash }
        };
        (first..).zip(entries).map(link).collect()
    }

    /// Takes the next link.
    ///
    /// # Errors
    /// The reason why it is not the next link of this chain.
    pub fn follow(&mut self, link: &Link) -> Result<(), Broken> {
        if link.hash != hash(link.number, &link.entry, &link.previous) {
            return Err(Broken::Content);
        }
        if link.previous != self.hash || link.number <= self.number {
            return Err(Broken::Order { after: self.number });
        }
        *self = Self { number: link.number, hash: link.hash.clone() };
        Ok(())
    }
}

/// What is wrong with a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Its content does not have its hash.
    Content,
    /// It does not continue the link before it.
    Order { after: u64 },
    /// The row that it was made of is gone.
    Gone,
    /// The row that it was made of has changed; the first column that differs, then and now.
    Changed { was: String, is: String },
    /// The log does not have the link that was noted elsewhere.
    NotNoted,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content => f.write_str("its content was changed: it does not have its hash"),
            Self::Order { after } => write!(
                f,
                "it does not continue link {after}: links between them were taken out, or added"
            ),
            Self::Gone => f.write_str("the row that it was made of is gone"),
            Self::Changed { was, is } => {
                write!(f, "the row that it was made of has changed: it was {was:?}, and is {is:?}")
            }
            Self::NotNoted => f.write_str("the log has no such link with the hash that was noted"),
        }
    }
}

/// Every part has its length before it, so that no two contents are the same bytes.
fn hash(number: u64, entry: &Entry, previous: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(number.to_be_bytes());
    hasher.update(entry.time.as_micros().to_be_bytes());
    hasher.update((entry.record.len() as u64).to_be_bytes());
    let parts = [previous, &entry.kind, &entry.id].into_iter();
    for part in parts.chain(entry.record.iter().map(String::as_str)) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entry(id: &str) -> Entry {
        let record = vec!["who=alice".into(), "text=".into()];
        Entry { kind: "act".into(), id: id.into(), time: EventTime::from_seconds(1), record }
    }

    fn chain() -> Vec<Link> {
        let first = Head::default().continued(1, vec![entry("a"), entry("b")]);
        let head = Head { number: 2, hash: first[1].hash.clone() };
        // A number that was lost is skipped.
        let second = head.continued(4, vec![entry("c"), entry("d")]);
        first.into_iter().chain(second).collect()
    }

    /// The number of the first link that breaks the chain, and why.
    fn broken(links: &[Link]) -> Option<(u64, Broken)> {
        let mut head = Head::default();
        links.iter().find_map(|link| Some((link.number, head.follow(link).err()?)))
    }

    #[test]
    fn a_chain_follows_from_its_first_link_to_its_last() {
        assert_eq!(broken(&chain()), None);
    }

    #[test]
    fn each_change_of_a_link_is_found_where_it_is() {
        type Change = fn(&mut Link);
        let changes: [Change; 5] = [
            |link| link.entry.record[0] = "who=mallory".into(),
            |link| link.entry.record = vec!["who=alicetext=".into(), String::new()],
            |link| link.entry.id = "x".into(),
            |link| link.entry.time = EventTime::from_seconds(2),
            |link| link.number = 3,
        ];
        for change in changes {
            let mut links = chain();
            change(&mut links[1]);
            assert_eq!(broken(&links).unwrap().1, Broken::Content);
        }
        let mut links = chain();
        let forged = Head { number: 1, hash: links[0].hash.clone() }.continued(2, vec![entry("x")]);
        links[1] = forged[0].clone();
        assert_eq!(broken(&links), Some((4, Broken::Order { after: 2 })));
    }

    #[test]
    fn a_link_that_is_taken_out_or_moved_breaks_the_next() {
        let mut links = chain();
        links.remove(1);
        assert_eq!(broken(&links), Some((4, Broken::Order { after: 1 })));
        let mut links = chain();
        links.remove(0);
        assert_eq!(broken(&links), Some((2, Broken::Order { after: 0 })));
        let mut links = chain();
        links.swap(1, 2);
        assert_eq!(broken(&links), Some((4, Broken::Order { after: 1 })));
    }

    #[test]
    fn a_head_reads_back_as_people_note_it() {
        let head = Head { number: 7, hash: "ab".repeat(32) };
        assert_eq!(Head::read(&head.to_string()), Some(head));
        for bad in ["", "7", "7:", "x:00", "7:zz"] {
            assert_eq!(Head::read(bad), None, "{bad}");
        }
    }
}
