//! Reads the body of a request within limits of size and time.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::StatusCode;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::Problem;

/// A client that sends nothing for this long is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the whole body. `within` limits the time until its last byte, so that a client which
/// sends byte after byte does not hold memory for long. `reserve` is asked for room for each part
/// when it arrives: what a client announces and does not send takes none.
///
/// # Errors
/// 413 for more than `max_bytes`, 408 when it takes longer than `within` or stalls, 400 when the
/// connection breaks, and the problem of `reserve`.
pub async fn read(
    body: Body,
    max_bytes: usize,
    within: Duration,
    reserve: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Vec<u8>, Problem> {
    timeout(within, collect(body, max_bytes, reserve)).await.map_err(|_| too_slow(within))?
}

async fn collect(
    body: Body,
    max_bytes: usize,
    mut reserve: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Vec<u8>, Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let next = async |chunks: &mut BodyDataStream| timeout(STALL_TIMEOUT, chunks.next()).await;
    while let Some(chunk) = next(&mut chunks).await.map_err(|_| stalled())? {
        let chunk: Bytes = chunk.map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, format!("the body was cut short: {error}"))
        })?;
        if bytes.len() + chunk.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        reserve(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn stalled() -> Problem {
    let detail = format!("nothing of the body arrived for {} s", STALL_TIMEOUT.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
}

/// Returns 413 with the accepted size.
pub fn too_large(max_bytes: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {max_bytes} bytes: send fewer events at a time"),
    )
}

fn too_slow(within: Duration) -> Problem {
    let detail = format!("the body did not arrive within {} s", within.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn chunks(count: usize) -> Body {
        let chunk = Ok::<_, Infallible>(Bytes::from_static(b"1234"));
        Body::from_stream(stream::iter(vec![chunk; count]))
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_bounded_by_what_arrives() {
        assert_eq!(read(chunks(2), 8, LONG, |_| Ok(())).await.unwrap(), b"12341234");
        assert_eq!(read(chunks(3), 8, LONG, |_| Ok(())).await.unwrap_err().status(), 413);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up() {
        let endless = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"1")), ()))
        });
        let body = Body::from_stream(endless);
        let problem = read(body, 1 << 20, LONG, |_| Ok(())).await.unwrap_err();
        assert_eq!(problem.status(), 408);
        assert_eq!(problem.detail(), "the body did not arrive within 30 s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_which_nothing_comes_is_given_up_soon() {
        let silent = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let problem = read(silent, 1 << 20, LONG, |_| Ok(())).await.unwrap_err();
        assert_eq!(problem.detail(), "nothing of the body arrived for 5 s");
    }

    #[tokio::test]
    async fn room_is_reserved_as_the_bytes_arrive() {
        let mut reserved = Vec::new();
        let reserve = |bytes| {
            reserved.push(bytes);
            if reserved.len() < 3 { Ok(()) } else { Err(too_large(8)) }
        };
        assert!(read(chunks(9), 100, LONG, reserve).await.is_err());
        assert_eq!(reserved, [4, 4, 4]);
    }
}
