//! What an append is answered, as a table: the topic, the batch, the answer.
//!
//! The topic is `plain`, or words of its settings: `compact`, `append-time`, `before=` and `after=` (the
//! range of timestamps), `max=` (largest batch), `segment=`, a codec (`compression.type`).
//!
//! The batch is its records, `key@time`, where the key `-` is none and the time is relative to now or
//! `none`; before them words for what is odd about it. `x500@0` has a value of 500 bytes.
//!
//! An answer is the offsets and what is stored (codec, timestamp type, largest timestamp relative to
//! now), or the code of the refusal with the records that it names.

use super::*;
use crate::config::{CleanupPolicy, TimestampType};
use mainstem_protocol::compression::Compression;
use mainstem_protocol::record::{BatchView, patch};

const NOW_MS: i64 = 1_000_000;

const TABLE: &str = "
plain                  | a@0                        | 0..0 none create 0
plain                  | a@-5 b@3 -@1               | 0..2 none create 3
plain                  | lz4 a@-5 b@3               | 0..1 lz4 create 3
plain                  | claims=77 a@-5             | 0..0 none create -5
plain                  | gzip claims=77 a@-5 b@-3   | 0..1 gzip create -3
plain                  | a@none                     | 0..0 none create none

plain                  | count=2 a@0                | INVALID_RECORD
plain                  | count=0 a@0                | INVALID_RECORD
plain                  | count=-1 a@0               | INVALID_RECORD
plain                  | count=1000000 last=999999 a@0      | INVALID_RECORD
plain                  | zstd count=2 last=1 a@0    | INVALID_RECORD
plain                  | last=3 a@0                 | INVALID_RECORD
plain                  | last=-1 a@0                | INVALID_RECORD
plain                  | base=5 a@0                 | INVALID_RECORD
plain                  | gap a@0 b@0                | INVALID_RECORD
plain                  | zstd gap a@0 b@0           | INVALID_RECORD
plain                  | more a@0                   | INVALID_RECORD
plain                  | snappy more a@0            | INVALID_RECORD
plain                  | gzip garbage a@0           | INVALID_RECORD
plain                  | codec=5 a@0                | INVALID_RECORD
plain                  | control a@0                | INVALID_RECORD
plain                  | txn a@0                    | INVALID_RECORD
plain                  | p1/0/-1 a@0                | INVALID_RECORD
plain                  | p1/-1/0 a@0                | INVALID_RECORD
plain                  | p1/0/0 a@0                 | 0..0 none create 0
plain                  | p1/0/0 txn a@0             | 0..0 none create 0
plain                  | horizon a@0                | INVALID_RECORD
plain                  | flipped a@0                | CORRUPT_MESSAGE
plain                  | cut a@0                    | CORRUPT_MESSAGE
plain                  | magic=1 a@0                | UNSUPPORTED_FOR_MESSAGE_FORMAT
plain                  | twice a@0                  | INVALID_RECORD

compact                | a@0 b@0                    | 0..1 none create 0
compact                | a@0 -@0 b@0 -@0            | INVALID_RECORD 1 3
compact                | zstd a@0 -@0               | INVALID_RECORD 1
compact after=100      | -@0 a@101                  | INVALID_TIMESTAMP 0 1

before=100             | a@-100 b@0                 | 0..1 none create 0
before=100             | a@-101 b@0                 | INVALID_TIMESTAMP 0
before=100             | a@none                     | 0..0 none create none
after=100              | a@100                      | 0..0 none create 100
after=100              | a@0 b@101 c@102            | INVALID_TIMESTAMP 1 2
after=100              | snappy a@0 b@101           | INVALID_TIMESTAMP 1
plain                  | a@3600000                  | 0..0 none create 3600000
plain                  | a@3600001                  | INVALID_TIMESTAMP 0
plain                  | stamped a@0 b@0            | INVALID_TIMESTAMP 0 1
append-time            | stamped a@0                | INVALID_TIMESTAMP 0
append-time            | a@-5 b@3                   | 0..1 none append 0
append-time after=100  | a@500                      | 0..0 none append 0
append-time            | lz4 a@-5                   | 0..0 lz4 append 0

max=200                | x100@0                     | 0..0 none create 0
max=200                | x200@0                     | MESSAGE_TOO_LARGE
max=200                | zstd x900@0                | 0..0 zstd create 0
segment=150            | x100@0                     | RECORD_LIST_TOO_LARGE

