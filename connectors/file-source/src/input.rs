//! A file as a stream of raw rows, plain or gzip.
//!
//! Positions are bytes of the uncompressed stream. A plain file is opened at its position; a
//! compressed one is read and thrown away up to it, because gzip has no way in.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use mainstem_connect_sdk::Error;
use mainstem_connect_sdk::files::Reader;

use crate::settings::ROW_BYTES_MAX;

/// What reading a row came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The row is in the buffer, without its line end.
    Row,
    /// The row is longer than allowed; its beginning is in the buffer and the rest was passed over.
    TooLong,
    /// The end, and no bytes before it.
    End,
    /// The end, with a row before it that has no line end yet.
    Unfinished,
}

/// Rows of one file from a position on.
pub struct Input {
    stream: Box<dyn BufRead>,
    /// Bytes of the uncompressed stream that were taken.
    position: u64,
    pub compressed: bool,
}

impl Input {
    /// Opens the file and goes to this position of the uncompressed stream.
    pub fn open(path: &str, position: u64) -> Result<Input, Error> {
        let mut reader = Reader::open(path, 0)?;
        let start = reader.fill_buf().map_err(|error| read_error(path, &error))?;
        let compressed = start.starts_with(&[0x1f, 0x8b]);
        if !compressed {
            let size = reader.size()?;
            if size < position {
                return Err(shorter(path, size, position));
            }
            let reader = if position == 0 { reader } else { Reader::open(path, position)? };
            return Ok(Input { stream: Box::new(reader), position, compressed });
        }
        let decoder = MultiGzDecoder::new(reader);
        let mut stream = BufReader::with_capacity(128 * 1024, decoder);
        let skipped = io::copy(&mut (&mut stream).take(position), &mut io::sink())
            .map_err(|error| read_error(path, &error))?;
        if skipped < position {
            return Err(shorter(path, skipped, position));
        }
        Ok(Input { stream: Box::new(stream), position, compressed })
    }

    /// Over bytes in memory, for tests.
    #[cfg(test)]
    pub fn over(bytes: &'static [u8]) -> Input {
        Input { stream: Box::new(bytes), position: 0, compressed: false }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    /// Reads the next row into `row`. With `quotes`, a line end between quotes belongs to the row.
    /// At an unfinished row nothing is lost: it stays in `row`, and a later call with the same
    /// `row` goes on with it.
    pub fn next_row(&mut self, row: &mut Vec<u8>, quotes: bool) -> io::Result<Next> {
        let mut open_quote = quotes && count_quotes(row) % 2 == 1;
        let mut too_long = false;
        loop {
            let chunk = self.stream.fill_buf()?;
            if chunk.is_empty() {
                return Ok(if row.is_empty() { Next::End } else { Next::Unfinished });
            }
            let line_end = chunk.iter().position(|byte| *byte == b'\n');
            let taken = line_end.map_or(chunk.len(), |end| end + 1);
            let piece = &chunk[..taken];
            if quotes {
                open_quote ^= count_quotes(piece) % 2 == 1;
            }
            if row.len() + piece.len() <= ROW_BYTES_MAX {
                row.extend_from_slice(piece);
            } else {
                too_long = true;
            }
            self.stream.consume(taken);
            self.position += taken as u64;
            // A row that is too long ends at the next line end: its quotes cannot be trusted.
            if line_end.is_some() && (too_long || !open_quote) {
                break;
            }
        }
        while matches!(row.last(), Some(b'\n' | b'\r')) {
            row.pop();
        }
        Ok(if too_long { Next::TooLong } else { Next::Row })
    }
}

fn count_quotes(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'"').count()
}

/// Trouble under the file is the host's and may pass; trouble in the compression does not.
pub fn read_error(path: &str, error: &io::Error) -> Error {
    Error::data(format!("{path} cannot be read: {error}"))
}

fn shorter(path: &str, size: u64, position: u64) -> Error {
    Error::data(format!(
        "{path} has {size} bytes, but {position} were read before; was the file replaced?"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_end_at_line_ends_outside_of_quotes() {
        let mut input = Input::over(b"a,b\r\n\"c\nd\",e\n\nlast");
        let mut rows = Vec::new();
        let mut row = Vec::new();
        while input.next_row(&mut row, true).expect("memory is readable") == Next::Row {
            rows.push(String::from_utf8_lossy(&row).into_owned());
            row.clear();
        }
        assert_eq!(rows, ["a,b", "\"c\nd\",e", ""]);
        assert_eq!(row, b"last");
        assert_eq!(input.position(), 18);
    }
}
