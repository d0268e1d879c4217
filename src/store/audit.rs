//! Stores the audit log, and reads it back.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::audit::{Broken, Entry, Head, Link};
use crate::event::EventTime;

/// Links of one block. Each block costs a look at all rows of the time.
const BLOCK: u32 = 20_000;
/// Numbers that were lost with a killed server are few.
const MAX_ATTEMPTS: u64 = 16;

const HEAD: &str = "SELECT number, hash FROM audit_log ORDER BY number DESC LIMIT 1";

/// Rows without a link, of those since a time.
const UNSEALED: &str = "\
    SELECT kind, id, toUnixTimestamp64Micro(time) AS at, record FROM audit_sources \
    WHERE time >= fromUnixTimestamp64Micro(?) AND (kind, id) NOT IN \
        (SELECT toString(kind), id FROM audit_log WHERE time >= fromUnixTimestamp64Micro(?)) \
    ORDER BY time, kind, id LIMIT 1 BY kind, id LIMIT ?";

const LINKS: &str = "\
    SELECT number, toString(kind) AS kind, id, toUnixTimestamp64Micro(time) AS at, record, previous, \
        hash FROM audit_log WHERE number > ? ORDER BY number LIMIT ?";

/// Links with their rows; without columns for those whose row is gone.
const COMPARED: &str = "\
    FROM (SELECT number, toString(kind) AS kind, id, record FROM audit_log) AS log \
    LEFT JOIN (SELECT kind, id, record FROM audit_sources LIMIT 1 BY kind, id) AS sources \
        ON sources.kind = log.kind AND sources.id = log.id";

/// Whether another row has the place of the row: after a restart the attempts of a delivery are
/// counted anew, and two processes may write one revision. Both rows have links.
const REPLACED: &str = "\
    sources.id = '' AND log.kind IN ('alert', 'delivery') \
    AND (log.kind, replaceRegexpOne(log.id, '/[^/]*$', '')) IN \
        (SELECT kind, replaceRegexpOne(id, '/[^/]*$', '') FROM audit_sources \
            WHERE kind IN ('alert', 'delivery'))";

const WAITING: &str = "\
    SELECT count() FROM audit_sources \
    WHERE (kind, id) NOT IN (SELECT toString(kind), id FROM audit_log)";

#[derive(Row, Deserialize)]
struct EntryRow {
    kind: String,
    id: String,
    at: i64,
    record: Vec<String>,
}

#[derive(Row, Deserialize)]
struct LinkRow {
    number: u64,
    kind: String,
    id: String,
    at: i64,
    record: Vec<String>,
    previous: String,
    hash: String,
}

/// A link whose row is not what it was.
#[derive(Row, Deserialize)]
struct DifferentRow {
    number: u64,
    kind: String,
    id: String,
    was: Vec<String>,
    /// Empty if the row is gone.
    found: Vec<String>,
}

/// A row as it is written; the server adds when.
#[derive(Clone, Row, Serialize)]
struct NewLink<'a> {
    number: u64,
    kind: &'a str,
    id: &'a str,
    time: i64,
    record: &'a [String],
    previous: &'a str,
    hash: &'a str,
    sealed_by: &'a str,
}

#[derive(Clone, Row, Serialize)]
struct StartRow<'a> {
    owner: &'a str,
    version: &'a str,
    policy_version: &'a str,
    model_version: &'a str,
    config: &'a str,
}

/// What a look for unsealed rows did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// There was nothing to seal.
    Nothing,
    /// Links were added, up to this head.
    Until(Head),
    /// Another process was first.
    Overtaken,
}

/// The first broken link, or what the whole chain holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    pub head: Head,
    pub links: u64,
    /// Rows without a link. The service makes links within seconds.
    pub waiting: u64,
    /// Alerts and deliveries whose row was replaced by a later one, which has a link too.
    pub replaced: u64,
    /// Number, kind and id of the first broken link, and what is wrong with it.
    pub broken: Option<(u64, String, Broken)>,
}

