//! Stores requests to suspend and to revoke keys, and reads the proposals and the requests so far.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::{Store, StoreError};
use crate::alert::{Action, Alert, Restraint};
use crate::detect::Family;
use crate::event::EventTime;
use crate::respond::Spent;

/// The requests so far, for the decision about the next one.
#[derive(Clone, Debug)]
pub struct RequestLedger {
    /// The server's clock when the requests were read.
    pub now: EventTime,
    /// Number of the next request.
    pub next_number: u64,
    /// The requests of the last day.
    pub spent: Vec<Spent>,
}

/// An open incident that proposes an action which was not requested.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The latest revision with evidence.
    pub alert: Alert,
    /// Reasons to wait that its incident has told.
    pub told: Vec<Restraint>,
    /// Whether this process wrote that revision.
    pub is_own: bool,
    /// Seconds since it was written.
    pub age_seconds: f64,
}

/// A request whose alert is not stored yet.
#[derive(Clone, Debug)]
pub struct UntoldRequest {
    pub alert: Alert,
    /// Whether this process made the request.
    pub is_own: bool,
    /// Seconds since the request was made.
    pub age_seconds: f64,
}

/// A row of `revocation_requests`; the server adds the time.
#[derive(Clone, Row, Serialize)]
struct RequestRow<'a> {
    number: u64,
    incident: &'a str,
    revision: u32,
    key_id: &'a str,
    owner: &'a str,
    alert: String,
    action: &'a str,
    tenant: &'a str,
    kind: &'a str,
    is_kept: bool,
}

#[derive(Row, Deserialize)]
struct LedgerRow {
    now: i64,
    next_number: u64,
    spent: Vec<(i64, String, String, String, String, bool)>,
}

#[derive(Row, Deserialize)]
struct ProposalRow {
    id: String,
    alert: String,
    told: Vec<String>,
    writer: String,
    age_seconds: f64,
}

const LEDGER: &str = "\
    SELECT toUnixTimestamp64Micro(now64(6)) AS now, max(number) + 1 AS next_number, \
        groupArrayIf((toUnixTimestamp64Micro(time), toString(action), key_id, toString(tenant), \
            toString(kind), is_kept), time > now64(6) - INTERVAL 1 DAY) AS spent \
    FROM revocation_requests";

/// Selects incidents whose latest evidence proposes an action that has no request, nor has a
/// stronger one. An incident that was resolved within the last minute counts as open: in a backlog
/// an incident may open and close between two looks. Proposals older than a month are left out, and
/// of many the first of each tenant come first, so that the query stays cheap for any number of
/// alerts and nobody can crowd out the proposals of others.
const PROPOSALS: &str = "\
    SELECT id, latest AS alert, told, writer, age_seconds FROM ( \
        SELECT id, min(first_event_time) AS first, any(tenant) AS owner, \
            argMaxIf(alert, revision, type IN ('alert.opened', 'alert.updated')) AS latest, \
            argMaxIf((action, dry_run), revision, type IN ('alert.opened', 'alert.updated')) AS asks, \
            groupUniqArrayIf(toString(restraint), restraint != '') AS told, \
            toString(argMaxIf(written_by, revision, type IN ('alert.opened', 'alert.updated'))) AS writer, \
            (toUnixTimestamp64Micro(now64(6)) - toUnixTimestamp64Micro(argMaxIf(written_at, revision, \
                type IN ('alert.opened', 'alert.updated')))) / 1e6 AS age_seconds, \
            row_number() OVER (PARTITION BY owner ORDER BY first, id) AS place \
        FROM alerts \
        WHERE id IN (SELECT id FROM alerts WHERE action IN ('suspend', 'revoke') AND NOT dry_run \
                AND detected_at > now64(6) - INTERVAL 30 DAY) \
            AND id NOT IN (SELECT incident FROM revocation_requests WHERE action = 'revoke') \
        GROUP BY id \
        HAVING (asks = ('revoke', false) \
                OR asks = ('suspend', false) AND id NOT IN (SELECT incident FROM revocation_requests)) \
            AND countIf(type = 'key.revocation_requested') = 0 \
            AND countIf(type = 'alert.resolved' \
                AND detected_at < now64(6) - INTERVAL 1 MINUTE) = 0) \
    ORDER BY place, first, id LIMIT 2000";

