//! Reads changes of the key registry for the pipeline.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::looks::Looks;
use crate::event::EventTime;
use crate::registry::{KeyNews, Lesson};
use crate::store::{Store, StoreError};

/// Time limit for one look. A large import takes a while to read.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads what is new once a second. Nothing waits for it: what is known stays in force.
pub struct Registrar {
    store: Arc<Store>,
    read: Read,
    sent: Sent,
    news: mpsc::Sender<KeyNews>,
}

/// Acts whose lessons are remembered as sent. A look reads those of the last minute again.
const MOST_SENT: usize = 4_096;

/// The acts whose lessons were sent, oldest first.
#[derive(Debug, Default)]
struct Sent(VecDeque<String>);

impl Sent {
    /// Drops the lessons that were sent before, and notes the others.
    fn keep_new(&mut self, lessons: &mut Vec<Lesson>) {
        lessons.retain(|lesson| !self.0.contains(&lesson.act));
        self.0.extend(lessons.iter().map(|lesson| lesson.act.clone()));
        self.0.drain(..self.0.len().saturating_sub(MOST_SENT));
    }
}

/// What was read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Read {
    /// The number of the latest change of the registry.
    number: u64,
    /// The number of the latest request to suspend or revoke a key.
    asked: u64,
    /// The time of the latest act of people.
    latest_act: Option<EventTime>,
}

impl Registrar {
    /// Reads the registry so far and waits while ClickHouse is away. The first batch is judged
    /// after that: a restart must not judge by an empty registry.
    ///
    /// # Errors
    /// Errors that a retry cannot fix.
    pub async fn open(
        store: &Arc<Store>,
    ) -> Result<(Self, KeyNews, mpsc::Receiver<KeyNews>), StoreError> {
        let read = || news_after(store, Read::default());
        let (read, mut first) = store.until_available(read).await?;
        let mut sent = Sent::default();
        sent.keep_new(&mut first.lessons);
        let (news, received) = mpsc::channel(1);
        Ok((Self { store: Arc::clone(store), read, sent, news }, first, received))
    }

    /// Starts the task. It ends with the pipeline, which holds the other end of the channel.
    pub fn start(self) -> JoinHandle<()> {
        tokio::spawn(self.run())
    }

    async fn run(self) {
        let Self { store, mut read, mut sent, news } = self;
        let mut looks = Looks::new("the key registry", PATIENCE);
        loop {
            let look = async || news_after(&store, read).await;
            let Some((now, mut found)) = looks.next(look).await else { continue };
            // An act may become visible after a later one, so a look reads some again.
            sent.keep_new(&mut found.lessons);
            let is_new = now != read || !found.lessons.is_empty();
            read = now;
            if is_new && news.send(found).await.is_err() {
                return;
            }
        }
    }
}

/// What came after `read`: changes of the registry, what was asked of the keys' store, and what
/// people have taught. Lessons may come again.
async fn news_after(store: &Store, read: Read) -> Result<(Read, KeyNews), StoreError> {
    let (asked, mut deeds) = store.asked_after(read.asked).await?;
    let (latest_act, lessons) = store.lessons_since(read.latest_act).await?;
    let mut news = store.key_news(read.number).await?;
    news.deeds.append(&mut deeds);
    news.lessons = lessons;
    Ok((Read { number: news.number, asked, latest_act }, news))
}

/// Holds back the stage that partitions records by key, until the public ids of raw keys are known.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Blocks the thread until the gate is open.
    pub fn wait(&self) {
        let (is_open, opened) = &*self.0;
        let mut is_open = is_open.lock();
        while !*is_open {
            opened.wait(&mut is_open);
        }
    }

    /// Opens the gate for good when it is dropped, so that nobody waits for a service that ends.
    pub fn opener(&self) -> Opener {
        Opener(self.clone())
    }
}

pub struct Opener(Gate);

impl Drop for Opener {
    fn drop(&mut self) {
        let (is_open, opened) = &*self.0.0;
        *is_open.lock() = true;
        opened.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{LessonKind, Topics};

    #[test]
    fn a_lesson_is_sent_once() {
        let lesson = |act: usize| Lesson {
            act: format!("act_{act}"),
            incident: "alr_1".into(),
            key_id: "key".into(),
            since: EventTime::default(),
            until: EventTime::default(),
            topics: Topics::default(),
            kind: LessonKind::Dismissed,
        };
        let mut sent = Sent::default();
        for (found, new) in [(0..2, 2), (0..3, 1), (0..3, 0), (3..9_000, 8_997)] {
            let mut lessons: Vec<Lesson> = found.map(lesson).collect();
            sent.keep_new(&mut lessons);
            assert_eq!(lessons.len(), new);
        }
        assert_eq!(sent.0.len(), MOST_SENT);
    }
}
