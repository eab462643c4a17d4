//! Batches as Kafka writes them, batches as we write them, and batches that are wrong.

use super::dice::{Dice, damage};
use crate::compression::{Compression, Level, compress, decompress};
use crate::record::*;
use crate::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use bytes::{Bytes, BytesMut};

const CAP: usize = 1 << 20;
const T0: i64 = 1_700_000_000_000;

pub(super) fn golden(name: &str) -> Bytes {
    let line = include_str!("golden_batches.txt").lines().find_map(|l| l.strip_prefix(name));
    let hex = line.unwrap_or_else(|| panic!("no batch {name}")).trim().as_bytes();
    hex.chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn header(key: &'static str, value: Option<&'static str>) -> Header {
    Header { key: Bytes::from(key), value: value.map(Bytes::from) }
}

/// The three records of the golden batches.
fn three_records(builder: &mut BatchBuilder) {
    let headers = [header("h", Some("1")), header("h", None)];
    builder.push(T0, Some(b"key"), Some(b"value one"), &headers);
    builder.push(T0 + 500, None, Some(b"value two value two value two value two"), &[]);
    builder.push(T0 - 1000, Some(b"gone"), None, &[]);
}

fn builder_of(compression: Compression) -> BatchBuilder {
    let mut builder = BatchBuilder::new()
        .compression(compression)
        .base_offset(Offset(100))
        .leader_epoch(LeaderEpoch(5))
        .producer(ProducerId(4242), ProducerEpoch(7), 11)
        .transactional();
    three_records(&mut builder);
    builder
}

fn records_of(batch: &Batch) -> Vec<Record> {
    batch.records(CAP).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn batches_of_kafka_are_read() {
    let expected = records_of(&Batch::parse(&golden("none")).unwrap());
    assert_eq!(expected[0].headers, [header("h", Some("1")), header("h", None)]);
    assert_eq!(expected[0].key.as_deref(), Some(&b"key"[..]));
    assert_eq!((expected[1].offset_delta, expected[1].timestamp_delta_ms), (1, 500));
    assert_eq!((expected[1].key.as_ref(), expected[2].value.as_ref()), (None, None));
    for codec in Compression::ALL {
        let batch = Batch::parse(&golden(codec.name())).unwrap();
        let view = batch.view();
        assert_eq!(view.compression(), Ok(codec));
        assert!(view.is_checksum_ok() && view.is_transactional() && !view.is_control());
        assert_eq!((view.base_offset(), view.last_offset()), (Offset(100), Offset(102)));
        assert_eq!(view.leader_epoch(), LeaderEpoch(5));
        assert_eq!((view.producer_id(), view.producer_epoch()), (4242.into(), 7.into()));
        assert_eq!((view.base_sequence(), view.last_sequence()), (11, 13));
        assert_eq!((view.base_timestamp_ms(), view.max_timestamp_ms()), (T0, T0 + 500));
        assert_eq!(records_of(&batch), expected, "{codec:?}");
        let contents = validate_deep(&view, CAP).unwrap();
        assert_eq!((contents.record_count, contents.first_without_key), (3, Some(1)));
        assert_eq!(contents.max_timestamp_ms, T0 + 500);
        assert_eq!(contents.min_timestamp_ms, T0 - 1000);
    }
}

#[test]
fn batches_are_written_as_kafka_writes_them() {
    assert_eq!(builder_of(Compression::None).finish().unwrap(), golden("none"));
    for (name, offset, marker) in [
        ("commit", 77, ControlRecord::Commit { coordinator_epoch: 9 }),
        ("abort", 78, ControlRecord::Abort { coordinator_epoch: 9 }),
    ] {
        let (producer, epoch, leader) = (ProducerId(4242), ProducerEpoch(7), LeaderEpoch(5));
        let bytes = marker_batch(T0, producer, epoch, leader, marker).unwrap();
        let mut bytes = BytesMut::from(bytes);
        set_base_offset(&mut bytes, Offset(offset));
        assert_eq!(bytes, golden(name), "{name}");
        let batch = Batch::parse(&golden(name)).unwrap();
        assert!(batch.view().is_control());
        let record = &records_of(&batch)[0];
        let read = ControlRecord::decode(record.key.as_ref(), record.value.as_ref());
        assert_eq!(read, Ok(marker));
    }
}

#[test]
fn built_batches_are_read_back() {
    for seed in 0..200 {
        let g = &mut Dice::new(seed);
        let codec = Compression::ALL[g.below(5)];
        let mut builder = BatchBuilder::new().compression(codec);
        let mut expected = Vec::new();
        for offset_delta in 0..=g.below(30) as i32 {
            let delta = if offset_delta == 0 { 0 } else { g.next() as i32 as i64 };
            let record = Record {
                offset_delta,
                timestamp_delta_ms: delta,
                key: (!g.chance(4)).then(|| g.bytes()),
                value: (!g.chance(4)).then(|| g.bytes()),
                headers: (0..g.length())
                    .map(|_| Header {
                        key: g.string().into(),
                        value: (!g.chance(4)).then(|| g.bytes()),
                    })
                    .collect(),
            };
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            let before = builder.size_bytes();
            builder.push(T0 + delta, key, value, &record.headers);
            let grown = builder.size_bytes() - before;
            assert!(grown <= BatchBuilder::record_size_max(key, value, &record.headers));
            expected.push(record);
        }
        let batch = Batch::parse(&builder.finish().unwrap()).unwrap();
        validate_deep(&batch.view(), CAP).unwrap();
        assert_eq!(records_of(&batch), expected, "seed {seed}");
    }
}

/// Records of an uncompressed batch point into the bytes of the batch.
#[test]
fn records_are_not_copied() {
    let bytes = golden("none");
    let range = bytes.as_ptr_range();
    for record in records_of(&Batch::parse(&bytes).unwrap()) {
        for part in [record.key, record.value].into_iter().flatten() {
            assert!(range.contains(&part.as_ptr()));
        }
    }
}

#[test]
fn stamping_leaves_the_checksum_alone() {
    let mut bytes = BytesMut::from(golden("zstd"));
    set_base_offset(&mut bytes, Offset(i64::MAX - 2));
    set_leader_epoch(&mut bytes, LeaderEpoch(9));
    let (view, _) = BatchView::parse(&bytes).unwrap();
    assert_eq!((view.leader_epoch(), view.last_offset()), (LeaderEpoch(9), Offset(i64::MAX)));
    assert_eq!(view.next_offset(), Offset(i64::MAX));
    assert!(view.is_checksum_ok());
}

#[test]
fn patches_renew_the_checksum() {
    let mut two = BytesMut::from(golden("lz4"));
    let end = two.len();
    two.extend_from_slice(&golden("none"));
    set_max_timestamp_log_append(&mut two, T0 + 7);
    set_producer(&mut two, ProducerId(1), ProducerEpoch(2), i32::MAX);
    let (view, size) = BatchView::parse(&two).unwrap();
    assert_eq!(size, end);
    assert!(view.is_checksum_ok());
    assert_eq!(view.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!((view.base_sequence(), view.last_sequence()), (i32::MAX, 1));
    let record = view.records(CAP).unwrap().nth(2).unwrap().unwrap();
    assert_eq!(view.timestamp_of_ms(&record), T0 + 7);
    assert_eq!(two[end..], golden("none")[..], "the next batch is another's");
    patch::set_max_timestamp(&mut two, TimestampType::CreateTime, T0 + 500);
    let (view, _) = BatchView::parse(&two).unwrap();
    assert!(view.is_checksum_ok());
    assert_eq!(view.timestamp_of_ms(&record), T0 - 1000);
}

#[test]
fn compaction_keeps_offsets_and_the_producer() {
    for codec in Compression::ALL {
        let old = Batch::parse(&golden(codec.name())).unwrap();
        let records = records_of(&old);
        let mut rewritten = BatchBuilder::rewriting(&old.view()).unwrap();
        records.iter().skip(1).for_each(|record| rewritten.keep(record));
        let new = Batch::parse(&rewritten.finish().unwrap()).unwrap();
        assert_eq!(records_of(&new), records[1..]);
        let (new, old) = (new.view(), old.view());
        assert!(new.is_checksum_ok());
        assert_eq!((new.base_offset(), new.last_offset()), (old.base_offset(), old.last_offset()));
        assert_eq!(new.last_sequence(), old.last_sequence());
        assert_eq!((new.attributes(), new.record_count()), (old.attributes(), 2));
        assert_eq!(new.max_timestamp_ms(), old.max_timestamp_ms());

        let empty = BatchBuilder::rewriting(&old).unwrap().finish().unwrap();
        let (empty, _) = BatchView::parse(&empty).unwrap();
        assert_eq!((empty.record_count(), empty.last_sequence()), (0, 13));
        assert_eq!(empty.records(CAP).unwrap().count(), 0);
    }
}

#[test]
fn a_delete_horizon_leaves_the_times_of_records_alone() {
    for codec in Compression::ALL {
        let old = Batch::parse(&golden(codec.name())).unwrap();
        let times = |batch: &Batch| {
            let times = records_of(batch);
            times.iter().map(|record| batch.view().timestamp_of_ms(record)).collect::<Vec<_>>()
        };
        let mut builder = BatchBuilder::rewriting(&old.view()).unwrap().delete_horizon(T0 + 86_400);
        records_of(&old).iter().for_each(|record| builder.keep(record));
        let new = Batch::parse(&builder.finish().unwrap()).unwrap();
        assert!(new.view().has_delete_horizon() && new.view().is_checksum_ok());
        assert_eq!(new.view().base_timestamp_ms(), T0 + 86_400);
        assert_eq!((times(&new), new.view().max_timestamp_ms()), (times(&old), T0 + 500));
        let head = BatchBuilder::rewriting(&new.view()).unwrap().finish_empty().unwrap();
        let (head, _) = BatchView::parse(&head).unwrap();
        assert!(!head.has_delete_horizon() && head.size_bytes() == BATCH_OVERHEAD);
        assert_eq!((head.last_sequence(), head.last_offset()), (13, Offset(102)));
    }
}

#[test]
fn a_batch_is_packed_anew_with_all_that_is_in_it() {
    for from in Compression::ALL {
        for to in Compression::ALL {
            let old = Batch::parse(&golden(from.name())).unwrap();
            let body = decompress(from, old.view().body(), CAP).unwrap();
            let new = BatchBuilder::recompressing(&old.view(), &body, to, Level::of(1)).unwrap();
            let new = Batch::parse(&new.freeze()).unwrap();
            validate_deep(&new.view(), CAP).unwrap();
            assert_eq!(new.view().compression(), Ok(to));
            assert_eq!(records_of(&new), records_of(&old));
            assert_eq!(new.view().bytes()[27..61], old.view().bytes()[27..61], "{from:?} {to:?}");
        }
    }
}

/// Compressed records are walked over piece by piece, plain ones as they lie. Both are judged alike.
#[test]
fn packed_and_plain_records_are_judged_alike() {
    let plain = golden("none");
    let with_body = |body: &[u8], codec: Compression| {
        let mut batch = BytesMut::from(&plain[..BATCH_OVERHEAD]);
        batch.extend_from_slice(&compress(codec, body).unwrap());
        let length = (batch.len() - LENGTH_AT_LEAST) as i32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[22] |= codec as u8;
        let checksum = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&checksum.to_be_bytes());
        batch
    };
    let judge = |batch: &BytesMut| {
        let (view, _) = BatchView::parse(batch).unwrap();
        let mut facts = Vec::new();
        let judged = validate_each(&view, CAP, |record| facts.push(record));
        judged.map(|contents| (contents, facts)).map_err(|error| error.error_code())
    };
    let mut good = 0;
    for seed in 0..4000 {
        let g = &mut Dice::new(seed);
        let body = damage(g, &plain[BATCH_OVERHEAD..]);
        let expected = judge(&with_body(&body, Compression::None));
        good += usize::from(expected.is_ok());
        let codec = Compression::ALL[1 + g.below(4)];
        assert_eq!(judge(&with_body(&body, codec)), expected, "seed {seed} {codec:?}");
    }
    assert!(0 < good && good < 4000);
}

#[test]
fn a_walk_ends_at_a_batch_that_is_cut_off() {
    let mut log = BytesMut::new();
    for name in ["none", "gzip", "commit"] {
        log.extend_from_slice(&golden(name));
    }
    let whole = log.freeze();
    assert_eq!(batches(&whole).count(), 3);
    for cut in 1..golden("commit").len() {
        let mut walk = batches(&whole.slice(..whole.len() - cut));
        assert_eq!(walk.by_ref().filter(Result::is_ok).count(), 2, "{cut} bytes cut off");
        assert_eq!(walk.rest().len(), golden("commit").len() - cut);
    }
}

/// Every way to be wrong, and what the sender is told.
#[test]
fn wrong_batches_are_refused() {
    use ErrorCode as E;
    type Damage = fn(&mut BytesMut);
    let table: &[(&str, bool, Damage, ErrorCode)] = &[
        ("flipped bit", false, |b| b[70] ^= 1, E::CORRUPT_MESSAGE),
        ("short length", false, |b| b[11] = 20, E::CORRUPT_MESSAGE),
        ("long length", false, |b| b[10] = 20, E::CORRUPT_MESSAGE),
        ("magic 1", false, |b| b[16] = 1, E::UNSUPPORTED_FOR_MESSAGE_FORMAT),
        ("magic 3", false, |b| b[16] = 3, E::UNSUPPORTED_FOR_MESSAGE_FORMAT),
        ("no records", true, |b| b[57..61].fill(0), E::INVALID_RECORD),
        ("too few offsets", true, |b| b[26] = 1, E::INVALID_RECORD),
        ("too many records", true, |b| (b[26], b[60]) = (3, 4), E::INVALID_RECORD),
        ("too few records", true, |b| (b[26], b[60]) = (1, 2), E::INVALID_RECORD),
        ("negative offset", false, |b| b[0] = 0x80, E::INVALID_RECORD),
        ("no sequence", true, |b| b[53..57].fill(0xff), E::INVALID_RECORD),
        ("no producer", true, |b| b[43..51].fill(0xff), E::INVALID_RECORD),
        ("unknown codec", true, |b| b[22] |= 7, E::INVALID_RECORD),
        ("not compressed", true, |b| b[22] |= 1, E::INVALID_RECORD),
        ("record too long", true, |b| b[61] += 2, E::INVALID_RECORD),
        ("record too short", true, |b| b[61] -= 2, E::INVALID_RECORD),
        ("offsets not dense", true, |b| b[64] = 2, E::INVALID_RECORD),
        (
            "time overflows",
            true,
            |b| b[27..35].copy_from_slice(&[0x7f, 255, 255, 255, 255, 255, 255, 255]),
            E::INVALID_RECORD,
        ),
    ];
    for (name, renew_checksum, damage, expected) in table {
        let mut bytes = BytesMut::from(golden("none"));
        damage(&mut bytes);
        if *renew_checksum {
            let checksum = crc32c::crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
        }
        let result = BatchView::parse(&bytes).and_then(|(view, _)| validate_deep(&view, CAP));
        let code = result.map_err(|error| error.error_code());
        assert_eq!(code, Err(*expected), "{name}");
    }
}

#[test]
fn damaged_batches_never_panic() {
    for seed in 0..4000 {
        let g = &mut Dice::new(seed);
        let codec = Compression::ALL[g.below(5)];
        let mut bytes = BytesMut::from(&damage(g, &golden(codec.name()))[..]);
        if bytes.len() > BATCH_OVERHEAD && g.chance(2) {
            // Half of them pass the checksum, so that what comes after it is tried too.
            let checksum = crc32c::crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
        }
        let bytes = bytes.freeze();
        for batch in batches(&bytes).flatten() {
            let _ = validate_deep(&batch.view(), CAP);
            let _ = batch.records(CAP).map(|records| records.flatten().count());
        }
    }
}

#[test]
fn sequences_wrap_around() {
    assert_eq!(sequence_plus(i32::MAX, 1), 0);
    assert_eq!(sequence_plus(i32::MAX - 1, 5), 3);
    assert_eq!(sequence_distance(i32::MAX, 1), 2);
    assert_eq!(sequence_distance(1, i32::MAX), -2);
    assert_eq!(sequence_distance(5, 5), 0);
}
