//! The producer table as scripts: one line is one event and its outcome.
//!
//! Events:
//! - `p1 e0 seq 4+2 [txn|coordinator]`: a batch of 2 records from sequence 4 on.
//! - `p1 e0 commit|abort [c3] [v2]`: a marker, of coordinator epoch 3, of transaction version 2.
//! - `settle 7`: the high watermark moves to 7. `at 60`: the clock shows 60 ms.
//! - `expire 50`: producers idle for 50 ms are forgotten. `reload`: through a snapshot file.
//! - `unstable`: where read-committed readers stop. `known`: producers and what they did last.
//!
//! Outcomes of appends are the offsets they got. A refused event writes nothing.

use super::*;
use mainstem_protocol::ids::{LeaderEpoch, ProducerEpoch};

#[derive(Default)]
struct Script {
    states: ProducerStates,
    next: i64,
    now_ms: i64,
}

fn number(word: &str) -> i64 {
    word.trim_start_matches(|c: char| c.is_alphabetic()).parse().unwrap()
}

impl Script {
    fn run(&mut self, event: &str) -> String {
        let words: Vec<&str> = event.split_whitespace().collect();
        match words[..] {
            ["at", time] => self.now_ms = number(time),
            ["settle", offset] => self.states.settle(Offset(number(offset))),
            ["expire", ms] => self.states.expire(self.now_ms, number(ms)),
            ["reload"] => self.states = decode_snapshot(&encode_snapshot(&self.states)).unwrap(),
            ["unstable"] => {
                let unstable = self.states.first_unstable_offset();
                return unstable.map_or("none".to_owned(), |offset| offset.to_string());
            }
            ["known"] => return self.known(),
            [p, e, "seq", range, ref how @ ..] => return self.batch(p, e, range, how),
            [p, e, kind, ref how @ ..] => return self.marker(p, e, kind == "commit", how),
            _ => panic!("no such event: {event}"),
        }
        "ok".to_owned()
    }

    fn batch(&mut self, producer: &str, epoch: &str, range: &str, how: &[&str]) -> String {
        let (first, count) = range.split_once('+').unwrap();
        let header = BatchHeader {
            base_offset: Offset(self.next),
            last_offset_delta: number(count) as i32 - 1,
            size: 61,
            leader_epoch: LeaderEpoch(0),
            magic: 2,
            crc: 0,
            attributes: if how.contains(&"txn") { 1 << 4 } else { 0 },
            base_timestamp: self.now_ms,
            max_timestamp: self.now_ms,
            producer_id: ProducerId(number(producer)),
            producer_epoch: ProducerEpoch(number(epoch) as i16),
            base_sequence: first.parse().unwrap(),
            record_count: number(count) as i32,
        };
        let by_us = how.contains(&"coordinator");
        let origin = if by_us { Origin::Coordinator } else { Origin::Client };
        match self.states.check_batch(&header, origin) {
            Ok(Verdict::Append) => {
                self.states.apply_batch(&header, self.now_ms);
                self.next = header.next_offset().0;
                format!("{}..{}", header.base_offset, header.last_offset())
            }
            Ok(Verdict::Duplicate(memory)) => {
                format!("again {}..{}", memory.first_offset(), memory.last_offset)
            }
            Err(error) => said(&error),
        }
    }

    fn marker(&mut self, producer: &str, epoch: &str, commit: bool, how: &[&str]) -> String {
        let coordinator = how.iter().find(|word| word.starts_with('c'));
        let marker = Marker {
            producer_id: ProducerId(number(producer)),
            producer_epoch: ProducerEpoch(number(epoch) as i16),
            commit,
            coordinator_epoch: coordinator.map_or(0, |word| number(word) as i32),
            transaction_version: if how.contains(&"v2") { 2 } else { 1 },
        };
        if let Err(error) = self.states.check_marker(&marker) {
            return said(&error);
        }
        let offset = Offset(self.next);
        self.next += 1;
        match self.states.apply_marker(&marker, offset, self.now_ms) {
            Some(ended) => format!(
                "{offset} ends {}..{} stable {}",
                ended.first_offset, ended.last_offset, ended.last_stable_offset
            ),
            None => format!("{offset} ends nothing"),
        }
    }

    fn known(&self) -> String {
        let mut all = Vec::new();
        for (id, entry) in self.states.iter() {
            let last: Vec<_> = entry.batches().map(|batch| batch.last_sequence).collect();
            all.push(format!("p{id} e{} {last:?}", entry.epoch));
        }
        all.join(" ")
    }
}

