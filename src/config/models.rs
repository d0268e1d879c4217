//! Which trained model judges behaviour.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsConfig {
    /// Whether whole hours of behaviour are judged (`behaviour.outlier`).
    pub judge_behaviour: bool,
    /// A model of `keywatch train`, instead of the one that the program carries. Read again
    /// when it was replaced.
    pub path: Option<PathBuf>,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self { judge_behaviour: true, path: None }
    }
}
