//! Stores suppressions and maintenance windows, and reads them back.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::alert::{Alert, DetectorId};
use crate::event::EventTime;
use crate::workflow::{Scope, Suppression};

/// A suppression that is over is read for so many days: alerts are delivered late.
const KEPT_DAYS: u32 = 7;

const ACTIVE: &str = "\
    SELECT made.id AS id, made.who AS who, made.note AS note, made.detectors AS detectors, \
        made.keys AS keys, made.tenants AS tenants, made.asn AS asn, made.cidr AS cidr, \
        made.route AS route, toUnixTimestamp64Micro(made.starts) AS starts, \
        toUnixTimestamp64Micro(made.ends) AS ends, made.hides_critical AS hides_critical, \
        toUnixTimestamp64Micro(closing.ended) AS ended_at, closing.ended_by AS ended_by \
    FROM suppressions AS made LEFT JOIN ( \
        SELECT id, min(time) AS ended, argMin(who, time) AS ended_by \
        FROM suppressions WHERE kind = 'end' GROUP BY id) AS closing ON closing.id = made.id \
    WHERE made.kind = 'begin' AND made.ends > now64(6) - toIntervalDay(?) \
    ORDER BY made.time, made.id";

/// A row as it is written; the server adds the time.
#[derive(Clone, Row, Serialize)]
struct NewRow<'a> {
    id: &'a str,
    kind: &'a str,
    who: &'a str,
    note: &'a str,
    detectors: Vec<&'a str>,
    keys: &'a [String],
    tenants: &'a [String],
    asn: u32,
    cidr: String,
    route: &'a str,
    starts: i64,
    ends: i64,
    hides_critical: bool,
}

#[derive(Row, Deserialize)]
struct StoredRow {
    id: String,
    who: String,
    note: String,
    detectors: Vec<String>,
    keys: Vec<String>,
    tenants: Vec<String>,
    asn: u32,
    cidr: String,
    route: String,
    starts: i64,
    ends: i64,
    hides_critical: bool,
    ended_at: i64,
    ended_by: String,
}

impl StoredRow {
    /// `None` if it names a detector or a network that only a newer version knows: it would
    /// otherwise hide more than its author meant.
    fn read(self) -> Option<Suppression> {
        let detectors = self.detectors.iter().map(|name| DetectorId::named(name));
        let cidr = if self.cidr.is_empty() { None } else { Some(self.cidr.parse().ok()?) };
        let ended = (!self.ended_by.is_empty())
            .then(|| (EventTime::from_micros(self.ended_at), self.ended_by));
        Some(Suppression {
            scope: Scope {
                detectors: detectors.collect::<Option<_>>()?,
                keys: self.keys,
                tenants: self.tenants,
                asn: (self.asn != 0).then_some(self.asn),
                cidr,
                route: Some(self.route).filter(|route| !route.is_empty()),
            },
            id: self.id,
            who: self.who,
            note: self.note,
            from: EventTime::from_micros(self.starts),
            until: EventTime::from_micros(self.ends),
            hides_critical: self.hides_critical,
            ended,
        })
    }
}

impl Store {
    /// Stores a suppression. Storing it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_suppression(&self, suppression: &Suppression) -> Result<(), StoreError> {
        self.write_suppression(suppression, "begin", &suppression.who, &suppression.note).await
    }

    /// Stores that `who` ends a suppression. The first end counts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_suppression(
        &self,
        suppression: &Suppression,
        who: &str,
        note: &str,
    ) -> Result<(), StoreError> {
        self.write_suppression(suppression, "end", who, note).await
    }

    async fn write_suppression(
        &self,
        suppression: &Suppression,
        kind: &str,
        who: &str,
        note: &str,
    ) -> Result<(), StoreError> {
        let scope = &suppression.scope;
        let row = NewRow {
            id: &suppression.id,
            kind,
            who,
            note,
            detectors: scope.detectors.iter().map(|detector| detector.as_str()).collect(),
            keys: &scope.keys,
            tenants: &scope.tenants,
            asn: scope.asn.unwrap_or_default(),
            cidr: scope.cidr.map(|cidr| cidr.to_string()).unwrap_or_default(),
            route: scope.route.as_deref().unwrap_or_default(),
            starts: suppression.from.as_micros(),
            ends: suppression.until.as_micros(),
            hides_critical: suppression.hides_critical,
        };
        let token = format!("suppression/{}/{kind}/{who}", suppression.id);
        self.insert::<NewRow<'_>>("suppressions", &token, [row]).await
    }

    /// Returns the suppressions that are active, are to come, or have been over for less than a
    /// week, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn suppressions(&self) -> Result<Vec<Suppression>, StoreError> {
        let rows = self.client.query(ACTIVE).bind(KEPT_DAYS).fetch_all::<StoredRow>().await;
        let rows = rows.map_err(|error| self.error("reading suppressions", &error))?;
        Ok(rows.into_iter().filter_map(StoredRow::read).collect())
    }

    /// Calls `visit` with each revision of the last `days` days that has one of these detectors
    /// (empty for all) and is about one of these keys or tenants (empty for all).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn visit_alerts(
        &self,
        scope: &Scope,
        days: u32,
        mut visit: impl FnMut(&Alert),
    ) -> Result<(), StoreError> {
        const SQL: &str = "\
            SELECT id, alert FROM alerts FINAL WHERE detected_at > now64(6) - toIntervalDay(?) \
                AND type IN ('alert.opened', 'alert.updated') \
                AND (empty(?) OR hasAny(CAST(detectors, 'Array(String)'), CAST(?, 'Array(String)'))) \
                AND (empty(?) OR has(CAST(?, 'Array(String)'), key_id)) \
                AND (empty(?) OR has(CAST(?, 'Array(String)'), toString(tenant))) \
            ORDER BY id, revision";
        let names: Vec<&str> = scope.detectors.iter().map(|it| it.as_str()).collect();
        let query = self.client.query(SQL).bind(days).bind(&names).bind(&names);
        let query = query.bind(&scope.keys).bind(&scope.keys);
        let query = query.bind(&scope.tenants).bind(&scope.tenants);
        let failed = |error| self.error("reading alerts", &error);
        let mut rows = query.fetch::<(String, String)>().map_err(failed)?;
        while let Some((id, text)) = rows.next().await.map_err(failed)? {
            let alert = serde_json::from_str(&text)
                .map_err(|reason| StoreError::AlertJson { id, reason })?;
            visit(&alert);
        }
        Ok(())
    }
}
