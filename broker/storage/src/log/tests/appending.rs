//! What is refused, what is stamped, what a batch that comes twice is told.

use super::*;
use crate::config::{CleanupPolicy, TimestampType};
use mainstem_protocol::compression::Compression;
use mainstem_protocol::record::BatchView;

/// How an append ends, in a word.
fn outcome(bench: &mut Bench, batch: BytesMut) -> String {
    let end = bench.log.log_end_offset();
    match bench.append(batch) {
        Ok(appended) if appended.duplicate => format!("again {}", appended.base_offset),
        Ok(appended) => format!("{}..{}", appended.base_offset, appended.last_offset),
        Err(error) => {
            assert_eq!(bench.log.log_end_offset(), end, "a refused append writes nothing");
            let text = format!("{error:?}");
            text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
        }
    }
}

#[test]
fn batches_are_stored_as_they_came_but_for_offset_and_epoch() {
    let mut bench = Bench::new(LogConfig::default());
    bench.put(&["before"]);
    let mut builder = Batch::of(7, 0).builder().compression(Compression::Lz4);
    builder.push(5, None, Some(b"a"), &[]);
    builder.push(6, None, Some(b"b"), &[]);
    let mut sent = builder.finish_mut().unwrap();
    let appended =
        bench.log.append(bench.now, sent.clone(), LeaderEpoch(4), Origin::Client).unwrap();
    assert_eq!((appended.base_offset, appended.last_offset), (offset(1), offset(2)));
    assert_eq!(appended.log_append_time_ms, -1);
    mainstem_protocol::record::set_base_offset(&mut sent, offset(1));
    mainstem_protocol::record::set_leader_epoch(&mut sent, LeaderEpoch(4));
    let stored = bench.log.read_bytes(offset(1), 1 << 20, Bound::LogEnd, true).unwrap();
    assert_eq!(stored.bytes, sent.freeze());
    assert_eq!(bench.log.latest_epoch(), Some(LeaderEpoch(4)));
}

#[test]
fn what_breaks_a_rule_is_refused() {
    let mut bench = Bench::new(LogConfig {
        max_message_bytes: 2000,
        segment_bytes: 5000,
        ..LogConfig::default()
    });
    let good = || Batch::default().build(1_000_000, &[(None, Some("value"))]);
    let with = |at: usize, byte: u8| {
        let mut bytes = good();
        bytes[at] = byte;
        bytes
    };
    let long = "x".repeat(3000);
    let late = Batch::default().build(1_000_000 + 3_600_001, &[(None, Some("v"))]);
    let two = [good(), good()].concat();
    let mut control = Batch::of(1, 0).builder().control();
    control.push(0, Some(b"\0\0\0\x01"), Some(b""), &[]);
    let cases = [
        ("InvalidRecord", BytesMut::new()),
        ("CorruptMessage", BytesMut::from(&good()[..40])),
        ("CorruptMessage", BytesMut::from(&good()[..70])),
        ("CorruptMessage", with(66, 9)),
        ("CorruptMessage", with(18, 0)),
        ("UnsupportedFormat", with(16, 1)),
        ("UnsupportedFormat", with(16, 3)),
        ("InvalidRecord", BytesMut::from(&two[..])),
        ("MessageTooLarge", Batch::default().build(1_000_000, &[(None, Some(&long))])),
        ("RejectedRecords", late),
        ("InvalidRecord", control.finish_mut().unwrap()),
        ("InvalidRecord", Batch { epoch: 0, ..Batch::of(1, -1) }.build(0, &[(None, None)])),
        ("InvalidRecord", Batch { epoch: -1, ..Batch::of(1, 0) }.build(0, &[(None, None)])),
        ("0..0", good()),
    ];
    for (expected, batch) in cases {
        assert_eq!(outcome(&mut bench, batch), expected);
    }
}

#[test]
fn compacted_topics_want_keys() {
    let cleanup_policy = CleanupPolicy { delete: false, compact: true };
    let mut bench = Bench::new(LogConfig { cleanup_policy, ..LogConfig::default() });
    let without = Batch::default().build(0, &[(Some("k"), None), (None, Some("v"))]);
    assert_eq!(outcome(&mut bench, without), "RejectedRecords");
    let with = Batch::default().build(0, &[(Some("k"), None)]);
    assert_eq!(outcome(&mut bench, with), "0..0");
}

#[test]
fn the_append_time_is_stamped_where_the_topic_says_so() {
    let timestamp_type = TimestampType::LogAppendTime;
    let mut bench = Bench::new(LogConfig { timestamp_type, ..LogConfig::default() });
    let batch = Batch::of(1, 0).build(5, &[(None, Some("v"))]);
    let appended = bench.append(batch.clone()).unwrap();
    assert_eq!(appended.log_append_time_ms, 1_000_000);
    bench.now = at(2_000_000);
    let again = bench.append(batch).unwrap();
    assert!(again.duplicate);
    assert_eq!(again.log_append_time_ms, 1_000_000, "the time of the first append");
    let stored = bench.log.read_bytes(offset(0), 1 << 20, Bound::LogEnd, true).unwrap();
    let (view, _) = BatchView::parse(&stored.bytes).unwrap();
    assert!(view.is_checksum_ok());
    assert_eq!(view.max_timestamp_ms(), 1_000_000);
}

#[test]
fn a_wrong_largest_timestamp_is_put_right() {
    let mut bench = Bench::new(LogConfig::default());
    let mut batch = Batch::default().build(900_000, &[(None, Some("v"))]);
    let kind = mainstem_protocol::record::TimestampType::CreateTime;
    mainstem_protocol::record::patch::set_max_timestamp(&mut batch, kind, 5);
    bench.append(batch).unwrap();
    let stored = bench.log.read_bytes(offset(0), 1 << 20, Bound::LogEnd, true).unwrap();
    let (view, _) = BatchView::parse(&stored.bytes).unwrap();
    assert!(view.is_checksum_ok());
    assert_eq!(view.max_timestamp_ms(), 900_000);
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let mut bench = Bench::new(small());
    bench.put(&["one"]);
    bench.disk.set_room(Some(30));
    let batch = Batch::default().build(0, &[(None, Some("two"))]);
    assert_eq!(outcome(&mut bench, batch.clone()), "DiskFull");
    bench.disk.set_room(Some(400));
    let full = (0..40).any(|_| outcome(&mut bench, batch.clone()) == "DiskFull");
    assert!(full, "a roll on a full disk is refused too");
    bench.disk.set_room(None);
    let end = bench.log.log_end_offset();
    assert_eq!(outcome(&mut bench, batch), format!("{end}..{end}"));
    bench.commit();
    let before = bench.records(Bound::LogEnd);
    bench.disk.crash(3);
    bench.reopen(Shutdown::Unclean);
    assert_eq!(bench.records(Bound::LogEnd), before);
}

#[test]
fn a_closed_log_takes_nothing_more() {
    let mut bench = Bench::new(LogConfig::default());
    bench.put(&["one"]);
    bench.log.close().unwrap();
    let batch = Batch::default().build(0, &[(None, Some("two"))]);
    assert_eq!(outcome(&mut bench, batch), "DiskFailed");
}