fn said(error: &AppendError) -> String {
    match error {
        AppendError::OutOfOrderSequence { last_sequence, .. } => {
            format!("out of order after {last_sequence}")
        }
        AppendError::InvalidProducerEpoch { current, .. } => format!("old epoch, now {current}"),
        AppendError::InvalidTransactionState { .. } => "wrong transaction state".to_owned(),
        AppendError::CoordinatorFenced { current, .. } => format!("old coordinator, now {current}"),
        other => panic!("unexpected: {other}"),
    }
}

/// Runs `event -> outcome` lines; the outcomes must be those written.
fn check(script: &str) {
    let mut machine = Script::default();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (event, expected) = line.split_once("->").unwrap_or((line, "ok"));
        assert_eq!(machine.run(event.trim()), expected.trim(), "{line}\n  in {script}");
    }
}

#[test]
fn one_of_the_last_five_is_answered_with_its_first_offsets() {
    check(
        "p1 e0 seq 0+2 -> 0..1
         p1 e0 seq 2+1 -> 2..2
         p1 e0 seq 3+1 -> 3..3
         p1 e0 seq 4+3 -> 4..6
         p1 e0 seq 7+1 -> 7..7
         p1 e0 seq 0+2 -> again 0..1
         p1 e0 seq 4+3 -> again 4..6
         p1 e0 seq 8+1 -> 8..8
         p1 e0 seq 0+2 -> out of order after 8
         p1 e0 seq 2+1 -> again 2..2
         p1 e0 seq 4+2 -> out of order after 8
         p1 e0 seq 9+1 -> 9..9",
    );
}

#[test]
fn a_gap_is_refused_until_the_missing_batch_comes() {
    check(
        "p1 e0 seq 0+1 -> 0..0
         p1 e0 seq 2+1 -> out of order after 0
         p1 e0 seq 3+1 -> out of order after 0
         p1 e0 seq 1+1 -> 1..1
         p1 e0 seq 2+1 -> 2..2
         p1 e0 seq 3+1 -> 3..3",
    );
}

#[test]
fn sequences_wrap_between_batches_and_within_one() {
    check(
        "p1 e0 seq 2147483646+2 -> 0..1
         p1 e0 seq 0+3 -> 2..4
         p2 e0 seq 2147483646+4 -> 5..8
         p2 e0 seq 2+1 -> 9..9
         p2 e0 seq 2147483646+4 -> again 5..8
         known -> p1 e0 [2147483647, 2] p2 e0 [1, 2]",
    );
}

#[test]
fn a_new_epoch_begins_with_zero() {
    check(
        "p1 e0 seq 0+1 -> 0..0
         p1 e1 seq 1+1 -> out of order after 0
         p1 e1 seq 0+1 -> 1..1
         p1 e0 seq 1+1 -> old epoch, now 1
         p1 e0 seq 0+1 -> old epoch, now 1
         p1 e1 seq 0+1 -> again 1..1",
    );
}

#[test]
fn an_unknown_producer_may_begin_anywhere() {
    check(
        "p1 e3 seq 17+1 -> 0..0
         p1 e3 seq 18+1 -> 1..1
         p1 e3 seq 17+1 -> again 0..0",
    );
}

#[test]
fn a_transaction_takes_no_batch_from_outside_of_it() {
    check(
        "p1 e0 seq 0+2 txn -> 0..1
         p1 e0 seq 2+1 -> wrong transaction state
         p1 e0 seq 2+1 txn -> 2..2
         p1 e0 commit -> 3 ends 0..3 stable 4
         p1 e0 seq 3+1 -> 4..4",
    );
}

#[test]
fn readers_stop_at_the_oldest_transaction_until_its_marker_is_acknowledged() {
    check(
        "p1 e0 seq 0+2 txn -> 0..1
         p2 e0 seq 0+1 txn -> 2..2
         unstable -> 0
         p2 e0 abort -> 3 ends 2..3 stable 0
         unstable -> 0
         p1 e0 commit -> 4 ends 0..4 stable 5
         unstable -> 0
         settle 4
         unstable -> 0
         settle 5
         unstable -> none",
    );
}

#[test]
fn markers_fence_old_epochs_and_old_coordinators() {
    check(
        "p1 e1 seq 0+1 txn -> 0..0
         p1 e0 abort -> old epoch, now 1
         p1 e2 abort c5 -> 1 ends 0..1 stable 2
         p1 e1 seq 1+1 txn -> old epoch, now 2
         p1 e2 commit c4 -> old coordinator, now 5
         p1 e2 commit c5 -> 2 ends nothing
         p1 e2 seq 1+1 txn -> out of order after -1
         p1 e2 seq 0+1 txn -> 3..3",
    );
}

