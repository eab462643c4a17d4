//! What a read-committed consumer sees, whatever stands side by side in a log.
//!
//! Transactions of both versions and plain producers write in any order; batches and markers come
//! twice or late; the high watermark lags behind; the front of the log is deleted on request and by
//! size; the log is opened again. After every step a consumer, which knows of aborted transactions
//! only what a fetch tells it, reads from a random offset in portions of random size. It must see
//! exactly the records that the model calls committed, up to the last stable offset, and be told
//! exactly the aborted transactions that reach into its portion.
//!
//! One seed is one life; a failing seed is printed.

use super::*;
use mainstem_platform::{Random, SeededRandom};
use mainstem_protocol::record::ControlRecord;

const PRODUCERS: usize = 4;

/// One transaction as it is remembered for good.
#[derive(Debug, Clone, Copy)]
struct Transaction {
    producer: i64,
    first: Offset,
    last_record: Offset,
    /// Offset of the marker, and whether it commits.
    end: Option<(Offset, bool)>,
}

#[derive(Debug, Clone, Default)]
struct Producer {
    epoch: i16,
    sequence: i32,
    /// Its place in `transactions`.
    open: Option<usize>,
    /// The last batch and where it went.
    last: Option<(BytesMut, Offset)>,
    /// The last marker of version 2.
    marker: Option<Marker>,
}

