//! Who may read, who may change something, and how people and programs show who they are.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::clickhouse::samples::alert;
use crate::console::store_alerts;
use crate::support::clickhouse::{TestDatabase, database, environment, lines};
use crate::support::console::Console;
use crate::support::eventually::{LIMIT, eventually};
use crate::support::settings::Settings;
use keywatch::event::EventTime;

pub const PASSWORD: &str = "correct horse battery";

/// Runs `keywatch users`, with the password on standard input. Returns what it printed.
pub fn users(database: &TestDatabase, arguments: &[&str]) -> Result<String, String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_keywatch"))
        .arg("users")
        .args(arguments)
        .envs(environment(&database.config))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that asks for nothing may be over already.
    let _ = writeln!(child.stdin.take().unwrap(), "{PASSWORD}");
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test]
async fn accounts_close_the_console_and_sessions_open_it() {
    let database = database().await;
    let console = Console::start(&database.config);
    assert_eq!(console.get("/").status, 200, "nobody has an account yet");
    users(&database, &["add", "alice", "--role", "responder", "--by", "root"]).unwrap();
    let again = users(&database, &["add", "alice", "--role", "admin"]).unwrap_err();
    assert!(again.contains("`keywatch users change alice`"), "{again}");

    eventually("the console asks for a login", LIMIT, async || console.get("/").status == 303)
        .await;
    let answer = console.get("/key?id=a%2Fb");
    assert!(
        answer.headers.contains("location: /login?next=%2fkey%3fid%3da%252fb"),
        "{}",
        answer.headers
    );
    for path in ["/sources/203.0.113.9", "/sources/nonsense", "/policy"] {
        assert_eq!(console.get(path).status, 303, "{path}");
    }
    let host = ("host", console.address.as_str());
    assert_eq!(console.send("GET", "/v1/alerts/stream", &[host]).status, 401);
    assert_eq!(console.get("/assets/console.css").status, 200);

    let wrong = console.submit("/login", "", &[("name", "alice"), ("password", "wrong password")]);
    assert_eq!((wrong.status, wrong.cookie()), (403, None));
    assert!(wrong.body.contains("The name or the password is wrong."), "{}", wrong.body);
    let nobody = console.submit("/login", "", &[("name", "bob"), ("password", PASSWORD)]);
    assert!(nobody.body.contains("The name or the password is wrong."), "{}", nobody.body);
    let form = [("name", "alice"), ("password", PASSWORD), ("next", "//evil.example")];
    let right = console.submit("/login", "", &form);
    assert!(right.headers.contains("location: /\r\n"), "{}", right.headers);
    assert!(right.headers.contains("; httponly; samesite=strict"), "{}", right.headers);
    let cookie = right.cookie().unwrap();
    let page = console.get_as(&cookie, "/");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Logged in as alice"), "{}", page.body);
    let form = [("name", "alice"), ("password", PASSWORD)];
    let renewed = console.submit("/login", &cookie, &form).cookie().unwrap();
    assert_ne!(cookie, renewed, "each login has a session of its own");
    assert_eq!(console.get_as(&cookie, "/").status, 303, "and ends that of before");
    let (cookie, page) = (renewed.clone(), console.get_as(&renewed, "/"));
    // Neither cookie nor password is stored.
    let secret = cookie.split('=').next_back().unwrap();
    let stored = "SELECT toString(tuple(*)) FROM account_uses UNION ALL SELECT toString(tuple(*)) FROM accounts";
    for line in lines(&database.store, stored).await {
        assert!(!line.contains(secret) && !line.contains(PASSWORD), "{line}");
    }

    let token = page.hidden("token");
    console.submit("/logout", &cookie, &[("token", "guessed")]);
    assert_eq!(console.get_as(&cookie, "/").status, 200, "a guessed token ends no session");
    console.submit("/logout", &cookie, &[("token", &token)]);
    assert_eq!(console.get_as(&cookie, "/").status, 303);
}

