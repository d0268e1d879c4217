//! Tests of loading: overrides, secrets, refused values and their error messages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::*;

const EXAMPLE: &str = include_str!("../../keywatch.example.toml");

/// Loads `text` as `keywatch.toml` with these variables.
fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keywatch.toml");
    fs::write(&path, text).unwrap();
    let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Config::load(Some(&path), environment, |_| Vec::new())
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

fn refusal(text: &str) -> String {
    load(text, &[]).err().unwrap_or_else(|| panic!("accepted:\n{text}"))
}

fn json(config: &Config) -> Value {
    serde_json::to_value(config).unwrap()
}

#[test]
fn without_file_and_environment_the_defaults_hold() {
    let config = Config::load(None, std::iter::empty(), |_| Vec::new()).unwrap();
    assert_eq!(json(&config), json(&Config::default()));
}

#[test]
fn the_environment_wins_and_its_types_follow_the_key() {
    let config = load(
        "[source.kafka]\nbrokers = \"file:9092\"\n[detect]\nmax_keys = 1\n",
        &[
            ("KEYWATCH__SOURCE__KAFKA__BROKERS", "env:9092"),
            ("KEYWATCH__SOURCE__KAFKA__TOPICS", r#"["a", "b"]"#),
            ("KEYWATCH__SOURCE__KAFKA__PROPERTIES", r#"{ "fetch.wait.max.ms" = "5" }"#),
            ("KEYWATCH__SOURCE__KAFKA__SASL_USERNAME", ""),
            ("KEYWATCH__SOURCE__KIND", "stdin"),
            ("KEYWATCH__DETECT__MAX_KEYS", "12"),
            ("KEYWATCH__DETECT__EXPECTED_FALSE_ALERTS_PER_WEEK", "2"),
            ("KEYWATCH__POLICY__DRY_RUN", "false"),
            ("KEYWATCH__DECODE__PEPPER", "1234567890123456"),
            ("KEYWATCH__ALERTS_TOPIC__TOPIC", "alerts"),
            ("KEYWATCH_CACHE", "not an override"),
        ],
    )
    .unwrap();
    assert_eq!(config.source.kafka.brokers, "env:9092");
    assert_eq!(config.source.kafka.topics, ["a", "b"]);
    assert_eq!(config.source.kafka.properties["fetch.wait.max.ms"], "5");
    assert_eq!(config.source.kafka.sasl_username, None);
    assert_eq!(config.source.kind, SourceKind::Stdin);
    assert_eq!(config.detect.max_keys, 12);
    assert_eq!(config.detect.expected_false_alerts_per_week, 2.0);
    assert!(!config.policy.dry_run);
    assert_eq!(config.decode.pepper.reveal(), "1234567890123456");
    assert_eq!(config.alerts_topic.unwrap().topic, "alerts");
}

#[test]
fn every_unknown_key_is_named_with_a_suggestion() {
    let error = load(
        "[source.kafka]\nbrokrs = \"x\"\n\n[sorce]\nkind = \"file\"\n",
        &[("KEYWATCH__LOG__FORMATT", "json")],
    )
    .unwrap_err();
    insta::assert_snapshot!(error, @"
    keywatch.toml:4: unknown key `sorce`; did you mean `source`?
    KEYWATCH__LOG__FORMATT: unknown key `log.formatt`; did you mean `format`?
    keywatch.toml:2: unknown key `source.kafka.brokrs`; did you mean `brokers`?
    ");
}

#[test]
fn values_of_the_wrong_type_are_named_with_their_line() {
    for (text, expected) in [
        ("[log]\nformat = 5", "keywatch.toml:2: `log.format`: expected a string"),
        (
            "[log]\nformat = \"jsn\"",
            "keywatch.toml:2: `log.format`: unknown value \"jsn\"; did you mean `json`?",
        ),
        (
            "[detect]\n\nmax_keys = \"many\"",
            "keywatch.toml:3: `detect.max_keys`: expected usize, found a string",
        ),
        (
            "[detect]\nmax_keys = -1",
            "keywatch.toml:2: `detect.max_keys`: expected usize, found the integer -1",
        ),
        (
            "[source.kafka]\ntopics = [\n  \"a\",\n  7,\n]",
            "keywatch.toml:4: `source.kafka.topics`: expected a string, found the integer 7",
        ),
        (
            "[service]\nlisten = \"here\"",
            "keywatch.toml:2: `service.listen`: invalid socket address syntax",
        ),
        ("log = 1", "keywatch.toml:1: `log`: expected a section"),
        ("[email]\nhost = \"h\"", "keywatch.toml:1: `email`: the key `from` is missing"),
        (
            "[policy]\ndry_run = 2026-01-01",
            "keywatch.toml:2: `policy.dry_run`: expected a boolean, found a date",
        ),
        ("[log]\nformat = ", "keywatch.toml:2: not TOML: "),
        ("[log]\n[log]\n", "keywatch.toml:2: not TOML: "),
    ] {
        let error = refusal(text);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn secrets_are_not_quoted_in_errors() {
    for text in ["[decode]\npepper = \"hidden1\nformat = \"x\"", "[decode]\npepper = [\"hidden1\"]"]
    {
        let error = refusal(text);
        assert!(!error.contains("hidden1"), "{error}");
    }
}

#[test]
fn environment_values_that_do_not_fit_name_the_variable() {
    for (name, value, expected) in [
        ("KEYWATCH__DETECT__MAX_KEYS", "many", "`detect.max_keys`: expected a whole number"),
        ("KEYWATCH__POLICY__DRY_RUN", "no", "`policy.dry_run`: expected true or false"),
        ("KEYWATCH__POLICY__EXEMPT_KEYS", "a,b", "`policy.exempt_keys`: expected TOML such as"),
        ("KEYWATCH__LOG", "info", "`log`: expected a section"),
        ("KEYWATCH__", "x", "name it KEYWATCH__SECTION__KEY"),
    ] {
        let error = load("", &[(name, value)]).unwrap_err();
        assert!(error.starts_with(&format!("{name}: {expected}")), "{error}");
    }
    let error = load("log = 1", &[("KEYWATCH__LOG__FORMAT", "json")]).unwrap_err();
    assert!(error.contains("KEYWATCH__LOG__FORMAT: `log` is not a section"), "{error}");
}

#[test]
fn secrets_come_from_files() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pepper");
    fs::write(&file, "sixteen bytes or more\r\n").unwrap();
    let text = format!("[decode]\npepper_file = {file:?}\n");
    let config = load(&text, &[]).unwrap();
    assert_eq!(config.decode.pepper.reveal(), "sixteen bytes or more");

    let error =
        load(&text, &[("KEYWATCH__DECODE__PEPPER", "another of enough bytes")]).unwrap_err();
    assert!(error.contains("`pepper` and `pepper_file` are both set"), "{error}");
    fs::write(&file, "\n").unwrap();
    let error = load(&text, &[]).unwrap_err();
    assert!(
        error.starts_with("keywatch.toml:2: `decode.pepper`: the file")
            && error.ends_with("is empty"),
        "{error}"
    );
    fs::remove_file(&file).unwrap();
    assert!(load(&text, &[]).unwrap_err().contains("cannot read the secret"));
}

#[test]
fn a_missing_file_is_named() {
    let error =
        Config::load(Some("/missing/keywatch.toml".as_ref()), std::iter::empty(), |_| Vec::new());
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("/missing/keywatch.toml: cannot read the configuration"), "{error}");
}

#[test]
fn shown_configurations_hold_no_secret() {
    let text = "[decode]\npepper = \"hidden hidden hidden\"\n[source.kafka.properties]\n\
                \"ssl.key.password\" = \"hidden\"\n\"client.rack\" = \"r1\"\n";
    let config = load(text, &[]).unwrap().with_properties_masked();
    for shown in [toml::to_string(&config).unwrap(), json(&config).to_string()] {
        assert!(!shown.contains("hidden") && shown.contains("r1"), "{shown}");
    }
}

#[test]
fn what_is_shown_can_be_loaded() {
    let config =
        load("[source]\nkind = \"file\"\n[source.file]\npaths = [\"a.jsonl\"]\n", &[]).unwrap();
    let again = load(&toml::to_string(&config).unwrap(), &[]).unwrap();
    assert_eq!(json(&config), json(&again));
}

/// The example file with every key that its comments mention switched on.
fn full_example() -> String {
    let is_key = |line: &str| {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| !c.is_whitespace()))
    };
    let lines = EXAMPLE.lines().map(|line| if is_key(line) { &line[1..] } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_shows_the_defaults() {
    assert_eq!(json(&load(EXAMPLE, &[]).unwrap()), json(&Config::default()));

    let required_only = "[email]\nhost = \"h\"\nfrom = \"a@b.c\"\nto = []\n\
                         [webhook]\nurl = \"u\"\n[alerts_topic]\ntopic = \"t\"\n";
    let defaults = json(&toml::from_str(required_only).unwrap());
    let full = json(&toml::from_str(&full_example()).unwrap());
    for (section, keys) in [
        ("email", ["port", "tls", "min_severity", "max_per_minute"].as_slice()),
        ("webhook", ["min_severity", "timeout_seconds"].as_slice()),
    ] {
        for key in keys {
            assert_eq!(full[section][key], defaults[section][key], "{section}.{key}");
        }
    }
}

#[test]
fn the_example_names_every_key() {
    let written: toml::Table = toml::from_str(&full_example()).unwrap();
    let written = serde_json::to_value(written).unwrap();
    // In JSON, keys without a value are present as null.
    let config: Config = toml::from_str(&full_example()).unwrap();
    let mut missing = Vec::new();
    collect_missing(&json(&config), &written, "", &mut missing);
    assert_eq!(missing, Vec::<String>::new(), "add these to keywatch.example.toml");
}

fn collect_missing(known: &Value, written: &Value, path: &str, missing: &mut Vec<String>) {
    for (name, value) in known.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match written.get(name) {
            Some(written) => collect_missing(value, written, &path, missing),
            None => missing.push(path),
        }
    }
}

const RULES: &str = include_str!("../../policy.example.toml");

/// Loads `text` as the rules of a configuration with the channel `email`.
fn rules(text: &str) -> Result<Rulebook, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("policy.toml");
    fs::write(&path, text).unwrap();
    let email = "[email]\nhost = \"h\"\nfrom = \"a@b.c\"\nto = []\n";
    let text = format!("[policy]\nrules_file = \"{}\"\n{email}", path.display());
    load(&text, &[])
        .map(|config| config.policy.rules)
        .map_err(|error| error.replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn the_example_of_rules_is_read_and_its_costs_are_the_defaults() {
    let book = rules(RULES).unwrap();
    assert_eq!(book.rules.len(), 2);
    assert_eq!(book.costs, Costs::default());
    assert!(book.rules[0].approval && book.rules[1].matches.detectors.len() == 2);
    let written: toml::Table = toml::from_str(RULES).unwrap();
    let mut missing = Vec::new();
    let written = serde_json::to_value(written).unwrap();
    let first = serde_json::to_value(&book.rules[0]).unwrap();
    collect_missing(&first, &written["rule"][0], "rule", &mut missing);
    let elsewhere = ["rule.match.detectors", "rule.match.max_requests_per_day"];
    missing.retain(|key| !elsewhere.contains(&key.as_str()));
    assert_eq!(missing, Vec::<String>::new(), "add these to policy.example.toml");
}

#[test]
fn a_mistake_in_the_rules_is_named_with_its_line_and_the_likely_key() {
    let costs = "[costs]\nsuspend = { honest = 10.0, stolen = 300.0 }\n";
    let twice = "[[rule]]\nname = \"a\"\nmatch.tags = [\"x\"]\n[[rule]]\nname = \"a\"\n";
    let hidden = "[[rule]]\nname = \"a\"\n\n[[rule]]\nname = \"b\"\n";
    for (text, expected) in [
        (
            "[[rule]]\nname = \"a\"\nmatch.tennants = [\"x\"]\n",
            "policy.toml:3: unknown key `rule.match.tennants`; did you mean `tenants`?",
        ),
        (
            "[[rule]]\nname = \"a\"\nmatch.detectors = [\n  \"geo.imposible_travel\",\n]\n",
            "policy.toml:4: `rule.match.detectors`: unknown detector \"geo.imposible_travel\"; did you \
             mean `geo.impossible_travel`?",
        ),
        (
            "[[rule]]\nname = \"a\"\naction = \"suspnd\"\n",
            "policy.toml:3: `rule.action`: unknown value \"suspnd\"; did you mean `suspend`?",
        ),
        (
            "[[rule]]\nname = \"a\"\n\n[[rule]]\nname = \"b\"\nchannels = [\"emial\"]\n",
            "policy.toml:6: `rule.channels`: no channel is named \"emial\"; did you mean `email`?",
        ),
        ("[[rule]]\naction = \"notify\"\n", "policy.toml:1: `rule`: the key `name` is missing"),
        (twice, "policy.toml:5: `rule.name`: is the name of an earlier rule too"),
        (hidden, "policy.toml:4: `rule`: is never reached: \"a\" before it matches everything"),
        (costs, "policy.toml:1: `costs`: `suspend` must cost more than `throttle`"),
        ("[[rule]]\nname = \n", "policy.toml:2: not TOML: "),
    ] {
        let error = rules(text).err().unwrap_or_else(|| panic!("accepted:\n{text}"));
        assert!(error.contains(expected), "{expected}\n{error}");
    }
    let missing = refusal("[policy]\nrules_file = \"/nowhere/policy.toml\"\n");
    assert!(
        missing.contains("/nowhere/policy.toml: cannot read the rules of the policy"),
        "{missing}"
    );
}
