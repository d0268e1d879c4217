//! Joins the lines that a container runtime has cut, and takes off what it writes before them.
//!
//! The log of a node of Kubernetes (the format of the CRI) has `TIME stdout P ` or `TIME stdout F `
//! before each line: `P` before a part that goes on in the next line of the same stream, `F` before
//! the end. Only the beginning of a line of the file is read, which the runtime has written: whatever
//! a client sends stands behind it. So the joined line ends where the program ended it.

use std::io::{self, BufRead};
use std::mem;

use super::lines::{LineReader, MAX_LINE_BYTES};

/// Lines of a file, joined and without what a runtime has written before them.
pub(super) struct ContainerLines<R> {
    lines: LineReader<R>,
    streams: [Stream; 2],
    /// Lines without an end that were given out behind the last line of the file.
    torn: i64,
}

/// One of the two streams of a container.
#[derive(Default)]
struct Stream {
    /// The parts of a line that has not ended, behind what stood before the first one.
    open: Vec<u8>,
    /// Whether a line of this stream has ended in the file. The first one may be the rest of a line
    /// that began in another file, and could be text that a client has chosen.
    has_ended: bool,
}

/// What a runtime writes before a line.
struct Prefix {
    bytes: usize,
    /// 0 for standard output, 1 for standard error.
    stream: usize,
    is_end: bool,
}

impl<R: BufRead> ContainerLines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { lines: LineReader::new(input), streams: Default::default(), torn: 0 }
    }

    /// Returns the number of the line last read, 0 before the first.
    pub(super) fn number(&self) -> i64 {
        self.lines.number()
    }

    /// Reads the next line that is not blank into `line` and returns its number, that of the last
    /// part if it was cut; `None` at the end of the stream.
    pub(super) fn next_line(&mut self, line: &mut Vec<u8>) -> io::Result<Option<i64>> {
        loop {
            let Some(number) = self.lines.next_line(line)? else { return Ok(self.torn(line)) };
            let Some(prefix) = prefix(line) else { return Ok(Some(number)) };
            if self.take(&prefix, line) && !line.trim_ascii().is_empty() {
                return Ok(Some(number));
            }
        }
    }

    /// Returns false for a part that goes on. Makes the last part the whole line.
    fn take(&mut self, prefix: &Prefix, line: &mut Vec<u8>) -> bool {
        let stream = &mut self.streams[prefix.stream];
        let is_first_part = stream.open.is_empty();
        if !prefix.is_end || !is_first_part {
            let content = if is_first_part { &line[..] } else { &line[prefix.bytes..] };
            // A longer line is rejected as too large, however it ends.
            let room = (MAX_LINE_BYTES + prefix.bytes).saturating_sub(stream.open.len());
            stream.open.extend_from_slice(&content[..content.len().min(room)]);
        }
        if !prefix.is_end {
            return false;
        }
        if !is_first_part {
            *line = mem::take(&mut stream.open);
            line.drain(..prefix_bytes(line));
        } else if stream.has_ended {
            line.drain(..prefix.bytes);
        }
        stream.has_ended = true;
        true
    }

    /// The parts of a line without an end, with what stood before them: the decoder says so. They
    /// are numbered behind all other lines.
    fn torn(&mut self, line: &mut Vec<u8>) -> Option<i64> {
        let open = self.streams.iter_mut().find(|stream| !stream.open.is_empty())?;
        *line = mem::take(&mut open.open);
        self.torn += 1;
        Some(self.lines.number() + self.torn)
    }
}

fn prefix_bytes(line: &[u8]) -> usize {
    prefix(line).map_or(0, |prefix| prefix.bytes)
}

