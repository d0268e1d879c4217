//! Reads what people have taught by closing incidents.

use std::collections::HashMap;

use super::{Store, StoreError, parts};
use crate::alert::{CloseReason, DetectorId};
use crate::event::{EventTime, KeyId};
use crate::registry::{Lesson, LessonKind, Topics};
use crate::workflow::{Act, Course, Kind};

const FACTS: &str = "SELECT id, any(key_id) AS about, \
        toUnixTimestamp64Micro(min(first_event_time)) AS first, \
        toUnixTimestamp64Micro(max(last_event_time)) AS latest, \
        arrayStringConcat(CAST(groupUniqArrayArray(detectors), 'Array(String)'), ',') AS found \
    FROM alerts WHERE id IN ? AND key_id != '' GROUP BY id";

/// Incident, key, first and last event in microseconds, and detectors between commas.
type FactsRow = (String, String, i64, i64, String);

/// An incident about a key.
struct Facts {
    key_id: KeyId,
    since: EventTime,
    until: EventTime,
    topics: Topics,
}

impl Facts {
    fn read((id, key_id, first, last, detectors): FactsRow) -> (String, Self) {
        let (since, until) = (EventTime::from_micros(first), EventTime::from_micros(last));
        (id, Self { key_id: key_id.into(), since, until, topics: topics(&detectors) })
    }
}

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
        // A time ahead of the clock would hide the acts after it.
        let now = EventTime::now();
        let newest = news.iter().map(|act| act.time.min(now)).max().max(latest);
        let is_closing = |act: &&Act| act.kind.closes();
        let incidents: Vec<&str> =
            news.iter().filter(is_closing).map(|act| act.incident.as_str()).collect();
        if incidents.is_empty() {
            return Ok((newest, Vec::new()));
        }
        // Whether an act counts depends on those before it.
        let acts = self.acts_of(&incidents).await?;
        Ok((newest, lessons(acts, &self.facts_of(&incidents).await?)))
    }

    async fn facts_of(&self, incidents: &[&str]) -> Result<HashMap<String, Facts>, StoreError> {
        let mut facts = HashMap::new();
        for part in parts(incidents) {
            let rows = self.client.query(FACTS).bind(part).fetch_all::<FactsRow>().await;
            let rows = rows.map_err(|error| self.error("reading alerts", &error))?;
            facts.extend(rows.into_iter().map(Facts::read));
        }
        Ok(facts)
    }
}

fn lessons(acts: Vec<Act>, facts: &HashMap<String, Facts>) -> Vec<Lesson> {
    let mut by_incident: HashMap<String, Vec<Act>> = HashMap::new();
    for act in acts {
        by_incident.entry(act.incident.clone()).or_default().push(act);
    }
    let courses = by_incident.into_values().map(Course::of);
    let effective =
        courses.flat_map(|course| course.steps).filter(|(_, obstacle)| obstacle.is_none());
    let mut lessons: Vec<(EventTime, Lesson)> = effective
        .filter_map(|(act, _)| {
            let Facts { key_id, since, until, topics } = facts.get(&act.incident)?;
            let (key_id, kind, time) = (key_id.clone(), teaches(&act)?, act.time);
            let (since, until, topics) = (*since, *until, *topics);
            let (act, incident) = (act.id, act.incident);
            Some((time, Lesson { act, incident, key_id, since, until, topics, kind }))
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

/// The memories that these detectors judge by. Those of detectors that judge by rules, answers and
/// repetitions are not for people to teach.
fn topics(detectors: &str) -> Topics {
    let mut topics = Topics::default();
    for detector in detectors.split(',').filter_map(DetectorId::named) {
        match detector {
            DetectorId::ImpossibleTravel | DetectorId::NewLocation | DetectorId::NewAsn => {
                topics.places = true;
            }
            DetectorId::NewAgent | DetectorId::NewFingerprint => topics.programs = true,
            DetectorId::UnexpectedEndpoint | DetectorId::RotationAbuse => topics.routes = true,
            DetectorId::RateSpike => topics.bursts = true,
            _ => {}
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_teaches_only_what_its_evidence_is_about() {
        let places = Topics { places: true, ..Topics::default() };
        assert_eq!(topics("geo.impossible_travel,rate.error_burst,unheard"), places);
        let both = Topics { programs: true, bursts: true, ..Topics::default() };
        assert_eq!(topics("client.new_agent,rate.spike"), both);
        assert_eq!(topics(""), Topics::default());
    }
}
