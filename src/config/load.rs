//! From file and environment to a checked configuration.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::tree::{self, Place, Table};
use super::{Config, ConfigError, Secret, deserialize};

impl Config {
    /// Reads the TOML file, puts `KEYWATCH__SECTION__KEY` variables of `environment` over
    /// it, reads the secrets that `*_file` keys name, and checks the whole. Without a file
    /// the defaults are the ground.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place (`keywatch.toml:12` or the variable).
    pub fn load(
        path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let (text, name) = match path {
            Some(path) => (read(path)?, path.display().to_string()),
            None => (String::new(), "configuration".into()),
        };
        Self::from_text(&text, &name, environment).map_err(ConfigError)
    }

    fn from_text(
        text: &str,
        name: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Problem>> {
        let root: Place = name.into();
        let mut table = tree::parse(text, name)?;
        let mut problems = tree::apply_environment(&mut table, environment);
        let places = Places::of(&table, &root);
        match deserialize::from_table::<Self>(table, &root) {
            Err(more) => problems.extend(more),
            Ok(mut config) if problems.is_empty() => {
                let mut findings = config.read_secrets();
                if findings.is_empty() {
                    findings = config.check();
                }
                if findings.is_empty() {
                    return Ok(config);
                }
                problems.extend(findings.into_iter().map(|finding| places.locate(finding)));
            }
            Ok(_) => {}
        }
        Err(problems)
    }

    /// Puts the contents of `*_file` files into the secrets beside them.
    fn read_secrets(&mut self) -> Vec<Finding> {
        let kafka = &mut self.source.kafka;
        let http = &mut self.source.http;
        let mut secrets = vec![
            ("source.kafka.sasl_password", &mut kafka.sasl_password, &kafka.sasl_password_file),
            ("source.http.token", &mut http.token, &http.token_file),
            ("decode.pepper", &mut self.decode.pepper, &self.decode.pepper_file),
            ("clickhouse.password", &mut self.clickhouse.password, &self.clickhouse.password_file),
        ];
        if let Some(email) = &mut self.email {
            secrets.push(("email.password", &mut email.password, &email.password_file));
        }
        if let Some(webhook) = &mut self.webhook {
            secrets.push(("webhook.secret", &mut webhook.secret, &webhook.secret_file));
        }
        let read = |(key, secret, file): (&'static str, &mut Secret, &Option<PathBuf>)| {
            let message = read_secret(key, secret, file.as_deref()?).err()?;
            Some(Finding { key, message })
        };
        secrets.into_iter().filter_map(read).collect()
    }
}

/// Something wrong with the value of a key.
pub(super) struct Finding {
    /// `section.key`.
    pub key: &'static str,
    pub message: String,
}

/// Where each key was written, kept beyond the tree itself.
struct Places {
    root: Place,
    table: Vec<(String, Place)>,
}

impl Places {
    fn of(table: &Table, root: &Place) -> Self {
        let mut places = Vec::new();
        collect_places(table, "", &mut places);
        Self { root: root.clone(), table: places }
    }

    /// The key itself, its file variant, or the sections around it, whichever was written.
    fn locate(&self, Finding { key, message }: Finding) -> Problem {
        let written = |path: &str| {
            self.table.iter().find(|(known, _)| known == path).map(|(_, place)| place.clone())
        };
        let around = std::iter::successors(Some(key), |path| {
            path.rsplit_once('.').map(|(section, _)| section)
        });
        let place = written(key)
            .or_else(|| written(&format!("{key}_file")))
            .or_else(|| around.skip(1).find_map(written))
            .unwrap_or_else(|| self.root.clone());
        Problem::new(place, format!("`{key}`: {message}"))
    }
}

fn collect_places(table: &Table, prefix: &str, places: &mut Vec<(String, Place)>) {
    for (name, node) in table {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if let tree::Value::Table(table) = &node.value {
            collect_places(table, &path, places);
        }
        places.push((path, node.place.clone()));
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|error| {
        let place: Place = path.display().to_string().into();
        ConfigError(vec![Problem::new(place, format!("cannot read the configuration: {error}"))])
    })
}

/// The newline that editors and `echo` put at the end is not part of the secret.
fn read_secret(key: &str, secret: &mut Secret, file: &Path) -> Result<(), String> {
    let name = key.rsplit('.').next().unwrap_or(key);
    if !secret.is_empty() {
        return Err(format!("`{name}` and `{name}_file` are both set; keep one of them"));
    }
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read the secret in {}: {error}", file.display()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(format!("the file {} is empty", file.display()));
    }
    *secret = Secret::new(text);
    Ok(())
}
