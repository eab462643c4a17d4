//! Connect from end to end: the real components, the REST API, a broker, and workers that are
//! killed.

#![expect(clippy::needless_pass_by_value, reason = "JSON literals are built in place")]

#[path = "connect/harness.rs"]
mod harness;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use harness::{Platform, number};
use mainstem_client::{
    AutoOffsetReset, Consumer, ConsumerConfig, ConsumerRecord, Isolation, TopicPartition,
};
use serde_json::{Value, json};

const ROWS: usize = 30_000;
const PARTITIONS: i32 = 6;

fn source_config(platform: &Platform) -> Value {
    json!({
        "connector.class": "file-source",
        "path": platform.path("rows.csv"),
        "topic": platform.topic("rows"),
        "columns": "id:long,name:string?,at:timestamp,amount:double?",
        "null.text": "NA",
        "key.column": "name",
        "timestamp.column": "at",
        "schema.name": "test.Row",
        "end.of.stream": "true",
        "value.converter": platform.value_converter(),
        "topic.creation.default.partitions": PARTITIONS.to_string(),
        // Many small transactions give a kill something to hit.
        "transaction.boundary.interval.ms": "1",
    })
}

fn write_rows(platform: &Platform) {
    let mut text = String::from("id,name,at,amount\n");
    for id in 0..ROWS {
        let name = if id % 100 == 99 { "NA".to_string() } else { format!("name-{}", id % 37) };
        let amount = if id % 10 == 9 { "NA".to_string() } else { format!("{}.25", id % 50) };
        text.push_str(&format!("{id},{name},2013-01-{:02}T10:00:00Z,{amount}\n", 1 + id / 1000));
    }
    std::fs::write(platform.path("rows.csv"), text).expect("the file is written");
}

/// All committed records of a topic, per partition.
fn read_all(platform: &Platform, topic: &str) -> BTreeMap<i32, Vec<ConsumerRecord>> {
    platform.runtime.block_on(async {
        let mut config = ConsumerConfig::new(&platform.bootstrap);
        config.isolation = Isolation::ReadCommitted;
        config.auto_offset_reset = AutoOffsetReset::Earliest;
        let consumer = Consumer::connect(config).await.expect("the consumer connects");
        let partitions: Vec<TopicPartition> =
            (0..PARTITIONS).map(|partition| TopicPartition::new(topic, partition)).collect();
        consumer.assign(&partitions).expect("the partitions are assigned");
        let ends = consumer.end_offsets(&partitions).await.expect("the ends are known");
        let mut records: BTreeMap<i32, Vec<ConsumerRecord>> = BTreeMap::new();
        while partitions.iter().any(|p| consumer.position(p).is_none_or(|at| at < ends[p])) {
            let polled = consumer.poll(Duration::from_millis(500)).await.expect("the poll answers");
            for record in polled.records() {
                records.entry(record.partition).or_default().push(record.clone());
            }
        }
        consumer.close().await.expect("the consumer closes");
        records
    })
}

fn is_end_of_stream(record: &ConsumerRecord) -> bool {
    record.headers.iter().any(|header| header.key == "mainstem.end-of-stream")
}

/// Every row once, rows of one key in the order of the file, and one end-of-stream record at the
/// end of each partition.
fn check_topic(platform: &Platform, topic: &str) {
    let records = read_all(platform, topic);
    let mut rows = 0;
    for partition in 0..PARTITIONS {
        let records = &records[&partition];
        let (end, data) = records.split_last().expect("a partition has its end of stream");
        assert!(is_end_of_stream(end) && end.key.is_none() && end.value.is_none(), "{end:?}");
        assert!(!data.iter().any(is_end_of_stream), "one end of stream per partition");
        rows += data.len();
        let newest = data.iter().map(|record| record.timestamp_ms).max().unwrap_or(0);
        assert!(newest <= end.timestamp_ms);
    }
    assert_eq!(rows, ROWS);
    if platform.value_converter() == "json" {
        let mut last_of_key: HashMap<Vec<u8>, i64> = HashMap::new();
        for record in records.values().flatten().filter(|record| !is_end_of_stream(record)) {
            let value: Value =
                serde_json::from_slice(record.value.as_ref().expect("a value")).expect("JSON");
            let id = value["id"].as_i64().expect("an id");
            if let Some(key) = &record.key {
                let before = last_of_key.insert(key.to_vec(), id);
                assert!(before.is_none_or(|before| before < id), "{id} after {before:?}");
            }
        }
    }
}

