//! Random lives of logs that lose records on purpose: compaction, retention, recompression, stamped
//! times, with crashes in between, against a model that cannot fail.
//!
//! The model is a list of all records ever appended, with what became of their transactions. What a
//! reader sees must be explained by it:
//! - every record that is seen was appended, at that offset, with that key, value and time;
//! - a record that is not seen lies before the log's start, or was aborted, or has a later value of its
//!   key that counts, or is a tombstone past its time. So nobody's last value is ever missing;
//! - a reader of committed records sees no aborted one and nothing from the last stable offset on;
//! - a producer that repeats its last batch is told that it is there, though compaction took the
//!   records and the snapshots are damaged or gone.
//!
//! One seed is one life. A failing seed is printed.

use super::*;
use crate::config::{CleanupPolicy, TimestampType};
use crate::names::{Kind, SegmentFile};
use mainstem_platform::{Random, SeededRandom};
use mainstem_protocol::compression::Compression;
use mainstem_protocol::record::{ControlRecord, Record};
use std::collections::{BTreeMap, BTreeSet};

const PRODUCERS: usize = 4;
const DELETE_RETENTION_MS: i64 = 400;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    Counts,
    Aborted,
}

/// A record as it was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Appended {
    key: String,
    value: Option<String>,
    time_ms: i64,
}

type Seen = BTreeMap<i64, Appended>;

