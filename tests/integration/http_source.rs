//! Tests the HTTP source with a real client.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use keywatch::config::{HttpConfig, Secret};
use keywatch::record::{BatchLimits, RawBatch};
use keywatch::source::{FindEarlier, HttpSource, Source};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(60);

fn config() -> HttpConfig {
    HttpConfig { listen: ([127, 0, 0, 1], 0).into(), ..HttpConfig::default() }
}

/// No process before this one has stored a request.
fn nothing_before() -> FindEarlier {
    Arc::new(|_| Box::pin(async { Ok(None) }))
}

async fn open(config: &HttpConfig) -> HttpSource {
    let interval = Duration::from_millis(5);
    let limits = BatchLimits { records: 1000, bytes: 1000, interval };
    HttpSource::bind(config, limits, nothing_before()).await.unwrap()
}

fn post(source: &HttpSource, body: impl Into<reqwest::Body>) -> RequestBuilder {
    post_as("application/json", source, body)
}

fn post_as(
    content_type: &str,
    source: &HttpSource,
    body: impl Into<reqwest::Body>,
) -> RequestBuilder {
    // Another test may have installed the provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("http://{}/v1/events", source.local_address());
    Client::new().post(url).header("content-type", content_type).body(body)
}

fn send(request: RequestBuilder) -> JoinHandle<(StatusCode, Value)> {
    tokio::spawn(answer(request))
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = timeout(DEADLINE, request.send()).await.expect("an answer").unwrap();
    let status = response.status();
    if !status.is_success() {
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    if !status.is_success() {
        assert_eq!(body["status"], status.as_u16());
    }
    (status, body)
}

async fn next(source: &mut HttpSource) -> RawBatch {
    timeout(DEADLINE, source.next()).await.expect("a batch").unwrap().unwrap()
}

fn payloads(batch: &RawBatch) -> Vec<&str> {
    batch.records().map(|(_, payload)| str::from_utf8(payload).unwrap()).collect()
}

async fn commit(source: &mut HttpSource, batch: &RawBatch) {
    source.commit(&batch.partition, batch.offsets().unwrap().1).await.unwrap();
}

#[tokio::test]
async fn answers_when_the_events_are_stored_and_not_before() {
    let mut source = open(&config()).await;
    let body = r#"[{"a":1},{"a":2}]"#;
    let request = send(post(&source, body));
    let batch = next(&mut source).await;
    assert_eq!(payloads(&batch), [r#"{"a":1}"#, r#"{"a":2}"#]);
    let (first_offset, last_offset) = batch.offsets().unwrap();
    assert_eq!(last_offset, first_offset + 1);
    assert!(!request.is_finished());
    source.commit(&batch.partition, first_offset).await.unwrap();
    tokio::task::yield_now().await;
    assert!(!request.is_finished(), "half of it is not stored");
    commit(&mut source, &batch).await;
    let (status, body) = request.await.unwrap();
    assert_eq!(status, 200);
    let expected = json!({"accepted": 2, "rejected": 0, "first_offset": first_offset, "last_offset": last_offset});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn requests_share_a_batch_and_each_learns_its_own_offsets() {
    let mut source = open(&config()).await;
    let requests = ["{\"a\":1}", "{\"a\":2}\n{\"a\":3}\n"].map(|body| send(post(&source, body)));
    let mut read = 0;
    while read < 3 {
        let batch = next(&mut source).await;
        read += batch.len();
        commit(&mut source, &batch).await;
    }
    let mut offsets = Vec::new();
    for request in requests {
        let (status, body) = request.await.unwrap();
        assert_eq!(status, 200);
        let [first, last] = ["first_offset", "last_offset"].map(|end| body[end].as_i64().unwrap());
        offsets.extend(first..=last);
    }
    offsets.sort_unstable();
    offsets.dedup();
    assert_eq!(offsets.len(), 3);
}

#[tokio::test]
async fn takes_compressed_bodies() {
    let mut source = open(&config()).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"{\"a\":1}").unwrap();
    let zstd = zstd::encode_all(&b"{\"a\":2}"[..], 1).unwrap();
    for (encoding, body, payload) in
        [("gzip", gzip.finish().unwrap(), "{\"a\":1}"), ("zstd", zstd, "{\"a\":2}")]
    {
        let request = send(post(&source, body).header("content-encoding", encoding));
        let batch = next(&mut source).await;
        assert_eq!(payloads(&batch), [payload]);
        commit(&mut source, &batch).await;
        assert_eq!(request.await.unwrap().0, 200);
    }
}

#[tokio::test]
async fn refuses_what_it_cannot_take_and_says_why() {
    let config = HttpConfig { max_body_bytes: 100, max_body_records: 3, ..config() };
    let source = open(&config).await;
    let large = "x".repeat(101);
    let cases = [
        (post(&source, ""), 400, "not contain an event"),
        (post(&source, "{\"a\":"), 400, "line 1 column 5"),
        (post(&source, large), 413, "100 bytes"),
        (post_as("text/csv", &source, "a=1"), 415, "text/csv"),
        (post(&source, "{}\n{}\n{}\n{}"), 413, "3 records"),
        (post(&source, "{}").header("origin", "http://evil.example"), 403, "another site"),
        (post(&source, "{}").header("sec-fetch-site", "cross-site"), 403, "another site"),
        (post(&source, "{}").header("host", "rebound.example"), 421, "hosts"),
        (post(&source, "{}").header("content-encoding", "br"), 415, "br"),
    ];
    for (request, status, words) in cases {
        let (found, body) = answer(request).await;
        assert_eq!(found, status, "{body}");
        assert!(body["detail"].as_str().unwrap().contains(words), "{body}");
    }
    let url = format!("http://{}", source.local_address());
    assert_eq!(answer(Client::new().get(format!("{url}/v1/events"))).await.0, 405);
    assert_eq!(answer(Client::new().get(format!("{url}/other"))).await.0, 404);
}

#[tokio::test]
async fn asks_for_the_token_when_one_is_set() {
    let config = HttpConfig { token: Secret::new("right"), ..config() };
    let mut source = open(&config).await;
    assert_eq!(answer(post(&source, "{}")).await.0, 401);
    assert_eq!(answer(post(&source, "{}").bearer_auth("wrong")).await.0, 401);
    let request = send(post(&source, "{}").bearer_auth("right"));
    let batch = next(&mut source).await;
    commit(&mut source, &batch).await;
    assert_eq!(request.await.unwrap().0, 200);
}

#[tokio::test]
async fn takes_each_of_the_named_tokens() {
    let hash = |token: &str| format!("sha256:{}", hex::encode(Sha256::digest(token)));
    let tokens = [("kong".to_owned(), hash("one")), ("envoy".to_owned(), hash("two"))];
    let config = HttpConfig { tokens: tokens.into(), ..config() };
    let mut source = open(&config).await;
    assert_eq!(answer(post(&source, "{}").bearer_auth(hash("one"))).await.0, 401);
    for token in ["one", "two"] {
        let request = send(post(&source, "{}").bearer_auth(token));
        let batch = next(&mut source).await;
        commit(&mut source, &batch).await;
        assert_eq!(request.await.unwrap().0, 200);
    }
}

/// Clients that open connections and send half a head, or a head and a part of the body.
#[tokio::test]
async fn clients_that_do_not_finish_do_not_keep_others_out() {
    let mut source = open(&config()).await;
    let mut unfinished = Vec::new();
    let head = "POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\n";
    for _ in 0..400 {
        let mut client = TcpStream::connect(source.local_address()).await.unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        unfinished.push(client);
    }
    let slow = format!(
        "POST /v1/events HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         content-length: 16000000\r\n\r\n[",
        source.local_address()
    );
    for _ in 0..8 {
        let mut client = TcpStream::connect(source.local_address()).await.unwrap();
        client.write_all(slow.as_bytes()).await.unwrap();
        unfinished.push(client);
    }
    let request = send(post(&source, "{}"));
    let batch = next(&mut source).await;
    commit(&mut source, &batch).await;
    assert_eq!(request.await.unwrap().0, 200);
}

#[tokio::test]
async fn says_503_when_the_queue_is_full_and_keeps_what_it_took() {
    let config = HttpConfig { max_body_bytes: 4096, ..config() };
    let mut source = open(&config).await;
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(4000));
    let mut requests: Vec<_> = (0..3).map(|_| send(post(&source, body.clone()))).collect();
    let (refused, index, _) = futures_util::future::select_all(requests.iter_mut()).await;
    assert_eq!(refused.unwrap().0, 503);
    drop(requests.swap_remove(index));
    let mut read = 0;
    while read < 2 {
        let batch = next(&mut source).await;
        read += batch.len();
        commit(&mut source, &batch).await;
    }
    for request in requests {
        assert_eq!(request.await.unwrap().0, 200);
    }
}

#[tokio::test]
async fn says_504_when_it_does_not_know_in_time_and_the_events_go_on() {
    let config = HttpConfig { store_timeout_seconds: 0, ..config() };
    let mut source = open(&config).await;
    let (status, body) = answer(post(&source, "{\"a\":1}")).await;
    assert_eq!(status, 504);
    assert!(body["detail"].as_str().unwrap().contains("unknown"), "{body}");
    assert_eq!(payloads(&next(&mut source).await), ["{\"a\":1}"]);
}

#[tokio::test]
async fn says_504_for_what_was_handed_out_and_not_committed_at_the_end() {
    let mut source = open(&config()).await;
    let handed_out = send(post(&source, "{\"a\":1}"));
    let batch = next(&mut source).await;
    assert_eq!(batch.len(), 1);
    source.close(DEADLINE).await.unwrap();
    assert_eq!(handed_out.await.unwrap().0, 504);
}

#[tokio::test]
async fn offsets_go_on_after_a_restart() {
    let mut last = 0;
    for _ in 0..2 {
        let mut source = open(&config()).await;
        let request = send(post(&source, "{}"));
        let batch = next(&mut source).await;
        assert!(batch.offsets().unwrap().0 > last);
        last = batch.offsets().unwrap().1;
        commit(&mut source, &batch).await;
        assert_eq!(request.await.unwrap().0, 200);
        source.close(DEADLINE).await.unwrap();
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let source = open(&config()).await;
    let taken = HttpConfig { listen: source.local_address(), ..config() };
    let limits = BatchLimits { records: 1, bytes: 1, interval: DEADLINE };
    let error = HttpSource::bind(&taken, limits, nothing_before()).await.err().unwrap().to_string();
    assert!(error.contains(&taken.listen.to_string()), "{error}");
}
