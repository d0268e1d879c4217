//! The trained model in use, read again when its file was replaced.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::ModelsConfig;
use crate::detect::outlier::{Model, ModelError};

/// Where the model comes from.
pub(super) struct ModelFile {
    /// `None`: the program's own.
    path: Option<PathBuf>,
    stamp: Option<(SystemTime, u64)>,
}

impl ModelFile {
    /// Also reads the model, if one is to be used.
    ///
    /// # Errors
    /// A model that cannot be read or does not fit.
    pub fn open(config: &ModelsConfig) -> Result<(Self, Option<Arc<Model>>), ModelError> {
        let none = Self { path: None, stamp: None };
        if !config.judge_behaviour {
            return Ok((none, None));
        }
        // Before reading, so that a replacement in between is noticed the next time.
        let stamp = config.path.as_deref().and_then(stamp);
        let file = Self { path: config.path.clone(), stamp };
        Ok((file, Some(Arc::new(model_in_use(config)?))))
    }

    /// The model anew if its file is another one; a failure is told once.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reload_if_replaced(&mut self) -> Result<Option<Arc<Model>>, ModelError> {
        let Some(path) = &self.path else { return Ok(None) };
        let stamp = stamp(path);
        if stamp == self.stamp {
            return Ok(None);
        }
        self.stamp = stamp;
        Ok(Some(Arc::new(read_model(path)?)))
    }
}

/// The model of the configuration, whether or not behaviour is judged: the program's own where
/// no other is named.
///
/// # Errors
/// A model that cannot be read or does not fit.
pub fn model_in_use(config: &ModelsConfig) -> Result<Model, ModelError> {
    config.path.as_deref().map_or_else(Model::shipped, read_model)
}

/// # Errors
/// A model that cannot be read or does not fit.
pub fn read_model(path: &Path) -> Result<Model, ModelError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ModelError::Read { path: path.into(), source })?;
    Model::parse(&text, path)
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_model_is_read_again_and_a_broken_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.json");
        let mut model = Model::shipped().unwrap();
        let write = |model: &Model| fs::write(&path, serde_json::to_string(model).unwrap());
        write(&model).unwrap();
        let config = ModelsConfig { judge_behaviour: true, path: Some(path.clone()) };
        let (mut file, first) = ModelFile::open(&config).unwrap();
        assert_eq!(file.reload_if_replaced().unwrap(), None);
        model.name = "another-one".into();
        model.seal().unwrap();
        write(&model).unwrap();
        let second = file.reload_if_replaced().unwrap().unwrap();
        assert_ne!(second.version(), first.unwrap().version());
        fs::write(&path, "{}").unwrap();
        assert!(file.reload_if_replaced().is_err());
        assert_eq!(file.reload_if_replaced().unwrap(), None, "told once");
    }
}
