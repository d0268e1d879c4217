//! Knows the log formats: the own one and those that a mapping describes.

use toml::{Table, Value};

use super::mapping::{Each, Mapping, MappingError, Part, Unread};
use super::presets;
use super::raw_event::{Field, RawEvent};

/// The name of the mapping in the configuration.
pub(super) const CUSTOM: &str = "custom";
/// The name of the choice by content.
pub(super) const AUTO: &str = "auto";
/// The name of the contract's own format.
pub(super) const OWN: &str = "keywatch";

/// How a field gets into the log of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToLog {
    /// The words that belong into the gateway's configuration, or where to find the setting.
    Setting(String),
    /// The gateway cannot log it.
    Impossible,
    Unknown,
}

fn settings(mapping: &Table) -> Table {
    mapping.get("to_log").and_then(Value::as_table).cloned().unwrap_or_default()
}

/// One log format.
#[derive(Debug)]
pub(super) struct Format {
    pub name: &'static str,
    /// `None`: the names of the contract itself.
    mapping: Option<Mapping>,
    /// By field: the setting of the gateway that puts it into the log.
    to_log: Table,
}

impl Format {
    pub fn own() -> Self {
        // A test reads the table.
        let to_log =
            presets::OWN_TO_LOG.parse().map(|own: Table| settings(&own)).unwrap_or_default();
        Self { name: OWN, mapping: None, to_log }
    }

    /// Returns a preset; `None` for an unknown name.
    pub fn preset(name: &str) -> Option<Self> {
        let preset = presets::ALL.iter().find(|preset| preset.name == name)?;
        // A test compiles every preset.
        let table = preset.table().ok()?;
        let mapping = Mapping::compile(&table).ok()?;
        Some(Self { name: preset.name, mapping: Some(mapping), to_log: settings(&table) })
    }

    /// # Errors
    /// The first mistake in the mapping.
    pub fn custom(table: &Table) -> Result<Self, MappingError> {
        let table = presets::extended(table)?;
        let mapping = Mapping::compile(&table)?;
        Ok(Self { name: CUSTOM, mapping: Some(mapping), to_log: settings(&table) })
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

    /// The setting of the gateway that puts a field into the log.
    pub fn to_log(&self, field: &str) -> ToLog {
        match self.to_log.get(field) {
            Some(Value::String(setting)) => ToLog::Setting(setting.clone()),
            Some(Value::Boolean(false)) => ToLog::Impossible,
            _ => ToLog::Unknown,
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
