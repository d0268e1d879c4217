//! Reads what people decided about incidents beside what was thought of them.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::event::EventTime;

/// Incidents about keys whose strongest evidence is of one detector, within one range of confidence.
#[derive(Clone, Debug, PartialEq, Row, Deserialize, Serialize)]
pub struct Outcomes {
    /// The detector of the strongest evidence.
    pub detector: String,
    /// The lower end of the range, in tenths.
    pub tenth: u8,
    pub incidents: u64,
    /// Closed by people as theft or misuse.
    pub confirmed: u64,
    /// Closed by people as false.
    pub dismissed: u64,
    /// The sum of the confidences of the closed ones: the number of them that should be true.
    pub expected: f64,
}

/// Tests and duplicates say nothing about whether the evidence was right.
const OUTCOMES: &str = "\
    SELECT detector, toUInt8(least(floor(10 * confidence), 9)) AS tenth, count() AS incidents, \
        countIf(reason IN ('theft', 'misuse_by_owner')) AS confirmed, \
        countIf(reason IN ('false_travel', 'false_deploy', 'false_other')) AS dismissed, \
        sumIf(confidence, reason IN ('theft', 'misuse_by_owner', 'false_travel', 'false_deploy', \
            'false_other')) AS expected \
    FROM ( \
        SELECT id, toString(argMax(detectors, revision)[1]) AS detector, \
            max(alerts.confidence) AS confidence \
        FROM alerts \
        WHERE type IN ('alert.opened', 'alert.updated') AND key_id != '' \
            AND detected_at >= fromUnixTimestamp64Micro(?) \
        GROUP BY id) AS told \
    LEFT JOIN (SELECT incident, close_reason AS reason FROM incident_states) AS closed \
        ON closed.incident = told.id \
    GROUP BY detector, tenth ORDER BY detector, tenth";

impl Store {
    /// What became of the incidents since `from`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outcomes(&self, from: EventTime) -> Result<Vec<Outcomes>, StoreError> {
        let query = self.client.query(OUTCOMES).bind(from.as_micros());
        query.fetch_all().await.map_err(|error| self.error("reading outcomes of incidents", &error))
    }
}
