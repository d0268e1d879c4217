//! Turns a rule of Sigma (<https://sigmahq.io>) into a query over `access_events`.
//!
//! A rule file is untrusted: whatever it holds becomes a literal of the query or an error, and its
//! size, its depth and the size of the query are bounded.

mod compile;
mod condition;
mod error;
mod fields;
mod modifiers;
mod pattern;
mod rule;
mod sql;
mod yaml;

pub use self::error::SigmaError;
pub use self::fields::{FIELDS, Field};
pub use self::yaml::MOST_BYTES;

use self::rule::Rule;

/// A rule as a query.
#[derive(Debug)]
pub struct Query {
    pub title: String,
    pub id: String,
    pub level: String,
    pub sql: String,
}

/// Makes the query for requests of the last `days`, the latest `limit` of them.
///
/// # Errors
/// [`SigmaError`], with the line of the rule.
pub fn query(text: &str, days: u32, limit: u32) -> Result<Query, SigmaError> {
    let rule = Rule::read(text)?;
    let sql = compile::query(&rule, days, limit)?;
    Ok(Query { title: rule.title, id: rule.id, level: rule.level, sql })
}

#[cfg(test)]
mod tests;