#[tokio::test]
async fn a_changed_account_ends_its_sessions_in_every_process() {
    let database = database().await;
    users(&database, &["add", "alice", "--role", "viewer"]).unwrap();
    let (first, second) = (Console::start(&database.config), Console::start(&database.config));
    let cookie = first.login("alice", PASSWORD);
    assert_eq!(second.get_as(&cookie, "/").status, 200, "a session counts for all processes");
    let mut stream = second.stream_as(&cookie);
    users(&database, &["change", "alice", "--role", "responder"]).unwrap();
    for console in [&first, &second] {
        eventually("the session ends", LIMIT, async || console.get_as(&cookie, "/").status == 303)
            .await;
    }
    assert!(stream.ends(), "the stream of the session ends too");
    let listed = users(&database, &["list", "--json"]).unwrap();
    assert!(listed.contains("\"role\":\"responder\"") && !listed.contains("argon2"), "{listed}");
    users(&database, &["remove", "alice"]).unwrap();
    let refused = second.submit("/login", "", &[("name", "alice"), ("password", PASSWORD)]);
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn nothing_is_changed_without_an_account_or_from_another_site() {
    let database = database().await;
    store_alerts(&database.store, 0, &[alert("inc_1", 1, "key-a", EventTime::now())]).await;
    let console = Console::start(&database.config);
    let form = [("kind", "acknowledge"), ("version", "1-"), ("token", "")];
    let act = "/incidents/inc_1/act";
    let open = console.submit(act, "", &form);
    assert_eq!(open.status, 403);
    assert!(open.body.contains("changes need one"), "{}", open.body);
    let page = console.get("/incidents/inc_1");
    assert!(page.body.contains("keywatch users add NAME"), "{}", page.body);
    assert!(!page.body.contains("/act\""), "no form without an account");
    // A proxy in front of an open console is not let through.
    let host = ("host", console.address.as_str());
    assert_eq!(console.send("GET", "/", &[host, ("x-forwarded-for", "192.0.2.1")]).status, 403);

    users(&database, &["add", "vera", "--role", "viewer"]).unwrap();
    users(&database, &["add", "alice", "--role", "responder"]).unwrap();
    let (viewer, cookie) = (console.login("vera", PASSWORD), console.login("alice", PASSWORD));
    let token = console.get_as(&cookie, "/incidents/inc_1").hidden("token");
    let form = [("kind", "acknowledge"), ("version", "1-"), ("token", token.as_str())];
    assert_eq!(console.submit(act, "", &form).status, 401, "a session that has ended");
    let origin = format!("http://{}", console.address);
    let (own, jar) = (("origin", origin.as_str()), ("cookie", cookie.as_str()));
    for headers in [
        &[jar][..],
        &[jar, ("origin", "http://evil.example")],
        &[jar, ("origin", "null")],
        &[
            jar,
            own,
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ],
        &[jar, ("sec-fetch-site", "same-site")],
    ] {
        assert_eq!(console.submit_with(act, headers, &form).status, 403, "{headers:?}");
    }
    let vera = console.get_as(&viewer, "/incidents/inc_1");
    assert!(vera.body.contains("Your account is a viewer"), "{}", vera.body);
    let theirs = vera.hidden("token");
    let form = [("kind", "acknowledge"), ("version", "1-"), ("token", theirs.as_str())];
    assert_eq!(console.submit(act, &viewer, &form).status, 403, "a viewer");
    let other = console.submit(act, &cookie, &form);
    assert_eq!(other.status, 422, "the token of another session");
    assert_eq!(lines(&database.store, "SELECT count() FROM incident_acts").await, ["0"]);
}

#[tokio::test]
async fn a_link_in_a_mail_opens_the_page_of_somebody_who_has_logged_in() {
    let database = database().await;
    users(&database, &["add", "alice", "--role", "viewer"]).unwrap();
    let console = Console::start(&database.config);
    let host = ("host", console.address.as_str());
    let link = [
        host,
        ("accept", "text/html"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    // The browser keeps a strict cookie back, and sends it with the reload.
    let answer = console.send("GET", "/incidents", &link);
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("http-equiv=\"refresh\""), "{}", answer.body);
}

#[tokio::test]
async fn tries_to_log_in_are_limited() {
    let database = database().await;
    users(&database, &["add", "alice", "--role", "viewer"]).unwrap();
    let console = Console::start(&database.config);
    let attempt = || console.submit("/login", "", &[("name", "alice"), ("password", "wrong")]);
    let statuses: Vec<u16> = std::iter::repeat_with(|| attempt().status).take(60).collect();
    let wrong = statuses.iter().filter(|status| **status == 403).count();
    assert!((20..60).contains(&wrong), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn a_console_with_a_name_for_others_needs_accounts_and_https() {
    let database = database().await;
    let settings = Settings::new(&database.config).set("console.url", "https://keywatch.example");
    let console = Console::start_with(settings);
    let public = [("host", "keywatch.example"), ("accept", "text/html")];
    assert_eq!(console.send("GET", "/", &public).status, 403, "nobody has an account");
    users(&database, &["add", "alice", "--role", "viewer"]).unwrap();
    let headers = [("host", "keywatch.example"), ("origin", "https://keywatch.example")];
    let form = ("content-type", "application/x-www-form-urlencoded");
    let body = format!("name=alice&password={}", PASSWORD.replace(' ', "+"));
    let answer = console.send_body("POST", "/login", &[headers[0], headers[1], form], &body);
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert!(answer.headers.contains("set-cookie: __host-keywatch="), "{}", answer.headers);
    assert!(answer.headers.contains("; secure"), "{}", answer.headers);
}
