//! Applies what people teach by closing incidents.

use std::collections::{HashMap, VecDeque};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::Engine;
use super::shard::Shard;
use crate::event::KeyId;
use crate::profile::{Memories, Profile};
use crate::registry::{Lesson, LessonKind};

/// Incidents of a shard whose keys' earlier memories are kept. Beyond them, the oldest of the holder
/// with the most are dropped: a confirmation of it then teaches nothing.
const MOST_INCIDENTS: usize = 256;
/// Incidents of one key whose earlier memories are kept: the latest.
const MOST_OF_KEY: usize = 8;
/// Lessons of a shard that are remembered as applied.
const MOST_APPLIED: usize = 4_096;
/// Lessons of an engine that are kept for shards that are restored later.
const MOST_LESSONS: usize = 20_000;

/// A key's memories as they were when an incident began.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    incident: String,
    key_id: KeyId,
    /// The key's tenant. Empty if it is not known.
    tenant: CompactString,
    memories: Memories,
}

impl Before {
    /// Who must not displace the memories of others: the tenant, or else the key.
    fn holder(&self) -> (&str, &str) {
        if self.tenant.is_empty() { ("", &self.key_id) } else { (&self.tenant, "") }
    }
}

/// What a shard needs for lessons to come, and which ones it has applied.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Classroom {
    before: VecDeque<Before>,
    applied: VecDeque<String>,
}

impl Classroom {
    /// Keeps the memories of a key at the first proven evidence of an incident.
    pub fn keep(
        &mut self,
        incident: &str,
        key_id: &KeyId,
        tenant: Option<&str>,
        profile: &Profile,
    ) {
        if self.before.iter().any(|it| it.incident == incident) {
            return;
        }
        let (incident, key_id, memories) =
            (incident.to_owned(), key_id.clone(), profile.memories());
        let tenant = tenant.unwrap_or_default().into();
        self.before.push_back(Before { incident, key_id, tenant, memories });
        if let Some(place) = self.excess() {
            self.before.remove(place);
        }
    }

    /// The place of the memories to drop, after others were added.
    fn excess(&self) -> Option<usize> {
        let newest = self.before.back()?;
        let of_key = self.before.iter().filter(|it| it.key_id == newest.key_id);
        if of_key.count() > MOST_OF_KEY {
            return self.before.iter().position(|it| it.key_id == newest.key_id);
        }
        if self.before.len() <= MOST_INCIDENTS {
            return None;
        }
        let mut held: HashMap<(&str, &str), usize> = HashMap::new();
        for before in &self.before {
            *held.entry(before.holder()).or_default() += 1;
        }
        let most = held.values().copied().max()?;
        self.before.iter().position(|it| held.get(&it.holder()) == Some(&most))
    }

    fn take(&mut self, lesson: &Lesson) -> Option<Memories> {
        let is_of = |it: &Before| it.incident == lesson.incident && it.key_id == lesson.key_id;
        let place = self.before.iter().position(is_of)?;
        // Incidents that began later saw a profile that the thief had taught already.
        let is_later = |at: usize, it: &Before| at > place && it.key_id == lesson.key_id;
        let later = self.before.iter().enumerate().filter(|(at, it)| is_later(*at, it));
        let mut later: Vec<usize> = later.map(|(at, _)| at).collect();
        while let Some(at) = later.pop() {
            self.before.remove(at);
        }
        self.before.remove(place).map(|before| before.memories)
    }

    fn note_applied(&mut self, lesson: &Lesson) {
        self.applied.push_back(lesson.act.clone());
        if self.applied.len() > MOST_APPLIED {
            self.applied.pop_front();
        }
    }
}

impl Engine {
    /// Applies lessons to the shards that hold their keys, each once. Shards that are restored later
    /// get them too.
    pub fn learn_lessons(&mut self, lessons: &[Lesson]) {
        for lesson in lessons {
            if self.lessons.iter().any(|known| known.act == lesson.act) {
                continue;
            }
            self.shards.values_mut().for_each(|shard| shard.learn_lesson(lesson));
            self.lessons.push_back(lesson.clone());
            if self.lessons.len() > MOST_LESSONS {
                self.lessons.pop_front();
            }
        }
    }
}

impl Shard {
    /// Applies a lesson about a key of this shard, unless the state includes it.
    pub fn learn_lesson(&mut self, lesson: &Lesson) {
        let Some(kept) = self.profiles.get_mut(&lesson.key_id) else { return };
        if self.classroom.applied.contains(&lesson.act) {
            return;
        }
        self.changes.note(&lesson.key_id, kept);
        match lesson.kind {
            LessonKind::Confirmed => {
                if let Some(memories) = self.classroom.take(lesson) {
                    kept.profile.take_back(memories, lesson.since);
                }
            }
            LessonKind::Dismissed => take_up(&mut kept.profile, lesson),
        }
        self.classroom.note_applied(lesson);
    }
}

/// Makes ordinary what the incident reported, and nothing else: the key may have other incidents.
fn take_up(profile: &mut Profile, lesson: &Lesson) {
    let (topics, span) = (lesson.topics, lesson.span());
    if topics.places {
        profile.take_up_places(&span);
    }
    if topics.programs {
        profile.take_up_programs(&span);
    }
    if topics.routes {
        profile.take_up_routes(&span);
    }
    if topics.bursts {
        profile.take_up_bursts(&span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventTime;

    fn keep(classroom: &mut Classroom, incident: &str, key: &str, tenant: Option<&str>) {
        let profile = Profile::new(EventTime::default());
        classroom.keep(incident, &key.into(), tenant, &profile);
    }

    fn count(classroom: &Classroom, key: &str) -> usize {
        classroom.before.iter().filter(|it| *it.key_id == *key).count()
    }

    #[test]
    fn a_tenant_with_many_incidents_displaces_only_its_own_memories() {
        let mut classroom = Classroom::default();
        keep(&mut classroom, "victim", "key-victim", Some("shop"));
        keep(&mut classroom, "lonely", "key-lonely", None);
        for n in 0..2 * MOST_INCIDENTS {
            keep(&mut classroom, &format!("own-{n}"), &format!("key-{n}"), Some("intruder"));
        }
        assert_eq!(classroom.before.len(), MOST_INCIDENTS);
        assert_eq!([count(&classroom, "key-victim"), count(&classroom, "key-lonely")], [1, 1]);
    }

    #[test]
    fn of_one_key_the_latest_memories_are_kept() {
        let mut classroom = Classroom::default();
        (0..20).for_each(|n| keep(&mut classroom, &n.to_string(), "key", None));
        let kept: Vec<&str> = classroom.before.iter().map(|it| &*it.incident).collect();
        assert_eq!((kept.len(), kept[0]), (MOST_OF_KEY, "12"));
    }
}
