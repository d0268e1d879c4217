//! Records an act of a person on one or many incidents, and tells what came of it.

use anyhow::{Context, anyhow};

use super::filter::{Filter, Row, StateChoice};
use super::print;
use crate::alert::{IncidentState, Severity};
use crate::casework::{self, Told, act_on_all};
use crate::cli::CommandError;
use crate::store::Store;
use crate::text::{counted, visible, visible_json};
use crate::workflow::{Kind, Obstacle};

/// Incidents that are read and written at once.
const CHUNK: usize = 500;

/// What a person wants, and for which incidents.
pub struct Order {
    pub act: casework::Order,
    /// Empty when the filter selects.
    pub ids: Vec<String>,
    pub filter: Filter,
    /// Whether the person has agreed to act on all incidents that match.
    pub is_sure: bool,
    pub as_json: bool,
}

pub async fn run(order: Order, store: &Store) -> Result<(), CommandError> {
    let ids = incidents(&order, store).await?;
    let mut refused = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        let told = act_on_all(&order.act, store, &chunk).await.with_context(
            || "it is not known whether this was stored; `keywatch alerts show ID` tells",
        )?;
        for told in told {
            let sentence = sentence(&order.act, &told);
            if order.as_json {
                let json = told.as_json(&order.act, &sentence);
                print(&(visible_json(&json.to_string()) + "\n"))?;
            } else if !told.is_refused() && (told.is_grave(&order.act) || !order.ids.is_empty()) {
                print(&(sentence.clone() + "\n"))?;
            }
            if told.is_refused() {
                refused.push(sentence);
            }
        }
    }
    conclude(&order, ids.len() - refused.len(), &refused)
}

/// The incidents that the order names. A filter needs the consent of the person.
async fn incidents(order: &Order, store: &Store) -> Result<Vec<String>, CommandError> {
    if !order.ids.is_empty() {
        let mut ids = order.ids.clone();
        ids.sort();
        ids.dedup();
        require_known(store, &ids).await?;
        return Ok(ids);
    }
    let mut filter = order.filter.clone();
    if filter.state.is_empty() && order.act.kind == Kind::Reopen {
        filter.state = vec![StateChoice::Only(IncidentState::Closed)];
    }
    let mut rows = filter.load(store, u32::MAX).await.map_err(anyhow::Error::from)?;
    if order.act.kind.closes() && !filter.detector.is_empty() {
        rows.retain(|row| row.is_only_of(&filter.detector));
    }
    let matching = counted(rows.len(), "incident");
    if rows.is_empty() {
        return Err(
            anyhow!("no incident matches; `keywatch alerts list` takes the same filter").into()
        );
    }
    if !order.is_sure {
        let sentence = format!(
            "{matching} ({}) would be {}, and nothing was changed: repeat the command with --yes",
            by_severity(&rows),
            order.act.kind.done()
        );
        return Err(CommandError::Usage(anyhow!(sentence)));
    }
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// `1 critical, 3 low`.
fn by_severity(rows: &[Row]) -> String {
    let count = |severity: &Severity| {
        let count = rows.iter().filter(|row| row.severity == severity.as_str()).count();
        (count > 0).then(|| format!("{count} {severity}"))
    };
    let counts: Vec<String> = Severity::ALL.iter().rev().filter_map(count).collect();
    counts.join(", ")
}

async fn require_known(store: &Store, ids: &[String]) -> Result<(), CommandError> {
    for chunk in ids.chunks(CHUNK) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        let known = store.known_revisions(&chunk).await.map_err(anyhow::Error::from)?;
        let unknown = chunk.iter().find(|id| known.iter().all(|(known, _)| known != *id));
        if let Some(id) = unknown {
            return Err(unknown_incident(id));
        }
    }
    Ok(())
}

pub fn unknown_incident(id: &str) -> CommandError {
    let id = visible(id);
    anyhow!("no alert has the id {id}; `keywatch alerts list --state any` names all incidents")
        .into()
}

/// What came of it, with the command that helps.
fn sentence(order: &casework::Order, told: &Told) -> String {
    let id = visible(&told.id);
    let help = match &told.obstacle {
        None if order.kind == Kind::Approve => {
            format!(", and `keywatch alerts show {id}` tells what became of it")
        }
        None => String::new(),
        Some(Obstacle::Closed(_)) => format!("; `keywatch alerts reopen {id}` opens it again"),
        Some(Obstacle::NotClosed) => format!("; `keywatch alerts show {id}` shows its state"),
        Some(obstacle) => match casework::remedy(obstacle) {
            "" => String::new(),
            remedy => format!("; {remedy}"),
        },
    };
    visible(&told.sentence(order)) + &help
}

/// Tells what was refused, and sums up an act on all incidents that match.
fn conclude(order: &Order, done: usize, refused: &[String]) -> Result<(), CommandError> {
    let (first, others) = match refused {
        [] => (None, refused),
        [first, others @ ..] => (Some(first), others),
    };
    if !order.as_json {
        others.iter().for_each(|sentence| anstream::eprintln!("keywatch: {sentence}"));
        if order.ids.is_empty() {
            print(&format!("{}: {}\n", counted(done, "incident"), order.act.kind.done()))?;
        }
    }
    first.map_or(Ok(()), |sentence| Err(anyhow!(sentence.clone()).into()))
}