#[test]
fn a_file_goes_into_a_topic_and_out_again_exactly_once_through_kills() {
    let mut platform = Platform::start("kills");
    write_rows(&platform);
    platform.create("source", source_config(&platform));
    for _ in 0..4 {
        platform.wait("progress of the source", |platform| {
            (0 < number(&platform.status("source"), "commits")).then_some(())
        });
        platform.kill_worker();
        platform.start_worker();
    }
    let topic = platform.topic("rows");
    // The file is complete when the task has nothing left to take and all of it is delivered.
    platform.wait("the end of the file", |platform| {
        let records = read_all(platform, &topic);
        let ends = records.values().filter(|records| records.last().is_some_and(is_end_of_stream));
        (ends.count() == PARTITIONS as usize).then_some(())
    });
    check_topic(&platform, &topic);
    let path = platform.path("out.csv");
    platform.create(
        "sink",
        json!({
            "connector.class": "file-sink",
            "topics": topic,
            "path": path,
            "columns": "id,name,amount",
            "null.text": "NA",
            "value.converter": platform.value_converter(),
            "flush.interval.ms": "1",
        }),
    );
    for _ in 0..4 {
        platform.wait("progress of the sink", |platform| {
            (0 < number(&platform.status("sink"), "commits")).then_some(())
        });
        platform.kill_worker();
        platform.start_worker();
    }
    let lines = |path: &str| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    platform.wait("all rows in the file", |_| (ROWS < lines(&path)).then_some(()));
    // An orderly stop writes and commits what is left; nothing may come after it.
    platform.stop_worker();
    let text = std::fs::read_to_string(&path).expect("the file is there");
    let mut found: Vec<&str> = text.lines().collect();
    assert_eq!(found.remove(0), "id,name,amount");
    let expected = |id: usize| {
        let name = if id % 100 == 99 { "NA".to_string() } else { format!("name-{}", id % 37) };
        let amount = if id % 10 == 9 { "NA".to_string() } else { format!("{}.25", id % 50) };
        format!("{id},{name},{amount}")
    };
    let id = |line: &&str| line.split(',').next().and_then(|id| id.parse::<usize>().ok());
    found.sort_by_key(id);
    assert_eq!(found.len(), ROWS);
    for (row, line) in found.into_iter().enumerate() {
        assert_eq!(line, expected(row));
    }
}

#[test]
fn a_bad_row_fails_the_task_or_is_counted() {
    let platform = Platform::start("bad-rows");
    let rows = "id,name\n1,one\nx,two\n3\n4,four\n";
    std::fs::write(platform.path("bad.csv"), rows).expect("the file is written");
    let config = |tolerance: &str| {
        json!({
            "connector.class": "file-source",
            "path": platform.path("bad.csv"),
            "topic": platform.topic(tolerance),
            "columns": "id:long,name:string",
            "value.converter": "json",
            "errors.tolerance": tolerance,
            "topic.creation.default.partitions": PARTITIONS.to_string(),
        })
    };
    platform.create("none", config("none"));
    let status = platform.wait("the failure", |platform| {
        let status = platform.status("none");
        (status["tasks"][0]["state"] == "FAILED").then_some(status)
    });
    let trace = status["tasks"][0]["trace"].as_str().expect("a failed task has a trace");
    let expected = "bad.csv row 2: column id: 'x' is not a 64-bit integer";
    assert!(trace.ends_with(expected), "{trace}");
    // The row before the bad one was in the same batch, and nothing of a failed batch counts.
    assert_eq!(number(&status, "records-delivered"), 0);

    platform.create("all", config("all"));
    let status = platform.wait("the good rows", |platform| {
        let status = platform.status("all");
        (number(&status, "records-delivered") == 2).then_some(status)
    });
    assert_eq!(number(&status, "records-skipped"), 2);
    let last = status["tasks"][0]["metrics"]["last-skip"].as_str().expect("a reason is shown");
    assert!(last.ends_with("bad.csv row 3: 1 fields instead of 2"), "{last}");
}

#[test]
fn a_path_that_is_not_granted_fails_with_what_is_granted() {
    let platform = Platform::start("grants");
    let link = platform.directory.path().join("link.csv");
    std::os::unix::fs::symlink("/etc/passwd", &link).expect("a link is made");
    for (name, path) in [("outside", "/etc/passwd"), ("through-a-link", &platform.path("link.csv"))]
    {
        let topic = platform.topic(name);
        let config = json!({ "connector.class": "file-source", "path": path, "topic": topic, "format": "lines" });
        platform.create(name, config);
        let status = platform.wait("the refusal", |platform| {
            let status = platform.status(name);
            (status["connector"]["state"] == "FAILED").then_some(status)
        });
        let trace = status["connector"]["trace"].as_str().expect("a failure has a trace");
        assert!(trace.contains("is not granted: this worker grants"), "{trace}");
    }
}

