//! Reads a trained model (plain parameters in JSON) and checks it before use.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::density::Density;
use super::survival::Survival;
use crate::config::ModelsConfig;
use crate::detect::priors::Priors;
use crate::profile::behaviour::{OWN_FEATURES, PEER_FEATURES, schema_hash};

/// Version of the file format.
pub const FORMAT: u32 = 2;

/// The model that the program carries: `models/default.md`.
const SHIPPED: &str = include_str!("../../../models/default.json");

/// The parameters of `behaviour.outlier`, and the priors of a new shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub format: u32,
    pub name: String,
    /// [`schema_hash`] of the features that the model was trained with.
    pub features: String,
    /// Distribution of windows against the key's own past.
    pub own: Density,
    /// Distribution of sums over consecutive windows of one key.
    pub runs: Survival,
    /// Distribution of windows as they are, for keys without a past.
    pub peers: Density,
    /// Priors learned from the fleet of the training.
    pub priors: Priors,
    /// Whether this is the model that the program carries. It was trained on other keys than those
    /// it judges, so that it does not know the peers of a key.
    #[serde(skip)]
    pub is_shipped: bool,
    /// SHA-256 of this file's content with an empty checksum, as compact JSON.
    pub checksum: String,
}

/// The reason why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("cannot read the model {path}; train one, or leave `models.path` out")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a model: {reason}; train it again with `keywatch train`")]
    Parse { path: PathBuf, reason: serde_json::Error },
    #[error(
        "{path} has the format {found}, this version reads {FORMAT}; train it again with \
         `keywatch train`"
    )]
    Format { path: PathBuf, found: u32 },
    #[error(
        "{path} was trained with the features {found}, this version computes {expected}; train \
         it again with `keywatch train`"
    )]
    Features { path: PathBuf, found: String, expected: String },
    #[error("{path}: {part} lacks parameters or has impossible ones; train it again")]
    Parameters { path: PathBuf, part: &'static str },
    #[error(
        "{path} was changed after training: it states the checksum {found}, but its \
         content has {expected}"
    )]
    Checksum { path: PathBuf, found: String, expected: String },
}

impl Model {
    /// The model that the program carries.
    ///
    /// # Errors
    /// Never: the tests read this model.
    pub fn shipped() -> Result<Self, ModelError> {
        let model = Self::parse(SHIPPED, Path::new("the shipped model"))?;
        Ok(Self { is_shipped: true, ..model })
    }

    /// Reads and checks a model.
    ///
    /// # Errors
    /// The file cannot be read, or the model does not fit this version.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "read at the start, and when the file is replaced"
        )]
        let text = std::fs::read_to_string(path)
            .map_err(|source| ModelError::Read { path: path.into(), source })?;
        Self::parse(&text, path)
    }

    /// The configured model, or the shipped one if none is configured. It does not matter whether
    /// behaviour is judged.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn in_use(config: &ModelsConfig) -> Result<Self, ModelError> {
        config.path.as_deref().map_or_else(Self::shipped, Self::read)
    }

    /// Parses and checks a model. `path` is its origin, for errors.
    ///
    /// # Errors
    /// The model does not fit this version.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ModelError> {
        let path = || PathBuf::from(path);
        // The format comes first: another format has other fields.
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let unreadable = |reason| ModelError::Parse { path: path(), reason };
        let Head { format } = serde_json::from_str(text).map_err(unreadable)?;
        if format != FORMAT {
            return Err(ModelError::Format { path: path(), found: format });
        }
        let model: Self = serde_json::from_str(text).map_err(unreadable)?;
        let expected = schema_hash();
        if model.features != expected {
            return Err(ModelError::Features { path: path(), found: model.features, expected });
        }
        let parts = [
            ("own", model.own.fits(OWN_FEATURES)),
            ("runs", model.runs.is_usable()),
            ("peers", model.peers.fits(PEER_FEATURES)),
            ("priors", model.priors.are_usable()),
        ];
        if let Some((part, _)) = parts.into_iter().find(|(_, fits)| !fits) {
            return Err(ModelError::Parameters { path: path(), part });
        }
        let expected = model.content_checksum().map_err(unreadable)?;
        if model.checksum != expected {
            return Err(ModelError::Checksum { path: path(), found: model.checksum, expected });
        }
        Ok(model)
    }

    /// Sets the checksum of the model's content.
    ///
    /// # Errors
    /// The model holds numbers that JSON cannot express.
    pub fn seal(&mut self) -> Result<(), serde_json::Error> {
        self.checksum = self.content_checksum()?;
        Ok(())
    }

    fn content_checksum(&self) -> Result<String, serde_json::Error> {
        let unsealed = Self { checksum: String::new(), ..self.clone() };
        Ok(hex::encode(Sha256::digest(serde_json::to_vec(&unsealed)?)))
    }

    /// Name and start of the checksum, for alerts: `default-1f3a09c2`.
    pub fn version(&self) -> String {
        format!("{}-{}", self.name, self.checksum.get(..8).unwrap_or("unsealed"))
    }
}
