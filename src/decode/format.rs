//! Knows the log formats: the own one and those that a mapping describes.

use toml::Table;

use super::mapping::{Each, Mapping, MappingError, Part, Unread};
use super::presets;
use super::raw_event::{Field, RawEvent};

/// The name of the mapping in the configuration.
pub(super) const CUSTOM: &str = "custom";
/// The name of the choice by content.
pub(super) const AUTO: &str = "auto";
/// The name of the contract's own format.
pub(super) const OWN: &str = "keywatch";

/// One log format.
#[derive(Debug)]
pub(super) struct Format {
    pub name: &'static str,
    /// `None`: the names of the contract itself.
    mapping: Option<Mapping>,
}

impl Format {
    pub fn own() -> Self {
        Self { name: OWN, mapping: None }
    }

    /// Returns a preset; `None` for an unknown name.
    pub fn preset(name: &str) -> Option<Self> {
        let preset = presets::ALL.iter().find(|preset| preset.name == name)?;
        // A test compiles every preset.
        let mapping = Mapping::compile(&preset.table().ok()?).ok()?;
        Some(Self { name: preset.name, mapping: Some(mapping) })
    }

    /// # Errors
    /// The first mistake in the mapping.
    pub fn custom(table: &Table) -> Result<Self, MappingError> {
        let mapping = Mapping::compile(&presets::extended(table)?)?;
        Ok(Self { name: CUSTOM, mapping: Some(mapping) })
    }

    /// The own format and all presets, in the order in which `auto` prefers them.
    pub fn all() -> Vec<Self> {
        let presets = presets::ALL.iter().filter_map(|preset| Self::preset(preset.name));
        std::iter::once(Self::own()).chain(presets).collect()
    }

    /// Whether a mapping describes the format, and not the contract itself.
    pub fn is_mapped(&self) -> bool {
        self.mapping.is_some()
    }

    /// Whether records are JSON.
    pub fn is_json(&self) -> bool {
        self.mapping.as_ref().is_none_or(Mapping::is_json)
    }

    /// Reads a record, which is not an array. Nothing is passed to `each` if this fails.
    pub fn read(&self, text: &str, is_lossy: bool, each: Each<'_>) -> Result<(), Unread> {
        if let Some(mapping) = &self.mapping {
            return mapping.read(text, is_lossy, each);
        }
        let mut event = RawEvent { is_lossy, ..RawEvent::default() };
        event.read_keywatch(text)?;
        each(text, Part::Request(&event));
        Ok(())
    }

    /// The name of a field for the operator: as it is in the log, and as it is in the contract.
    pub fn label(&self, field: Field) -> String {
        let own = field.name();
        match self.mapping.as_ref().and_then(|mapping| mapping.name(field)) {
            Some(paths) if paths != format!("`{own}`") => format!("{paths} (`{own}`)"),
            _ => format!("`{own}`"),
        }
    }

    /// The field whose values may be shown where a record has this name on its first level.
    pub fn shown_field(&self, name: &str) -> Option<&'static str> {
        match &self.mapping {
            Some(mapping) => mapping.shown_field(name),
            None => Field::named(name).map(Field::name),
        }
    }
}
