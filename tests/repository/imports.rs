//! Checks the import rules: the code of each room may only name the rooms that the table lists for
//! it, and pure rooms may not name crates for I/O.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::root;

/// A room (a module of the crate) and the rooms that it may import. An entry with `::` allows only
/// that item of a room.
struct Rule {
    room: &'static str,
    may: &'static [&'static str],
}

const fn rule(room: &'static str, may: &'static [&'static str]) -> Rule {
    Rule { room, may }
}

/// Ordered from the lowest layer up. Tests inside `src/` may import more.
const RULES: &[Rule] = &[
    rule("answer", &[]),
    rule("cache", &[]),
    rule("instance", &[]),
    rule("network", &[]),
    rule("event", &["answer", "network"]),
    rule("proof", &["event"]),
    rule("rate", &["event"]),
    rule("text", &["event"]),
    rule("watched", &[]),
    rule("alert", &["event"]),
    rule("facts", &["alert", "event", "text"]),
    rule("playbook", &["alert", "event", "facts", "text"]),
    rule("record", &["event"]),
    rule("registry", &["event"]),
    // Settings and rules name them, and they have one name everywhere.
    rule("config", &["alert::Action", "alert::DetectorId", "alert::Severity"]),
    // The core.
    rule("decode", &["config", "event", "record"]),
    rule("enrich", &["config", "event", "network", "watched"]),
    rule("profile", &["answer", "event", "network", "proof", "rate"]),
    rule(
        "detect",
        &["alert", "answer", "config", "event", "network", "profile", "rate", "registry", "text"],
    ),
    rule("decide", &["alert", "config", "detect", "event", "profile", "registry"]),
    rule("sigma", &["text"]),
    rule("workflow", &["alert", "event"]),
    rule("audit", &["event"]),
    rule("respond", &["alert", "config", "decide", "detect::Family", "detect::family", "event"]),
    rule(
        "engine",
        &[
            "alert", "answer", "config", "decide", "decode", "detect", "enrich", "event",
            "profile", "proof", "rate", "record", "registry", "watched",
        ],
    ),
    // Rooms at the edges, which do I/O.
    rule("http", &["config"]),
    rule("kafka", &["config"]),
    rule("page", &["alert", "event", "text"]),
    rule("telemetry", &["config", "http"]),
    rule("source", &["config", "event", "http", "instance", "kafka", "record"]),
    rule("deliver", &["alert", "config", "event", "facts", "http", "kafka", "text", "workflow"]),
    rule(
        "store",
        &[
            // The store implements this trait of deliveries and reads its rows; edges share nothing
            // else.
            "deliver::DeliveryLog",
            "deliver::record",
            // Rows are built from values of the core and converted back to them.
            "decide",
            "decode",
            "detect",
            "engine",
            "enrich",
            "profile",
            "alert",
            "config",
            "event",
            "http",
            "instance",
            "record",
            // Requests and acts of people are rows too, and so are the links of the audit log.
            "audit",
            "respond",
            "registry",
            "workflow",
        ],
    ),
    rule("embedded", &["cache", "config", "store"]),
    // Takes reports over HTTP, and stores them as changes of the registry.
    rule("leaks", &["config", "decode", "event", "http", "registry", "store", "watched"]),
    // Takes registrations of keys over HTTP, from files and topics.
    rule("keys", &["config", "decode", "event", "http", "registry", "store"]),
    // What people do to stored incidents; commands, console and API are its edges.
    rule("casework", &["alert", "event", "store", "text", "workflow"]),
    // Accounts of the console and the API are rows, and the requests of today are recognised by them.
    rule("access", &["event", "store"]),
    // The pages read what is stored, and the health of the process. Nothing but commands and the
    // demo starts them.
    rule(
        "console",
        &[
            "access",
            "alert",
            "casework",
            "config",
            // The rules of the policy, in words.
            "decide::in_words",
            // The fleet page says what is promised, measured and seen.
            "decide::promise",
            "detect::Family",
            "detect::family",
            "detect::sight",
            // The page of a source says who uses its network.
            "enrich::network_kind",
            "event",
            "facts",
            "http",
            "network",
            "page",
            "respond",
            "store",
            "telemetry",
            "text",
            "workflow",
        ],
    ),
    // It looks at the service from outside, as people do.
    rule(
        "drill",
        &["alert", "casework", "config", "event", "kafka", "registry", "store", "workflow"],
    ),
    // The service.
    rule(
        "app",
        &[
            "alert",
            "audit",
            "config",
            "console::check",
            "leaks::check",
            "decide",
            "decode",
            "deliver",
            "detect",
            // The first records of a log are examined on their way.
            "doctor",
            "engine",
            "enrich",
            "event",
            "http",
            "instance",
            "kafka",
            "keys",
            "profile",
            "record",
            "registry",
            "respond",
            "source",
            "store",
            "telemetry",
            "text",
            "watched",
            "workflow",
        ],
    ),
    // The other commands.
    rule("generate", &["event", "registry"]),
    rule(
        "backtest",
        &[
            "alert", "config", "detect", "engine", "event", "page", "profile", "record", "respond",
            "source", "text",
        ],
    ),
    rule(
        "doctor",
        &[
            "config",
            "decode",
            "detect",
            "event",
            "record",
            "source",
            // It judges what the servers of a cluster answered, and asks none.
            "store::ClusterNode",
            "store::NodeAnswer",
            "store::Replica",
            "text",
        ],
    ),
    rule(
        "report",
        &[
            "alert",
            "audit",
            "backtest",
            "config",
            "decide::risk",
            "detect",
            "engine",
            "event",
            "page",
            "store",
            "text",
        ],
    ),
    rule(
        "train",
        &[
            "alert", "answer", "backtest", "config", "decode", "detect", "engine", "enrich",
            "event", "profile", "proof", "record", "source", "store",
        ],
    ),
    rule(
        "demo",
        &[
            "alert",
            "app",
            "backtest",
            "cache",
            "config",
            "console",
            "deliver",
            "embedded",
            "event",
            "generate",
            "http",
            "record",
            "source",
            "store",
            "telemetry",
        ],
    ),
    rule(
        "cli",
        &[
            "access",
            "alert",
            "app",
            "audit",
            "backtest",
            "casework",
            "config",
            "console",
            // The rules of the policy, in words.
            "decide::in_words",
            "decode",
            // A person may send an alert again, without the service.
            "deliver",
            "demo",
            "detect",
            "doctor",
            "drill",
            "embedded",
            "event",
            "facts",
            "generate",
            "http",
            "keys",
            "leaks",
            "rate",
            "registry",
            "report",
            "sigma",
            "playbook",
            // Two policies compared on stored alerts.
            "respond",
            // An error of settings is a usage error.
            "source::SourceError",
            "store",
            "telemetry",
            "text",
            "train",
            "workflow",
        ],
    ),
];

/// Rooms without clock and I/O. What they read at the start (databases, a model, the registry)
/// is allowed where it stands.
const PURE: [&str; 20] = [
    "alert", "answer", "audit", "decide", "decode", "detect", "engine", "enrich", "event", "facts",
    "network", "profile", "proof", "rate", "record", "registry", "respond", "sigma", "text",
    "workflow",
];

/// Rooms that do I/O.
const EDGES: [&str; 9] =
    ["source", "store", "deliver", "telemetry", "console", "app", "kafka", "http", "cli"];

/// Crates that only the edges may use.
const EDGE_CRATES: [&str; 10] = [
    "axum",
    "clickhouse",
    "futures_util",
    "lettre",
    "rdkafka",
    "reqwest",
    "rustls",
    "tokio",
    "tokio_util",
    "tracing_subscriber",
];

#[test]
fn every_import_is_in_the_table() {
    let mut wrong = Vec::new();
    for (file, code) in product_code() {
        wrong.extend(forbidden(&file, &code));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_every_room_once() {
    let named: Vec<&str> = RULES.iter().map(|rule| rule.room).collect();
    let entries = fs::read_dir(root().join("src")).unwrap();
    let rooms: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|room| !["lib", "main"].contains(&room.as_str()))
        .collect();
    assert_eq!(named.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), rooms);
    assert_eq!(named.len(), rooms.len());
}

#[test]
fn the_table_keeps_the_laws() {
    for Rule { room, may } in RULES {
        let allows = |other: &str| may.iter().any(|path| path.split("::").next() == Some(other));
        assert!(!allows("cli"), "{room} may import cli: nothing calls the command line");
        for edge in EDGES {
            assert!(!is_apart(room) || !allows(edge), "{room} may import the edge {edge}");
        }
        if ["backtest", "train", "report"].contains(room) {
            assert!(!allows("app"), "{room} may import app: it has the engine");
        }
        for other in ["source", "store", "deliver"] {
            let apart = ["source", "store", "deliver"].contains(room) && room != &other;
            assert!(!apart || !may.contains(&other), "{room} may import all of {other}");
        }
    }
}

#[test]
fn clippy_keeps_clocks_and_io_out_of_pure_rooms() {
    let lines = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    let denying: BTreeSet<&str> = lines
        .windows(2)
        .filter(|pair| pair[0] == "#[deny(clippy::disallowed_methods)]")
        .map(|pair| pair[1].rsplit(' ').next().unwrap().trim_end_matches(';'))
        .collect();
    assert_eq!(denying, PURE.into(), "rooms of src/lib.rs that deny clocks and I/O");
}

#[test]
fn a_forbidden_import_is_named_however_it_is_written() {
    let said = |file: &str, code: &str| forbidden(Path::new(file), &without_tests(code));
    for code in [
        "use crate::store::Store;",
        "use crate::event::EventTime;\nuse crate::{\n    event,\n    store::{self, Store as S},\n};",
        "fn f() { crate::store::query() }",
        "use super::super::store::Store;",
        "#[cfg(test)]\nmod tests;\nuse crate::store::Store;",
        "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::store::Store;",
    ] {
        let sentences = said("src/profile/place.rs", code).join("\n");
        assert!(sentences.contains("src/profile/place.rs imports store"), "{code}: {sentences}");
    }
    assert_eq!(
        said("src/profile/place.rs", "fn f() { tokio::spawn(g()); }"),
        [
            "src/profile/place.rs uses the crate tokio, which profile may not: it belongs to the edges"
        ]
    );
    for code in [
        "use crate::event::EventTime;\nuse super::clock;",
        "#[cfg(test)]\nmod tests { use crate::store::Store; }",
        "#[cfg(test)]\nuse crate::store::Store;",
        "/// See [`crate::store::Store`].\nfn f() { my_tokio::spawn() }",
    ] {
        assert_eq!(said("src/profile/place.rs", code), [""; 0], "{code}");
    }
    assert_eq!(said("src/store/x.rs", "use crate::deliver::{DeliveryLog, record::Row};"), [""; 0]);
    assert_eq!(said("src/store/x.rs", "use crate::deliver::Outbox;").len(), 1);
}

/// One sentence for each forbidden name in `code` of `file` (`src/room/...`).
fn forbidden(file: &Path, code: &str) -> Vec<String> {
    let modules = module_path(file);
    let Some(room) = modules.first() else { return Vec::new() };
    let Some(rule) = RULES.iter().find(|rule| rule.room == room) else { return Vec::new() };
    let is_allowed = |path: &str| {
        let within = |allowed: &str| path == allowed || path.starts_with(&format!("{allowed}::"));
        within(room) || rule.may.iter().any(|allowed| within(allowed))
    };
    let file = file.display();
    let mut sentences: Vec<String> = imports(code, &modules)
        .into_iter()
        .filter(|path| is_room(path) && !is_allowed(path))
        .map(|path| {
            let other = path.split("::").next().unwrap();
            format!(
                "{file} imports {other} ({path}), which {room} may not: see the table in \
                 tests/repository/imports.rs"
            )
        })
        .collect();
    if is_apart(room) {
        sentences.extend(EDGE_CRATES.iter().filter(|name| names_crate(code, name)).map(|name| {
            format!("{file} uses the crate {name}, which {room} may not: it belongs to the edges")
        }));
    }
    sentences
}

/// Whether a room may import no edge. `config` is exempt: it reads its file, and all rooms import
/// it.
fn is_apart(room: &str) -> bool {
    room == "config" || PURE.contains(&room)
}

fn is_room(path: &str) -> bool {
    RULES.iter().any(|rule| path.split("::").next() == Some(rule.room))
}

/// Paths from the root of the crate that begin with `crate::` or with the right number of
/// `super::`.
fn imports(code: &str, modules: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, start) in code.match_indices("crate::") {
        if is_word_start(code, at) {
            read_tree(&code[at + start.len()..], "", &mut found);
        }
    }
    let climb = "super::".repeat(modules.len());
    for (at, _) in code.match_indices(&climb) {
        if is_word_start(code, at) && !code[..at].ends_with("::") {
            read_tree(&code[at + climb.len()..], "", &mut found);
        }
    }
    found
}

