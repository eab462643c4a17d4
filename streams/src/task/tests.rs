//! The choice of the next record, saved times, and what a task tells the tasks behind it.

use std::collections::BTreeMap;

use super::times::Announcement;
use super::*;
use crate::record::END_OF_TIME;
use crate::{Builder, Consumed, MemoryBackend, Topology};

fn open(topology: Topology, idle: Idle) -> Task {
    let external = topology.external_topics().into_iter().map(|topic| (topic, 1)).collect();
    let bad_records = crate::BadRecords::Fail;
    let application = Application::new(topology, "app", &external, bad_records, idle);
    let disk = Arc::new(MemoryBackend::default());
    let backends = Backends { disk: disk.clone(), memory: disk };
    let id = TaskId { sub: 0, partition: 0 };
    let application = Arc::new(application.expect("a good topology"));
    Task::open(id, application, &backends, &BTreeMap::new()).expect("open")
}

fn records(from: i64, times: &[i64]) -> Vec<InputRecord> {
    let key = Some(bytes::Bytes::from("k"));
    let records = times.iter().enumerate().map(|(at, timestamp)| InputRecord {
        offset: mainstem_protocol::ids::Offset(from + at as i64),
        timestamp: *timestamp,
        key: key.clone(),
        value: Some(bytes::Bytes::from(timestamp.to_string())),
        headers: Vec::new(),
    });
    records.collect()
}

fn merged(is_bounded: bool, idle: Idle) -> Task {
    let builder = Builder::new();
    let left: Consumed<String, String> = "left".into();
    let left = if is_bounded { left.bounded() } else { left };
    let left = builder.stream::<String, String>(left);
    left.merge(&builder.stream("right")).to("out");
    open(builder.build().expect("a good topology"), idle)
}

/// Processes as far as possible and shows the values that came out, and how it stopped.
fn run(task: &mut Task, now_ms: i64) -> String {
    let mut shown = Vec::new();
    loop {
        let step = task.process(now_ms).expect("process");
        shown.extend(task.take_outputs().into_iter().map(|output| {
            String::from_utf8(output.value.expect("a value").to_vec()).expect("text")
        }));
        if !matches!(step, Step::Processed(_)) {
            shown.push(format!("{step:?}"));
            return shown.join(" ");
        }
    }
}

#[test]
fn the_least_timestamp_comes_first_and_an_empty_input_is_waited_for() {
    let mut task = merged(false, Idle::CaughtUpAnd { wait_ms: 0 });
    task.handle_records("left", records(0, &[1, 4, 3, 9]));
    assert_eq!(run(&mut task, 0), "Waiting");
    task.handle_records("right", records(0, &[2, 4, 5]));
    assert_eq!(run(&mut task, 0), "1 2 4 3 4 5 Waiting");
    task.handle_caught_up("right", true);
    assert_eq!(run(&mut task, 0), "9 Idle");
    let offsets = task.prepare_commit().expect("commit").offsets;
    let offsets: Vec<(String, i64)> =
        offsets.into_iter().map(|o| (o.topic.to_string(), o.offset.0)).collect();
    assert_eq!(offsets, [("left".to_owned(), 4), ("right".to_owned(), 3)]);
}

#[test]
fn a_task_may_wait_longer_or_not_at_all() {
    let mut task = merged(false, Idle::CaughtUpAnd { wait_ms: 10 });
    task.handle_records("left", records(0, &[1]));
    task.handle_caught_up("right", true);
    assert_eq!(run(&mut task, 100), "Waiting");
    assert_eq!(run(&mut task, 109), "Waiting");
    assert_eq!(run(&mut task, 110), "1 Idle");
    let mut task = merged(false, Idle::Never);
    task.handle_records("left", records(0, &[1]));
    assert_eq!(run(&mut task, 0), "1 Idle");
}

#[test]
fn the_committed_offset_is_that_of_the_next_record_to_process() {
    let mut task = merged(false, Idle::CaughtUpAnd { wait_ms: 0 });
    task.handle_records("left", records(5, &[1, 8]));
    task.handle_records("right", records(7, &[3]));
    assert_eq!(run(&mut task, 0), "1 3 Waiting");
    let offsets = task.prepare_commit().expect("commit").offsets;
    let offsets: Vec<i64> = offsets.into_iter().map(|o| o.offset.0).collect();
    assert_eq!(offsets, [6, 8]);
}

#[test]
fn a_bounded_input_goes_first_until_it_has_ended() {
    let mut task = merged(true, Idle::Never);
    task.handle_records("right", records(0, &[1]));
    task.handle_records("left", records(0, &[50]));
    assert_eq!(run(&mut task, 0), "50 Waiting");
    let mut end = records(1, &[60]);
    end[0].headers.push(crate::Header { key: crate::END_OF_STREAM_HEADER.into(), value: None });
    task.handle_records("left", end);
    assert_eq!(run(&mut task, 0), "1 Idle");
}

#[test]
fn metadata_has_the_form_of_kafkas_library() {
    let plain = PartitionMetadata { time: 258, entries: BTreeMap::new() };
    assert_eq!(plain.encode(), "AgAAAAAAAAEC");
    let entries = BTreeMap::from([("a".to_owned(), 1), ("w/3".to_owned(), END_OF_TIME)]);
    for metadata in [
        plain,
        PartitionMetadata { time: NO_TIME, entries: entries.clone() },
        PartitionMetadata { time: END_OF_TIME, entries },
    ] {
        assert_eq!(PartitionMetadata::decode(&metadata.encode()), Some(metadata));
    }
    for bad in ["", "AQAAAAAAAAEC", "AgAAAA", "not base64", "AgAAAAAAAAECf////w=="] {
        assert_eq!(PartitionMetadata::decode(bad), None, "{bad}");
    }
}

#[test]
fn announcements_round_trip() {
    let announcement = Announcement { upstream: 7, time: -3 };
    let bytes = announcement.encode();
    assert_eq!(Announcement::decode(&bytes), Some(announcement));
    assert_eq!(Announcement::decode(&bytes[1..]), None);
    assert_eq!(Announcement::decode(&[9; 13]), None);
}
