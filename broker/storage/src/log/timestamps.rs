//! From a time to an offset, for ListOffsets.
//!
//! The time index says where to begin, heads say which batch, and only within that batch are records
//! looked at, decompressed if need be.

use super::Log;
use super::read::scan_failed;
use crate::error::ReadError;
use crate::header::BatchHeader;
use crate::scan::{HeaderScan, LOOKUP_BUFFER_BYTES, read_batch};
use crate::segment::Segment;
use crate::slice::{Bound, TimestampedOffset};
use mainstem_protocol::ids::Offset;
use mainstem_protocol::record::BatchView;

impl Log {
    /// The first record that is not older than `timestamp_ms`, within what the bound lets see.
    pub fn offset_for_timestamp(
        &self,
        timestamp_ms: i64,
        bound: Bound,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let end = self.end_of(bound);
        for segment in &self.segments[self.segment_of(self.log_start)..] {
            if end <= segment.base {
                break;
            }
            if segment.largest.is_none_or(|(largest, _)| largest < timestamp_ms) {
                continue;
            }
            let found = self.search(segment, timestamp_ms, end)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp of all.
    pub fn offset_of_max_timestamp(
        &self,
        bound: Bound,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let end = self.end_of(bound);
        let visible = self.segments.iter().filter(|segment| segment.base < end);
        let largest = visible.filter_map(|segment| segment.largest).map(|(time, _)| time).max();
        match largest {
            Some(largest) => self.offset_for_timestamp(largest, bound),
            None => Ok(None),
        }
    }

    fn search(
        &self,
        segment: &Segment,
        timestamp_ms: i64,
        end: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let from = segment.time_index.offset_before(timestamp_ms).max(self.log_start);
        let position = u64::from(segment.offset_index.position_before(from));
        let mut buffer = [0; LOOKUP_BUFFER_BYTES];
        let mut scan = HeaderScan::new(&*segment.file, position, segment.size, &mut buffer);
        while let Some((position, header)) = scan.step().map_err(|e| scan_failed(e, from))? {
            if end <= header.base_offset {
                break;
            }
            let wanted = timestamp_ms <= header.max_timestamp
                && self.log_start <= header.last_offset()
                && !header.is_control();
            if !wanted {
                continue;
            }
            let found = self.search_batch(segment, position, &header, timestamp_ms)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn search_batch(
        &self,
        segment: &Segment,
        position: u64,
        header: &BatchHeader,
        timestamp_ms: i64,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let offset = header.base_offset;
        let corrupt = |reason: String| ReadError::Corrupt { offset, reason };
        let mut bytes = Vec::new();
        read_batch(&*segment.file, position, header.size, &mut bytes)?;
        let (view, _) = BatchView::parse(&bytes).map_err(|e| corrupt(e.to_string()))?;
        let records = view
            .records(self.config.decompressed_bytes_max)
            .map_err(|error| corrupt(error.to_string()))?;
        for record in records {
            let record = record.map_err(|error| corrupt(error.to_string()))?;
            let (time, offset) = (view.timestamp_of_ms(&record), view.offset_of(&record));
            if timestamp_ms <= time && self.log_start <= offset {
                let leader_epoch = header.leader_epoch;
                return Ok(Some(TimestampedOffset { timestamp_ms: time, offset, leader_epoch }));
            }
        }
        Ok(None)
    }
}
