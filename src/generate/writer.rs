//! Writes JSON lines to a file, compressed by its extension, or to standard output.

use std::fs::File;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

const BUFFER_BYTES: usize = 1 << 18;
/// On this text, level 1 gives smaller output than the default and is much faster.
const ZSTD_LEVEL: i32 = 1;

/// One JSON object a line.
pub struct JsonLines {
    output: BufWriter<Output>,
}

enum Output {
    Plain(File),
    Gzip(GzEncoder<File>),
    Zstd(zstd::Encoder<'static, File>),
    Stdout(StdoutLock<'static>),
}

impl JsonLines {
    /// Creates or replaces the file at `path`; `-` is standard output, `.gz` and
    /// `.zst` are compressed.
    pub fn create(path: &Path) -> io::Result<Self> {
        let output = if path == Path::new("-") {
            Output::Stdout(io::stdout().lock())
        } else {
            let file = File::create(path)?;
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("gz") => Output::Gzip(GzEncoder::new(file, Compression::fast())),
                Some("zst") => Output::Zstd(zstd::Encoder::new(file, ZSTD_LEVEL)?),
                _ => Output::Plain(file),
            }
        };
        Ok(Self { output: BufWriter::with_capacity(BUFFER_BYTES, output) })
    }

    pub fn write<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        serde_json::to_writer(&mut self.output, value)?;
        self.output.write_all(b"\n")
    }

    /// Passes buffered data on.
    pub fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// Writes buffered data and ends the compressed stream. Without this call the file is
    /// incomplete.
    pub fn finish(self) -> io::Result<()> {
        match self.output.into_inner().map_err(io::IntoInnerError::into_error)? {
            Output::Plain(_) => Ok(()),
            Output::Gzip(encoder) => encoder.finish().map(drop),
            Output::Zstd(encoder) => encoder.finish().map(drop),
            Output::Stdout(mut stdout) => stdout.flush(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(output) => output.write(bytes),
            Self::Gzip(output) => output.write(bytes),
            Self::Zstd(output) => output.write(bytes),
            Self::Stdout(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.flush(),
            Self::Gzip(output) => output.flush(),
            Self::Zstd(output) => output.flush(),
            Self::Stdout(output) => output.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;

    use super::*;

    #[test]
    fn the_extension_decides_the_compression() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            let mut lines = JsonLines::create(&path).unwrap();
            lines.write(&"one").unwrap();
            lines.write(&2).unwrap();
            lines.finish().unwrap();
            std::fs::read(path).unwrap()
        };
        let expected = b"\"one\"\n2\n";
        assert_eq!(write("a.jsonl"), expected);
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&write("a.jsonl.gz")[..]).read_to_end(&mut text).unwrap();
        assert_eq!(text, expected);
        assert_eq!(zstd::decode_all(&write("a.jsonl.zst")[..]).unwrap(), expected);
    }
}
