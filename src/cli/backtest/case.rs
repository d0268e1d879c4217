//! Says whether the replay of a case finds its incident again.

use std::collections::BTreeSet;

use anyhow::anyhow;

use crate::alert::{Alert, DetectorId};
use crate::cli::CommandError;
use crate::cli::bundle::{self, Unpacked};
use crate::config::Config;

/// What may be missing when a replay differs.
const MAY_NEED: &str = "they need more of the past (`alerts export --past`), requests of other keys, \
    numbers of nonces, or the service's configuration (`-c`)";

/// Reads the places of the case, and its keys unless `--keys` names others.
pub fn apply(case: &Unpacked, has_registry: bool, config: &mut Config) {
    config.decode.format = "keywatch".into();
    config.enrich.places = Some(case.path(bundle::PLACES));
    config.enrich.city_databases.clear();
    config.enrich.asn_databases.clear();
    let is_empty = case.path(bundle::KEYS).metadata().is_ok_and(|file| file.len() == 0);
    if !has_registry && !is_empty {
        config.detect.registry_file = Some(case.path(bundle::KEYS));
    }
}

/// Tells what the replay found of the case.
///
/// # Errors
/// The incident was not found again, which a script must notice.
pub fn compare(case: &Unpacked, replayed: &[Alert]) -> Result<(), CommandError> {
    let id = &case.manifest.incident;
    let again: Vec<&Alert> = replayed.iter().filter(|alert| alert.id == *id).collect();
    let (was, is) = (detectors(case.alerts.iter()), detectors(again.iter().copied()));
    let missing: Vec<&str> = was.difference(&is).map(|detector| detector.as_str()).collect();
    warn_of_versions(case, &again);
    match (again.is_empty(), missing.as_slice()) {
        (true, missing) => Err(CommandError::Failure(anyhow!(
            "the replay does not find {id} ({}): {MAY_NEED}{}",
            missing.join(", "),
            instead(case, replayed)
        ))),
        (false, []) => {
            anstream::eprintln!("{id}: found again, with all of its evidence");
            Ok(())
        }
        (false, missing) => {
            anstream::eprintln!("{id}: found again, without {}: {MAY_NEED}", missing.join(", "));
            Ok(())
        }
    }
}

fn detectors<'a>(alerts: impl Iterator<Item = &'a Alert>) -> BTreeSet<DetectorId> {
    alerts.flat_map(|alert| alert.detectors.iter().copied()).collect()
}

/// The incidents that the replay finds about the same key.
fn instead(case: &Unpacked, replayed: &[Alert]) -> String {
    let key = case.alerts.iter().find_map(|alert| alert.key_id.as_ref());
    let same = replayed.iter().filter(|alert| key.is_some() && alert.key_id.as_ref() == key);
    let ids: BTreeSet<&str> = same.map(|alert| alert.id.as_str()).collect();
    if ids.is_empty() {
        return String::new();
    }
    let ids: Vec<&str> = ids.into_iter().collect();
    format!("; it finds {} about the key", ids.join(", "))
}

fn warn_of_versions(case: &Unpacked, again: &[&Alert]) {
    let Some((was, is)) = case.alerts.first().zip(again.first()) else { return };
    for (name, was, is) in [
        ("policy", &was.policy_version, &is.policy_version),
        ("model", &was.model_version, &is.model_version),
    ] {
        if was != is {
            anstream::eprintln!("  the {name} was {was}, and is {is} here");
        }
    }
}