#[test]
fn the_rest_api_answers_as_kafka_connect_does() {
    let platform = Platform::start("rest");
    std::fs::write(platform.path("a.txt"), "one\ntwo\n").expect("the file is written");
    let config = json!({
        "connector.class": "file-source",
        "path": platform.path("a.txt"),
        "topic": platform.topic("lines"),
        "format": "lines",
        "value.converter": "string",
    });
    let create = json!({ "name": "a", "config": config });
    let none = Value::Null;
    // method, path, body, status, and a text that the answer holds
    let table: Vec<(&str, &str, &Value, u16, &str)> = vec![
        ("GET", "/", &none, 200, "kafka_cluster_id"),
        ("GET", "/health", &none, 200, "healthy"),
        ("GET", "/connectors", &none, 200, "[]"),
        ("GET", "/connectors/a", &none, 404, "Connector a not found"),
        ("POST", "/connectors", &create, 201, "\"type\":\"source\""),
        ("POST", "/connectors", &create, 409, "Connector a already exists"),
        ("GET", "/connectors", &none, 200, "[\"a\"]"),
        ("GET", "/connectors?expand=status&expand=info", &none, 200, "\"info\":"),
        ("GET", "/connectors/a/config", &none, 200, "\"connector.class\":\"file-source\""),
        ("PUT", "/connectors/a/config", &config, 200, "\"name\":\"a\""),
        ("PUT", "/connectors/a/pause", &none, 202, ""),
        ("PUT", "/connectors/a/resume", &none, 202, ""),
        ("POST", "/connectors/a/restart?includeTasks=true", &none, 202, "\"connector\":"),
        ("POST", "/connectors/a/restart", &none, 204, ""),
        ("POST", "/connectors/a/tasks/7/restart", &none, 404, "Task a-7 not found"),
        ("GET", "/connectors/a/tasks/7/status", &none, 404, "No status found for task a-7"),
        ("GET", "/connectors/a/topics", &none, 200, "\"topics\":"),
        ("PUT", "/connectors/a/stop", &none, 204, ""),
        ("GET", "/connectors/a/status", &none, 200, "\"state\":\"STOPPED\""),
        ("DELETE", "/connectors/a", &none, 204, ""),
        ("DELETE", "/connectors/a", &none, 404, "Connector a not found"),
        ("GET", "/connector-plugins", &none, 200, "\"class\":\"file-sink\",\"type\":\"sink\""),
        ("GET", "/connector-plugins/file-sink/config", &none, 200, "\"name\":\"delimiter\""),
        (
            "GET",
            "/connector-plugins/nothing/config",
            &none,
            404,
            "available connectors are: file-sink",
        ),
        ("GET", "/nothing", &none, 404, "HTTP 404 Not Found"),
        ("PATCH", "/connectors", &none, 405, "HTTP 405 Method Not Allowed"),
    ];
    for (method, path, body, status, holds) in table {
        let (found, answer) = platform.call(method, path, body);
        assert_eq!(found, status, "{method} {path}: {answer}");
        let answer = if answer.is_null() { String::new() } else { answer.to_string() };
        assert!(answer.contains(holds), "{method} {path}: {answer}");
        if 400 <= status {
            assert!(
                answer.contains(&format!("\"error_code\":{status}")),
                "{method} {path}: {answer}"
            );
        }
    }
}

#[test]
fn an_invalid_configuration_is_refused_with_every_field() {
    let platform = Platform::start("invalid");
    let path = platform.path("a.csv");
    let table: Vec<(Value, &[&str])> = vec![
        (json!({}), &["connector.class: Missing required"]),
        (
            json!({ "connector.class": "nothing" }),
            &["available connectors are: file-sink, file-source"],
        ),
        (
            json!({ "connector.class": "file-source", "tasks.max": "0", "header": "maybe" }),
            &[
                "path: Missing",
                "topic: Missing",
                "tasks.max: Invalid value 0",
                "header: Invalid value maybe",
            ],
        ),
        (
            json!({
                "connector.class": "file-source", "path": path, "topic": "t",
                "columns": "a:blob", "key.column": "b",
            }),
            &["columns: a:blob: blob is not a type", "key.column: b is not among the columns"],
        ),
        (
            json!({ "connector.class": "file-source", "path": "a.csv", "topic": "t", "value.converter": "bytes" }),
            &[
                "path: must be an absolute path",
                "value.converter: the bytes converter does not go with",
            ],
        ),
        (
            json!({
                "connector.class": "file-sink", "path": path, "topics": "t",
                "tasks.max": "2", "errors.tolerance": "some",
            }),
            &["tasks.max: must be 1", "errors.tolerance: Invalid value some"],
        ),
    ];
    for (config, holds) in table {
        let (status, answer) =
            platform.call("POST", "/connectors", &json!({ "name": "x", "config": config }));
        let message = answer["message"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{config}: {answer}");
        for text in holds {
            assert!(message.contains(text), "{config}: {message}");
        }
    }
    let (status, answer) = platform.call(
        "PUT",
        "/connector-plugins/file-sink/config/validate",
        &json!({ "name": "x", "connector.class": "file-sink", "topics": "t" }),
    );
    assert_eq!((status, answer["error_count"].as_u64()), (200, Some(1)), "{answer}");
}

#[test]
fn a_plugin_that_does_not_load_is_refused_with_the_reason() {
    let platform = Platform::start("broken-plugin");
    let broken = harness::plugins().join(format!("broken-{}.wasm", std::process::id()));
    std::fs::write(&broken, b"\0asm and then nothing").expect("the file is written");
    let class = broken.file_stem().expect("a name").to_string_lossy().into_owned();
    let config = json!({ "connector.class": class });
    let (status, answer) =
        platform.call("POST", "/connectors", &json!({ "name": "x", "config": config }));
    std::fs::remove_file(&broken).expect("the file goes away");
    let message = answer["message"].as_str().unwrap_or_default();
    assert_eq!(status, 400, "{answer}");
    assert!(message.contains("does not load: not a usable component"), "{message}");
}
