//! The table of cases in `cases.txt`, and a map without room.

use super::*;
use crate::log::note_batch;
use crate::producer::ProducerStates;
use crate::slice::Marker;
use bytes::{Bytes, BytesMut};
use mainstem_platform::simulated::SimulatedDisk;
use mainstem_protocol::compression::Compression;
use mainstem_protocol::ids::{LeaderEpoch, ProducerEpoch};
use mainstem_protocol::record::{
    BatchBuilder, ControlRecord, batches, marker_batch, patch, set_max_timestamp_log_append,
};
use std::fmt::Write as _;

const DIR: &str = "/data/topic-0";
/// Divides segments in the table.
const PART: &str = "----";

/// One case of the table, with the values that its settings stand for.
struct Case<'a> {
    name: &'a str,
    now_ms: i64,
    retention_ms: i64,
    first_dirty: Offset,
    segment_bytes: u32,
    memory_bytes: usize,
    forgotten: Vec<ProducerId>,
    before: Vec<Vec<Bytes>>,
    after: String,
}

impl<'a> Case<'a> {
    fn parse(text: &'a str) -> Self {
        let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut case = Case {
            name: lines.next().unwrap(),
            now_ms: 1000,
            retention_ms: 500,
            first_dirty: Offset(0),
            segment_bytes: 100_000,
            memory_bytes: 1 << 20,
            forgotten: Vec::new(),
            before: vec![Vec::new()],
            after: String::new(),
        };
        for line in lines.by_ref().take_while(|line| *line != "after") {
            if line == PART {
                case.before.push(Vec::new());
            } else if line.starts_with(|first: char| first.is_ascii_digit()) {
                case.before.last_mut().unwrap().push(parse_batch(line));
            } else if let Some(producer) = line.strip_prefix("forgotten p") {
                case.forgotten.push(ProducerId(producer.parse().unwrap()));
            } else {
                for setting in line.split(' ') {
                    case.set(setting);
                }
            }
        }
        lines.for_each(|line| writeln!(case.after, "{line}").unwrap());
        case
    }

    fn set(&mut self, setting: &str) {
        let (key, value) = setting.split_once('=').unwrap();
        let value: i64 = value.parse().unwrap();
        match key {
            "now" => self.now_ms = value,
            "retention" => self.retention_ms = value,
            "dirty" => self.first_dirty = Offset(value),
            "segment" => self.segment_bytes = value as u32,
            other => panic!("no setting {other}"),
        }
    }

    /// Runs the task to its end; the answer is the log as the table writes it.
    fn run(&self) -> String {
        let disk = SimulatedDisk::new();
        disk.create_dir_all(Path::new(DIR)).unwrap();
        let mut task = CompactionTask::new(self.plan(&disk));
        let mut shown = Vec::new();
        let mut aborted = String::new();
        loop {
            task.step(&disk).unwrap();
            task.work = match std::mem::replace(&mut task.work, Work::Finished) {
                Work::Finished => break,
                Work::Written(group) => Work::Named(group),
                Work::Ready(group) => {
                    shown.push(show_segment(&group.segment));
                    for entry in group.segment.aborted.entries() {
                        let Aborted { producer_id, first_offset, last_offset, .. } = entry;
                        writeln!(aborted, "aborted p{producer_id} {first_offset}..{last_offset}")
                            .unwrap();
                    }
                    Work::Next
                }
                work => work,
            };
        }
        shown.join(&format!("{PART}\n")) + &aborted
    }

