//! Loads a checked configuration from file and environment.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use super::tree::{self, Place, Table};
use super::{deserialize, rules};
use crate::config::error::Problem;
use crate::config::{Config, ConfigError, Finding, Secret};

impl Config {
    /// Reads the TOML file and overrides it with `KEYWATCH__SECTION__KEY` variables of
    /// `environment`. Then reads the secrets that `*_file` keys name, and calls `check`, in which
    /// each room checks its own section. Without a file the defaults apply.
    ///
    /// # Errors
    /// All problems, each with its place (`keywatch.toml:12` or the variable).
    pub fn load(
        path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        check: impl FnOnce(&Self) -> Vec<Finding>,
    ) -> Result<Self, ConfigError> {
        let (text, name) = match path {
            Some(path) => (read(path)?, path.display().to_string()),
            None => (String::new(), "configuration".into()),
        };
        Self::from_text(&text, &name, environment, check).map_err(ConfigError)
    }

    fn from_text(
        text: &str,
        name: &str,
        environment: impl Iterator<Item = (String, String)>,
        check: impl FnOnce(&Self) -> Vec<Finding>,
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
                    findings = check(&config);
                }
                problems.extend(findings.into_iter().map(|finding| places.locate(finding)));
                problems.extend(config.read_rules());
                if problems.is_empty() {
                    return Ok(config);
                }
            }
            Ok(_) => {}
        }
        Err(problems)
    }

    /// Reads the file of rules into the policy.
    fn read_rules(&mut self) -> Vec<Problem> {
        let Some(path) = &self.policy.rules_file else { return Vec::new() };
        match rules::load(path, Some(&self.route_names())) {
            Ok(rules) => self.policy.rules = rules,
            Err(problems) => return problems,
        }
        Vec::new()
    }

    /// Copies the contents of `*_file` files into the secrets beside them.
    fn read_secrets(&mut self) -> Vec<Finding> {
        let kafka = &mut self.source.kafka;
        let http = &mut self.source.http;
        let mut secrets: Vec<(Cow<'static, str>, &mut Secret, &Option<PathBuf>)> = vec![
            (
                "source.kafka.sasl_password".into(),
                &mut kafka.sasl_password,
                &kafka.sasl_password_file,
            ),
            ("source.http.token".into(), &mut http.token, &http.token_file),
            ("decode.pepper".into(), &mut self.decode.pepper, &self.decode.pepper_file),
            (
                "clickhouse.password".into(),
                &mut self.clickhouse.password,
                &self.clickhouse.password_file,
            ),
        ];
        let registry = &mut self.registry;
        secrets.push(("registry.token".into(), &mut registry.token, &registry.token_file));
        if let Some(email) = &mut self.email {
            secrets.push(("email.password".into(), &mut email.password, &email.password_file));
        }
        if let Some(webhook) = &mut self.webhook {
            secrets.push(("webhook.secret".into(), &mut webhook.secret, &webhook.secret_file));
        }
        if let Some(owner) = &mut self.owner {
            secrets.push(("owner.secret".into(), &mut owner.secret, &owner.secret_file));
            let (secret, file) = (&mut owner.webhook_secret, &owner.webhook_secret_file);
            secrets.push(("owner.webhook_secret".into(), secret, file));
        }
        for (name, it) in &mut self.channel {
            secrets.push((format!("channel.{name}.url").into(), &mut it.url, &it.url_file));
            let key = format!("channel.{name}.secret").into();
            secrets.push((key, &mut it.secret, &it.secret_file));
        }
        let read = |(key, secret, file): (Cow<'static, str>, &mut Secret, &Option<PathBuf>)| {
            let message = read_secret(&key, secret, file.as_deref()?).err()?;
            Some(Finding { key, message })
        };
        secrets.into_iter().filter_map(read).collect()
    }
}

/// The place of each key, which outlives the tree itself.
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

    /// The place of the key itself, of its file variant, or of the section around it: the first
    /// that was written.
    fn locate(&self, Finding { key, message }: Finding) -> Problem {
        let written = |path: &str| {
            self.table.iter().find(|(known, _)| known == path).map(|(_, place)| place.clone())
        };
        let around = std::iter::successors(Some(key.as_ref()), |path| {
            path.rsplit_once('.').map(|(section, _)| section)
        });
        let place = written(&key)
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

/// Editors and `echo` end a file with a newline, which is not part of the secret.
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
