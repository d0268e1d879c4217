//! How often signs come together in ordinary sessions of the fleet, so that two which usually
//! do count once.
//!
//! Each row is a sign and holds, for every other, the share of its sessions that showed that one
//! too: a judgement to begin with, shrunk to it as a Dirichlet prior does, and decayed.
//!
//! Whoever owns a group of keys may teach at will with them. So the n-th lesson of one group
//! about one sign weighs `1 / n^2`: all of them together weigh less than `pi^2 / 6` (the Basel
//! sum), beside a prior that weighs ten.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::signs::{SIGNS, Sign, Signs};
use crate::event::{DAY_SECONDS, EventTime};

/// What is believed beforehand weighs as much as the first lessons of so many groups.
const PRIOR_LESSONS: f32 = 10.0;
/// A session of which something was told teaches this much: what many do is ordinary in the end.
const SUSPECTED: f32 = 0.1;
const HALF_LIFE_SECONDS: f64 = 30.0 * DAY_SECONDS;
/// Groups remembered; the one that has not taught for longest gives way.
const MAX_TEACHERS: usize = 1_024;

/// Signs of which nobody has said that they come together.
const ELSE: f32 = 0.05;

/// Share of sessions with the sign of the row that show the sign of the column too. Judgements,
/// for a fleet that has not taught yet: who is in another country is on another network, a
/// deploy brings another client, who travels keeps other hours, and of the keys that wake after
/// long one in twenty wakes in a place that it never used.
#[rustfmt::skip]
const PRIOR: [[f32; SIGNS]; SIGNS] = [
    // Place Network Kind Agent Finger Route Silence Errors Rate Hours
    [1.0,  0.9,  0.2,  0.1,  0.1,  ELSE, 0.1,  0.1,  0.1,  0.5],
    [0.3,  1.0,  0.3,  0.15, 0.15, 0.1,  0.1,  0.1,  0.1,  0.3],
    [0.3,  0.9,  1.0,  0.2,  0.2,  0.1,  0.1,  0.1,  0.1,  0.3],
    [0.1,  0.15, 0.15, 1.0,  0.6,  0.3,  ELSE, 0.2,  0.2,  0.2],
    [0.1,  0.15, 0.15, 0.5,  1.0,  0.2,  ELSE, 0.1,  0.1,  0.2],
    [ELSE, ELSE, ELSE, 0.1,  0.1,  1.0,  ELSE, 0.3,  0.2,  0.2],
    [0.05, 0.1,  ELSE, 0.1,  0.1,  0.1,  1.0,  0.1,  0.3,  0.3],
    [ELSE, ELSE, ELSE, 0.1,  0.1,  0.2,  ELSE, 1.0,  0.3,  0.2],
    [ELSE, ELSE, ELSE, 0.1,  0.1,  0.2,  0.1,  0.3,  1.0,  0.2],
    [0.1,  0.1,  ELSE, ELSE, ELSE, ELSE, 0.1,  ELSE, 0.1,  1.0],
];

/// Shares of sessions, and who taught them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Dependence {
    /// Weights of sessions with both signs; on the diagonal, with the sign of the row.
    sessions: [[f32; SIGNS]; SIGNS],
    teachers: BTreeMap<u64, Teacher>,
    taught: EventTime,
}

/// A group of keys that one owner has.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Teacher {
    lessons: [u16; SIGNS],
    last: EventTime,
}

impl Dependence {
    /// Probability that a session with the sign `given` shows `sign` too.
    pub fn chance(&self, sign: Sign, given: Sign) -> f64 {
        let (row, column) = (given as usize, sign as usize);
        let with_both = self.sessions[row][column] + PRIOR_LESSONS * PRIOR[row][column];
        f64::from(with_both / (self.sessions[row][row] + PRIOR_LESSONS)).min(1.0)
    }

