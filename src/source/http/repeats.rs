//! Recognises a request that is sent again, by its `Idempotency-Key`.
//!
//! A process remembers its own requests. Those of processes before it are looked up where they are
//! stored.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::server::Accepted;
use super::verdict::Refusals;
use crate::http::Problem;

const HEADER: &str = "idempotency-key";
const MOST_KEY_BYTES: usize = 255;
/// Stored requests that are remembered; the others are looked up.
const REMEMBERED: usize = 1_000;

/// An earlier request with the same key, as it is stored.
#[derive(Clone, Debug)]
pub struct Earlier {
    pub body: String,
    pub first_offset: i64,
    pub last_offset: i64,
    pub progress: Progress,
    /// Offset, place in the record, reason and detail of each refusal.
    pub refused: Vec<(i64, u32, String, String)>,
}

#[derive(Clone, Debug)]
pub enum Progress {
    Stored,
    /// Another living process stores it.
    UnderWay,
    /// Its process is gone. Of its events, those at these offsets are stored.
    CutOff(BTreeSet<i64>),
}

/// Looks up the request with this key where requests are stored. An error is for operators.
pub type FindEarlier =
    Arc<dyn Fn(String) -> BoxFuture<'static, Result<Option<Earlier>, String>> + Send + Sync>;

/// The identity of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) key: String,
    pub(super) body: String,
}

impl Identity {
    /// Returns `None` for a request without a key. Keys of different senders never meet.
    pub(super) fn of(
        sender: &str,
        headers: &HeaderMap,
        records: &[Vec<u8>],
    ) -> Result<Option<Self>, Problem> {
        let Some(given) = headers.get(HEADER).map(|value| value.as_bytes()) else {
            return Ok(None);
        };
        if given.is_empty() || given.len() > MOST_KEY_BYTES {
            let detail = format!("Idempotency-Key must have 1 to {MOST_KEY_BYTES} bytes");
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        let key = Sha256::new().chain_update(sender).chain_update([0]).chain_update(given);
        let mut body = Sha256::new();
        for record in records {
            body.update(record.len().to_be_bytes());
            body.update(record);
        }
        Ok(Some(Self { key: hex::encode(key.finalize()), body: hex::encode(body.finalize()) }))
    }
}

/// The decision about a request with a key.
pub(super) enum Decision {
    /// It was stored before, with this answer.
    Known(Accepted),
    /// Its events at these places are to be stored. The others are, with these refusals.
    Store { places: BTreeSet<usize>, earlier: Refusals, under_way: UnderWay },
}

#[derive(Clone)]
pub(super) struct Repeats {
    known: Arc<Mutex<Known>>,
    find: FindEarlier,
}

#[derive(Default)]
struct Known {
    by_key: HashMap<String, (String, Option<Accepted>)>,
    /// Keys of stored requests, oldest first.
    stored: VecDeque<String>,
}

impl Repeats {
    pub(super) fn new(find: FindEarlier) -> Self {
        Self { known: Arc::default(), find }
    }

    /// Decides about a request with `events` events.
    ///
    /// # Errors
    /// 422 for a key that came with other events, 409 while its first request is being stored, 503
    /// when it cannot be looked up.
    pub(super) async fn decide(
        &self,
        identity: &Identity,
        events: usize,
    ) -> Result<Decision, Problem> {
        let under_way = match self.begin(identity)? {
            Ok(under_way) => under_way,
            Err(answer) => return Ok(Decision::Known(answer)),
        };
        let earlier = (self.find)(identity.key.clone()).await.map_err(|_| cannot_look_up())?;
        let Some(earlier) = earlier else {
            let (places, earlier) = ((0..events).collect(), Refusals::default());
            return Ok(Decision::Store { places, earlier, under_way });
        };
        if earlier.body != identity.body {
            return Err(other_body());
        }
        let refusals = earlier.refusals();
        let places: BTreeSet<usize> = match &earlier.progress {
            Progress::UnderWay => return Err(being_stored()),
            Progress::Stored => BTreeSet::new(),
            Progress::CutOff(stored) => {
                let is_missing = |place: &usize| {
                    i64::try_from(*place)
                        .is_ok_and(|place| !stored.contains(&(earlier.first_offset + place)))
                };
                (0..events).filter(is_missing).collect()
            }
        };
        if !places.is_empty() {
            return Ok(Decision::Store { places, earlier: refusals, under_way });
        }
        let answer = Accepted::new(events, earlier.first_offset, earlier.last_offset, refusals);
        under_way.stored(answer.clone());
        Ok(Decision::Known(answer))
    }

    /// Notes that the request is under way, or returns the answer that it got before.
    fn begin(&self, identity: &Identity) -> Result<Result<UnderWay, Accepted>, Problem> {
        let mut known = self.known.lock();
        match known.by_key.get(&identity.key) {
            Some((body, _)) if *body != identity.body => Err(other_body()),
            Some((_, None)) => Err(being_stored()),
            Some((_, Some(answer))) => Ok(Err(answer.clone())),
            None => {
                known.by_key.insert(identity.key.clone(), (identity.body.clone(), None));
                let (known, key) = (Arc::clone(&self.known), identity.key.clone());
                Ok(Ok(UnderWay { known, key }))
            }
        }
    }
}

/// A request that is being stored. Dropped without an answer, it is looked up when it comes again.
pub(super) struct UnderWay {
    known: Arc<Mutex<Known>>,
    key: String,
}

impl UnderWay {
    pub(super) fn stored(self, answer: Accepted) {
        let mut known = self.known.lock();
        if let Some((_, place)) = known.by_key.get_mut(&self.key) {
            *place = Some(answer);
        }
        known.stored.push_back(self.key.clone());
        if known.stored.len() > REMEMBERED
            && let Some(oldest) = known.stored.pop_front()
        {
            known.by_key.remove(&oldest);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut known = self.known.lock();
        if known.by_key.get(&self.key).is_some_and(|(_, answer)| answer.is_none()) {
            known.by_key.remove(&self.key);
        }
    }
}

impl Earlier {
    fn refusals(&self) -> Refusals {
        let mut refusals = Refusals::default();
        for (offset, index, reason, detail) in &self.refused {
            if let Ok(event) = usize::try_from(offset - self.first_offset) {
                refusals.add(event, *index, reason, detail);
            }
        }
        refusals
    }
}

fn other_body() -> Problem {
    let detail =
        "this Idempotency-Key came before with other events: use a new key for each request";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

fn being_stored() -> Problem {
    let detail = "the first request with this Idempotency-Key is still being stored: send it again \
        later to learn its outcome";
    Problem::new(StatusCode::CONFLICT, detail).with_header(RETRY_AFTER, "1")
}

fn cannot_look_up() -> Problem {
    let detail = "ClickHouse cannot be asked whether this request was stored before: no event was \
        accepted, send it again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header(RETRY_AFTER, "1")
}