    fn plan(&self, disk: &SimulatedDisk) -> Plan {
        let mut states = ProducerStates::default();
        let (mut aborted, mut sources, mut next) = (Vec::new(), Vec::new(), Offset(0));
        for segment in &self.before {
            let base = BatchHeader::read(&segment[0]).unwrap().base_offset;
            let (mut written, _) = Segment::open(disk, Path::new(DIR), base, 0).unwrap();
            for batch in segment {
                let header = BatchHeader::read(batch).unwrap();
                written.file.write_at(batch, written.size).unwrap();
                written.size += header.size as u64;
                aborted.extend(note_batch(&mut states, &header, batch, 0));
                next = header.next_offset();
            }
            let (file, size) = (written.file, written.size);
            sources.push(Source { base, end: next, file, size, index_bytes: 0, modified_ms: 0 });
        }
        let producers = states.iter().filter(|(id, _)| !self.forgotten.contains(id));
        let producers = producers.map(|(id, entry)| match entry.last() {
            Some(batch) => (id, LastOfProducer::Batch(batch.last_offset)),
            None => (id, LastOfProducer::Marker(entry.epoch)),
        });
        let config = LogConfig {
            segment_bytes: self.segment_bytes,
            segment_index_bytes: 4096,
            delete_retention_ms: self.retention_ms,
            ..LogConfig::default()
        };
        Plan {
            dir: DIR.into(),
            config,
            now_ms: self.now_ms,
            sources,
            first_dirty: self.first_dirty,
            aborted,
            producers: producers.collect(),
            memory_bytes: self.memory_bytes,
            salt: 1,
        }
    }
}

fn parse_batch(line: &str) -> Bytes {
    let (offsets, rest) = line.split_once(" [").unwrap();
    let (head, records) = rest.split_once(']').unwrap();
    let base = offsets.split_once("..").map_or(offsets, |(first, _)| first);
    let base = Offset(base.parse().unwrap());
    let mut builder = BatchBuilder::new().base_offset(base);
    let (mut time_ms, mut horizon_ms, mut append) = (-1, None, false);
    let mut producer = (ProducerId::NONE, ProducerEpoch::NONE);
    for word in head.split(' ') {
        if let Some(numbers) = word.strip_prefix('p') {
            let mut numbers = numbers.split('/').map(|number| number.parse::<i32>().unwrap());
            let id = ProducerId(numbers.next().unwrap().into());
            let epoch = ProducerEpoch(numbers.next().unwrap() as i16);
            producer = (id, epoch);
            builder = builder.producer(id, epoch, numbers.next().unwrap_or(-1));
        } else if let Some(ms) = word.strip_prefix("t=") {
            time_ms = ms.parse().unwrap();
        } else if let Some(ms) = word.strip_prefix("keep=") {
            horizon_ms = Some(ms.parse::<i64>().unwrap());
        } else {
            match word {
                "txn" => builder = builder.transactional(),
                "append" => append = true,
                codec => builder = builder.compression(codec.parse().unwrap()),
            }
        }
    }
    let records = records.trim();
    let batch = if matches!(records, "commit" | "abort") {
        let record = match records {
            "commit" => ControlRecord::Commit { coordinator_epoch: 0 },
            _ => ControlRecord::Abort { coordinator_epoch: 0 },
        };
        let (id, epoch) = producer;
        marker_batch(time_ms, id, epoch, LeaderEpoch(0), record).unwrap()
    } else {
        for record in records.split(' ') {
            let (key, value) = record.split_once('=').unwrap();
            let key = (key != "-").then_some(key.as_bytes());
            let value = (value != "~").then_some(value.as_bytes());
            builder.push(time_ms, key, value, &[]);
        }
        builder.finish().unwrap()
    };
    let mut batch = BytesMut::from(batch);
    patch::set_base_offset(&mut batch, base);
    if append {
        set_max_timestamp_log_append(&mut batch, time_ms);
    }
    match horizon_ms {
        None => batch.freeze(),
        Some(horizon_ms) => with_horizon(&batch.freeze(), horizon_ms),
    }
}

fn with_horizon(batch: &Bytes, horizon_ms: i64) -> Bytes {
    let batch = batches(batch).next().unwrap().unwrap();
    let mut builder = BatchBuilder::rewriting(&batch.view()).unwrap().delete_horizon(horizon_ms);
    batch.records(1 << 20).unwrap().for_each(|record| builder.keep(&record.unwrap()));
    builder.finish().unwrap()
}