struct Life {
    seed: u64,
    random: SeededRandom,
    bench: Bench,
    producers: Vec<Producer>,
    transactions: Vec<Transaction>,
    /// Offset, value, and the transaction, of every record.
    records: Vec<(Offset, String, Option<usize>)>,
    /// Where batches and markers end.
    ends: Vec<Offset>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = SeededRandom::new(seed);
        let config = LogConfig {
            segment_bytes: 300 + random.below(900) as u32,
            segment_index_bytes: 240,
            index_interval_bytes: random.below(300) as u32,
            retention_bytes: Some(1_500),
            retention_ms: None,
            ..LogConfig::default()
        };
        Self {
            seed,
            random,
            bench: Bench::new(config),
            producers: vec![Producer::default(); PRODUCERS],
            transactions: Vec::new(),
            records: Vec::new(),
            ends: Vec::new(),
        }
    }

    fn run(mut self, steps: u32) {
        for _ in 0..steps {
            self.bench.now.wall_ms += 1;
            let producer = self.random.below(PRODUCERS as u64) as usize;
            match self.random.below(100) {
                0..=39 => self.write(producer),
                40..=57 => self.end(producer),
                58..=62 => self.repeat(producer),
                63..=69 => self.be_late(producer),
                70..=84 => self.acknowledge(),
                85..=88 => self.delete(),
                89..=91 => self.retain(),
                92..=94 => self.kill(),
                _ => {}
            }
            self.check_stable_offset();
            self.consume();
        }
    }

    /// The last producer writes outside of transactions.
    fn write(&mut self, number: usize) {
        let transactional = number + 1 < PRODUCERS;
        let count = 1 + self.random.below(3) as usize;
        let first = self.bench.log.log_end_offset();
        let values: Vec<String> = (0..count).map(|n| format!("v{}", first.0 + n as i64)).collect();
        let producer = &mut self.producers[number];
        let batch = Batch {
            producer: number as i64,
            epoch: producer.epoch,
            sequence: producer.sequence,
            transactional,
        };
        let records: Vec<_> = values.iter().map(|value| (None, Some(value.as_str()))).collect();
        let batch = batch.build(self.bench.now.wall_ms, &records);
        let appended = self.bench.append(batch.clone());
        let appended = appended.unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
        assert_eq!((appended.base_offset, appended.duplicate), (first, false));
        self.ends.push(appended.last_offset.next());
        producer.sequence += count as i32;
        producer.last = Some((batch, first));
        if transactional {
            let place = *producer.open.get_or_insert(self.transactions.len());
            if place == self.transactions.len() {
                let producer = number as i64;
                let transaction = Transaction { producer, first, last_record: first, end: None };
                self.transactions.push(transaction);
            }
            self.transactions[place].last_record = appended.last_offset;
        }
        let open = producer.open;
        for (offset, value) in (first.0..).map(Offset).zip(values) {
            self.records.push((offset, value, open));
        }
    }

    fn end(&mut self, number: usize) {
        let producer = &mut self.producers[number];
        let Some(place) = producer.open.take() else { return };
        let version_2 = self.random.one_in(2);
        let commit = self.random.one_in(2);
        let marker = Marker {
            producer_id: ProducerId(number as i64),
            producer_epoch: ProducerEpoch(producer.epoch + i16::from(version_2)),
            commit,
            coordinator_epoch: 0,
            transaction_version: if version_2 { 2 } else { 1 },
        };
        let written = self.bench.log.append_marker(self.bench.now, marker, LeaderEpoch(0));
        let written = written.unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
        self.ends.push(written.last_offset.next());
        if version_2 {
            producer.epoch += 1;
            producer.sequence = 0;
            producer.last = None;
        }
        producer.marker = version_2.then_some(marker);
        self.transactions[place].end = Some((written.base_offset, commit));
    }

    fn repeat(&mut self, number: usize) {
        let Some((batch, first)) = self.producers[number].last.clone() else { return };
        let again = self.bench.append(batch);
        let again = again.unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
        assert_eq!((again.base_offset, again.duplicate), (first, true), "seed {}", self.seed);
    }

    /// Something of an earlier transaction arrives: it is refused, and nothing changes.
    fn be_late(&mut self, number: usize) {
        let end = self.bench.log.log_end_offset();
        let producer = self.producers[number].clone();
        if let (Some(marker), Some(_)) = (producer.marker, producer.open) {
            let late = self.bench.log.append_marker(self.bench.now, marker, LeaderEpoch(0));
            assert!(matches!(late, Err(AppendError::InvalidProducerEpoch { .. })), "{late:?}");
        }
        if 0 < producer.epoch && producer.sequence != 0 {
            let batch = Batch {
                producer: number as i64,
                epoch: producer.epoch - 1,
                sequence: producer.sequence,
                transactional: number + 1 < PRODUCERS,
            };
            let late = self.bench.append(batch.build(0, &[(None, Some("late"))]));
            assert!(matches!(late, Err(AppendError::InvalidProducerEpoch { .. })), "{late:?}");
        }
        if producer.open.is_some() {
            let outside = Batch {
                producer: number as i64,
                epoch: producer.epoch,
                sequence: producer.sequence,
                transactional: false,
            };
            let outside = self.bench.append(outside.build(0, &[(None, Some("outside"))]));
            let refused = matches!(outside, Err(AppendError::InvalidTransactionState { .. }));
            assert!(refused, "{outside:?}");
        }
        assert_eq!(self.bench.log.log_end_offset(), end, "seed {}", self.seed);
    }

    /// Some of what was written is durable now. The high watermark stands between batches.
    fn acknowledge(&mut self) {
        let from = self.bench.log.high_watermark();
        let left = &self.ends[self.ends.partition_point(|end| *end <= from)..];
        let step = self.random.below(left.len() as u64 + 1) as usize;
        if let Some(end) = left[..step].last() {
            self.bench.log.set_high_watermark(*end);
        }
    }

    fn delete(&mut self) {
        let (from, to) = (self.bench.log.log_start_offset(), self.bench.log.high_watermark());
        let step = self.random.below((to.0 - from.0).max(0) as u64 + 1) as i64;
        self.bench.log.delete_records_before(from.plus(step)).unwrap();
    }

    fn retain(&mut self) {
        for path in self.bench.log.apply_retention(self.bench.now).unwrap() {
            self.bench.disk.remove_file(&path).unwrap();
        }
    }

    fn kill(&mut self) {
        self.bench.disk.kill_process();
        self.bench.reopen(Shutdown::Unclean);
        // Whoever lost all of its records may be forgotten: then it begins anew.
        for (number, producer) in self.producers.iter_mut().enumerate() {
            let id = ProducerId(number as i64);
            if self.bench.log.producer_state(id).is_none() {
                producer.last = None;
                producer.marker = None;
                if let Some(place) = producer.open.take() {
                    self.transactions[place].end = Some((Offset(0), false));
                }
            } else if !self.bench.log.has_open_transaction(id)
                && let Some(place) = producer.open.take()
            {
                let start = self.bench.log.log_start_offset();
                assert!(self.transactions[place].last_record < start, "seed {}", self.seed);
                self.transactions[place].end = Some((Offset(0), false));
            }
        }
    }

    /// Point by point as it is defined: the first offset of the earliest transaction that is open,
    /// or whose marker is not acknowledged, but not above the high watermark, nor before the start.
    fn check_stable_offset(&self) {
        let log = &self.bench.log;
        let (start, high_watermark) = (log.log_start_offset(), log.high_watermark());
        let unstable = |transaction: &&Transaction| match transaction.end {
            None => true,
            Some((marker, _)) => high_watermark <= marker,
        };
        let first = self.transactions.iter().filter(unstable).map(|t| t.first).min();
        let expected = first.map_or(high_watermark, |first| first.max(start).min(high_watermark));
        assert_eq!(log.last_stable_offset(), expected, "seed {}", self.seed);
    }

    fn consume(&mut self) {
        let log = &self.bench.log;
        let (start, end) = (log.log_start_offset(), log.last_stable_offset());
        if end <= start {
            return;
        }
        let from = start.plus(self.random.below((end.0 - start.0) as u64) as i64);
        let mut seen: Vec<String> = Vec::new();
        let mut next = from;
        while next < end {
            let most = 1 + self.random.below(700) as u32;
            next = self.take_portion(next, most, &mut seen);
        }
        let is_visible = |transaction: &Option<usize>| match transaction {
            None => true,
            Some(place) => self.transactions[*place].end.is_some_and(|(_, commit)| commit),
        };
        let expected: Vec<String> = self
            .records
            .iter()
            .filter(|(offset, _, of)| from <= *offset && *offset < end && is_visible(of))
            .map(|(_, value, _)| value.clone())
            .collect();
        assert_eq!(seen, expected, "seed {} from {from} to {end}", self.seed);
    }

    /// One fetch, as a consumer understands it; gives where the next one begins.
    fn take_portion(&self, from: Offset, most: u32, seen: &mut Vec<String>) -> Offset {
        let log = &self.bench.log;
        let slice = log.read(from, most, Bound::LastStable, true).unwrap();
        let bytes = log.read_bytes(from, most, Bound::LastStable, true).unwrap().bytes;
        self.check_aborted(from, &slice);
        let mut coming = slice.aborted.clone();
        coming.sort_by_key(|aborted| aborted.first_offset);
        let mut coming = coming.into_iter().peekable();
        let mut aborted: Vec<ProducerId> = Vec::new();
        for batch in batches(&bytes) {
            let batch = batch.unwrap();
            let view = batch.view();
            while let Some(next) = coming.next_if(|a| a.first_offset <= view.last_offset()) {
                aborted.push(next.producer_id);
            }
            let records = batch.records(1 << 20).unwrap().map(Result::unwrap);
            for record in records {
                if view.is_control() {
                    let control =
                        ControlRecord::decode(record.key.as_ref(), record.value.as_ref()).unwrap();
                    if matches!(control, ControlRecord::Abort { .. }) {
                        aborted.retain(|producer| *producer != view.producer_id());
                    }
                } else if !(view.is_transactional() && aborted.contains(&view.producer_id()))
                    && from <= view.offset_of(&record)
                {
                    let value = record.value.as_deref().unwrap();
                    seen.push(String::from_utf8_lossy(value).into_owned());
                }
            }
        }
        assert!(from < slice.next_offset, "seed {}: a fetch brings something", self.seed);
        slice.next_offset
    }

    fn check_aborted(&self, from: Offset, slice: &FetchSlice) {
        let told: Vec<(i64, Offset)> =
            slice.aborted.iter().map(|a| (a.producer_id.0, a.first_offset)).collect();
        let mut right: Vec<(Offset, i64, Offset)> = self
            .transactions
            .iter()
            .filter_map(|t| match t.end {
                Some((marker, false)) if from <= marker && t.first < slice.next_offset => {
                    Some((marker, t.producer, t.first))
                }
                _ => None,
            })
            .collect();
        right.sort();
        let right: Vec<(i64, Offset)> =
            right.into_iter().map(|(_, producer, first)| (producer, first)).collect();
        assert_eq!(told, right, "seed {} from {from} to {}", self.seed, slice.next_offset);
    }
}

#[test]
fn a_consumer_sees_exactly_what_was_committed_whatever_stands_side_by_side() {
    for seed in 0..200 {
        Life::new(seed).run(150);
    }
}
