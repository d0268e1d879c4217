//! Cuts a stream into records: a line each, but a JSON value that spans lines as one, and the
//! elements of an array that spans lines one by one.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use super::container::ContainerLines;
use super::json_shape::{JsonShape, Progress};
use super::lines::MAX_LINE_BYTES;

/// Numbers records by the line in which they begin, from 1.
pub(super) struct RecordReader<R> {
    lines: ContainerLines<R>,
    /// The lines are elements of an array, with commas between them.
    in_array: bool,
    /// Lines after a torn one that were read in search of its end. Each is a record.
    ahead: VecDeque<(i64, Vec<u8>)>,
    line: Vec<u8>,
}

impl<R: BufRead> RecordReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            lines: ContainerLines::new(input),
            in_array: false,
            ahead: VecDeque::new(),
            line: Vec::new(),
        }
    }

    /// Returns the number of the line last read, 0 before the first.
    pub(super) fn number(&self) -> i64 {
        self.lines.number()
    }

    /// Reads the next record into `record` and returns its number; `None` at the end.
    pub(super) fn next_record(&mut self, record: &mut Vec<u8>) -> io::Result<Option<i64>> {
        loop {
            let number = match self.ahead.pop_front() {
                Some((number, line)) => {
                    *record = line;
                    number
                }
                None => match self.read_value(record)? {
                    Some(number) => number,
                    None => return Ok(None),
                },
            };
            if self.in_array {
                self.strip_separators(record);
            }
            if !record.trim_ascii().is_empty() {
                return Ok(Some(number));
            }
        }
    }

    /// Reads a line, and those over which its value goes on.
    fn read_value(&mut self, record: &mut Vec<u8>) -> io::Result<Option<i64>> {
        let Some(number) = self.lines.next_line(record)? else { return Ok(None) };
        if number == 1 && opens_array(record) {
            let start = record.iter().position(|byte| *byte == b'[').unwrap_or_default();
            record.drain(..=start);
            self.in_array = true;
        }
        if may_be_open(record) {
            self.join(record)?;
        }
        Ok(Some(number))
    }

    /// Appends lines until the value ends. If it never does, its first line was torn, or is a text
    /// that looks like an open value; it must not take other records along.
    fn join(&mut self, record: &mut Vec<u8>) -> io::Result<()> {
        let mut shape = JsonShape::default();
        let mut progress = shape.read(without_mark(record));
        let first_line = record.len();
        let mut starts = Vec::new();
        while progress == Progress::Open && record.len() < MAX_LINE_BYTES {
            let mut line = std::mem::take(&mut self.line);
            let Some(number) = self.lines.next_line(&mut line)? else { break };
            progress = shape.read(&line);
            record.push(b'\n');
            starts.push((number, record.len()));
            record.extend_from_slice(&line);
            self.line = line;
        }
        if progress != Progress::Closed {
            let mut end = record.len();
            for (number, start) in starts.into_iter().rev() {
                self.ahead.push_front((number, record[start..end].to_vec()));
                end = start - 1;
            }
            record.truncate(first_line);
        }
        Ok(())
    }

    fn strip_separators(&mut self, record: &mut Vec<u8>) {
        while record.last().is_some_and(u8::is_ascii_whitespace) {
            record.pop();
        }
        let mut brackets = Brackets::default();
        brackets.read(record);
        if brackets.depth < 0 && record.ends_with(b"]") {
            record.pop();
            self.in_array = false;
        }
        record.pop_if(|last| *last == b',');
    }
}

/// The line without a byte order mark, and without the separator of JSON text sequences (RFC 7464).
fn without_mark(line: &[u8]) -> &[u8] {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    line.strip_prefix(b"\x1e").unwrap_or(line)
}

/// Whether an array begins here that ends in a later line.
fn opens_array(line: &[u8]) -> bool {
    let line = without_mark(line).trim_ascii();
    line.starts_with(b"[") && may_be_open(line) && JsonShape::default().read(line) == Progress::Open
}

/// Whether a line may begin a JSON value that a later line ends. The end of the line decides, which
/// costs nothing: pretty-printed JSON breaks behind a bracket or a comma.
fn may_be_open(line: &[u8]) -> bool {
    let line = without_mark(line).trim_ascii();
    matches!(line.first(), Some(b'{' | b'[')) && matches!(line.last(), Some(b'{' | b'[' | b','))
}

