//! Collects faults of values that the types of the configuration cannot express.

use std::borrow::Cow;

/// A fault in the value of a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// `section.key`.
    pub key: Cow<'static, str>,
    pub message: String,
}

/// The findings of all rooms, in the order in which they check their sections.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub fn require(
        &mut self,
        holds: bool,
        key: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) {
        if !holds {
            self.0.push(Finding { key: key.into(), message: message.into() });
        }
    }

    pub fn require_positive(&mut self, key: &'static str, value: f64) {
        self.require(value.is_finite() && value > 0.0, key, "must be greater than 0");
    }

    pub fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}