const UNTOLD: &str = "\
    SELECT incident, alert, owner, (toUnixTimestamp64Micro(now64(6)) - \
        toUnixTimestamp64Micro(time)) / 1e6 \
    FROM revocation_requests \
    WHERE time > now64(6) - INTERVAL 30 DAY AND (incident, revision) NOT IN \
        (SELECT id, revision FROM alerts \
            WHERE id IN (SELECT incident FROM revocation_requests)) \
    ORDER BY number";

impl Store {
    /// Returns the requests so far. Call it before [`Self::proposals`], so that the
    /// proposals do not include an incident whose request is not counted here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revocation_ledger(&self) -> Result<RequestLedger, StoreError> {
        let row = self.client.query(LEDGER).fetch_one::<LedgerRow>().await;
        let row = row.map_err(|error| self.error("reading revocation_requests", &error))?;
        Ok(RequestLedger {
            now: EventTime::from_micros(row.now),
            next_number: row.next_number,
            spent: row.spent.into_iter().map(spent).collect(),
        })
    }

    /// Returns the open incidents that propose a suspension or a revocation which was not
    /// requested, at most 2,000 of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn proposals(&self) -> Result<Vec<Proposal>, StoreError> {
        let rows: Result<Vec<ProposalRow>, _> = self.client.query(PROPOSALS).fetch_all().await;
        let rows = rows.map_err(|error| self.error("reading proposed requests", &error))?;
        let read = |row: ProposalRow| {
            Ok(Proposal {
                alert: parse(row.id, &row.alert)?,
                told: row.told.iter().filter_map(|name| Restraint::named(name)).collect(),
                is_own: *row.writer == *self.owner,
                age_seconds: row.age_seconds,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Stores a request under `number`. If the number is taken, nothing is stored; the table shows
    /// which process took it.
    ///
    /// # Errors
    /// [`StoreError`]; after a retryable one, the table shows whether the request is stored.
    pub async fn record_request(
        &self,
        number: u64,
        request: &Alert,
        spent: &Spent,
    ) -> Result<(), StoreError> {
        let alert = serde_json::to_string(request)
            .map_err(|reason| StoreError::AlertJson { id: request.id.clone(), reason })?;
        let row = RequestRow {
            number,
            incident: &request.id,
            revision: request.revision,
            key_id: request.key_id.as_deref().unwrap_or_default(),
            owner: &self.owner,
            alert,
            action: spent.action.as_str(),
            tenant: spent.tenant.as_deref().unwrap_or_default(),
            kind: spent.family.map_or("", Family::as_str),
            is_kept: spent.is_kept,
        };
        let token = format!("revocation/{number}");
        self.insert::<RequestRow<'_>>("revocation_requests", &token, [row]).await
    }

    /// Returns requests whose alert is not stored, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn untold_requests(&self) -> Result<Vec<UntoldRequest>, StoreError> {
        let rows: Result<Vec<(String, String, String, f64)>, _> =
            self.client.query(UNTOLD).fetch_all().await;
        let rows = rows.map_err(|error| self.error("reading revocation_requests", &error))?;
        let read = |(id, text, owner, age_seconds): (String, String, String, f64)| {
            let is_own = *owner == *self.owner;
            Ok(UntoldRequest { alert: parse(id, &text)?, is_own, age_seconds })
        };
        rows.into_iter().map(read).collect()
    }
}

fn spent(
    (micros, action, key_id, tenant, kind, is_kept): (i64, String, String, String, String, bool),
) -> Spent {
    Spent {
        time: EventTime::from_micros(micros),
        // The strictest budget for an action that only a newer version knows.
        action: Action::named(&action).unwrap_or(Action::Revoke),
        key_id: key_id.into(),
        tenant: (!tenant.is_empty()).then_some(tenant),
        family: Family::VARIANTS.iter().copied().find(|family| family.as_str() == kind),
        is_kept,
    }
}

pub(super) fn parse(id: String, text: &str) -> Result<Alert, StoreError> {
    serde_json::from_str(text).map_err(|reason| StoreError::AlertJson { id, reason })
}
