//! Loads the rules of the policy from their own file.

use std::fs;
use std::path::Path;

use super::deserialize;
use super::tree::{self, Place, Table, Value};
use crate::config::error::Problem;
use crate::config::rule_faults::faults;
use crate::config::{ConfigError, Rulebook};

impl Rulebook {
    /// Reads a file of rules. `channels` are the names of the channels that exist; `None` takes any
    /// name.
    ///
    /// # Errors
    /// All problems, each with the file, the line, and the likely key.
    pub fn load(path: &Path, channels: Option<&[&str]>) -> Result<Self, ConfigError> {
        load(path, channels).map_err(ConfigError)
    }
}

/// As [`Rulebook::load`].
pub(super) fn load(path: &Path, channels: Option<&[&str]>) -> Result<Rulebook, Vec<Problem>> {
    let name = path.display().to_string();
    let root: Place = name.as_str().into();
    let text = fs::read_to_string(path).map_err(|error| {
        vec![Problem::new(root.clone(), format!("cannot read the rules of the policy: {error}"))]
    })?;
    let table = tree::parse(&text, &name)?;
    let places = places(&table);
    let rules: Rulebook = deserialize::from_table(table, &root)?;
    let faults = faults(&rules, channels);
    if faults.is_empty() {
        return Ok(rules);
    }
    let problem = |(path, message): (String, String)| {
        let around = std::iter::successors(Some(path.as_str()), |path| {
            path.rsplit_once('.').map(|(section, _)| section)
        });
        let found = around.filter_map(|path| places.iter().find(|(known, _)| known == path)).next();
        let place = found.map_or(&root, |(_, place)| place);
        Problem::new(place.clone(), format!("`{}`: {message}", without_numbers(&path)))
    };
    Err(faults.into_iter().map(problem).collect())
}

/// The places of all keys; those of the third rule begin with `rule.2`.
fn places(table: &Table) -> Vec<(String, Place)> {
    let mut places = Vec::new();
    collect(table, "", &mut places);
    places
}

fn collect(table: &Table, prefix: &str, places: &mut Vec<(String, Place)>) {
    for (name, node) in table {
        let path = format!("{prefix}{name}");
        match &node.value {
            Value::Table(table) => collect(table, &format!("{path}."), places),
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    let path = format!("{path}.{number}");
                    if let Value::Table(table) = &item.value {
                        collect(table, &format!("{path}."), places);
                    }
                    places.push((path, item.place.clone()));
                }
            }
            _ => {}
        }
        places.push((path, node.place.clone()));
    }
}

/// The path as errors of unknown keys name it.
fn without_numbers(path: &str) -> String {
    let is_name = |part: &&str| part.parse::<usize>().is_err();
    path.split('.').filter(is_name).collect::<Vec<_>>().join(".")
}
