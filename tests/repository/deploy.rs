//! Checks the container set-up as far as possible without a container engine.

use std::process::Command;

use keywatch::config::Config;
use yaml_rust2::{Yaml, YamlLoader};

use crate::{root, text};

fn compose() -> Yaml {
    YamlLoader::load_from_str(&text("docker-compose.yml")).unwrap().remove(0)
}

fn services(compose: &Yaml) -> impl Iterator<Item = (&str, &Yaml)> {
    compose["services"].as_hash().unwrap().iter().map(|(name, it)| (name.as_str().unwrap(), it))
}

fn strings(list: &Yaml) -> impl Iterator<Item = &str> {
    list.as_vec().map_or(&[][..], Vec::as_slice).iter().map(|item| item.as_str().unwrap())
}

#[test]
fn images_are_pinned() {
    let compose = compose();
    for (name, service) in services(&compose) {
        if let Some(image) = service["image"].as_str() {
            let tag = image.split_once(':').unwrap_or_else(|| panic!("{name}: no tag")).1;
            assert!(tag.contains(|c: char| c.is_ascii_digit()), "{name}: {image}");
        }
    }
}

#[test]
fn ports_are_published_on_loopback_only() {
    let compose = compose();
    for (name, service) in services(&compose) {
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
}

#[test]
fn secrets_have_no_default() {
    let compose = compose();
    let example = text(".env.example");
    for (name, service) in services(&compose) {
        let Some(environment) = service["environment"].as_hash() else { continue };
        for (key, value) in environment {
            let (key, value) = (key.as_str().unwrap(), value.as_str().unwrap());
            if ["PASSWORD", "PEPPER", "SECRET"].iter().any(|word| key.contains(word)) {
                let variable = value.strip_prefix("${").and_then(|rest| rest.split_once(":?"));
                let (variable, _) =
                    variable.unwrap_or_else(|| panic!("{name}: {key} has a default"));
                assert!(
                    example.contains(&format!("\n{variable}=\n")),
                    "{variable} in .env.example"
                );
            }
        }
    }
}

#[test]
fn services_name_what_exists() {
    let compose = compose();
    let dockerfile = text("Dockerfile");
    for (name, service) in services(&compose) {
        for needed in service["depends_on"].as_hash().into_iter().flatten().map(|(key, _)| key) {
            assert!(
                !compose["services"][needed.as_str().unwrap()].is_badvalue(),
                "{name}: {needed:?}"
            );
        }
        for volume in strings(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            let exists = if source.starts_with("./") {
                root().join(source).exists()
            } else {
                compose["volumes"].as_hash().unwrap().contains_key(&Yaml::String(source.into()))
            };
            assert!(exists, "{name}: {source}");
        }
        if let Some(target) = service["build"]["target"].as_str() {
            assert!(dockerfile.contains(&format!(" AS {target}\n")), "{name}: {target}");
        }
    }
}

#[test]
fn the_configuration_of_the_container_is_one() {
    let config: Config = toml::from_str(&text("deploy/keywatch.toml")).unwrap();
    let compose = compose();
    let host =
        |address: &str| address.rsplit('/').next().unwrap().split(':').next().unwrap().to_owned();
    for name in [
        host(&config.source.kafka.brokers),
        host(&config.clickhouse.url),
        config.email.unwrap().host,
    ] {
        assert!(!compose["services"][name.as_str()].is_badvalue(), "no service {name}");
    }
    let stop_grace = compose["services"]["keywatch"]["stop_grace_period"].as_str().unwrap();
    let stop_grace: u64 = stop_grace.trim_end_matches('s').parse().unwrap();
    assert!(stop_grace > config.service.shutdown_seconds, "killed before it has flushed");
}

/// The names of metrics in a PromQL expression, without the suffixes of a histogram's series.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("keywatch_")).map(|word| word.trim_end_matches("_bucket"))
}

#[test]
fn dashboards_and_rules_name_metrics_and_runbooks_that_exist() {
    let (known, runbooks) = (text("docs/METRICS.md"), text("docs/OPERATIONS.md"));
    let rules = YamlLoader::load_from_str(&text("deploy/prometheus/keywatch.rules.yml")).unwrap();
    let rules = rules[0]["groups"][0]["rules"].as_vec().unwrap().clone();
    let mut expressions: Vec<String> =
        rules.iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect();
    for rule in &rules {
        let name = rule["alert"].as_str().unwrap();
        let runbook = rule["annotations"]["runbook"].as_str().unwrap();
        assert_eq!(runbook, format!("docs/OPERATIONS.md#{}", name.to_lowercase()));
        assert!(runbooks.contains(&format!("\n### {name}\n")), "no runbook of {name}");
    }
    let overview = text("deploy/grafana/dashboards/overview.json");
    let overview: serde_json::Value = serde_json::from_str(&overview).unwrap();
    let targets = overview["panels"].as_array().unwrap().iter().map(|panel| &panel["targets"][0]);
    expressions.extend(targets.filter_map(|target| target["expr"].as_str()).map(str::to_owned));
    assert!(expressions.len() > 15);
    for expression in &expressions {
        for metric in metrics(expression) {
            assert!(known.contains(&format!("| `{metric}` |")), "{metric} in {expression}");
        }
    }
}

/// Runs Docker's own check: `cargo test --test repository -- --ignored`.
#[test]
#[ignore = "needs `docker compose`, which tools/setup does not fetch"]
fn docker_accepts_it() {
    let output = Command::new("docker")
        .args(["compose", "--profile", "traffic", "--profile", "observe", "config", "--quiet"])
        .current_dir(root())
        .env("CLICKHOUSE_PASSWORD", "x")
        .env("GRAFANA_CLICKHOUSE_PASSWORD", "x")
        .env("GRAFANA_ADMIN_PASSWORD", "x")
        .env("KEYWATCH_PEPPER", "x")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
