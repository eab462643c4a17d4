//! All rows of a file in the order of a time column.
//!
//! A file that was put together from parts is often in no order of time, and a windowed computation
//! downstream would take its late rows for lost. With `order.by` the file is read as a whole before
//! its first record, sorted, and handed out row by row. Equal times keep the order of the file, so
//! the order is the same every time and a position is a count of rows.
//!
//! Rows without a readable time come first: they will be rejected where they are taken, like all
//! bad rows.
//!
//! Memory: the rows and 24 bytes for each. Rows lie in chunks that never move, so that growing
//! needs no second copy.

use mainstem_connect_sdk::Error;

use crate::csv::Row;
use crate::input::{Input, Next, read_error};
use crate::instant;
use crate::settings::{ROW_BYTES_MAX, Settings};

/// One chunk of rows; a row never lies in two. The shift and the mask of [`Entry::place`] follow
/// from it.
const CHUNK_BYTES: usize = ROW_BYTES_MAX;
const CHUNK_SHIFT: u32 = CHUNK_BYTES.trailing_zeros();
/// More than this does not fit into a task beside the index and the batches.
const BYTES_MAX: usize = 160 * 1024 * 1024;

struct Entry {
    time_ms: i64,
    place: u32,
    length: u32,
    row: u64,
}

pub struct Sorted {
    chunks: Vec<Vec<u8>>,
    entries: Vec<Entry>,
    next: usize,
}

impl Sorted {
    /// Reads the rest of `input` and sorts it; hands out rows behind the first `skip`.
    pub fn load(
        settings: &Settings,
        input: &mut Input,
        column: usize,
        skip: u64,
    ) -> Result<Sorted, Error> {
        let mut sorted = Sorted { chunks: Vec::new(), entries: Vec::new(), next: 0 };
        let (mut raw, mut fields, mut row) = (Vec::new(), Row::default(), 0);
        loop {
            raw.clear();
            let next = input.next_row(&mut raw, true);
            match next.map_err(|error| read_error(&settings.path, &error))? {
                Next::End => break,
                Next::Row | Next::Unfinished if raw.is_empty() => continue,
                Next::Row | Next::Unfinished | Next::TooLong => {}
            }
            row += 1;
            let time_ms = match fields.split(&raw, settings.delimiter) {
                Ok(()) => instant::parse(fields.field(column)),
                Err(_) => None,
            };
            sorted.keep(&raw, time_ms.unwrap_or(i64::MIN), row).map_err(|()| {
                Error::config(format!(
                    "order.by: {} has more than {BYTES_MAX} bytes, and they must fit into memory",
                    settings.path
                ))
            })?;
        }
        sorted.entries.sort_by_key(|entry| (entry.time_ms, entry.row));
        sorted.next = usize::try_from(skip).unwrap_or(usize::MAX);
        Ok(sorted)
    }

    /// The next row into `raw`, with its number in the file.
    pub fn next_row(&mut self, raw: &mut Vec<u8>) -> Option<u64> {
        let entry = self.entries.get(self.next)?;
        self.next += 1;
        let chunk = &self.chunks[(entry.place >> CHUNK_SHIFT) as usize];
        let start = entry.place as usize & (CHUNK_BYTES - 1);
        raw.clear();
        raw.extend_from_slice(&chunk[start..start + entry.length as usize]);
        Some(entry.row)
    }

    fn keep(&mut self, raw: &[u8], time_ms: i64, row: u64) -> Result<(), ()> {
        let fits = |chunk: &Vec<u8>| chunk.len() + raw.len() < CHUNK_BYTES;
        // A row of the greatest length would fill a chunk to its end; cut, it is rejected as what
        // it is.
        let raw = &raw[..raw.len().min(CHUNK_BYTES - 1)];
        if !self.chunks.last().is_some_and(fits) {
            if BYTES_MAX <= (self.chunks.len() + 1) * CHUNK_BYTES {
                return Err(());
            }
            self.chunks.push(Vec::with_capacity(CHUNK_BYTES));
        }
        let index = self.chunks.len() - 1;
        let chunk = &mut self.chunks[index];
        let place = (index << CHUNK_SHIFT) | chunk.len();
        chunk.extend_from_slice(raw);
        let place = u32::try_from(place).map_err(|_| ())?;
        let length = u32::try_from(raw.len()).map_err(|_| ())?;
        self.entries.push(Entry { time_ms, place, length, row });
        Ok(())
    }
}
