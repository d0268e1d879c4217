//! Stands between the service and ClickHouse, recognises the step of a batch that each request
//! belongs to, and interrupts exactly there. The product therefore needs no switches for these
//! tests.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(120);

/// A step of a batch, as its requests and responses reveal it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    BeforeIntent,
    AfterIntent,
    DuringInsert,
    /// The claim was looked up; the end of the insert was not sent.
    AfterCheck,
    AfterInsert,
    BeforeCommit,
    /// A chunk of state, or the row that makes its round valid, is in transit.
    DuringSnapshot,
    /// The request of a revocation is stored, but no alert mentions it yet. This step is not part
    /// of a batch.
    AfterRevocationRequest,
}

impl Step {
    /// The steps of a batch and of a round of state.
    pub const ALL: [Self; 7] = [
        Self::BeforeIntent,
        Self::AfterIntent,
        Self::DuringInsert,
        Self::AfterCheck,
        Self::AfterInsert,
        Self::BeforeCommit,
        Self::DuringSnapshot,
    ];
}

/// The action taken at the step.
type Strike = Box<dyn FnOnce() + Send>;

/// Whether the intercepted data is passed on after the action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    PassOn,
    Cut,
}

struct Armed {
    step: Step,
    /// Number of times that the step must be reached before the action.
    after: u32,
    then: Then,
    strike: Strike,
}

#[derive(Default)]
struct Trap {
    armed: Mutex<Option<Armed>>,
    sprung: Condvar,
    refuses_state: AtomicBool,
    /// Milliseconds by which each answer is late.
    delay: AtomicU64,
}

pub struct Proxy {
    pub url: String,
    trap: Arc<Trap>,
}

impl Proxy {
    /// Starts a proxy to the ClickHouse at `url`. Its threads end with the process.
    pub fn start(url: &str) -> Self {
        let upstream = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let trap = Arc::<Trap>::default();
        let shared = Arc::clone(&trap);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // The server is down at present, so the client sees a closed connection.
                let Ok(server) = TcpStream::connect(&upstream) else { continue };
                Connection::start(client, server, &shared);
            }
        });
        Self { url, trap }
    }

    /// Arranges that `strike` is called the `after`th time that `step` is reached from now on.
    pub fn arm(&self, step: Step, after: u32, then: Then, strike: impl FnOnce() + Send + 'static) {
        let strike = Box::new(strike);
        *self.trap.armed.lock().unwrap() = Some(Armed { step, after, then, strike });
    }

    /// Blocks all saving of state from now on.
    pub fn refuse_state(&self) {
        self.trap.refuses_state.store(true, Ordering::Relaxed);
    }

    /// Passes on each answer so much later from now on.
    pub fn answer_after(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap();
        self.trap.delay.store(millis, Ordering::Relaxed);
    }

    pub fn wait_until_struck(&self) {
        let armed = self.trap.armed.lock().unwrap();
        let waited = self.trap.sprung.wait_timeout_while(armed, DEADLINE, |armed| armed.is_some());
        let (armed, _) = waited.unwrap();
        assert!(armed.is_none(), "never reached: {:?}", armed.as_ref().map(|armed| armed.step));
    }
}

impl Trap {
    fn reach(&self, step: Step) -> Then {
        let mut armed = self.armed.lock().unwrap();
        match &mut *armed {
            Some(trap) if trap.step == step && trap.after == 0 => {}
            Some(trap) if trap.step == step => {
                trap.after -= 1;
                return Then::PassOn;
            }
            _ => return Then::PassOn,
        }
        let Some(trap) = armed.take() else { return Then::PassOn };
        (trap.strike)();
        self.sprung.notify_all();
        trap.then
    }
}

/// The kind of request on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    Intent,
    Insert,
    Check,
    Done,
    State,
    Revocation,
    Other,
}

