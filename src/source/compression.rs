//! Opens log files whatever their compression, which the first bytes tell and not the name.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::bufread::GzDecoder;

const BUFFER_BYTES: usize = 256 << 10;

/// A stream of text.
pub(super) struct Opened {
    /// The name of the compression.
    pub name: Option<&'static str>,
    pub input: Box<dyn BufRead + Send>,
    /// Set at the end if bytes that are not gzip follow the last member.
    pub has_garbage: Arc<AtomicBool>,
}

/// # Errors
/// The stream cannot be read.
pub(super) fn open(raw: impl Read + Send + 'static) -> io::Result<Opened> {
    let mut raw = BufReader::with_capacity(BUFFER_BYTES, raw);
    let has_garbage = Arc::new(AtomicBool::new(false));
    let start = raw.fill_buf()?;
    let (name, input): (_, Box<dyn BufRead + Send>) = match start {
        [0x1f, 0x8b, ..] => (Some("gzip"), buffered(Members::new(raw, Arc::clone(&has_garbage)))),
        // A frame, or a skippable frame before the first one (RFC 8878).
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            (Some("zstd"), buffered(zstd::Decoder::with_buffer(raw)?))
        }
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
            (Some("bzip2"), buffered(bzip2::bufread::MultiBzDecoder::new(raw)))
        }
        _ => (None, Box::new(raw)),
    };
    Ok(Opened { name, input: text(input), has_garbage })
}

/// Decodes UTF-16, which its byte order mark tells, as UTF-8.
fn text(mut input: Box<dyn BufRead + Send>) -> Box<dyn BufRead + Send> {
    let start = match input.fill_buf() {
        Ok(start) => start,
        // The error comes again with the first record, where it gets a line number.
        Err(_) => return input,
    };
    let is_big_endian = match start {
        [0xff, 0xfe, ..] => false,
        [0xfe, 0xff, ..] => true,
        _ => return input,
    };
    buffered(Utf16 { input, is_big_endian, leading: None })
}

fn buffered(input: impl Read + Send + 'static) -> Box<dyn BufRead + Send> {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, input))
}

/// Decompresses gzip members one after the other. Zeros after the last one are padding, as tape and
/// block devices leave it. Other bytes end the stream: what was read stands, as with `gzip -d`.
struct Members<R> {
    /// `None` at the end.
    member: Option<GzDecoder<R>>,
    has_garbage: Arc<AtomicBool>,
}

impl<R: BufRead> Members<R> {
    fn new(input: R, has_garbage: Arc<AtomicBool>) -> Self {
        Self { member: Some(GzDecoder::new(input)), has_garbage }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            // The decoder takes a header that is cut short for the end of the stream.
            if member.header().is_none() {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "incomplete gzip header"));
            }
            let next = self.member.take().map(GzDecoder::into_inner);
            let Some(mut rest) = next else { break };
            skip_zeros(&mut rest)?;
            match rest.fill_buf()? {
                [] => {}
                [0x1f] | [0x1f, 0x8b, ..] => self.member = Some(GzDecoder::new(rest)),
                _ => self.has_garbage.store(true, Ordering::Relaxed),
            }
        }
        Ok(0)
    }
}

fn skip_zeros(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let start = input.fill_buf()?;
        let zeros = start.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return Ok(());
        }
        input.consume(zeros);
    }
}

/// Decodes UTF-16. A lone surrogate becomes U+FFFD.
struct Utf16 {
    input: Box<dyn BufRead + Send>,
    is_big_endian: bool,
    /// A leading surrogate whose other half comes next.
    leading: Option<u16>,
}

impl Utf16 {
    fn unit(&mut self) -> io::Result<Option<u16>> {
        let mut bytes = [0; 2];
        let mut read = 0;
        while read < 2 {
            match self.input.read(&mut bytes[read..])? {
                0 => return Ok(None),
                more => read += more,
            }
        }
        Ok(Some(if self.is_big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }))
    }
}

impl Read for Utf16 {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut units = Vec::new();
        units.extend(self.leading.take());
        // A unit takes at most three bytes of UTF-8; a lone half from before takes three as well.
        while (units.len() + 2) * 3 <= buffer.len() {
            match self.unit()? {
                Some(unit) => units.push(unit),
                None => break,
            }
        }
        let is_open = units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit));
        if is_open && units.len() > 1 {
            self.leading = units.pop();
        }
        let text = String::from_utf16_lossy(&units);
        buffer[..text.len()].copy_from_slice(text.as_bytes());
        Ok(text.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use super::*;

    const TEXT: &str = "{\"a\":\"é😀\"}\n{\"b\":2}\n";

    fn read(bytes: Vec<u8>) -> (Option<&'static str>, String) {
        let Opened { name, mut input, .. } = open(io::Cursor::new(bytes)).unwrap();
        let mut text = String::new();
        input.read_to_string(&mut text).unwrap();
        (name, text)
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(content: &[u8]) -> Vec<u8> {
        let mut encoder = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_first_bytes_tell_the_compression() {
        let (one, two) = TEXT.as_bytes().split_at(7);
        let zstd = |part: &[u8]| zstd::encode_all(part, 1).unwrap();
        for (bytes, name) in [
            (TEXT.as_bytes().to_vec(), None),
            ([gzip(one), gzip(two)].concat(), Some("gzip")),
            ([gzip(one), gzip(two), vec![0; 512]].concat(), Some("gzip")),
            ([zstd(one), zstd(two)].concat(), Some("zstd")),
            ([bzip2(one), bzip2(two)].concat(), Some("bzip2")),
        ] {
            assert_eq!(read(bytes), (name, TEXT.to_owned()));
        }
    }

    #[test]
    fn utf_16_is_read_in_both_orders() {
        let units: Vec<u16> = std::iter::once(0xfeff).chain(TEXT.encode_utf16()).collect();
        let little = units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>();
        let big = units.iter().flat_map(|unit| unit.to_be_bytes()).collect::<Vec<_>>();
        for bytes in [little, big] {
            let (_, text) = read(bytes);
            assert_eq!(text.trim_start_matches('\u{feff}'), TEXT);
        }
        assert_eq!(read(vec![0xff, 0xfe, 0x00, 0xd8, b'a', 0]).1.chars().count(), 3);
    }

    #[test]
    fn a_stream_cut_short_or_with_a_broken_member_is_an_error() {
        for bytes in [
            gzip(b"abc")[..15].to_vec(),
            gzip(b"abc")[..8].to_vec(),
            b"\x1f\x8b".to_vec(),
            [gzip(b"abc"), b"\x1f\x8b more".to_vec()].concat(),
            [gzip(b"abc"), gzip(b"def")[..8].to_vec()].concat(),
        ] {
            let Opened { mut input, .. } = open(io::Cursor::new(bytes)).unwrap();
            assert!(input.read_to_end(&mut Vec::new()).is_err());
        }
        assert_eq!(read(Vec::new()), (None, String::new()));
    }

    #[test]
    fn garbage_after_the_last_gzip_member_is_told_and_takes_nothing_along() {
        for (rest, is_garbage) in [(&b"more"[..], true), (b"\0\0more", true), (b"\0\0", false)] {
            let bytes = [&gzip(b"abc")[..], &gzip(b"def"), rest].concat();
            let Opened { mut input, has_garbage, .. } = open(io::Cursor::new(bytes)).unwrap();
            let mut text = String::new();
            input.read_to_string(&mut text).unwrap();
            assert_eq!((&*text, has_garbage.load(Ordering::Relaxed)), ("abcdef", is_garbage));
        }
    }
}