impl Store {
    /// Records what this process was started with: versions of policy and models, and the masked
    /// configuration as JSON. A repetition changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_start(
        &self,
        policy_version: &str,
        model_version: &str,
        config: &str,
    ) -> Result<(), StoreError> {
        let (owner, version) = (&*self.owner, env!("CARGO_PKG_VERSION"));
        let row = StartRow { owner, version, policy_version, model_version, config };
        self.insert::<StartRow<'_>>("process_starts", &format!("start/{owner}"), [row]).await
    }

    /// Makes links of rows since `since` that have none, at most one block of them.
    ///
    /// # Errors
    /// [`StoreError`]; after a retryable one, the table shows whether the links are there.
    pub async fn seal(&self, since: EventTime) -> Result<Sealed, StoreError> {
        let head = self.audit_head().await?;
        let entries = self.unsealed(since).await?;
        if entries.is_empty() {
            return Ok(Sealed::Nothing);
        }
        for first in head.number + 1..=head.number + MAX_ATTEMPTS {
            let links = head.continued(first, entries.clone());
            let rows = links.iter().map(|link| self.new_link(link)).collect::<Vec<_>>();
            self.insert::<NewLink<'_>>("audit_log", &format!("audit/{first}"), rows).await?;
            let last =
                links.last().map(|link| Head { number: link.number, hash: link.hash.clone() });
            let found = self.audit_head().await?;
            if Some(&found) == last.as_ref() {
                return Ok(Sealed::Until(found));
            }
            if found != head {
                return self.overtaken(last, found).await;
            }
            // The number is taken and has no row: it was lost with its server. It is skipped.
        }
        Ok(Sealed::Overtaken)
    }

    /// Another process may have continued the links of this one.
    async fn overtaken(&self, last: Option<Head>, found: Head) -> Result<Sealed, StoreError> {
        let Some(last) = last.filter(|last| last.number < found.number) else {
            return Ok(Sealed::Overtaken);
        };
        let link = self.links_after(last.number - 1, 1).await?;
        let is_own = link.first().is_some_and(|link| link.hash == last.hash);
        Ok(if is_own { Sealed::Until(last) } else { Sealed::Overtaken })
    }

    fn new_link<'a>(&'a self, link: &'a Link) -> NewLink<'a> {
        NewLink {
            number: link.number,
            kind: &link.entry.kind,
            id: &link.entry.id,
            time: link.entry.time.as_micros(),
            record: &link.entry.record,
            previous: &link.previous,
            hash: &link.hash,
            sealed_by: &self.owner,
        }
    }

    /// The end of the audit log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit_head(&self) -> Result<Head, StoreError> {
        let head = self.client.query(HEAD).fetch_optional::<(u64, String)>().await;
        let head = head.map_err(|error| self.error("reading audit_log", &error))?;
        Ok(head.map(|(number, hash)| Head { number, hash }).unwrap_or_default())
    }

    async fn unsealed(&self, since: EventTime) -> Result<Vec<Entry>, StoreError> {
        let since = since.as_micros();
        let query = self.client.query(UNSEALED).bind(since).bind(since).bind(BLOCK);
        let rows = query.fetch_all::<EntryRow>().await;
        let rows = rows.map_err(|error| self.error("reading audit_sources", &error))?;
        let entry = |row: EntryRow| Entry {
            kind: row.kind,
            id: row.id,
            time: EventTime::from_micros(row.at),
            record: row.record,
        };
        Ok(rows.into_iter().map(entry).collect())
    }

    async fn links_after(&self, number: u64, most: u32) -> Result<Vec<Link>, StoreError> {
        let rows = self.client.query(LINKS).bind(number).bind(most).fetch_all::<LinkRow>().await;
        let rows = rows.map_err(|error| self.error("reading audit_log", &error))?;
        let link = |row: LinkRow| Link {
            number: row.number,
            entry: Entry {
                kind: row.kind,
                id: row.id,
                time: EventTime::from_micros(row.at),
                record: row.record,
            },
            previous: row.previous,
            hash: row.hash,
        };
        Ok(rows.into_iter().map(link).collect())
    }

    /// Follows the chain from its first link, and compares the links with their rows. `noted` is a
    /// head that was noted elsewhere: without it, nobody knows that the end of the log is missing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit(&self, noted: Option<&Head>) -> Result<Audited, StoreError> {
        let mut audited =
            Audited { head: Head::default(), links: 0, waiting: 0, replaced: 0, broken: None };
        let mut is_noted = noted.is_none();
        loop {
            let links = self.links_after(audited.head.number, BLOCK).await?;
            for link in &links {
                if let Err(broken) = audited.head.follow(link) {
                    let name = format!("{} {}", link.entry.kind, link.entry.id);
                    audited.broken = Some((link.number, name, broken));
                    break;
                }
                audited.links += 1;
                is_noted |= Some(&audited.head) == noted;
            }
            if links.is_empty() || audited.broken.is_some() {
                break;
            }
        }
        if let Some(noted) = noted.filter(|_| !is_noted && audited.broken.is_none()) {
            audited.broken = Some((noted.number, "noted".to_owned(), Broken::NotNoted));
        }
        let different = self.first_different().await?;
        let before = |it: &(u64, String, Broken)| {
            audited.broken.as_ref().is_none_or(|broken| it.0 < broken.0)
        };
        if let Some(different) = different.filter(before) {
            audited.broken = Some(different);
        }
        let waiting = self.client.query(WAITING).fetch_one().await;
        let replaced = format!("SELECT count() {COMPARED} WHERE {REPLACED}");
        let replaced = self.client.query(&replaced).fetch_one().await;
        audited.replaced = replaced.map_err(|error| self.error("comparing audit_log", &error))?;
        audited.waiting = waiting.map_err(|error| self.error("reading audit_sources", &error))?;
        Ok(audited)
    }

    async fn first_different(&self) -> Result<Option<(u64, String, Broken)>, StoreError> {
        let sql = format!(
            "SELECT log.number AS number, log.kind AS kind, log.id AS id, log.record AS was, \
                sources.record AS found {COMPARED} \
             WHERE log.record != sources.record AND NOT ({REPLACED}) ORDER BY log.number LIMIT 1"
        );
        let row = self.client.query(&sql).fetch_optional::<DifferentRow>().await;
        let row = row.map_err(|error| self.error("comparing audit_log", &error))?;
        Ok(row.map(|row| {
            let first = row.was.iter().zip(&row.found).find(|(was, is)| was != is);
            let broken = match first {
                Some((was, is)) => Broken::Changed { was: was.clone(), is: is.clone() },
                None => Broken::Gone,
            };
            (row.number, format!("{} {}", row.kind, row.id), broken)
        }))
    }
}
