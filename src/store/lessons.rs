//! Reads what people have taught by closing incidents.

use std::collections::HashMap;

use super::{Store, StoreError};
use crate::alert::CloseReason;
use crate::event::{EventTime, KeyId};
use crate::registry::{Lesson, LessonKind};
use crate::workflow::{Act, Course, Kind};

const FACTS: &str = "SELECT id, any(key_id) AS about, \
        toUnixTimestamp64Micro(min(first_event_time)) AS first \
    FROM alerts WHERE id IN ? AND key_id != '' GROUP BY id";

impl Store {
    /// The lessons since `latest`, the time of the latest act that the caller has read, and some of
    /// those before it; without it, those of the last month. Returns the time of the latest act too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lessons_since(
        &self,
        latest: Option<EventTime>,
    ) -> Result<(Option<EventTime>, Vec<Lesson>), StoreError> {
        let news = self.acts_since(latest).await?;
        let newest = news.iter().map(|act| act.time).max().max(latest);
        let is_closing = |act: &&Act| act.kind.closes();
        let mut incidents: Vec<&str> =
            news.iter().filter(is_closing).map(|act| act.incident.as_str()).collect();
        incidents.sort_unstable();
        incidents.dedup();
        if incidents.is_empty() {
            return Ok((newest, Vec::new()));
        }
        // Whether an act counts depends on those before it.
        let acts = self.acts_of(&incidents).await?;
        let facts = self.client.query(FACTS).bind(incidents.as_slice());
        let facts: Result<Vec<(String, String, i64)>, _> = facts.fetch_all().await;
        let facts = facts.map_err(|error| self.error("reading alerts", &error))?;
        let facts = facts.into_iter().map(|(id, key_id, first)| (id, (key_id.into(), first)));
        Ok((newest, lessons(acts, &facts.collect())))
    }
}

fn lessons(acts: Vec<Act>, facts: &HashMap<String, (KeyId, i64)>) -> Vec<Lesson> {
    let mut by_incident: HashMap<String, Vec<Act>> = HashMap::new();
    for act in acts {
        by_incident.entry(act.incident.clone()).or_default().push(act);
    }
    let courses = by_incident.into_values().map(Course::of);
    let effective =
        courses.flat_map(|course| course.steps).filter(|(_, obstacle)| obstacle.is_none());
    let mut lessons: Vec<(EventTime, Lesson)> = effective
        .filter_map(|(act, _)| {
            let (key_id, first) = facts.get(&act.incident)?;
            let (since, kind) = (EventTime::from_micros(*first), teaches(&act)?);
            let (key_id, time) = (key_id.clone(), act.time);
            Some((time, Lesson { act: act.id, incident: act.incident, key_id, since, kind }))
        })
        .collect();
    lessons.sort_by(|(a, x), (b, y)| (a, &x.act).cmp(&(b, &y.act)));
    lessons.into_iter().map(|(_, lesson)| lesson).collect()
}

/// A test and a duplicate say nothing about what is ordinary for the key.
fn teaches(act: &Act) -> Option<LessonKind> {
    match (act.kind, act.reason) {
        (Kind::Confirm, _) => Some(LessonKind::Confirmed),
        (
            Kind::Dismiss,
            Some(CloseReason::FalseTravel | CloseReason::FalseDeploy | CloseReason::FalseOther),
        ) => Some(LessonKind::Dismissed),
        _ => None,
    }
}
