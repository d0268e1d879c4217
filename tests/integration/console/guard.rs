//! Who is answered, and with which headers.

use crate::support::clickhouse::database;
use crate::support::console::Console;
use crate::support::eventually::{LIMIT, eventually};
use crate::support::service::{self, Service};
use crate::support::settings::Settings;

#[tokio::test]
async fn other_hosts_sites_and_methods_are_refused() {
    let database = database().await;
    let console = Console::start(&database.config);
    let host = ("host", console.address.as_str());
    let status = |method: &str, headers: &[(&str, &str)]| {
        let answer = console.send(method, "/v1/alerts/stream", headers);
        assert!(answer.headers.contains("application/problem+json"), "{}", answer.headers);
        answer.status
    };
    assert_eq!(status("GET", &[("host", "rebound.example")]), 421);
    assert_eq!(status("GET", &[host, ("origin", "http://evil.example")]), 403);
    assert_eq!(status("GET", &[host, ("sec-fetch-site", "cross-site")]), 403);
    assert_eq!(status("PUT", &[host, ("content-length", "0")]), 405);
    assert_eq!(status("POST", &[host, ("content-length", "0")]), 403);

    let page = console.send("GET", "/", &[("host", "rebound.example"), ("accept", "text/html")]);
    assert_eq!(page.status, 421);
    assert!(page.headers.contains("text/html"), "{}", page.headers);
    assert!(page.body.contains("Open the console as http://127.0.0.1:"), "{}", page.body);
}

#[tokio::test]
async fn every_answer_confines_the_page() {
    let database = database().await;
    let console = Console::start(&database.config);
    for path in ["/", "/incidents", "/keys", "/nothing", "/assets/console.js", "/key"] {
        let answer = console.get(path);
        let policy =
            answer.headers.lines().find(|line| line.starts_with("content-security-policy"));
        let policy = policy.unwrap_or_else(|| panic!("{path}: {}", answer.headers));
        assert!(!policy.contains("unsafe") && policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        for header in ["x-content-type-options: nosniff", "referrer-policy: same-origin"] {
            assert!(answer.headers.contains(header), "{path}: {}", answer.headers);
        }
        assert!(!answer.headers.contains("set-cookie"));
    }
    assert_eq!(console.get("/nothing").status, 404);
    assert_eq!(console.get("/key").status, 400);
    assert_eq!(console.get("/incidents?severity=dire").status, 400);
    assert_eq!(console.get("/incidents?severity=low&severity=high").status, 400);
    assert_eq!(console.get("/incidents/inc_nothing").status, 404);
}

#[tokio::test]
async fn a_head_without_end_or_measure_gets_no_page() {
    let database = database().await;
    let console = Console::start(&database.config);
    let head = format!("GET / HTTP/1.1\r\nhost: {}\r\nx-long: ", console.address);
    // The server has read all of it when it refuses, so the refusal is not lost in a reset.
    let answer = console.send_raw(&format!("{head:x<16384}"));
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused_at_the_start() {
    let database = database().await;
    let settings = Settings::new(&database.config).set("console.listen", "0.0.0.0:0");
    let output = service::run(&settings.set("source.kind", "stdin"), std::process::Stdio::null());
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("console.listen") && said.contains("loopback"), "{said}");
}

#[tokio::test]
async fn a_taken_address_does_not_keep_the_service_from_watching() {
    let database = database().await;
    let first = Console::start(&database.config);
    let settings = Settings::new(&database.config)
        .set("console.listen", first.address.as_str())
        .set("source.kind", "http")
        .set("source.http.listen", "127.0.0.1:0");
    let second = Service::start(&settings);
    second.wait_for_log("the console is not served");
    eventually("the second service is ready", LIMIT, async || second.is_ready()).await;
}
