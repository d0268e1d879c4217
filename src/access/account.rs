//! Defines an account: a name with a role, and how its holder proves it.

use serde::Serialize;
use strum::{IntoStaticStr, VariantArray};

use crate::event::EventTime;
use crate::store::AccountRow;

/// What an account may do. A later role may all that an earlier one may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Also acts on incidents.
    Responder,
    /// Also hides critical alerts.
    Admin,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The role with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|role| role.as_str() == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Kind {
    /// Logs in with a password.
    Person,
    /// Sends a token.
    Program,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// The latest row of a name that was not removed.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub name: String,
    /// Changes with each change of the account.
    pub id: String,
    pub kind: Kind,
    pub role: Role,
    /// A hash: argon2id of a password, SHA-256 of a token.
    pub secret: String,
    pub since: EventTime,
}

impl Account {
    /// `None` for a removed account, and for one whose kind or role only a newer version knows.
    pub fn read(row: AccountRow) -> Option<Self> {
        let kind = Kind::VARIANTS.iter().find(|kind| kind.as_str() == row.kind);
        Some(Self {
            kind: *kind?,
            role: Role::named(&row.role)?,
            name: row.name,
            id: row.id,
            secret: row.secret,
            since: row.time,
        })
    }
}

const LONGEST_NAME: usize = 64;

/// Checks the name of an account. Names are plain, so that two of them never look alike.
///
/// # Errors
/// A sentence that says which names are accepted.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_@".contains(c);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
        return Err(format!(
            "a name has 1 to {LONGEST_NAME} letters, digits, dots, hyphens, underscores or @, such \
             as alice"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_role_may_more() {
        assert!(Role::Viewer < Role::Responder && Role::Responder < Role::Admin);
        assert_eq!(Role::named("responder"), Some(Role::Responder));
        assert_eq!(Role::named(""), None, "a removed account has no role");
    }

    #[test]
    fn names_are_plain() {
        assert!(check_name("alice@example.com").is_ok());
        for bad in ["", "al ice", "аlice", "a\u{202e}", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
