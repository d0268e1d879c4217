//! Waits for a result of another process or task.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

/// Far longer than any step takes on a slow machine; only a failing test waits this long.
pub const LIMIT: Duration = Duration::from_secs(180);
const BETWEEN: Duration = Duration::from_millis(20);

/// An answer to "is it there yet?". A negative answer may describe the present state.
pub trait Answer {
    type Found;

    /// # Errors
    /// Returns the present state as the error.
    fn found(self) -> Result<Self::Found, String>;
}

impl Answer for bool {
    type Found = ();

    fn found(self) -> Result<(), String> {
        self.then_some(()).ok_or_else(String::new)
    }
}

impl<T> Answer for Option<T> {
    type Found = T;

    fn found(self) -> Result<T, String> {
        self.ok_or_else(String::new)
    }
}

impl<T, E: Debug> Answer for Result<T, E> {
    type Found = T;

    fn found(self) -> Result<T, String> {
        self.map_err(|instead| format!(": {instead:#?}"))
    }
}

/// Calls `probe` until it finds something. Panics after `limit` with `what` and the last answer.
pub async fn eventually<A: Answer>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> A,
) -> A::Found {
    let begin = Instant::now();
    loop {
        match probe().await.found() {
            Ok(found) => return found,
            Err(instead) => assert!(begin.elapsed() < limit, "never came true: {what}{instead}"),
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Like [`eventually`], for tests that are not asynchronous.
pub fn eventually_blocking<A: Answer>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> A,
) -> A::Found {
    let begin = Instant::now();
    loop {
        match probe().found() {
            Ok(found) => return found,
            Err(instead) => assert!(begin.elapsed() < limit, "never came true: {what}{instead}"),
        }
        thread::sleep(BETWEEN);
    }
}

#[test]
#[should_panic(expected = "never came true: three: 2")]
fn waiting_ends_with_what_is_there_instead() {
    eventually_blocking("three", Duration::ZERO, || Err::<(), _>(2));
}
