//! Finds the log files that `--input` names: files, directories and patterns.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::CommandError;

/// Extensions of compressed files, behind which a number of a rotation stands.
const COMPRESSED: [&str; 4] = ["gz", "zst", "bz2", "parquet"];
/// Numbers from here on, and those with a zero before them, are dates (`access.log.1127`,
/// `access.log.20261127`), which rise with time.
const DATES: u64 = 1_000;
/// Directories within directories. Logs are sorted by year, month, day and hour.
const MAX_DEPTH: usize = 16;

/// Returns the files in the order in which they are read. A directory stands for the files in it,
/// and in the directories in it, except hidden ones; a pattern (`*`, `?`, `[0-9]`, `**`) for those
/// that match. Both are sorted by name, and rotated files (`access.log.2.gz`) from the oldest.
///
/// # Errors
/// A usage error for a directory without files, and for a pattern that matches nothing.
pub fn files(inputs: &[PathBuf]) -> Result<Vec<PathBuf>, CommandError> {
    let mut files = Vec::new();
    for input in inputs {
        if input.is_dir() {
            files.extend(sorted(of_directory(input, MAX_DEPTH)?, input, "holds no files")?);
        } else if !input.exists() && is_pattern(input) {
            files.extend(sorted(matching(input)?, input, "no file matches the pattern")?);
        } else {
            files.push(input.clone());
        }
    }
    Ok(files)
}

fn is_pattern(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.contains(['*', '?', '[']))
}

fn unusable(path: &Path, reason: impl std::fmt::Display) -> CommandError {
    CommandError::Usage(anyhow!("--input {}: {reason}", path.display()))
}

fn sorted(
    mut files: Vec<PathBuf>,
    input: &Path,
    reason: &str,
) -> Result<Vec<PathBuf>, CommandError> {
    if files.is_empty() {
        return Err(unusable(input, reason));
    }
    files.sort_by_cached_key(|file| place(file));
    Ok(files)
}

/// Files of one rotation have one name and a number, which is higher for older files; the current
/// file has none.
fn place(file: &Path) -> (PathBuf, u64) {
    let extension = |path: &Path| path.extension()?.to_str().map(str::to_owned);
    let is_compressed = extension(file).is_some_and(|it| COMPRESSED.contains(&it.as_str()));
    let bare = if is_compressed { file.with_extension("") } else { file.to_owned() };
    let number = extension(&bare).filter(|number| !number.starts_with('0') || number == "0");
    let number = number.and_then(|number| number.parse::<u64>().ok());
    match number.filter(|number| *number < DATES) {
        Some(number) => (bare.with_extension(""), DATES - number),
        None => (bare, u64::MAX),
    }
}

fn of_directory(directory: &Path, depth: usize) -> Result<Vec<PathBuf>, CommandError> {
    let entries = directory.read_dir().map_err(|reason| unusable(directory, reason))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|reason| unusable(directory, reason))?;
        let path = entry.path();
        // Without following links, which could lead in a circle.
        let kind = entry.file_type().map_err(|reason| unusable(&path, reason))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if kind.is_dir() && depth > 0 {
            files.extend(of_directory(&path, depth - 1)?);
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn matching(pattern: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let text = pattern.to_str().unwrap_or_default();
    let paths = glob::glob(text).map_err(|reason| unusable(pattern, reason))?;
    let paths = paths.map(|path| path.map_err(|reason| unusable(pattern, reason)));
    let files = paths.filter(|path| path.as_ref().map_or(true, |path| path.is_file()));
    files.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn found(folder: &Path, input: &str) -> Vec<String> {
        let files = files(&[folder.join(input)]).unwrap();
        let name = |file: &PathBuf| file.strip_prefix(folder).unwrap().display().to_string();
        files.iter().map(name).collect()
    }

    fn refusal(input: &Path) -> String {
        match files(&[input.to_owned()]) {
            Err(CommandError::Usage(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_directory_stands_for_its_files_and_rotated_ones_begin_with_the_oldest() {
        let names = ["access.log", "access.log.10.gz", "access.log.2.gz", "access.log.1"];
        let folder = folder(
            &[
                &names[..],
                &[".hidden", "2026/11/b.json", "2026/02/a.json", "d.20260102", "d.20260101"],
                &["e.1127", "e.1126", "f.0102", "f.0101"],
            ]
            .concat(),
        );
        assert_eq!(
            found(folder.path(), ""),
            [
                "2026/02/a.json",
                "2026/11/b.json",
                "access.log.10.gz",
                "access.log.2.gz",
                "access.log.1",
                "access.log",
                "d.20260101",
                "d.20260102",
                "e.1126",
                "e.1127",
                "f.0101",
                "f.0102",
            ]
        );
    }

    #[test]
    fn a_pattern_stands_for_the_files_that_match() {
        let folder = folder(&["a-2.jsonl", "a-1.jsonl.gz", "b.jsonl", "a-dir/c", "x/y/a-3"]);
        assert_eq!(found(folder.path(), "a-*"), ["a-1.jsonl.gz", "a-2.jsonl"]);
        assert_eq!(found(folder.path(), "**/a-?"), ["x/y/a-3"]);
    }

    #[test]
    fn a_file_is_taken_as_it_is_also_if_its_name_looks_like_a_pattern() {
        let folder = folder(&["a[1].log", "a1.log"]);
        assert_eq!(found(folder.path(), "a[1].log"), ["a[1].log"]);
        assert_eq!(found(folder.path(), "missing.log"), ["missing.log"], "opening it tells");
    }

    #[test]
    fn nothing_found_is_an_error_that_names_the_option() {
        let folder = folder(&[".hidden"]);
        assert!(refusal(folder.path()).ends_with("holds no files"));
        let message = refusal(&folder.path().join("*.log"));
        assert!(message.starts_with("--input ") && message.ends_with("matches the pattern"));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_in_a_circle_end() {
        let folder = folder(&["a.log"]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        assert_eq!(found(folder.path(), ""), ["a.log"]);
    }
}
