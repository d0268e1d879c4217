//! Holds the mappings of known gateways, in the language of `[decode.mapping]`.

#[cfg(test)]
mod tests;

use toml::{Table, Value};

use super::mapping::MappingError;

/// A mapping that is part of the program.
pub(super) struct Preset {
    pub name: &'static str,
    pub text: &'static str,
}

/// The table `to_log` of the format `keywatch`.
pub(super) const OWN_TO_LOG: &str = include_str!("keywatch.toml");

macro_rules! presets {
    ($($name:literal),* $(,)?) => {
        /// In the order in which `auto` prefers them.
        pub(super) const ALL: &[Preset] = &[
            $(Preset { name: $name, text: include_str!(concat!($name, ".toml")) }),*
        ];
    };
}

presets! {
    "kong", "aws-apigateway", "cloudtrail", "envoy", "nginx-json", "traefik", "ocsf", "tyk",
    "azure-apim", "cloudflare", "gcp-endpoints", "haproxy", "github-audit", "combined",
    "canonical",
}

impl Preset {
    pub fn table(&self) -> Result<Table, MappingError> {
        let wrong = |message: String| MappingError { key: self.name.to_owned(), message };
        self.text.parse().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))
    }

    /// One line that says what the preset reads.
    pub fn about(&self) -> String {
        let table = self.table().unwrap_or_default();
        table.get("about").and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// Returns the mapping with the entries of the preset that it extends, which it replaces by its own
/// entries of the same name.
///
/// # Errors
/// The preset does not exist.
pub(super) fn extended(table: &Table) -> Result<Table, MappingError> {
    let Some(base) = table.get("extends") else { return Ok(table.clone()) };
    let Some(preset) = ALL.iter().find(|preset| base.as_str() == Some(preset.name)) else {
        let names: Vec<&str> = ALL.iter().map(|preset| preset.name).collect();
        let message = format!("is not a preset; use one of: {}", names.join(", "));
        return Err(MappingError { key: "extends".into(), message });
    };
    let mut extended = preset.table()?;
    extended.extend(table.clone());
    Ok(extended)
}
