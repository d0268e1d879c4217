//! Tests the set-up scripts as far as they run without a download.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::root;

fn setup(part: &str, cache: &Path) -> Command {
    let mut command = Command::new(root().join("tools/setup"));
    command.arg(part).env("KEYWATCH_CACHE", cache);
    command
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn find_program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|program| program.exists())
        .unwrap_or_else(|| panic!("{name} is not installed"))
}

#[test]
fn an_unknown_part_is_named() {
    let cache = tempfile::tempdir().unwrap();
    let output = setup("databases", cache.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message(&output).contains("unknown part 'databases'"), "{}", message(&output));
}

#[test]
fn a_missing_program_is_named_with_the_way_to_get_it() {
    let (cache, programs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["bash", "dirname", "env", "flock", "mkdir", "uname"] {
        symlink(find_program(name), programs.path().join(name)).unwrap();
    }
    for (part, missing, way) in [
        ("system", "Rust", "https://rustup.rs"),
        ("node", "Node.js", "apt-get install nodejs npm"),
        ("kafka", "Java", "apt-get install default-jre-headless"),
    ] {
        let output = setup(part, cache.path()).env("PATH", programs.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{part}");
        let message = message(&output);
        assert!(message.contains(missing) && message.contains(way), "{part}: {message}");
    }
}

#[test]
fn secrets_are_random_private_and_made_once() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("deploy")).unwrap();
    for file in ["deploy/secrets.sh", ".env.example"] {
        fs::copy(root().join(file), directory.path().join(file)).unwrap();
    }
    let run = || Command::new(directory.path().join("deploy/secrets.sh")).output().unwrap();
    let environment = directory.path().join(".env");

    assert!(run().status.success());
    let made = fs::read_to_string(&environment).unwrap();
    let values: Vec<&str> = made
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(_, value)| value)
        .collect();
    let different: std::collections::BTreeSet<&str> = values.iter().copied().collect();
    assert_eq!((values.len(), different.len()), (4, 4));
    assert!(values.iter().all(|value| value.len() >= 32));
    assert_eq!(fs::metadata(&environment).unwrap().permissions().mode() & 0o777, 0o600);

    assert!(!run().status.success());
    assert_eq!(fs::read_to_string(&environment).unwrap(), made);
}