#[test]
fn a_late_marker_of_version_two_does_not_end_the_next_transaction() {
    check(
        "p1 e0 seq 0+1 txn -> 0..0
         p1 e0 commit v2 -> old epoch, now 0
         p1 e1 commit v2 -> 1 ends 0..1 stable 2
         p1 e1 commit v2 -> 2 ends nothing
         p1 e1 seq 0+1 txn -> 3..3
         p1 e1 commit v2 -> old epoch, now 1
         unstable -> 0
         settle 3
         unstable -> 3",
    );
}

#[test]
fn coordinators_write_without_sequences() {
    check(
        "p1 e0 seq -1+2 txn coordinator -> 0..1
         p1 e0 seq -1+2 txn coordinator -> 2..3
         p1 e0 seq -1+1 coordinator -> wrong transaction state
         p1 e0 commit -> 4 ends 0..4 stable 5
         p1 e1 seq -1+1 txn coordinator -> 5..5
         p1 e0 seq -1+1 txn coordinator -> old epoch, now 1",
    );
}

#[test]
fn idle_producers_expire_and_open_transactions_do_not() {
    check(
        "p1 e0 seq 0+1 -> 0..0
         p2 e0 seq 0+1 txn -> 1..1
         at 40
         p3 e0 seq 0+1 -> 2..2
         at 49
         expire 50
         known -> p1 e0 [0] p2 e0 [0] p3 e0 [0]
         at 50
         expire 50
         known -> p2 e0 [0] p3 e0 [0]
         at 500
         expire 50
         known -> p2 e0 [0]
         p2 e0 commit -> 3 ends 1..3 stable 4
         at 550
         expire 50
         known ->",
    );
}

#[test]
fn a_snapshot_keeps_epochs_last_batches_and_open_transactions() {
    check(
        "p1 e0 seq 0+2 -> 0..1
         p1 e0 seq 2+3 -> 2..4
         p2 e7 seq 0+1 txn -> 5..5
         p3 e1 commit c9 -> 6 ends nothing
         reload
         known -> p1 e0 [4] p2 e7 [0] p3 e1 []
         unstable -> 5
         p1 e0 seq 2+3 -> again 2..4
         p1 e0 seq 5+1 -> 7..7
         p3 e1 commit c8 -> old coordinator, now 9
         p2 e7 abort -> 8 ends 5..8 stable 9",
    );
}

#[test]
fn a_damaged_snapshot_is_no_snapshot() {
    let mut script = Script::default();
    script.run("p1 e0 seq 0+2");
    script.run("p2 e0 seq 0+2 txn");
    let whole = encode_snapshot(&script.states);
    assert!(decode_snapshot(&whole).is_some());
    for cut in 0..whole.len() {
        assert!(decode_snapshot(&whole[..cut]).is_none(), "cut at {cut}");
        let mut flipped = whole.clone();
        flipped[cut] ^= 1;
        assert!(decode_snapshot(&flipped).is_none(), "flipped at {cut}");
    }
    let mut longer = whole;
    longer.push(0);
    assert!(decode_snapshot(&longer).is_none());
}

/// Whole, and not to be believed: a transaction that no marker can end. (Found by fuzzing.)
#[test]
fn a_snapshot_of_a_producer_without_an_id_is_no_snapshot() {
    let mut script = Script::default();
    script.run("p-7 e0 seq 0+2 txn");
    assert!(decode_snapshot(&encode_snapshot(&script.states)).is_none());
}

#[test]
fn the_snapshot_is_laid_out_as_kafka_does() {
    let mut script = Script::default();
    script.run("at 1000");
    script.run("p258 e3 seq 5+2 txn");
    let bytes = encode_snapshot(&script.states);
    let body = [
        &[0, 0, 0, 1][..],           // one entry
        &[0, 0, 0, 0, 0, 0, 1, 2],   // producer id
        &[0, 3],                     // epoch
        &[0, 0, 0, 6],               // last sequence
        &[0, 0, 0, 0, 0, 0, 0, 1],   // last offset
        &[0, 0, 0, 1],               // offset delta
        &[0, 0, 0, 0, 0, 0, 3, 232], // timestamp
        &[255, 255, 255, 255],       // coordinator epoch
        &[0, 0, 0, 0, 0, 0, 0, 0],   // open transaction
    ]
    .concat();
    assert_eq!(bytes[..2], [0, 1]);
    assert_eq!(bytes[2..6], crc32c::crc32c(&body).to_be_bytes());
    assert_eq!(bytes[6..], body);
}