uncompressed           | zstd a@0 b@2               | 0..1 none create 2
zstd                   | a@0 b@2                    | 0..1 zstd create 2
zstd                   | zstd a@0                   | 0..0 zstd create 0
lz4                    | gzip claims=77 a@-4 b@-2   | 0..1 lz4 create -2
snappy append-time     | a@-9                       | 0..0 snappy append 0
gzip compact           | a@0 -@0                    | INVALID_RECORD 1
zstd                   | p1/0/0 txn a@0             | 0..0 zstd create 0
max=200 uncompressed   | zstd x900@0                | MESSAGE_TOO_LARGE
segment=150 uncompressed | zstd x900@0              | RECORD_LIST_TOO_LARGE
max=200 zstd           | x900@0                     | MESSAGE_TOO_LARGE
";

fn topic(words: &str) -> LogConfig {
    let mut config = LogConfig { segment_index_bytes: 4096, ..LogConfig::default() };
    for word in words.split_whitespace() {
        let number = |value: &str| value.parse::<i64>().unwrap();
        match word.split_once('=') {
            Some(("before", value)) => config.timestamp_before_max_ms = number(value),
            Some(("after", value)) => config.timestamp_after_max_ms = number(value),
            Some(("max", value)) => config.max_message_bytes = number(value) as u32,
            Some(("segment", value)) => config.segment_bytes = number(value) as u32,
            Some(_) => panic!("{word}"),
            None => match word {
                "plain" => {}
                "compact" => {
                    config.cleanup_policy = CleanupPolicy { delete: false, compact: true };
                }
                "append-time" => config.timestamp_type = TimestampType::LogAppendTime,
                "uncompressed" => config.compression = Some(Compression::None),
                codec => config.compression = Some(codec.parse().unwrap()),
            },
        }
    }
    config
}

/// The batch that the words describe, odd as it may be.
fn batch(words: &str) -> BytesMut {
    let (odd, records): (Vec<_>, Vec<_>) =
        words.split_whitespace().partition(|word| !word.contains('@'));
    let mut builder = BatchBuilder::new();
    for word in &odd {
        if let Ok(codec) = word.parse::<Compression>() {
            builder = builder.compression(codec);
        } else if *word == "txn" {
            builder = builder.transactional();
        } else if *word == "control" {
            builder = builder.control();
        } else if let Some(producer) = word.strip_prefix('p') {
            let numbers: Vec<i32> = producer.split('/').map(|n| n.parse().unwrap()).collect();
            let (id, epoch) = (ProducerId(numbers[0].into()), ProducerEpoch(numbers[1] as i16));
            builder = builder.producer(id, epoch, numbers[2]);
        }
    }
    for (place, record) in records.iter().enumerate() {
        let (key, time) = record.split_once('@').unwrap();
        let time_ms = if time == "none" { -1 } else { NOW_MS + time.parse::<i64>().unwrap() };
        let size = key.strip_prefix('x').map_or(1, |size| size.parse().unwrap());
        let value = "v".repeat(size);
        if place == 1 && odd.contains(&"gap") {
            let delta = mainstem_protocol::record::Record { offset_delta: 5, ..Default::default() };
            builder.keep(&delta);
            continue;
        }
        builder.push(time_ms, (key != "-").then_some(key.as_bytes()), Some(value.as_bytes()), &[]);
    }
    if odd.contains(&"more") {
        builder.push(NOW_MS, None, None, &[]);
    }
    let mut batch = builder.finish_mut().unwrap();
    odd.iter().for_each(|word| spoil(&mut batch, word, records.len() as i32));
    batch
}

