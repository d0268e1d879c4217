//! Checks the files that a command reads and writes, before the command begins.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::CommandError;

/// Refuses outputs that would overwrite an input or each other, and outputs whose folder is
/// missing. An error after hours of work would come too late. `-` and devices are not checked.
///
/// # Errors
/// Usage errors that name the option.
pub fn check_outputs<'a>(
    outputs: impl IntoIterator<Item = (&'static str, &'a Path)>,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<(), CommandError> {
    let mut taken: Vec<PathBuf> =
        inputs.into_iter().filter_map(|path| identity(path).ok()).collect();
    for (option, path) in outputs {
        let refuse =
            |reason: &str| CommandError::Usage(anyhow!("{option} {}: {reason}", path.display()));
        if path == Path::new("-") || path.exists() && !path.is_file() && !path.is_dir() {
            continue;
        }
        if path.is_dir() {
            return Err(refuse("is a directory; name a file in it"));
        }
        let identity =
            identity(path).map_err(|_| refuse("its folder does not exist; create it first"))?;
        if taken.contains(&identity) {
            return Err(refuse("this file is read or written already; give another name"));
        }
        taken.push(identity);
    }
    Ok(())
}

/// Returns one path for one file, also for a file that does not exist yet.
fn identity(path: &Path) -> std::io::Result<PathBuf> {
    if path.exists() {
        return path.canonicalize();
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
    Ok(path.file_name().map_or(folder.clone(), |name| folder.join(name)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refusal(outputs: &[&Path], inputs: &[&Path]) -> Option<String> {
        let outputs = outputs.iter().map(|path| ("--out", *path));
        match check_outputs(outputs, inputs.iter().copied()) {
            Err(CommandError::Usage(error)) => Some(error.to_string()),
            _ => None,
        }
    }

    #[test]
    fn nothing_that_is_read_or_written_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.jsonl");
        std::fs::write(&log, "{}").unwrap();
        let detour = folder.path().join(".").join("log.jsonl");
        let new = folder.path().join("new");
        assert!(refusal(&[&detour], &[&log]).unwrap().contains("is read or written already"));
        assert!(refusal(&[&new, &new], &[&log]).unwrap().contains("is read or written already"));
        assert_eq!(refusal(&[&new], &[&log]), None);
        assert_eq!(refusal(&[&log], &[]), None, "an older result may be replaced");
    }

    #[test]
    fn a_missing_folder_is_told_at_once_and_devices_are_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let lost = folder.path().join("missing").join("out");
        assert!(refusal(&[&lost], &[]).unwrap().contains("does not exist"));
        assert!(refusal(&[folder.path()], &[]).unwrap().contains("is a directory"));
        let (null, standard) = (Path::new("/dev/null"), Path::new("-"));
        assert_eq!(refusal(&[null, null, standard, standard], &[]), None);
    }
}
