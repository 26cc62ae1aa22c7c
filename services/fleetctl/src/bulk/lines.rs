//! The lines of a file, none of which takes more memory than the longest that is allowed.

use std::io::{self, BufRead};

/// A longer line is passed over: no user has as much to say.
pub(crate) const LONGEST: usize = 64 * 1024;

/// What the file begins with where a program of Microsoft's wrote it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads line by line and counts both lines and bytes.
pub(crate) struct Lines<R> {
    source: R,
    line: Vec<u8>,
    /// How many lines were read.
    pub(crate) number: u64,
    /// Where the next line begins.
    pub(crate) offset: u64,
}

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It is too long, and gone.
    TooLong,
}

impl<R: BufRead> Lines<R> {
    /// The lines from the file's beginning on, or from where a line begins: its number less one, and its offset.
    pub(crate) fn at(source: R, (number, offset): (u64, u64)) -> Self {
        Self { source, line: Vec::new(), number, offset }
    }

    /// The next line; none at the end of the file. It ends with LF, CRLF or the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut length = 0_usize;
        loop {
            let buffer = self.source.fill_buf()?;
            let (part, ends) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(at) => (&buffer[..=at], true),
                None => (buffer, buffer.is_empty()),
            };
            let room = LONGEST.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            length += part.len();
            let read = part.len();
            self.source.consume(read);
            if ends {
                break;
            }
        }
        if length == 0 {
            return Ok(None);
        }
        let is_first = self.offset == 0;
        self.number += 1;
        self.offset += length as u64;
        if length > LONGEST {
            return Ok(Some(Line::TooLong));
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = if is_first { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        Ok(Some(Line::Whole(line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[test]
    fn lines_end_as_every_system_ends_them() {
        let text = b"\xef\xbb\xbfid\r\nann\n\nben\r\n\xef\xbb\xbfx";
        let mut lines = Lines::at(BufReader::with_capacity(3, &text[..]), (0, 0));
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            let Line::Whole(line) = line else { panic!("none is long") };
            found.push(line.to_vec());
        }
        assert_eq!(found, [&b"id"[..], b"ann", b"", b"ben", b"\xef\xbb\xbfx"]);
        assert_eq!((lines.number, lines.offset), (5, text.len() as u64));
    }

    #[test]
    fn a_line_of_ten_megabytes_is_passed_over_without_being_kept() {
        let long = vec![b'x'; 10 << 20];
        let text = [b"a\n", long.as_slice(), b"\nb\n"].concat();
        let mut lines = Lines::at(BufReader::new(&text[..]), (0, 0));
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"a")));
        assert_eq!(lines.next().unwrap(), Some(Line::TooLong));
        assert!(lines.line.capacity() <= 2 * LONGEST);
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"b")));
        assert_eq!(lines.next().unwrap(), None);
        assert_eq!(lines.offset, text.len() as u64);
    }
}