fn spoil(batch: &mut BytesMut, word: &str, count: i32) {
    let value = word.split_once('=').map_or(0, |(_, value)| value.parse::<i64>().unwrap());
    let put = |batch: &mut BytesMut, at: usize, bytes: &[u8]| {
        batch[at..at + bytes.len()].copy_from_slice(bytes);
    };
    match word.split('=').next().unwrap() {
        "base" => patch::set_base_offset(batch, Offset(value)),
        "claims" => put(batch, 35, &value.to_be_bytes()),
        "count" => put(batch, 57, &(value as i32).to_be_bytes()),
        "last" => put(batch, 23, &(value as i32).to_be_bytes()),
        "codec" => put(batch, 22, &[value as u8]),
        "horizon" => put(batch, 22, &[1 << 6]),
        "stamped" => put(batch, 22, &[1 << 3]),
        "garbage" => put(batch, 65, &[0xff; 8]),
        "gap" => {
            put(batch, 23, &(count - 1).to_be_bytes());
            put(batch, 57, &count.to_be_bytes());
        }
        // One record more than the head says.
        "more" => {
            put(batch, 23, &(count - 1).to_be_bytes());
            put(batch, 57, &count.to_be_bytes());
        }
        "magic" => batch[16] = value as u8,
        "twice" => {
            let again = batch.clone();
            batch.extend_from_slice(&again);
        }
        "cut" => batch.truncate(batch.len() - 1),
        "flipped" => {
            batch[62] ^= 1;
            return;
        }
        _ => return,
    }
    if !matches!(word, "twice" | "cut") {
        let checksum = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&checksum.to_be_bytes());
    }
}

fn answer(config: LogConfig, batch: BytesMut) -> String {
    let mut bench = Bench::new(config);
    let sent = batch.clone();
    let error = match bench.append(batch) {
        Ok(appended) => return stored(&bench, &appended, &sent),
        Err(error) => error,
    };
    assert_eq!(bench.log.log_end_offset(), offset(0), "nothing was taken");
    let code = match &error {
        AppendError::RejectedRecords { by_timestamp: true, .. } => "INVALID_TIMESTAMP",
        AppendError::RejectedRecords { .. } | AppendError::InvalidRecord(_) => "INVALID_RECORD",
        AppendError::CorruptMessage(_) => "CORRUPT_MESSAGE",
        AppendError::UnsupportedFormat(_) => "UNSUPPORTED_FOR_MESSAGE_FORMAT",
        AppendError::MessageTooLarge { .. } => "MESSAGE_TOO_LARGE",
        AppendError::BatchListTooLarge { .. } => "RECORD_LIST_TOO_LARGE",
        other => panic!("{other}"),
    };
    let mut answer = code.to_owned();
    if let AppendError::RejectedRecords { count, errors, .. } = error {
        assert_eq!(count, errors.len());
        errors.iter().for_each(|error| answer += &format!(" {}", error.batch_index));
    }
    answer
}

fn stored(bench: &Bench, appended: &Appended, sent: &[u8]) -> String {
    let read = bench.log.read_bytes(offset(0), 1 << 20, Bound::LogEnd, true).unwrap();
    let (view, _) = BatchView::parse(&read.bytes).unwrap();
    let (before, _) = BatchView::parse(sent).unwrap();
    assert!(view.is_checksum_ok());
    let records = |view: BatchView<'_>| {
        let records = view.records(1 << 20).unwrap().map(Result::unwrap);
        records.map(|record| (record.key, record.value)).collect::<Vec<_>>()
    };
    assert_eq!(records(view), records(before), "the records are those that were sent");
    let head = |view: BatchView<'_>| {
        (view.producer_id(), view.producer_epoch(), view.base_sequence(), view.is_transactional())
    };
    assert_eq!(head(view), head(before));
    let kind = if view.attributes() & 8 == 0 { "create" } else { "append" };
    let codec = view.compression().unwrap().name();
    let time = match view.max_timestamp_ms() {
        -1 => "none".to_owned(),
        time_ms => (time_ms - NOW_MS).to_string(),
    };
    format!("{}..{} {codec} {kind} {time}", appended.base_offset, appended.last_offset)
}

#[test]
fn appends_are_answered_as_the_table_says() {
    let mut wrong = String::new();
    for line in TABLE.lines().filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let found = answer(topic(cells[0]), batch(cells[1]));
        if found != cells[2] {
            wrong += &format!("{line}\n    is answered {found}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_refused_records_that_are_named_are_bounded() {
    let config = topic("compact");
    let mut builder = BatchBuilder::new();
    (0..5_000).for_each(|_| builder.push(NOW_MS, None, None, &[]));
    let mut bench = Bench::new(config);
    let refused = bench.append(builder.finish_mut().unwrap());
    let Err(AppendError::RejectedRecords { count, errors, .. }) = refused else { panic!() };
    assert_eq!((count, errors.len()), (5_000, 1_000));
}