/// Counts the brackets outside of strings.
#[derive(Default)]
struct Brackets {
    depth: i64,
    in_string: bool,
    escaped: bool,
}

impl Brackets {
    fn read(&mut self, text: &[u8]) {
        for byte in text {
            if self.in_string {
                let closes = *byte == b'"' && !self.escaped;
                self.escaped = *byte == b'\\' && !self.escaped;
                self.in_string = !closes;
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
        }
        // A string does not go on in the next line.
        self.in_string = false;
        self.escaped = false;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn records(text: &str) -> Vec<(i64, String)> {
        let mut reader = RecordReader::new(text.as_bytes());
        let mut record = Vec::new();
        let mut records = Vec::new();
        while let Some(number) = reader.next_record(&mut record).unwrap() {
            records.push((number, String::from_utf8(record.clone()).unwrap()));
        }
        records
    }

    fn texts(text: &str) -> Vec<String> {
        records(text).into_iter().map(|(_, text)| text.replace('\n', " ")).collect()
    }

    #[test]
    fn a_line_is_a_record() {
        assert_eq!(
            records("{1}\n\n[2]\nword"),
            [(1, "{1}".into()), (3, "[2]".into()), (4, "word".into())]
        );
        assert_eq!(texts("[{},{}]\n"), ["[{},{}]"]);
    }

    #[test]
    fn a_value_over_lines_is_one_record() {
        let text =
            "{\n  \"a\": \"}\",\n  \"b\": [1,\n 2]\n}\n{\"c\": 3}\n{\"Records\": [\n{},\n{}]}\n";
        let expected = [
            (1, "{\n  \"a\": \"}\",\n  \"b\": [1,\n 2]\n}"),
            (6, "{\"c\": 3}"),
            (7, "{\"Records\": [\n{},\n{}]}"),
        ];
        assert_eq!(records(text), expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn an_array_over_lines_gives_its_elements() {
        for text in [
            "[\n{\"a\":1},\n{\"b\":[2]}\n]\n",
            "[{\"a\":1},\n{\"b\":[2]}]",
            "\u{feff}[\r\n  {\"a\":1},\r\n  {\"b\":[2]}\r\n]\r\n",
        ] {
            let trimmed: Vec<_> = texts(text).iter().map(|it| it.trim().to_owned()).collect();
            assert_eq!(trimmed, ["{\"a\":1}", "{\"b\":[2]}"], "{text}");
        }
        assert_eq!(texts("[\n{\n\"a\":1\n},\n{\"b\":2}\n]"), ["{ \"a\":1 }", "{\"b\":2}"]);
        assert!(texts("[\n]").is_empty());
    }

    #[test]
    fn the_texts_of_a_json_sequence_are_records_also_over_lines() {
        let text = "\x1e{\"a\":1}\n\x1e{\n\"b\":2\n}\n\x1e{\"torn\":[\n\x1e{\"c\":3}\n";
        let expected = ["\x1e{\"a\":1}", "\x1e{ \"b\":2 }", "\x1e{\"torn\":[", "\x1e{\"c\":3}"];
        assert_eq!(texts(text), expected);
    }

    #[test]
    fn a_torn_line_takes_no_others_along() {
        for torn in [
            "{\"a\":1,",
            "{\"a\":{\"b\":{",
            "{\"a\":{\"b\":[",
            "[Fri Nov 27] [error] no page, referer: http://a/[x,",
            "[error] {",
        ] {
            let text = format!("{{\"o\":0}}\n{torn}\n{{\"b\":2}}\n{{\"c\":3}}\n{{\"d\":4}}\n");
            let expected = ["{\"o\":0}", torn, "{\"b\":2}", "{\"c\":3}", "{\"d\":4}"];
            let numbered: Vec<_> = (1..).zip(expected.map(str::to_owned)).collect();
            assert_eq!(records(&text), numbered, "{torn}");
            let at_the_start = text.split_once('\n').unwrap().1;
            assert_eq!(texts(at_the_start), expected[1..], "{torn}");
        }
    }
}
