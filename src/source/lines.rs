//! Splits a byte stream into lines in bounded memory.

use std::io::{self, BufRead, Read};

/// Longer lines are cut here. The limit is far above the size that the decoder accepts, so that a
/// cut line is rejected as too large and not misread.
pub(super) const MAX_LINE_BYTES: usize = 64 << 20;

/// Numbers the lines of a stream from 1 and skips blank ones.
pub(super) struct LineReader<R> {
    input: R,
    number: i64,
    max_line_bytes: usize,
}

impl<R: BufRead> LineReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, number: 0, max_line_bytes: MAX_LINE_BYTES }
    }

    /// Returns the number of the line last read, 0 before the first.
    pub(super) fn number(&self) -> i64 {
        self.number
    }

    /// Reads the next line that is not blank into `line`, without its line end,
    /// and returns its number; `None` at the end of the stream.
    pub(super) fn next_line(&mut self, line: &mut Vec<u8>) -> io::Result<Option<i64>> {
        loop {
            line.clear();
            // One byte more than the limit leaves room for the line feed.
            let room = self.max_line_bytes as u64 + 1;
            if (&mut self.input).take(room).read_until(b'\n', line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let is_cut = line.len() > self.max_line_bytes && !line.ends_with(b"\n");
            if is_cut {
                line.truncate(self.max_line_bytes);
                self.input.skip_until(b'\n')?;
            } else {
                strip_line_end(line);
            }
            if is_cut || !line.trim_ascii().is_empty() {
                return Ok(Some(self.number));
            }
        }
    }
}

fn strip_line_end(line: &mut Vec<u8>) {
    line.pop_if(|last| *last == b'\n');
    line.pop_if(|last| *last == b'\r');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn lines_of(input: impl Read, buffer: usize, max_line_bytes: usize) -> Vec<(i64, Vec<u8>)> {
        let mut reader = LineReader::new(BufReader::with_capacity(buffer, input));
        reader.max_line_bytes = max_line_bytes;
        let mut line = Vec::new();
        let mut lines = Vec::new();
        while let Some(number) = reader.next_line(&mut line).unwrap() {
            lines.push((number, line.clone()));
        }
        lines
    }

    fn text(input: &str, max_line_bytes: usize) -> Vec<(i64, String)> {
        lines_of(input.as_bytes(), 8, max_line_bytes)
            .into_iter()
            .map(|(number, line)| (number, String::from_utf8(line).unwrap()))
            .collect()
    }

    #[test]
    fn numbers_lines_from_one_and_skips_blank_ones() {
        assert_eq!(text("a\n\n  \r\nb\n", 100), [(1, "a".into()), (4, "b".into())]);
    }

    #[test]
    fn accepts_crlf_and_a_last_line_without_end() {
        assert_eq!(
            text("a\r\nb\rc\r\nd", 100),
            [(1, "a".into()), (2, "b\rc".into()), (3, "d".into())]
        );
    }

    #[test]
    fn cuts_a_long_line_and_goes_on_with_the_next() {
        assert_eq!(
            text("12345\n123456\n123456789012\n1", 5),
            [(1, "12345".into()), (2, "12345".into()), (3, "12345".into()), (4, "1".into())]
        );
    }

    proptest! {
        #[test]
        fn equals_a_plain_split_whatever_the_buffer(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b' '), any::<u8>()], 0..200),
            buffer in 1usize..40,
        ) {
            let expected: Vec<(i64, Vec<u8>)> = bytes
                .split(|byte| *byte == b'\n')
                .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
                .zip(1..)
                .filter(|(line, _)| !line.trim_ascii().is_empty())
                .map(|(line, number)| (number, line.to_vec()))
                .collect();
            prop_assert_eq!(lines_of(bytes.as_slice(), buffer, 1000), expected);
        }
    }
}