impl Request {
    fn of_head(head: &str) -> Self {
        // Blocks of columns name their table without quotes.
        let is_insert_into = |table: &str| {
            let quoted = format!("INSERT+INTO+%60{table}%60");
            head.contains(&quoted) || head.contains(&format!("INSERT+INTO+{table}+"))
        };
        let is_of_state = |state: &str| head.contains(&format!("%2F{state}"));
        match () {
            () if is_insert_into("ingest_batches") && is_of_state("Intent") => Self::Intent,
            () if is_insert_into("ingest_batches") && is_of_state("Done") => Self::Done,
            () if is_insert_into("access_events") => Self::Insert,
            () if is_insert_into("state_chunks") || is_insert_into("state_rounds") => Self::State,
            () if is_insert_into("revocation_requests") => Self::Revocation,
            () => Self::Other,
        }
    }

    const fn answered(self) -> Option<Step> {
        match self {
            Self::Intent => Some(Step::AfterIntent),
            Self::Insert => Some(Step::AfterInsert),
            Self::Check => Some(Step::AfterCheck),
            Self::Done => Some(Step::BeforeCommit),
            Self::Revocation => Some(Step::AfterRevocationRequest),
            Self::State | Self::Other => None,
        }
    }
}

struct Connection {
    request: Mutex<Request>,
    trap: Arc<Trap>,
}

impl Connection {
    fn start(client: TcpStream, server: TcpStream, trap: &Arc<Trap>) {
        let connection =
            Arc::new(Self { request: Mutex::new(Request::Other), trap: Arc::clone(trap) });
        let (there, back) = (Arc::clone(&connection), connection);
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || copy(from, to, |bytes| there.asked(bytes)));
        thread::spawn(move || copy(server, client, |_| back.answered()));
    }

    fn asked(&self, bytes: &[u8]) -> Pass {
        let text = String::from_utf8_lossy(bytes);
        let mut request = self.request.lock().unwrap();
        if text.starts_with("POST ") {
            *request = Request::of_head(&text);
        }
        if text.contains("FROM partition_owners") {
            *request = Request::Check;
        }
        let step = match *request {
            Request::Intent => Step::BeforeIntent,
            Request::Insert => Step::DuringInsert,
            Request::State if self.trap.refuses_state.load(Ordering::Relaxed) => return Pass::Cut,
            Request::State => Step::DuringSnapshot,
            _ => return Pass::All,
        };
        match self.trap.reach(step) {
            Then::PassOn => Pass::All,
            Then::Cut if matches!(step, Step::DuringInsert | Step::DuringSnapshot) => {
                Pass::HalfThenCut
            }
            Then::Cut => Pass::Cut,
        }
    }

    fn answered(&self) -> Pass {
        // The delay is the fault itself; no test waits by it.
        thread::sleep(Duration::from_millis(self.trap.delay.load(Ordering::Relaxed)));
        let request = std::mem::replace(&mut *self.request.lock().unwrap(), Request::Other);
        match request.answered().map(|step| self.trap.reach(step)) {
            Some(Then::Cut) => Pass::Cut,
            _ => Pass::All,
        }
    }
}

enum Pass {
    All,
    HalfThenCut,
    Cut,
}

/// The head is passed on whole, because half a head ends the embedded ClickHouse.
fn half_of_body(bytes: &[u8]) -> &[u8] {
    let end_of_head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    &bytes[..end_of_head + (bytes.len() - end_of_head) / 2]
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut judge: impl FnMut(&[u8]) -> Pass) {
    let mut buffer = vec![0; 64 << 10];
    let mut pass = || -> io::Result<()> {
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            match judge(&buffer[..count]) {
                Pass::All => to.write_all(&buffer[..count])?,
                Pass::HalfThenCut => return to.write_all(half_of_body(&buffer[..count])),
                Pass::Cut => return Ok(()),
            }
        }
    };
    // Whichever side closed or broke the connection, the other side sees it closed.
    let _ = pass();
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