struct Life {
    seed: u64,
    random: SeededRandom,
    bench: Bench,
    records: BTreeMap<i64, (Appended, Outcome)>,
    /// Of each producer: the offsets of its open transaction, its next sequence, its last batch.
    open: Vec<Vec<i64>>,
    sequences: Vec<i32>,
    last: Vec<Option<(BytesMut, Offset)>>,
    synced: Offset,
    /// No compaction has reached further.
    compacted: Offset,
    number: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = SeededRandom::new(seed);
        let codecs = [None, None, Some(Compression::None), Some(Compression::Zstd)];
        let stamps = random.one_in(3);
        let config = LogConfig {
            segment_bytes: 400 + random.below(800) as u32,
            segment_index_bytes: 24 + random.below(300) as u32,
            index_interval_bytes: random.below(300) as u32,
            cleanup_policy: CleanupPolicy { delete: random.one_in(3), compact: true },
            retention_ms: Some(2_000),
            retention_bytes: random.one_in(2).then_some(6_000),
            min_cleanable_dirty_ratio: random.below(60) as f64 / 100.0,
            delete_retention_ms: DELETE_RETENTION_MS,
            compression: codecs[random.below(4) as usize],
            timestamp_type: match stamps {
                true => TimestampType::LogAppendTime,
                false => TimestampType::CreateTime,
            },
            ..LogConfig::default()
        };
        Self {
            seed,
            random,
            bench: Bench::new(config),
            records: BTreeMap::new(),
            open: vec![Vec::new(); PRODUCERS],
            sequences: vec![0; PRODUCERS],
            last: vec![None; PRODUCERS],
            synced: Offset(0),
            compacted: Offset(0),
            number: 0,
        }
    }

    fn run(mut self, steps: u32) {
        for _ in 0..steps {
            self.bench.now.wall_ms += 1 + self.random.below(20) as i64;
            match self.random.below(100) {
                0..=49 => self.send(),
                50..=59 => self.end_transaction(),
                60..=71 => self.sync(),
                72..=81 => self.compact(),
                82..=84 => self.compact_and_crash(),
                85..=87 => self.retain(),
                88..=91 => self.crash(),
                92..=93 => self.end_cleanly(),
                94..=96 => self.repeat(),
                _ => self.read(),
            }
        }
        self.sync();
        self.compact();
        self.crash();
        self.read();
    }

    fn send(&mut self) {
        let place = self.random.below(PRODUCERS as u64) as usize;
        let count = 1 + self.random.below(3) as i32;
        let now_ms = self.bench.now.wall_ms;
        // Two producers of plain batches, two of transactions.
        let transactional = 2 <= place;
        let id = place as i64 + 1;
        let batch = Batch { transactional, ..Batch::of(id, self.sequences[place]) };
        let codec = Compression::ALL[self.random.below(5) as usize];
        let mut builder = batch.builder().compression(codec);
        let mut sent = Vec::new();
        for _ in 0..count {
            self.number += 1;
            let key = format!("key {}", self.random.below(8));
            let value = (!self.random.one_in(4)).then(|| format!("value {}", self.number));
            let time_ms = now_ms - self.random.below(50) as i64;
            let bytes = value.as_deref().map(str::as_bytes);
            builder.push(time_ms, Some(key.as_bytes()), bytes, &[]);
            sent.push(Appended { key, value, time_ms });
        }
        let batch = builder.finish_mut().unwrap();
        let appended = self.bench.append(batch.clone()).unwrap();
        assert!(!appended.duplicate, "seed {}", self.seed);
        let stamped = self.bench.config.timestamp_type == TimestampType::LogAppendTime;
        for (offset, mut record) in (appended.base_offset.0..).zip(sent) {
            record.time_ms = if stamped { now_ms } else { record.time_ms };
            let outcome = if transactional { Outcome::Open } else { Outcome::Counts };
            self.records.insert(offset, (record, outcome));
            if transactional {
                self.open[place].push(offset);
            }
        }
        self.sequences[place] += count;
        self.last[place] = Some((batch, appended.base_offset));
    }

    fn end_transaction(&mut self) {
        let place = 2 + self.random.below(2) as usize;
        if self.open[place].is_empty() {
            return;
        }
        let commit = !self.random.one_in(3);
        self.bench.mark(place as i64 + 1, commit);
        let outcome = if commit { Outcome::Counts } else { Outcome::Aborted };
        for offset in std::mem::take(&mut self.open[place]) {
            self.records.get_mut(&offset).unwrap().1 = outcome;
        }
    }

    fn sync(&mut self) {
        self.bench.commit();
        self.synced = self.bench.log.log_end_offset();
    }

    fn compact(&mut self) {
        let seed = self.seed;
        self.note_compaction();
        self.bench.compact().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        self.check();
    }

    fn note_compaction(&mut self) {
        self.compacted = self.compacted.max(self.bench.log.active().base);
    }

    /// The power goes at any moment of a compaction, or a sync of it fails.
    fn compact_and_crash(&mut self) {
        let begun = self.bench.log.compaction_need(self.bench.now).unwrap();
        let Some(mut task) = begun.and_then(|_| self.bench.begin_compaction().unwrap()) else {
            return;
        };
        self.note_compaction();
        if self.random.one_in(2) {
            self.bench.disk.fail_sync_after(self.random.below(6));
        }
        for _ in 0..self.random.below(20) {
            if let Err(error) = task.step(&self.bench.disk) {
                self.bench.log.give_up_compaction(&error);
                break;
            }
            match self.bench.log.continue_compaction(task).unwrap().task {
                Some(going_on) => task = going_on,
                None => break,
            }
            // Life goes on meanwhile.
            if self.random.one_in(3) {
                self.send();
            }
        }
        self.crash();
    }

    fn retain(&mut self) {
        let now_ms = self.bench.now.wall_ms;
        let before = self.bench.log.log_start_offset();
        let size_before = self.bench.log.size_bytes();
        for path in self.bench.log.apply_retention(self.bench.now).unwrap() {
            self.bench.disk.remove_file(&path).unwrap();
        }
        let after = self.bench.log.log_start_offset();
        let config = &self.bench.config;
        assert!(config.cleanup_policy.delete || before == after, "seed {}", self.seed);
        let limit = config.retention_bytes.unwrap_or(u64::MAX);
        let young = self.records.range(before.0..after.0).any(|(_, (record, _))| {
            now_ms - record.time_ms <= config.retention_ms.unwrap_or(i64::MAX)
        });
        assert!(!young || limit < size_before, "seed {}: young records went", self.seed);
        self.check();
    }

    fn crash(&mut self) {
        self.bench.disk.crash(self.random.next_u64());
        self.damage_snapshots();
        self.reopen(Shutdown::Unclean);
    }

    fn end_cleanly(&mut self) {
        self.bench.log.close().unwrap();
        self.synced = self.bench.log.log_end_offset();
        self.bench.disk.crash(self.random.next_u64());
        self.damage_snapshots();
        self.reopen(Shutdown::Clean);
    }

    /// Some are gone, some have a bit flipped.
    fn damage_snapshots(&mut self) {
        if self.random.one_in(2) {
            return;
        }
        for (path, bytes) in self.bench.disk.contents() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let file = SegmentFile::parse(&name);
            if !file.is_some_and(|file| file.kind == Kind::Snapshot) {
                continue;
            }
            match self.random.below(3) {
                0 => self.bench.disk.remove_file(&path).unwrap(),
                1 if !bytes.is_empty() => {
                    let at = self.random.below(bytes.len() as u64);
                    self.bench.disk.flip(&path, at, 1 << self.random.below(8)).unwrap();
                }
                _ => {}
            }
        }
    }

    fn reopen(&mut self, shutdown: Shutdown) {
        let seed = self.seed;
        let opened = open(&self.bench.disk, &self.bench.config, shutdown, self.bench.now);
        self.bench.log = opened.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let end = self.bench.log.log_end_offset();
        assert!(self.synced <= end, "seed {seed}: ends at {end}, synced {}", self.synced);
        self.synced = end;
        self.records.retain(|offset, _| *offset < end.0);
        for place in 0..PRODUCERS {
            let id = ProducerId(place as i64 + 1);
            let known = self.bench.log.producer_state(id);
            self.sequences[place] = known.map_or(0, |known| known.last_sequence + 1);
            self.last[place].take_if(|(_, offset)| end <= *offset);
            // A marker may have been cut off with the end of the log.
            let start = known.and_then(|known| known.transaction_start);
            self.open[place].retain(|offset| *offset < end.0);
            if let Some(start) = start {
                self.reopen_transaction(place, start);
            }
        }
        self.check();
        (0..PRODUCERS).for_each(|place| self.repeat_last(place));
    }

    /// What the log holds for open is open for the model too.
    fn reopen_transaction(&mut self, place: usize, start: Offset) {
        let ours: BTreeSet<i64> = self.open[place].iter().copied().collect();
        if ours.is_empty() {
            let id = place as i64 + 1;
            let read = self.bench.log.read_bytes(start, u32::MAX, Bound::LogEnd, true).unwrap();
            for batch in batches(&read.bytes) {
                let batch = batch.unwrap();
                let (first, last) = (batch.view().base_offset(), batch.view().last_offset());
                if batch.view().producer_id() == ProducerId(id) && !batch.view().is_control() {
                    for offset in first.0..=last.0 {
                        self.records.get_mut(&offset).unwrap().1 = Outcome::Open;
                        self.open[place].push(offset);
                    }
                }
            }
        }
    }

    fn repeat(&mut self) {
        let place = self.random.below(PRODUCERS as u64) as usize;
        self.repeat_last(place);
    }

    fn repeat_last(&mut self, place: usize) {
        let Some((batch, first)) = self.last[place].clone() else { return };
        if first < self.bench.log.log_start_offset() {
            return;
        }
        let end = self.bench.log.log_end_offset();
        let seed = self.seed;
        let again = self.bench.append(batch).unwrap_or_else(|error| {
            panic!("seed {seed}: producer {} repeats itself: {error}", place + 1)
        });
        assert!(again.duplicate && again.base_offset == first, "seed {seed}: {again:?} {first}");
        assert_eq!(self.bench.log.log_end_offset(), end);
    }

    /// What a consumer of this isolation sees from `from` on, in fetches of some size.
    fn consume(&self, from: Offset, bound: Bound, max_bytes: u32) -> Seen {
        let log = &self.bench.log;
        let mut seen = Seen::new();
        let mut from = from;
        while from < log.end_of(bound) {
            let slice = log.read(from, max_bytes, bound, true).unwrap();
            let read = log.read_bytes(from, max_bytes, bound, true).unwrap();
            let mut ahead = slice.aborted;
            ahead.sort_by_key(|aborted| aborted.first_offset);
            let mut aborted = BTreeSet::new();
            for batch in batches(&read.bytes) {
                let batch = batch.unwrap();
                let view = batch.view();
                assert!(view.is_checksum_ok(), "seed {}", self.seed);
                ahead.retain(|entry| {
                    let begun = entry.first_offset <= view.last_offset();
                    begun.then(|| aborted.insert(entry.producer_id));
                    !begun
                });
                let records = view.records(1 << 20).unwrap().map(Result::unwrap);
                if view.is_control() {
                    records.for_each(|record| {
                        if is_abort(&record) {
                            aborted.remove(&view.producer_id());
                        }
                    });
                    continue;
                }
                let skipped = view.is_transactional() && aborted.contains(&view.producer_id());
                for record in records.filter(|_| !skipped) {
                    let offset = view.offset_of(&record);
                    if from <= offset {
                        seen.insert(offset.0, shown(&record, view.timestamp_of_ms(&record)));
                    }
                }
            }
            assert!(from < read.next_offset, "seed {}: no progress at {from}", self.seed);
            from = read.next_offset;
        }
        seen
    }

    fn read(&mut self) {
        let start = self.bench.log.log_start_offset();
        let span = (self.bench.log.log_end_offset().0 - start.0) as u64;
        let from = start.plus(self.random.below(span + 1) as i64);
        let max_bytes = self.random.below(2_000) as u32;
        for bound in [Bound::HighWatermark, Bound::LastStable, Bound::LogEnd] {
            let mut all = self.consume(start, bound, 1 << 30);
            assert_eq!(self.consume(from, bound, max_bytes), all.split_off(&from.0));
        }
    }

    fn check(&mut self) {
        for bound in [Bound::HighWatermark, Bound::LastStable, Bound::LogEnd] {
            self.check_reader(bound);
        }
    }

    fn check_reader(&self, bound: Bound) {
        let (seed, log) = (self.seed, &self.bench.log);
        let (start, end) = (log.log_start_offset(), log.end_of(bound));
        let seen = self.consume(start, bound, 1 << 30);
        for (offset, record) in &seen {
            let Some((appended, outcome)) = self.records.get(offset) else {
                panic!("seed {seed}: nobody appended {offset} {record:?}");
            };
            assert_eq!(record, appended, "seed {seed}: at {offset}");
            let hidden = bound == Bound::LastStable && *outcome != Outcome::Counts;
            assert!(!hidden, "seed {seed}: {bound:?} sees {offset}, which is {outcome:?}");
        }
        let mut later: BTreeSet<&str> = BTreeSet::new();
        let counting = |outcome: &Outcome| *outcome == Outcome::Counts;
        for (offset, (record, outcome)) in self.records.range(end.0..) {
            // Compaction may have counted what this reader does not see yet.
            if counting(outcome) && *offset < log.high_watermark().0 {
                later.insert(&record.key);
            }
        }
        for (offset, (record, outcome)) in self.records.range(start.0..end.0).rev() {
            let superseded = later.contains(record.key.as_str());
            let lapsed = record.value.is_none();
            let may_miss = *outcome == Outcome::Aborted || superseded || lapsed;
            if *offset >= self.compacted.0 {
                let hidden = bound == Bound::LastStable && *outcome == Outcome::Aborted;
                assert!(
                    hidden || seen.contains_key(offset),
                    "seed {seed}: {bound:?} misses {offset}, which was never compacted"
                );
            }
            assert!(
                may_miss || seen.contains_key(offset),
                "seed {seed}: {bound:?} misses {offset} {record:?} {outcome:?}"
            );
            if counting(outcome) {
                later.insert(&record.key);
            }
        }
    }
}

fn is_abort(record: &Record) -> bool {
    let control = ControlRecord::decode(record.key.as_ref(), record.value.as_ref()).unwrap();
    matches!(control, ControlRecord::Abort { .. })
}

fn shown(record: &Record, time_ms: i64) -> Appended {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let key = text(record.key.as_ref().unwrap());
    Appended { key, value: record.value.as_ref().map(text), time_ms }
}

#[test]
fn nobody_misses_a_last_value() {
    for seed in 0..250 {
        Life::new(seed).run(200);
    }
}

#[test]
fn nor_in_a_long_life() {
    for seed in 5_000..5_004 {
        Life::new(seed).run(2_500);
    }
}
