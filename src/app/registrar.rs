//! Reads changes of the key registry for the pipeline.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::looks::Looks;
use crate::event::EventTime;
use crate::registry::KeyNews;
use crate::store::{Store, StoreError};

/// Time limit for one look. A large import takes a while to read.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads what is new once a second. Nothing waits for it: what is known stays in force.
pub struct Registrar {
    store: Arc<Store>,
    read: Read,
    news: mpsc::Sender<KeyNews>,
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
        let (read, first) = store.until_available(read).await?;
        let (news, received) = mpsc::channel(1);
        Ok((Self { store: Arc::clone(store), read, news }, first, received))
    }

    /// Starts the task. It ends with the pipeline, which holds the other end of the channel.
    pub fn start(self) -> JoinHandle<()> {
        tokio::spawn(self.run())
    }

    async fn run(self) {
        let Self { store, mut read, news } = self;
        let mut looks = Looks::new("the key registry", PATIENCE);
        loop {
            let look = async || news_after(&store, read).await;
            let Some((now, found)) = looks.next(look).await else { continue };
            // An act may become visible after a later one. Lessons that are known change nothing.
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
