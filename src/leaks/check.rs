//! Checks `[leaks]`.

use crate::config::{Config, Findings};

/// Reports settings with which reports cannot be taken.
pub fn check(config: &Config, findings: &mut Findings) {
    let Some(leaks) = &config.leaks else { return };
    let has_file = !leaks.public_keys_file.as_os_str().is_empty();
    findings.require(has_file, "leaks.public_keys_file", "is needed to check signatures");
    let has_pepper = !config.decode.pepper.reveal().is_empty();
    let message = "a reported key is compared by its hash: set decode.pepper or decode.pepper_file";
    findings.require(has_pepper, "leaks", message);
}
