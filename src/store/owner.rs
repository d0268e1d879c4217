//! Reads what is needed to ask the registered owner of a key "Was it you?".

use clickhouse::Row;
use serde::Deserialize;

use super::{Store, StoreError};
use crate::event::EventTime;
use crate::workflow::{Asked, Use};

/// The questions of the last day. A process that repeats its note asks once.
const QUESTIONS: &str = "\
    SELECT notes.incident AS incident, known.key_id AS key_id, notes.owner AS owner, \
        toUnixTimestamp64Micro(notes.at) AS at \
    FROM (SELECT incident, any(assignee) AS owner, min(time) AS at FROM incident_acts \
        WHERE kind = 'ask_owner' AND time > now64(6) - INTERVAL 1 DAY GROUP BY incident) AS notes \
    LEFT JOIN (SELECT id, any(key_id) AS key_id FROM alerts \
        WHERE id IN (SELECT incident FROM incident_acts \
            WHERE kind = 'ask_owner' AND time > now64(6) - INTERVAL 1 DAY) GROUP BY id) AS known \
        ON known.id = notes.incident";

/// Only a use that is proven as far as the log alone tells (`proof.rs`): nobody is asked about what an
/// outsider did. A gateway that refused the credential counts, whatever the status.
const USE: &str = "\
    SELECT city, country, as_name, asn, user_agent FROM access_events \
    WHERE key_id = ? AND time = fromUnixTimestamp64Micro(?) \
        AND ifNull(authenticated, status BETWEEN 200 AND 399) \
    LIMIT 1";

#[derive(Row, Deserialize)]
struct AskedRow {
    incident: String,
    key_id: String,
    owner: String,
    at: i64,
}

#[derive(Row, Deserialize)]
struct UseRow {
    city: String,
    country: String,
    as_name: String,
    asn: u32,
    user_agent: String,
}

impl Store {
    /// Returns the questions to owners within the last day, of all processes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn questions_to_owners(&self) -> Result<Vec<Asked>, StoreError> {
        let rows = self.client.query(QUESTIONS).fetch_all::<AskedRow>().await;
        let rows = rows.map_err(|error| self.error("reading questions to owners", &error))?;
        let asked = |row: AskedRow| Asked {
            incident: row.incident,
            key_id: row.key_id,
            owner: row.owner,
            at: EventTime::from_micros(row.at),
        };
        Ok(rows.into_iter().map(asked).collect())
    }

    /// Returns the proven use of a key at this time, as its owner may recognise it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn proven_use(
        &self,
        key_id: &str,
        time: EventTime,
    ) -> Result<Option<Use>, StoreError> {
        let query = self.client.query(USE).bind(key_id).bind(time.as_micros());
        let row = query.fetch_optional::<UseRow>().await;
        let row = row.map_err(|error| self.error("reading a use of a key", &error))?;
        Ok(row.map(|row| row.read(time)))
    }
}

impl UseRow {
    fn read(self, time: EventTime) -> Use {
        let place = [self.city, self.country];
        let place: Vec<String> = place.into_iter().filter(|part| !part.is_empty()).collect();
        let network = match (self.as_name.is_empty(), self.asn) {
            (false, _) => self.as_name,
            (true, 0) => String::new(),
            (true, asn) => format!("AS{asn}"),
        };
        Use { place: place.join(", "), network, client: self.user_agent, time }
    }
}
