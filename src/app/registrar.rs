//! Reads changes of the key registry for the pipeline.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::looks::Looks;
use crate::registry::KeyNews;
use crate::store::{Store, StoreError};

/// Time limit for one look. A large import takes a while to read.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads what is new once a second. Nothing waits for it: what is known stays in force.
pub struct Registrar {
    store: Arc<Store>,
    /// The number of the latest change that was read.
    number: u64,
    news: mpsc::Sender<KeyNews>,
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
        let first = store.until_available(|| store.key_news(0)).await?;
        let (news, received) = mpsc::channel(1);
        let (store, number) = (Arc::clone(store), first.number);
        Ok((Self { store, number, news }, first, received))
    }

    /// Starts the task. It ends with the pipeline, which holds the other end of the channel.
    pub fn start(self) -> JoinHandle<()> {
        tokio::spawn(self.run())
    }

    async fn run(self) {
        let Self { store, mut number, news } = self;
        let mut looks = Looks::new("the key registry", PATIENCE);
        loop {
            let Some(found) = looks.next(async || store.key_news(number).await).await else {
                continue;
            };
            let is_new = found.number > number;
            number = found.number;
            if is_new && news.send(found).await.is_err() {
                return;
            }
        }
    }
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
