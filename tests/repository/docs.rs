//! Checks that the files and targets that the documents name exist.

use std::fs;
use std::path::{Path, PathBuf};

use keywatch::alert::{Alert, DetectorId};
use keywatch::event::{PartitionId, ShardId};
use strum::VariantArray;

use crate::scene::{Place, Scene};
use crate::{root, text};

fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<PathBuf> = ["", "docs", "sql", "models", "tests"]
        .into_iter()
        .filter_map(|directory| fs::read_dir(root().join(directory)).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    documents.sort();
    documents
}

/// Targets of `[words](target)` that lie in the repository.
fn links(markdown: &str) -> impl Iterator<Item = &str> {
    markdown
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// A heading's anchor as GitHub generates it.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn has_anchor(document: &Path, wanted: &str) -> bool {
    let markdown = fs::read_to_string(document).unwrap();
    markdown.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == wanted)
}

fn leads_somewhere(document: &Path, link: &str) -> bool {
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => document.to_owned(),
        path => document.parent().unwrap().join(path),
    };
    target.exists() && (fragment.is_empty() || has_anchor(&target, fragment))
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let markdown = fs::read_to_string(&document).unwrap();
        broken.extend(
            links(&markdown)
                .filter(|link| !leads_somewhere(&document, link))
                .map(|link| format!("{}: {link}", document.display())),
        );
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_make_target_named_in_a_document_exists() {
    let makefile = text("Makefile");
    for document in documents() {
        let markdown = fs::read_to_string(&document).unwrap();
        let named =
            markdown.split("`make ").skip(1).filter_map(|rest| rest.split(['`', ' ']).next());
        for target in named {
            assert!(
                makefile.lines().any(|line| line.starts_with(&format!("{target}:"))),
                "{}: there is no `make {target}`",
                document.display()
            );
        }
    }
}

const ZURICH: Place = Place {
    ip: "203.0.113.7",
    asn: 64_500,
    country: "CH",
    region: "Zurich",
    city: "Zurich",
    latitude: 47.4,
    longitude: 8.5,
};
const SAO_PAULO: Place = Place {
    ip: "198.51.100.9",
    asn: 64_501,
    country: "BR",
    region: "São Paulo",
    city: "São Paulo",
    latitude: -23.5,
    longitude: -46.6,
};

/// A key that is used in Zurich for three days, and in São Paulo twelve minutes after its last
/// request there.
fn travelling_key() -> Alert {
    const DAYS: f64 = 3.0 * 86_400.0;
    let mut scene = Scene::new();
    scene.steady("k_81f0", ZURICH, 0.0, DAYS, 300.0);
    scene.request("k_81f0", SAO_PAULO, DAYS - 300.0 + 725.0);
    let partition = PartitionId { topic: "api-access".into(), partition: 3 };
    let heard = scene.at(DAYS + 425.412);
    let shard = ShardId::Partition(3);
    let alerts = Scene::engine().process(shard, &partition, &scene.events(), Some(heard)).alerts;
    let [alert] = alerts.try_into().unwrap();
    alert
}

#[test]
fn the_alert_shown_to_users_is_the_one_that_is_made() {
    let readme = text("README.md");
    let example = readme.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let shown: serde_json::Value = serde_json::from_str(example).unwrap();
    let made = serde_json::to_value(travelling_key()).unwrap();
    assert_eq!(shown, made, "README.md should show\n{made:#}");
}

#[test]
fn the_configuration_shown_to_users_is_one() {
    let readme = text("README.md");
    let example = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let config: keywatch::config::Config = toml::from_str(example).unwrap();
    assert!(config.policy.dry_run);
}

#[test]
fn the_lock_of_the_npm_packages_names_no_registry() {
    let lock: serde_json::Value =
        serde_json::from_str(&text("tools/node/package-lock.json")).unwrap();
    let packages = lock["packages"].as_object().unwrap();
    for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
        assert!(package["integrity"].as_str().unwrap().starts_with("sha512-"), "{name}");
        assert!(package.get("resolved").is_none(), "{name}");
    }
}

#[test]
fn the_guide_for_analysts_lists_every_query_with_its_question() {
    let guide = text("docs/ANALYSTS.md");
    for query in keywatch::store::ANALYST_QUERIES {
        let row = format!("| {} | [{1}](../sql/queries/{1}.sql) |", query.question(), query.name);
        assert!(guide.contains(&row), "docs/ANALYSTS.md should have the row\n{row}");
    }
}

/// Each detector has a page, and the folder has a list of them.
#[test]
fn every_detector_has_a_playbook_whose_links_and_queries_exist() {
    let folder = root().join("docs/playbooks");
    let list = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut wrong = Vec::new();
    for detector in DetectorId::VARIANTS {
        let path = folder.join(format!("{detector}.md"));
        let Ok(page) = fs::read_to_string(&path) else {
            wrong.push(format!("{detector} has no page"));
            continue;
        };
        let queries = page.split("< ").skip(1).filter_map(|rest| rest.split_whitespace().next());
        let dead = queries.filter(|query| !root().join(query).exists());
        wrong.extend(dead.map(|query| format!("{detector}: {query}")));
        let broken = links(&page).filter(|link| !leads_somewhere(&path, link));
        wrong.extend(broken.map(|link| format!("{detector}: {link}")));
        if !list.contains(&format!("[{detector}]({detector}.md)")) {
            wrong.push(format!("{detector} is not in the list"));
        }
    }
    let broken = links(&list).filter(|link| !leads_somewhere(&folder.join("README.md"), link));
    wrong.extend(broken.map(|link| format!("README.md: {link}")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
