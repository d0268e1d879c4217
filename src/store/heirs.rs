//! Decides which process delivers the alerts of a process that is gone.
//!
//! Each process writes a beat every few seconds. One that misses the beats of another writes itself
//! as its heir, and ClickHouse keeps the first heir of each death. The heir of an heir gets
//! everything that it held.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::event::EventTime;

/// The alerts that one process delivers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Estate {
    /// It delivers its own alerts that were written after this time, in microseconds. Another
    /// process took it for gone then, and delivers those before.
    pub(super) own_since: i64,
    /// Processes that were gone, and the last time, in microseconds, of their alerts that it
    /// delivers.
    pub(super) inherited: BTreeMap<String, i64>,
}

/// A row of `process_beats`; the server adds the time.
#[derive(Clone, Row, Serialize)]
struct BeatRow<'a> {
    owner: &'a str,
    has_left: bool,
}

/// A row of `alert_heirs`; the server adds the time.
#[derive(Clone, Row, Serialize)]
struct HeirRow<'a> {
    gone: &'a str,
    beat: i64,
    heir: &'a str,
}

/// A row of `alert_heirs` as it is read.
#[derive(Clone, Debug, Row, Deserialize)]
struct Succession {
    gone: String,
    heir: String,
    micros: i64,
    /// Whether the process has written a beat after the one by which it was taken for gone.
    came_back: bool,
}

/// Selects processes without an heir that left, or that were silent for the given time.
const GONE: &str = "\
    SELECT owner, toUnixTimestamp64Micro(max(time)) AS beat FROM process_beats WHERE owner != ? \
    GROUP BY owner \
    HAVING (argMax(has_left, time) OR (? AND max(time) < now64(6) - toIntervalSecond(?))) \
        AND (owner, beat) NOT IN (SELECT gone, beat FROM alert_heirs)";

const SUCCESSIONS: &str = "\
    SELECT gone, heir, toUnixTimestamp64Micro(alert_heirs.time) AS micros, \
        last.beat > alert_heirs.beat AS came_back FROM alert_heirs \
    LEFT JOIN (SELECT owner, toUnixTimestamp64Micro(max(time)) AS beat FROM process_beats \
        GROUP BY owner) AS last ON last.owner = alert_heirs.gone \
    WHERE alert_heirs.time >= fromUnixTimestamp64Micro(?) ORDER BY alert_heirs.time, gone";

impl Store {
    /// Says that this process is there, or that it leaves.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn beat(&self, has_left: bool) -> Result<(), StoreError> {
        let row = BeatRow { owner: &self.owner, has_left };
        self.insert::<BeatRow<'_>>("process_beats", "", [row]).await
    }

    /// Makes this process the heir of each process that has left, unless another one was faster.
    /// With `silent_seconds`, also of those without a beat for so long. Returns how many processes
    /// were without an heir.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inherit(&self, silent_seconds: Option<u32>) -> Result<usize, StoreError> {
        let gone = self.client.query(GONE).bind(&*self.owner).bind(silent_seconds.is_some());
        let gone = gone.bind(silent_seconds.unwrap_or_default()).fetch_all().await;
        let gone: Vec<(String, i64)> =
            gone.map_err(|error| self.error("reading process_beats", &error))?;
        for (gone, beat) in &gone {
            let row = HeirRow { gone, beat: *beat, heir: &self.owner };
            let token = format!("heir/{gone}/{beat}");
            self.insert::<HeirRow<'_>>("alert_heirs", &token, [row]).await?;
        }
        Ok(gone.len())
    }

    /// Returns the gone processes whose alerts this process delivers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inherited(&self, since: EventTime) -> Result<Vec<String>, StoreError> {
        Ok(self.estate(since).await?.inherited.into_keys().collect())
    }

    /// Returns the estate of this process, without those who went before `since`.
    pub(super) async fn estate(&self, since: EventTime) -> Result<Estate, StoreError> {
        let rows = self.client.query(SUCCESSIONS).bind(since.as_micros()).fetch_all().await;
        let rows = rows.map_err(|error| self.error("reading alert_heirs", &error))?;
        Ok(estate_of(&self.owner, rows))
    }
}

/// Follows `successions`, which are in the order of their times.
fn estate_of(me: &str, successions: Vec<Succession>) -> Estate {
    let mut own_since = i64::MIN;
    // The holder and the last time of the alerts of each gone process.
    let mut held: BTreeMap<String, (String, i64)> = BTreeMap::new();
    for Succession { gone, heir, micros, came_back } in successions {
        for (holder, _) in held.values_mut().filter(|(holder, _)| *holder == gone) {
            holder.clone_from(&heir);
        }
        if gone == me {
            own_since = micros;
        }
        // A process that did not come back may have written an alert after its last beat. Alerts
        // from before the column have no time of their own.
        let until = if came_back && !gone.is_empty() { micros } else { i64::MAX };
        held.insert(gone, (heir, until));
    }
    let mine = held.into_iter().filter(|(_, (holder, _))| holder == me);
    Estate { own_since, inherited: mine.map(|(gone, (_, until))| (gone, until)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estate(me: &str, successions: &[(&str, &str, i64)]) -> (i64, Vec<(String, i64)>) {
        let rows = successions.iter().map(|(gone, heir, micros)| Succession {
            gone: (*gone).to_owned(),
            heir: (*heir).to_owned(),
            micros: *micros,
            came_back: true,
        });
        let Estate { own_since, inherited } = estate_of(me, rows.collect());
        (own_since, inherited.into_iter().collect())
    }

    fn named(name: &str, until: i64) -> (String, i64) {
        (name.to_owned(), until)
    }

    #[test]
    fn an_heir_of_an_heir_holds_everything() {
        let rows = [("a", "b", 10), ("c", "d", 20), ("b", "d", 30)];
        assert_eq!(estate("b", &rows[..2]).1, [named("a", 10)]);
        assert_eq!(estate("b", &rows).1, []);
        assert_eq!(estate("d", &rows).1, [named("a", 10), named("b", 30), named("c", 20)]);
    }

    #[test]
    fn who_was_taken_for_gone_keeps_what_it_writes_later() {
        let rows = [("a", "b", 10), ("b", "a", 20)];
        assert_eq!(estate("b", &rows[..1]), (i64::MIN, vec![named("a", 10)]));
        assert_eq!(estate("a", &rows), (10, vec![named("a", 10), named("b", 20)]));
        assert_eq!(estate("b", &rows), (20, vec![]));
    }

    #[test]
    fn everything_of_a_process_that_did_not_come_back_is_inherited() {
        let row = |came_back| Succession {
            gone: "a".to_owned(),
            heir: "b".to_owned(),
            micros: 10,
            came_back,
        };
        assert_eq!(estate_of("b", vec![row(true)]).inherited["a"], 10);
        assert_eq!(estate_of("b", vec![row(false)]).inherited["a"], i64::MAX);
    }

    #[test]
    fn alerts_without_a_process_have_no_last_time() {
        assert_eq!(estate("b", &[("", "b", 10)]).1, [named("", i64::MAX)]);
    }
}
