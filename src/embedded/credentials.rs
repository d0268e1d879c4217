//! Confines who may ask the embedded ClickHouse, and for what.
//!
//! Loopback is not a boundary: a web page in a browser of this machine can reach it, and so can
//! every account on it. The engine's own user, `default`, needs no password at its start and may
//! read every file. The rules of the HTTP interface therefore answer only requests whose header
//! names another user: a page of another site cannot send that header, and that user has a
//! password, cannot reach files and networks, and creates no table that can. The rules also require a
//! `Host` of loopback, which a rebound name is not.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::config::Secret;

/// The user that clients name.
pub const USER: &str = "keywatch";

/// Where files are kept, below the directory of the data.
const FOLDER: &str = "credentials";

/// The password of a data directory, and the configuration of its engine.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub password: Secret,
    pub password_file: PathBuf,
    pub(super) config_file: PathBuf,
}

impl Credentials {
    /// Reads the password of the data directory `path`, or makes one, and writes the engine's
    /// configuration. Only the owner can read the files.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn prepare(path: &Path) -> io::Result<Self> {
        let folder = path.join(FOLDER);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let password_file = folder.join("password");
        let password = password(&password_file)?;
        let users_file = folder.join("users.xml");
        write(&users_file, &users(&password))?;
        let config_file = folder.join("config.xml");
        write(&config_file, &config(&users_file, &path.join("user_files")))?;
        Ok(Self { password, password_file, config_file })
    }
}

fn password(file: &Path) -> io::Result<Secret> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut created) => {
            let password = hex::encode(rand::random::<[u8; 24]>());
            created.write_all(password.as_bytes())?;
            Ok(Secret::new(password))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok(Secret::new(fs::read_to_string(file)?.trim()))
        }
        Err(error) => Err(error),
    }
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(file)?.write_all(text.as_bytes())
}

/// The engine logs in as `default` itself, from 127.0.0.1, and knows no way with a password.
fn users(password: &Secret) -> String {
    let hash = hex::encode(Sha256::digest(password.reveal()));
    format!(
        "<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password/>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </default>
    <{USER}>
      <password_sha256_hex>{hash}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT {RIGHTS} ON *.*</query>
        <query>GRANT {ENGINES}</query>
      </grants>
    </{USER}>
  </users>
</clickhouse>
"
    )
}

/// Everything within tables. Not SOURCES: url, file, remote, s3 and their kin.
const RIGHTS: &str = "SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, \
    CREATE TEMPORARY TABLE, DROP, TRUNCATE, OPTIMIZE, SHOW, KILL QUERY";

/// Engines that keep their rows in the directory of the data.
const ENGINES: &str = "TABLE ENGINE ON MergeTree, TABLE ENGINE ON AggregatingMergeTree, \
    TABLE ENGINE ON ReplacingMergeTree, TABLE ENGINE ON SummingMergeTree";

/// ClickHouse refuses a request that names one user in the header and another one elsewhere.
fn config(users_file: &Path, user_files: &Path) -> String {
    format!(
        r#"<clickhouse>
  <users_config>{users}</users_config>
  <user_files_path>{files}/</user_files_path>
  <http_handlers>
    <rule>
      <headers>
        <X-ClickHouse-User>{USER}</X-ClickHouse-User>
        <Host><![CDATA[regex:^(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?$]]></Host>
      </headers>
      <handler>
        <type>dynamic_query_handler</type>
        <query_param_name>query</query_param_name>
      </handler>
    </rule>
  </http_handlers>
</clickhouse>
"#,
        users = escaped(users_file),
        files = escaped(user_files),
    )
}

fn escaped(path: &Path) -> String {
    path.display().to_string().replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_keeps_its_password_and_others_cannot_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = Credentials::prepare(directory.path()).unwrap();
        let second = Credentials::prepare(directory.path()).unwrap();
        assert_eq!(first.password, second.password);
        assert!(first.password.reveal().len() >= 32);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(first.password, Credentials::prepare(other.path()).unwrap().password);
        for file in fs::read_dir(directory.path().join(FOLDER)).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
        let users = fs::read_to_string(directory.path().join(FOLDER).join("users.xml")).unwrap();
        assert!(!users.contains(first.password.reveal()));
    }
}
