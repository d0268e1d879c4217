//! Applies what people teach by closing incidents.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::shard::Shard;
use crate::event::KeyId;
use crate::profile::{Memories, Profile};
use crate::registry::{Lesson, LessonKind};

/// Incidents of a shard whose keys' earlier memories are kept. Beyond them, the oldest are dropped:
/// a confirmation of it then teaches nothing.
const MOST_INCIDENTS: usize = 256;
/// Lessons of a shard that are remembered as applied.
const MOST_APPLIED: usize = 4_096;
/// Lessons of an engine that are kept for shards that are restored later.
const MOST_LESSONS: usize = 20_000;

/// A key's memories as they were when an incident began.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    incident: String,
    key_id: KeyId,
    memories: Memories,
}

/// What a shard needs for lessons to come, and which ones it has applied.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Classroom {
    before: VecDeque<Before>,
    applied: VecDeque<String>,
}

impl Classroom {
    /// Keeps the memories of a key whose incident opens.
    pub fn keep(&mut self, incident: &str, key_id: &KeyId, profile: &Profile) {
        let (incident, key_id) = (incident.to_owned(), key_id.clone());
        self.before.push_back(Before { incident, key_id, memories: profile.memories() });
        if self.before.len() > MOST_INCIDENTS {
            self.before.pop_front();
        }
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
            LessonKind::Dismissed => kept.profile.take_up(lesson.since),
        }
        self.classroom.note_applied(lesson);
    }
}
