//! Finds out who acts, and checks the texts that people give.

use std::{env, fs};

use anyhow::anyhow;

use crate::casework;
use crate::cli::CommandError;

/// Checks a name, as it was given for `option`.
pub fn name(option: &str, text: &str) -> Result<String, String> {
    casework::person(text).map_err(|sentence| format!("{option}: {sentence}"))
}

/// Checks a comment.
pub fn message(text: &str) -> Result<String, String> {
    casework::comment(text).map_err(|sentence| format!("--message: {sentence}"))
}

/// The name under which the user of this process has logged in. Behind `sudo`, it is the name of
/// the person and not that of the superuser.
fn login_name() -> Result<String, String> {
    let user = rustix::process::getuid();
    let environment = |name| env::var(name).ok();
    let from_system = || {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        user_named(&users, user.as_raw())
    };
    let person = user.is_root().then(|| environment("SUDO_USER")).flatten();
    let found = person.or_else(from_system).or_else(|| environment("LOGNAME"));
    let found = found.ok_or("who are you? The login name is unknown: give --by NAME")?;
    name("--by", &found)
}

/// Who acts: the name that was given for `--by`, or else the login name.
///
/// # Errors
/// [`CommandError::Usage`].
pub fn acting(by: Option<&str>) -> Result<String, CommandError> {
    let name = by.map_or_else(login_name, |by| name("--by", by));
    name.map_err(|sentence| CommandError::Usage(anyhow!(sentence)))
}

/// The user with this number in the text of `/etc/passwd`.
fn user_named(users: &str, number: u32) -> Option<String> {
    let mut fields = users.lines().map(|line| line.split(':'));
    fields.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:1000::/home/alice:\n";
        assert_eq!(user_named(users, 1000).as_deref(), Some("alice"));
        assert_eq!(user_named(users, 7), None);
    }
}