/// `2026-11-27T10:00:00.123456789Z stdout F `, or with an offset.
fn prefix(line: &[u8]) -> Option<Prefix> {
    if !line.first()?.is_ascii_digit() {
        return None;
    }
    let time = line.iter().take(40).position(|byte| *byte == b' ')?;
    let is_time = time >= 20 && line[4] == b'-' && line[10] == b'T';
    let rest = &line[time + 1..];
    let stream = [b"stdout ", b"stderr "].iter().position(|name| rest.starts_with(*name))?;
    // Tags follow each other with colons; so far there is this one.
    let (tag, after) = rest[b"stdout ".len()..].split_at_checked(2)?;
    let is_end = match tag {
        b"F " => true,
        b"P " => false,
        _ => return None,
    };
    is_time.then(|| Prefix { bytes: line.len() - after.len(), stream, is_end })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const TIME: &str = "2026-11-27T10:00:00.123456789Z";

    fn lines(text: &str) -> Vec<(i64, String)> {
        let mut reader = ContainerLines::new(text.as_bytes());
        let (mut line, mut lines) = (Vec::new(), Vec::new());
        while let Some(number) = reader.next_line(&mut line).unwrap() {
            lines.push((number, String::from_utf8(line.clone()).unwrap()));
        }
        lines
    }

    fn wrapped(parts: &[(&str, &str)]) -> String {
        parts.iter().map(|(tag, text)| format!("{TIME} {tag} {text}\n")).collect()
    }

    #[test]
    fn parts_are_joined_by_stream_and_numbered_by_their_ends() {
        let text = wrapped(&[
            ("stdout P", "{\"a\":"),
            ("stderr F", "warning"),
            ("stdout P", " 1,"),
            ("stdout F", "\"b\":2}"),
            ("stdout F", "{}"),
            ("stderr F", "again"),
        ]);
        let first = format!("{TIME} stderr F warning");
        assert_eq!(
            lines(&text),
            [(2, first), (4, "{\"a\": 1,\"b\":2}".into()), (5, "{}".into()), (6, "again".into()),]
        );
    }

    #[test]
    fn text_of_a_client_ends_no_line() {
        let faked = format!("{TIME} stdout F {{\"key_id\":\"fake\"}}");
        let text = wrapped(&[
            ("stdout F", "{}"),
            ("stdout P", "{\"user_agent\":\""),
            ("stdout P", &faked),
            ("stdout F", "\"}"),
        ]);
        let whole = format!("{{\"user_agent\":\"{faked}\"}}");
        assert_eq!(lines(&text)[1], (4, whole));
    }

    #[test]
    fn the_first_end_in_a_file_keeps_its_mark_for_it_may_be_the_rest_of_a_line() {
        let text = wrapped(&[("stdout F", "chosen by a client"), ("stdout F", "b")]);
        let first = format!("{TIME} stdout F chosen by a client");
        assert_eq!(lines(&text), [(1, first), (2, "b".into())]);
    }

    #[test]
    fn a_line_without_an_end_keeps_its_mark_and_others_are_left_alone() {
        let text = wrapped(&[("stdout P", "{\"a\":"), ("stdout P", "1")]);
        assert_eq!(lines(&text), [(3, format!("{TIME} stdout P {{\"a\":1"))]);
        for plain in ["{}", "192.0.2.1 - - [x]", "2026-11-27T10:00:00Z GET /", "2", "9 stdout F x"]
        {
            assert_eq!(lines(plain), [(1, plain.to_owned())]);
        }
    }

    proptest! {
        #[test]
        fn a_cut_line_is_whole_again(
            text in "[ -~é]{1,60}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5)
        ) {
            prop_assume!(!text.trim().is_empty());
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            places.extend([0, text.len()]);
            places.retain(|place| text.is_char_boundary(*place));
            places.sort_unstable();
            places.dedup();
            let mut log = wrapped(&[("stdout F", "{}")]);
            let parts: Vec<&str> = places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            for (at, part) in parts.iter().enumerate() {
                let tag = if at + 1 == parts.len() { "stdout F" } else { "stdout P" };
                log += &wrapped(&[(tag, part)]);
            }
            let found = lines(&log);
            prop_assert_eq!(&found[1].1, &text);
            prop_assert_eq!(found.len(), 2);
        }
    }
}
