//! Reads what receivers answered to requests, and what became of the keys.

use clickhouse::Row;
use serde::Deserialize;

use super::{Store, StoreError};
use crate::event::{EventTime, KeyId};
use crate::registry::KeyEventKind;

/// A receiver's word that it has carried out a request.
#[derive(Clone, Debug)]
pub struct Answered {
    pub incident: String,
    pub revision: u32,
    pub key_id: KeyId,
    /// `Suspended` or `Revoked`.
    pub kind: KeyEventKind,
    pub time: EventTime,
    /// The end of a suspension.
    pub until: Option<EventTime>,
}

impl Answered {
    /// The source of the events that are made of answers.
    pub const SOURCE: &'static str = "webhook";

    /// Names the request in the event that is made of the answer.
    pub fn reference(&self) -> String {
        format!("answer to {}-{}", self.incident, self.revision)
    }
}

#[derive(Row, Deserialize)]
struct AnswerRow {
    incident: String,
    revision: u32,
    key_id: String,
    word: String,
    answered_at: i64,
    until: i64,
}

/// The words stand at the end of a delivery's detail (`deliver::answer`).
const UNRECORDED: &str = "\
    SELECT incident, revision, key_id, sent.word AS word, \
        toUnixTimestamp64Micro(sent.answered_at) AS answered_at, \
        ifNull(toUnixTimestamp64Micro(parseDateTime64BestEffortOrNull( \
            JSONExtractString(alert, 'suspend_until'), 6)), 0) AS until \
    FROM revocation_requests AS requested \
    INNER JOIN ( \
        SELECT alert_id, deliveries.revision AS sent_revision, min(deliveries.time) AS answered_at, \
            any(extract(detail, ', which answered: (revoked|suspended)$')) AS word \
        FROM deliveries \
        WHERE channel = 'webhook' AND outcome = 'delivered' \
            AND match(detail, ', which answered: (revoked|suspended)$') \
            AND alert_id IN (SELECT incident FROM revocation_requests \
                WHERE revocation_requests.time > now64(6) - INTERVAL 30 DAY) \
        GROUP BY alert_id, sent_revision) AS sent \
        ON sent.alert_id = requested.incident AND sent.sent_revision = requested.revision \
    WHERE requested.time > now64(6) - INTERVAL 30 DAY \
        AND concat('answer to ', incident, '-', toString(revision)) NOT IN \
            (SELECT text FROM key_events \
             WHERE origin = 'webhook' AND recorded_at > now64(6) - INTERVAL 31 DAY)";

impl Store {
    /// Answers that say that a key is suspended or revoked, and are no event of the key yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unrecorded_answers(&self) -> Result<Vec<Answered>, StoreError> {
        let rows: Result<Vec<AnswerRow>, _> = self.client.query(UNRECORDED).fetch_all().await;
        let rows = rows.map_err(|error| self.error("reading answers to requests", &error))?;
        let read = |row: AnswerRow| {
            Some(Answered {
                incident: row.incident,
                revision: row.revision,
                key_id: row.key_id.into(),
                kind: KeyEventKind::named(&row.word)?,
                time: EventTime::from_micros(row.answered_at),
                until: (row.until > 0).then(|| EventTime::from_micros(row.until)),
            })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }
}