fn show_segment(segment: &Segment) -> String {
    let mut bytes = vec![0; segment.size as usize];
    segment.file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(segment.file.len().unwrap(), segment.size);
    let mut shown = String::new();
    for batch in batches(&Bytes::from(bytes)) {
        let batch = batch.unwrap();
        assert!(batch.view().is_checksum_ok());
        writeln!(shown, "{}", show_batch(&batch.view())).unwrap();
    }
    shown
}

fn show_batch(view: &mainstem_protocol::record::BatchView<'_>) -> String {
    let (first, last) = (view.base_offset(), view.last_offset());
    let mut line = if first == last { first.to_string() } else { format!("{first}..{last}") };
    let mut head = Vec::new();
    if view.producer_id().is_some() {
        let sequence = view.base_sequence();
        let sequence = if 0 <= sequence { format!("/{sequence}") } else { String::new() };
        head.push(format!("p{}/{}{sequence}", view.producer_id(), view.producer_epoch()));
    }
    if view.is_transactional() && !view.is_control() {
        head.push("txn".to_owned());
    }
    head.push(format!("t={}", view.max_timestamp_ms()));
    if view.attributes() & 8 != 0 {
        head.push("append".to_owned());
    }
    if view.has_delete_horizon() {
        head.push(format!("keep={}", view.base_timestamp_ms()));
    }
    if view.compression().unwrap() != Compression::None {
        head.push(view.compression().unwrap().name().to_owned());
    }
    write!(line, " [{}]", head.join(" ")).unwrap();
    let header = BatchHeader::read(view.bytes()).unwrap();
    let records: Vec<_> = view.records(1 << 20).unwrap().map(Result::unwrap).collect();
    let is_whole = records.len() as i64 == last.0 - first.0 + 1;
    for record in records {
        let offset = view.offset_of(&record);
        if view.is_control() {
            let marker: Marker = crate::log::marker_in(&header, view.bytes()).unwrap();
            line.push_str(if marker.commit { " commit" } else { " abort" });
            continue;
        }
        assert_eq!(view.timestamp_of_ms(&record), view.max_timestamp_ms(), "{line}");
        let text = |bytes: Option<&Bytes>, none: &str| {
            bytes.map_or(none.to_owned(), |bytes| String::from_utf8(bytes.to_vec()).unwrap())
        };
        let at = if is_whole { String::new() } else { format!("{offset}:") };
        let (key, value) = (text(record.key.as_ref(), "-"), text(record.value.as_ref(), "~"));
        write!(line, " {at}{key}={value}").unwrap();
    }
    line
}

#[test]
fn every_case_of_the_table_comes_out_as_it_says() {
    let table = include_str!("cases.txt");
    let mut wrong = String::new();
    for text in table.split("\ncase ").skip(1) {
        let case = Case::parse(text);
        let found = case.run();
        if found != case.after {
            let (name, after) = (case.name, &case.after);
            writeln!(wrong, "case {name}\nexpected\n{after}found\n{found}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn keys_without_room_are_left_to_the_next_task() {
    let mut lines = String::from("full\n");
    for offset in 0..200 {
        writeln!(lines, "{offset} [t=1] k{}=1", offset % 100).unwrap();
    }
    let mut case = Case::parse(&lines);
    // 64 slots, of which three quarters are filled.
    case.memory_bytes = 0;
    let disk = SimulatedDisk::new();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let mut task = CompactionTask::new(case.plan(&disk));
    task.step(&disk).unwrap();
    assert!(matches!(task.work, Work::Next));
    assert_eq!(task.first_dirty_after(), Offset(48));
    let shown = case.run();
    assert_eq!(shown.lines().count(), 200, "all 48 keys are the last of theirs so far");
    case.memory_bytes = 1 << 20;
    assert_eq!(case.run().lines().count(), 100);
}
