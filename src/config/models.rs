//! Configures the trained model that judges behaviour.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsConfig {
    /// Whether whole hours of behaviour are judged (`behaviour.outlier`).
    pub judge_behaviour: bool,
    /// A model made by `keywatch train`, instead of the one built into the program. It is read
    /// again when the file is replaced.
    pub path: Option<PathBuf>,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self { judge_behaviour: true, path: None }
    }
}
