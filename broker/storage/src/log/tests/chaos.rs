//! Random lives of a log, compared with a model that cannot fail.
//!
//! Producers with and without transactions append, repeat themselves and end transactions; segments
//! roll; the disk is synced now and then, fills up, crashes; the process is killed or ends cleanly.
//! After every step that opens the log again:
//! - nothing that was synced is missing, the rest is a prefix of what was appended;
//! - every byte is the one that was appended;
//! - the producer table equals a replay of the model, so a repeated batch is still known;
//! - any read, with any bound and budget, gives what the model gives, aborted transactions included.
//!
//! One seed is one life. A failing seed is printed.

use super::*;
use crate::header::BatchHeader;
use crate::log::replay::note_batch;
use crate::producer::ProducerStates;
use crate::transaction_index::Aborted;
use mainstem_platform::{Random, SeededRandom};

const PRODUCERS: u64 = 4;

struct Life {
    seed: u64,
    random: SeededRandom,
    bench: Bench,
    /// Every batch that is in the log, as it was stored.
    model: Vec<(BatchHeader, Vec<u8>)>,
    /// The next sequence of each producer, and the last batches it sent with the answers.
    sequences: Vec<i32>,
    sent: Vec<Vec<(BytesMut, Offset)>>,
    synced: Offset,
    number: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = SeededRandom::new(seed);
        let config = LogConfig {
            segment_bytes: 600 + random.below(1500) as u32,
            segment_index_bytes: 24 + random.below(300) as u32,
            index_interval_bytes: random.below(400) as u32,
            ..LogConfig::default()
        };
        Self {
            seed,
            random,
            bench: Bench::new(config),
            model: Vec::new(),
            sequences: vec![0; PRODUCERS as usize],
            sent: vec![Vec::new(); PRODUCERS as usize],
            synced: Offset(0),
            number: 0,
        }
    }

    fn run(mut self, steps: u32) {
        for _ in 0..steps {
            self.bench.now.wall_ms += 1;
            match self.random.below(100) {
                0..=29 => self.send(),
                30..=44 => self.pass(),
                45..=54 => self.repeat(),
                55..=66 => self.end_transaction(),
                67..=81 => self.sync(),
                82..=90 => self.read(),
                91..=94 => self.crash(),
                95..=96 => self.kill(),
                97 => self.end_cleanly(),
                _ => self.fill_disk(),
            }
        }
        self.crash();
        self.read();
    }

    /// What somebody sends next: the place of the producer, if it is one, and the batch.
    fn next_batch(&mut self) -> (Option<usize>, BytesMut) {
        let producer = self.random.below(PRODUCERS + 1);
        self.number += 1;
        let text = format!("{} {}", self.number, "x".repeat(self.random.below(120) as usize));
        let count = 1 + self.random.below(3) as usize;
        let records = vec![(None, Some(text.as_str())); count];
        let now_ms = self.bench.now.wall_ms;
        let Some(place) = producer.checked_sub(1).map(|place| place as usize) else {
            return (None, Batch::default().build(now_ms, &records));
        };
        let sequence = self.sequences[place];
        // The second half of the producers write transactions.
        let transactional = place >= 2;
        let id = producer as i64;
        let batch = Batch { transactional, ..Batch::of(id, sequence) }.build(now_ms, &records);
        self.sequences[place] += count as i32;
        (Some(place), batch)
    }

    fn send(&mut self) {
        let before = self.bench.log.log_end_offset();
        let (place, batch) = self.next_batch();
        match self.bench.append(batch.clone()) {
            Ok(appended) => {
                assert!(!appended.duplicate && appended.base_offset == before, "{}", self.seed);
                if let Some(place) = place {
                    self.sent[place].push((batch, appended.base_offset));
                }
                assert_eq!(self.take_over(before), 1, "seed {}", self.seed);
            }
            Err(AppendError::DiskFull) => self.resume_sequences(),
            Err(error) => panic!("seed {}: {error}", self.seed),
        }
    }

    /// Several batches, also repeated ones, that are written together.
    fn pass(&mut self) {
        let before = self.bench.log.log_end_offset();
        let now = self.bench.now;
        let mut accepted = Vec::new();
        for _ in 0..1 + self.random.below(6) {
            let (place, batch) = self.next_batch();
            let mut accept = |batch: BytesMut| {
                let answer = self.bench.log.accept(now, batch, LeaderEpoch(0));
                answer.unwrap_or_else(|error| panic!("seed {}: {error}", self.seed))
            };
            let answer = accept(batch.clone());
            assert!(!answer.duplicate, "seed {}", self.seed);
            if place.is_some() && self.random.one_in(3) {
                let again = accept(batch.clone());
                assert!(again.duplicate, "seed {}", self.seed);
                assert_eq!(again.base_offset, answer.base_offset, "seed {}", self.seed);
            }
            assert_eq!(self.bench.log.log_end_offset(), before, "seed {}", self.seed);
            accepted.push((place, batch, answer.base_offset));
        }
        let written = self.bench.log.write_accepted(now);
        let end = self.bench.log.log_end_offset();
        let of_all = accepted.len();
        accepted.retain(|(_, _, offset)| *offset < end);
        assert_eq!(self.take_over(before), accepted.len(), "seed {}", self.seed);
        match written {
            Ok(()) => assert_eq!(of_all, accepted.len(), "seed {}", self.seed),
            Err(AppendError::DiskFull) => self.resume_sequences(),
            Err(error) => panic!("seed {}: {error}", self.seed),
        }
        for (place, batch, offset) in accepted {
            if let Some(place) = place {
                self.sent[place].push((batch, offset));
            }
        }
        self.compare_producers();
    }

    /// Copies what was appended into the model; the answer is the number of batches.
    fn take_over(&mut self, from: Offset) -> usize {
        let read = self.bench.log.read_bytes(from, 1 << 20, Bound::LogEnd, true).unwrap();
        let known = self.model.len();
        let mut rest = &read.bytes[..];
        while !rest.is_empty() {
            let header = BatchHeader::read(rest).unwrap();
            let (batch, after) = rest.split_at(header.size);
            self.model.push((header, batch.to_vec()));
            rest = after;
        }
        self.model.len() - known
    }

    /// Producers go on from what the log knows of them.
    fn resume_sequences(&mut self) {
        for place in 0..PRODUCERS as usize {
            let known = self.bench.log.producer_state(ProducerId(place as i64 + 1));
            self.sequences[place] = known.map_or(0, |known| known.last_sequence + 1);
        }
    }

    fn repeat(&mut self) {
        let place = self.random.below(PRODUCERS) as usize;
        let last = self.sent[place].len();
        if last == 0 {
            return;
        }
        let back = 1 + self.random.below(last.min(5) as u64) as usize;
        let (batch, first) = self.sent[place][last - back].clone();
        let end = self.bench.log.log_end_offset();
        let again = self.bench.append(batch).unwrap_or_else(|error| {
            panic!("seed {}: producer {} repeats itself: {error}", self.seed, place + 1)
        });
        assert!(again.duplicate, "seed {}", self.seed);
        assert_eq!(again.base_offset, first, "seed {}", self.seed);
        assert_eq!(self.bench.log.log_end_offset(), end);
    }

    fn end_transaction(&mut self) {
        let producer = 3 + self.random.below(2) as i64;
        if !self.bench.log.has_open_transaction(ProducerId(producer)) {
            return;
        }
        let from = self.bench.log.log_end_offset();
        let commit = self.random.one_in(2);
        self.bench.mark(producer, commit);
        self.take_over(from);
    }

    fn sync(&mut self) {
        if self.random.one_in(3) {
            self.bench.acknowledge();
            return;
        }
        self.bench.commit();
        self.synced = self.bench.log.log_end_offset();
    }

    fn fill_disk(&mut self) {
        self.bench.disk.set_room(Some(self.random.below(300)));
        for _ in 0..3 {
            match self.random.one_in(2) {
                true => self.pass(),
                false => self.send(),
            }
        }
        self.bench.disk.set_room(None);
    }

    fn crash(&mut self) {
        self.bench.disk.crash(self.random.next_u64());
        self.reopen(Shutdown::Unclean);
    }

    fn kill(&mut self) {
        let end = self.bench.log.log_end_offset();
        self.bench.disk.kill_process();
        self.reopen(Shutdown::Unclean);
        assert_eq!(self.bench.log.log_end_offset(), end, "seed {}", self.seed);
    }

    fn end_cleanly(&mut self) {
        let end = self.bench.log.log_end_offset();
        self.bench.log.close().unwrap();
        self.bench.disk.crash(self.random.next_u64());
        self.reopen(Shutdown::Clean);
        assert_eq!(self.bench.log.log_end_offset(), end, "seed {}", self.seed);
    }

    fn reopen(&mut self, shutdown: Shutdown) {
        let seed = self.seed;
        let opened = open(&self.bench.disk, &self.bench.config, shutdown, self.bench.now);
        self.bench.log = opened.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let end = self.bench.log.log_end_offset();
        assert!(self.synced <= end, "seed {seed}: lost {} of {}", end, self.synced);
        self.synced = end;
        self.model.retain(|(header, _)| header.base_offset < end);
        let model_end = self.model.last().map_or(Offset(0), |(header, _)| header.next_offset());
        assert_eq!(end, model_end, "seed {seed}: ends within a batch");
        let read = self.bench.log.read_bytes(Offset(0), u32::MAX, Bound::LogEnd, true).unwrap();
        let all: Vec<u8> = self.model.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        assert!(read.bytes == all, "seed {seed}: other bytes than were appended");
        self.compare_producers();
        // Producers whose batches were lost send them again from where the log ends for them.
        self.sent.iter_mut().for_each(|sent| sent.retain(|(_, offset)| *offset < end));
        self.resume_sequences();
    }

    fn compare_producers(&self) {
        let mut replayed = ProducerStates::default();
        let mut aborted = Vec::new();
        for (header, bytes) in &self.model {
            aborted.extend(note_batch(&mut replayed, header, bytes, 0));
        }
        let segments = self.bench.log.segments.iter();
        let indexed: Vec<_> = segments.flat_map(|s| s.aborted.entries()).copied().collect();
        assert_eq!(indexed, aborted, "seed {}", self.seed);
        let live: Vec<_> = self.bench.log.producers.iter().collect();
        let model: Vec<_> = replayed.iter().collect();
        assert_eq!(live.len(), model.len(), "seed {}", self.seed);
        for ((id, live), (_, model)) in live.iter().zip(&model) {
            assert!(live.same_as(model), "seed {}: {id}\n{live:?}\n{model:?}", self.seed);
        }
        let settled = {
            replayed.settle(self.bench.log.high_watermark());
            replayed.first_unstable_offset()
        };
        assert_eq!(self.bench.log.producers.first_unstable_offset(), settled);
    }

    /// One random read against the model.
    fn read(&mut self) {
        let log = &self.bench.log;
        let bounds = [Bound::HighWatermark, Bound::LastStable, Bound::LogEnd];
        let bound = bounds[self.random.below(3) as usize];
        let end = log.end_of(bound);
        let from = Offset(self.random.below(log.log_end_offset().0 as u64 + 1) as i64);
        let max_bytes = self.random.below(3000) as u32;
        let min_one = self.random.one_in(2);
        let slice = log.read(from, max_bytes, bound, min_one).unwrap();
        let bytes = log.read_bytes(from, max_bytes, bound, min_one).unwrap();
        let mut expected = Vec::new();
        let mut next = from;
        for (header, batch) in &self.model {
            if header.last_offset() < from || end <= header.base_offset {
                continue;
            }
            let fits = expected.len() + batch.len() <= max_bytes as usize;
            let taken = fits || (min_one && expected.is_empty());
            if !taken {
                break;
            }
            expected.extend_from_slice(batch);
            next = header.next_offset();
        }
        let seed = self.seed;
        assert!(bytes.bytes == expected, "seed {seed}: read {from} {max_bytes} {bound:?}");
        assert_eq!(slice.next_offset, next, "seed {seed}");
        if bound == Bound::LastStable {
            assert_eq!(slice.aborted, self.aborted_between(from, next), "seed {seed} {from}");
        }
    }

    fn aborted_between(&self, from: Offset, to: Offset) -> Vec<AbortedTransaction> {
        if to <= from {
            return Vec::new();
        }
        let mut states = ProducerStates::default();
        let mut all: Vec<Aborted> = Vec::new();
        for (header, bytes) in &self.model {
            all.extend(note_batch(&mut states, header, bytes, 0));
        }
        all.into_iter()
            .filter(|aborted| from <= aborted.last_offset && aborted.first_offset < to)
            .map(|Aborted { producer_id, first_offset, .. }| AbortedTransaction {
                producer_id,
                first_offset,
            })
            .collect()
    }
}

#[test]
fn random_lives_lose_nothing_that_was_synced() {
    for seed in 0..300 {
        Life::new(seed).run(150);
    }
}

#[test]
fn a_long_life_does_not_either() {
    for seed in 1000..1004 {
        Life::new(seed).run(2000);
    }
}
