//! A trained model: plain parameters in JSON, checked before they are used.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::density::Density;
use super::survival::Survival;
use crate::detect::priors::Priors;
use crate::profile::behaviour::{OWN_FEATURES, PEER_FEATURES, schema_hash};

/// The form of the file.
pub const FORMAT: u32 = 2;

/// The model that the program carries, see `models/default.md`.
const SHIPPED: &str = include_str!("../../../models/default.json");

/// Parameters of `behaviour.outlier`, and what a new shard begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub format: u32,
    pub name: String,
    /// [`schema_hash`] of the features that it was trained with.
    pub features: String,
    /// Windows against the key's own past.
    pub own: Density,
    /// Runs of surprising windows of one key.
    pub runs: Survival,
    /// Windows of keys without a past, against those of all keys.
    pub peers: Density,
    /// What its fleet was like.
    pub priors: Priors,
    /// The program's own: trained on other keys than those it judges, so that it cannot know
    /// what kinds of keys there are.
    #[serde(skip)]
    pub is_shipped: bool,
    /// SHA-256 of this file's content with an empty checksum, as compact JSON.
    pub checksum: String,
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("cannot read the model {path}: {source}; train one, or leave `models.path` out")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is no model: {reason}; train it again with `keywatch train`")]
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
    #[error("{path} was changed after training: its checksum is {found}, its content's {expected}")]
    Checksum { path: PathBuf, found: String, expected: String },
}

impl Model {
    /// The model that the program carries.
    ///
    /// # Errors
    /// Never of a program whose tests passed.
    pub fn shipped() -> Result<Self, ModelError> {
        let model = Self::parse(SHIPPED, Path::new("the shipped model"))?;
        Ok(Self { is_shipped: true, ..model })
    }

    /// # Errors
    /// A model that does not fit. `path` is where it came from.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ModelError> {
        let path = || PathBuf::from(path);
        // The format first: another one has other fields.
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

    /// Sets the checksum of what the model holds.
    ///
    /// # Errors
    /// Numbers that JSON does not know.
    pub fn seal(&mut self) -> Result<(), serde_json::Error> {
        self.checksum = self.content_checksum()?;
        Ok(())
    }

    fn content_checksum(&self) -> Result<String, serde_json::Error> {
        let unsealed = Self { checksum: String::new(), ..self.clone() };
        Ok(hex::encode(Sha256::digest(serde_json::to_vec(&unsealed)?)))
    }

    /// Name and content, for alerts: `default-1f3a09c2`.
    pub fn version(&self) -> String {
        format!("{}-{}", self.name, self.checksum.get(..8).unwrap_or("unsealed"))
    }
}