/// Expands `a::{b, c as d}` into `a::b` and `a::c`; returns the rest of the text.
fn read_tree<'a>(text: &'a str, prefix: &str, found: &mut BTreeSet<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = read_tree(rest, prefix, found);
            let end = rest.find([',', '}']).unwrap_or(rest.len());
            let is_last = !rest[end..].starts_with(',');
            rest = rest[end..].get(1..).unwrap_or_default();
            if is_last || rest.trim_start().starts_with('}') {
                return if is_last { rest } else { &rest.trim_start()[1..] };
            }
        }
    }
    let end = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    match text[end..].strip_prefix("::") {
        Some(rest) if rest.starts_with(|c: char| is_word(c) || c == '{') => {
            read_tree(rest, &format!("{path}::"), found)
        }
        _ => {
            found.insert(path.trim_end_matches("::self").to_owned());
            &text[end..]
        }
    }
}

fn names_crate(code: &str, name: &str) -> bool {
    let uses = |path: &str| {
        code.match_indices(path)
            .any(|(at, _)| is_word_start(code, at) && !code[..at].ends_with("::"))
    };
    uses(&format!("{name}::"))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_word_start(code: &str, at: usize) -> bool {
    !code[..at].ends_with(is_word)
}

/// `src/store/mod.rs` is `store`, `src/store/claim.rs` is `store::claim`.
fn module_path(file: &Path) -> Vec<String> {
    let path = file.strip_prefix("src").unwrap().with_extension("");
    let names = path.iter().map(|name| name.to_str().unwrap().to_owned());
    names.filter(|name| !["mod", "lib", "main"].contains(&name.as_str())).collect()
}

/// Files below `src/` with their code, without tests.
fn product_code() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let texts: Vec<_> = files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            (file.strip_prefix(root()).unwrap().to_owned(), text)
        })
        .collect();
    let tests: BTreeSet<_> =
        texts.iter().flat_map(|(file, text)| test_modules(&module_path(file), text)).collect();
    let is_test = |file: &Path| {
        let path = module_path(file);
        (1..=path.len()).any(|length| tests.contains(&path[..length]))
    };
    texts
        .into_iter()
        .filter(|(file, _)| !is_test(file))
        .map(|(file, text)| (file, without_tests(&text)))
        .collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

const TEST_ONLY: &str = "#[cfg(test)]";

/// Modules in their own files that are compiled for tests only.
fn test_modules(parent: &[String], text: &str) -> Vec<Vec<String>> {
    let declarations = text.split(TEST_ONLY).skip(1).filter_map(|rest| {
        let declaration = rest.split_once(';')?.0.trim();
        let declaration = declaration.strip_prefix("pub ").unwrap_or(declaration);
        declaration.strip_prefix("mod ").filter(|name| name.chars().all(is_word))
    });
    declarations.map(|name| [parent, &[name.to_owned()]].concat()).collect()
}

/// The text without line comments and without items behind `#[cfg(test)]`.
fn without_tests(text: &str) -> String {
    let text = text.lines().map(without_comment).collect::<Vec<_>>().join("\n");
    let mut parts = text.split(TEST_ONLY);
    let mut code = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        code += &part[item_length(part)..];
    }
    code
}

/// A line without its comment. The `//` in an address such as `http://` does not begin one.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// Length of the item at the start of `text`: up to its semicolon or closing brace.
fn item_length(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}
