//! The API: the same operations for programs.

use keywatch::alert::{Alert, AlertType};
use keywatch::event::EventTime;
use serde_json::{Value, json};

use super::access::{PASSWORD, users};
use super::acting::with_evidence;
use super::store_alerts;
use crate::clickhouse::samples::alert;
use crate::support::clickhouse::{TestDatabase, database, lines};
use crate::support::console::{Answer, Console};

struct Program<'a> {
    console: &'a Console,
    authorization: String,
}

impl<'a> Program<'a> {
    fn new(database: &TestDatabase, console: &'a Console, name: &str, role: &str) -> Self {
        let token = users(database, &["add", name, "--role", role, "--token"]).unwrap();
        assert!(token.starts_with("kwt_"), "{token}");
        Self { console, authorization: format!("Bearer {}", token.trim()) }
    }

    fn get(&self, path: &str) -> Answer {
        let host = ("host", self.console.address.as_str());
        self.console.send("GET", path, &[host, ("authorization", &self.authorization)])
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let own = [
            ("host", self.console.address.as_str()),
            ("authorization", self.authorization.as_str()),
            ("content-type", "application/json"),
        ];
        self.console.send_body("POST", path, &[&own, headers].concat(), &body.to_string())
    }

    fn tag(&self, id: &str) -> String {
        self.get(&format!("/v1/incidents/{id}")).tag()
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}", self.body))
    }

    fn tag(&self) -> String {
        self.headers.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned()
    }

    /// The detail of a problem with this status.
    #[track_caller]
    fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(self.headers.contains("application/problem+json"), "{}", self.headers);
        self.json()["detail"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn incidents_are_listed_page_by_page_and_read_with_their_version() {
    let database = database().await;
    let console = Console::start(&database.config);
    let reader = Program::new(&database, &console, "dashboard", "viewer");
    let now = EventTime::now();
    let ids = ["inc_1", "inc_2", "inc_3"];
    let alerts = [0, 1, 2].map(|n| alert(ids[n], 1, "key-a", now.plus_seconds(n as f64)));
    store_alerts(&database.store, 0, &alerts).await;
    let first = reader.get("/v1/incidents?limit=2&severity=high").json();
    assert_eq!(first["matching"], 3);
    assert_eq!(
        (&first["incidents"][0]["id"], &first["incidents"][1]["id"]),
        (&json!("inc_3"), &json!("inc_2"))
    );
    assert_eq!(first["incidents"][0]["key_id"], "key-a");
    let next = first["next"].as_str().unwrap();
    let last = reader.get(&format!("/v1/incidents?limit=2&severity=high&after={next}")).json();
    assert_eq!((&last["incidents"][0]["id"], &last["next"]), (&json!("inc_1"), &Value::Null));
    reader.get("/v1/incidents?limit=0").problem(400);
    assert!(reader.get("/v1/incidents?severity=dire").problem(400).contains("`severity` must be"));

    let one = reader.get("/v1/incidents/inc_1");
    assert_eq!((one.json()["state"].as_str(), one.tag()), (Some("open"), "\"1-\"".to_owned()));
    reader.get("/v1/incidents/inc_0").problem(404);
    let act =
        reader.post("/v1/incidents/inc_1/acts", &[("if-match", "*")], &json!({"kind": "reopen"}));
    assert!(act.problem(403).contains("responder"));
    assert_eq!(reader.get("/v1/openapi.json").json()["openapi"], "3.1.0");
    let listed = users(&database, &["list", "--json"]).unwrap();
    assert!(!listed.contains(reader.authorization.strip_prefix("Bearer ").unwrap()), "{listed}");
}

#[tokio::test]
async fn a_change_needs_the_version_and_a_repeated_one_is_one() {
    let database = database().await;
    let console = Console::start(&database.config);
    let program = Program::new(&database, &console, "ticketing", "responder");
    let first = alert("inc_1", 1, "key-a", EventTime::now());
    store_alerts(&database.store, 0, std::slice::from_ref(&first)).await;
    let acts = "/v1/incidents/inc_1/acts";
    let comment = json!({"kind": "comment", "text": "opened ticket 7"});
    program.post(acts, &[], &comment).problem(428);
    let (tag, key) = (program.tag("inc_1"), ("idempotency-key", "k-1"));
    let done = program.post(acts, &[("if-match", &tag), key], &comment);
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(done.tag(), program.tag("inc_1"), "the answer has the version after the act");
    let again = program.post(acts, &[("if-match", &tag), key], &comment);
    assert_eq!(again.status, 200, "{}", again.body);
    assert!(again.headers.contains("idempotency-replayed: true"), "{}", again.headers);
    let other = json!({"kind": "comment", "text": "another"});
    program.post(acts, &[("if-match", &tag), key], &other).problem(422);
    let moved = program.post(acts, &[("if-match", &tag)], &other).problem(412);
    assert!(moved.contains(done.tag().trim_matches('"')), "{moved}");

    let dismiss = json!({"kind": "dismiss", "reason": "test"});
    let closed = program.post(acts, &[("if-match", &done.tag())], &dismiss).json();
    assert_eq!((&closed["state"], &closed["close_reason"]), (&json!("closed"), &json!("test")));
    let refused =
        program.post(acts, &[("if-match", "*")], &json!({"kind": "confirm", "reason": "theft"}));
    let refused = refused.problem(409);
    assert!(
        refused.starts_with("incident inc_1 was dismissed as test by ticketing at 2"),
        "{refused}"
    );
    // New evidence is a new version too.
    let tag = program.tag("inc_1");
    let more = Alert { revision: 2, alert_type: AlertType::Updated, ..first };
    store_alerts(&database.store, 1, &[more]).await;
    program.post(acts, &[("if-match", &tag)], &json!({"kind": "reopen"})).problem(412);
    let stored =
        lines(&database.store, "SELECT kind, who, origin FROM incident_acts ORDER BY time").await;
    assert_eq!(stored, ["comment ticketing api", "dismiss ticketing api"]);
    for (bad, status) in [
        (json!({"kind": "dismiss", "reason": "theft"}), 422),
        (json!({"kind": "assign"}), 422),
        (json!({"kind": "comment", "text": " "}), 422),
        (json!({"kind": "acknowledge", "colour": "red"}), 422),
    ] {
        program.post(acts, &[("if-match", "*")], &bad).problem(status);
    }
}

#[tokio::test]
async fn a_session_reads_the_api_and_changes_nothing_by_it() {
    let database = database().await;
    store_alerts(&database.store, 0, &[alert("inc_1", 1, "key-a", EventTime::now())]).await;
    users(&database, &["add", "alice", "--role", "admin"]).unwrap();
    let console = Console::start(&database.config);
    let cookie = console.login("alice", PASSWORD);
    let origin = format!("http://{}", console.address);
    let headers = [
        ("host", console.address.as_str()),
        ("cookie", cookie.as_str()),
        ("origin", origin.as_str()),
        ("content-type", "application/json"),
        ("if-match", "*"),
    ];
    assert_eq!(console.send("GET", "/v1/incidents", &headers[..2]).status, 200);
    let act = json!({"kind": "acknowledge"}).to_string();
    console.send_body("POST", "/v1/incidents/inc_1/acts", &headers, &act).problem(401);
    let program = Program::new(&database, &console, "ticketing", "responder");
    let foreign = program.post(
        "/v1/incidents/inc_1/acts",
        &[("if-match", "*"), ("origin", "http://evil.example")],
        &json!({"kind": "acknowledge"}),
    );
    foreign.problem(403);
    // The token of a removed account is void within a second or so.
    users(&database, &["remove", "ticketing"]).unwrap();
    crate::support::eventually::eventually(
        "the token is void",
        crate::support::eventually::LIMIT,
        async || program.get("/v1/incidents").status == 401,
    )
    .await;
    assert_eq!(lines(&database.store, "SELECT count() FROM incident_acts").await, ["0"]);
}

#[tokio::test]
async fn a_suppression_over_the_api_tells_first_and_stores_when_sure() {
    let database = database().await;
    store_alerts(&database.store, 0, &[with_evidence("inc_1")]).await;
    let console = Console::start(&database.config);
    let program = Program::new(&database, &console, "ticketing", "responder");
    let path = "/v1/incidents/inc_1/suppressions";
    let until = EventTime::now().plus_seconds(86_400.0);
    let wish = |sure: bool| json!({"until": until, "text": "a new office", "sure": sure});
    let preview = program.post(path, &[], &wish(false));
    assert_eq!((preview.status, &preview.json()["hidden"]), (200, &json!(1)), "{}", preview.body);
    let key = [("idempotency-key", "k")];
    assert_eq!(program.post(path, &key, &wish(true)).status, 201);
    assert_eq!(program.post(path, &key, &wish(true)).status, 201);
    assert_eq!(lines(&database.store, "SELECT count() FROM suppressions").await, ["1"]);
    let late = json!({"until": "2020-01-01T00:00:00Z", "text": "x", "sure": true});
    program.post(path, &[], &late).problem(422);
    let critical = json!({"until": until, "text": "x", "hides_critical": true});
    assert!(program.post(path, &[], &critical).problem(403).contains("admin"));
}