    /// Learns a session that is over, of a key of this group.
    pub fn learn(&mut self, signs: &Signs, group: u64, is_suspected: bool, time: EventTime) {
        self.decay_to(time);
        let mut teacher = self.teacher(group, time);
        let weight = if is_suspected { SUSPECTED } else { 1.0 };
        for given in signs.present().map(|sign| sign as usize) {
            let lessons = &mut teacher.lessons[given];
            *lessons = lessons.saturating_add(1);
            let gain = weight / f32::from(*lessons).powi(2);
            for sign in signs.present() {
                self.sessions[given][sign as usize] += gain;
            }
        }
        self.teachers.insert(group, teacher);
    }

    fn decay_to(&mut self, time: EventTime) {
        let seconds = time.seconds_since(self.taught);
        if seconds <= 0.0 {
            return;
        }
        let keep = (-seconds / HALF_LIFE_SECONDS).exp2() as f32;
        self.sessions.iter_mut().flatten().for_each(|weight| *weight *= keep);
        self.taught = time;
    }

    /// As it stands at `time`: lessons are halved after each half-life without one.
    fn teacher(&mut self, group: u64, time: EventTime) -> Teacher {
        if let Some(mut teacher) = self.teachers.get(&group).copied() {
            let halvings = (time.seconds_since(teacher.last) / HALF_LIFE_SECONDS).clamp(0.0, 15.0);
            teacher.lessons = teacher.lessons.map(|lessons| lessons >> halvings as u16);
            teacher.last = teacher.last.max(time);
            return teacher;
        }
        if self.teachers.len() >= MAX_TEACHERS {
            let idlest =
                self.teachers.iter().min_by_key(|(group, teacher)| (teacher.last, **group));
            if let Some(group) = idlest.map(|(group, _)| *group) {
                self.teachers.remove(&group);
            }
        }
        Teacher { lessons: [0; SIGNS], last: time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(noted: &[Sign]) -> Signs {
        let mut signs = Signs::default();
        noted.iter().for_each(|sign| signs.note(*sign, 0.1, 0.01));
        signs
    }

    const BOTH: [Sign; 2] = [Sign::Place, Sign::Silence];

    fn taught(lessons: impl Iterator<Item = (u64, bool)>) -> f64 {
        let mut dependence = Dependence::default();
        for (second, (group, is_suspected)) in lessons.enumerate() {
            let time = EventTime::from_seconds(1_700_000_000 + second as i64);
            dependence.learn(&signs(&BOTH), group, is_suspected, time);
        }
        dependence.chance(Sign::Place, Sign::Silence)
    }

    #[test]
    fn what_many_show_together_comes_together() {
        let before = taught(std::iter::empty());
        assert!((before - 0.05).abs() < 1e-6);
        assert!(taught((0..50).map(|group| (group, false))) > 0.8);
        assert!(taught((0..200).map(|group| (group, true))) > 0.6);
    }

    #[test]
    fn what_comes_alone_is_learned_too() {
        let mut dependence = Dependence::default();
        for group in 0..90 {
            let time = EventTime::from_seconds(1_700_000_000);
            dependence.learn(&signs(&[Sign::Place]), group, false, time);
        }
        assert!(dependence.chance(Sign::Network, Sign::Place) < 0.1);
    }

    #[test]
    fn one_group_teaches_little_however_often_it_does() {
        assert!(taught((0..100_000).map(|_| (7, false))) < 0.2);
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut dependence = Dependence::default();
        let time = EventTime::from_seconds(1_700_000_000);
        (0..50).for_each(|group| dependence.learn(&signs(&BOTH), group, false, time));
        let year_later = time.plus_seconds(365.0 * DAY_SECONDS);
        dependence.learn(&signs(&[Sign::Rate]), 1, false, year_later);
        assert!(dependence.chance(Sign::Place, Sign::Silence) < 0.06);
    }

    #[test]
    fn groups_are_bounded() {
        let mut dependence = Dependence::default();
        for group in 0..3_000 {
            let time = EventTime::from_seconds(group as i64);
            dependence.learn(&signs(&BOTH), group, false, time);
        }
        assert_eq!(dependence.teachers.len(), MAX_TEACHERS);
        assert!(dependence.teachers.contains_key(&2_999) && !dependence.teachers.contains_key(&0));
    }
}
