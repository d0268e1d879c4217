//! What the documents point to exists.

use std::fs;
use std::path::{Path, PathBuf};

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

/// A heading's anchor as GitHub makes it.
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

#[test]
fn the_alert_shown_to_users_is_an_alert() {
    let readme = text("README.md");
    let example = readme.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let alert: keywatch::alert::Alert = serde_json::from_str(example).unwrap();
    let shown: serde_json::Value = serde_json::from_str(example).unwrap();
    assert_eq!(serde_json::to_value(&alert).unwrap(), shown, "fields that an alert does not have");
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
