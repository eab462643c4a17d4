//! Topologies through the test driver: what comes out, in which order, and after which crashes.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstem_platform::{Random, SeededRandom};

use crate::{Aggregate, Builder, Consumed, Step, Store, TestDriver, Tumbling, Windowed};

fn texts(items: &[(&str, u64, i64)]) -> Vec<(String, u64, i64)> {
    items.iter().map(|(key, value, at)| ((*key).to_owned(), *value, *at)).collect()
}

fn word_count(builder: &Builder) -> Store<String, u64> {
    let counts: Aggregate<String, u64> = builder
        .stream::<Option<String>, String>("lines")
        .flat_map_values(|_, line| {
            line.to_lowercase().split_whitespace().map(String::from).collect::<Vec<_>>()
        })
        .group_by("by-word", |_, word| word.clone())
        .count("word-counts");
    counts.to_stream().to("counts");
    counts.store()
}

#[test]
fn word_count_gives_out_every_update() {
    let builder = Builder::new();
    let counts = word_count(&builder);
    let driver = TestDriver::new(builder.build().expect("a good topology"));
    driver.input::<Option<String>, String>("lines").send(None, "Hello hello", 0);
    let output = driver.output::<String, u64>("counts").drain();
    assert_eq!(output, texts(&[("hello", 1, 0), ("hello", 2, 0)]));
    assert_eq!(driver.store(&counts)["hello"], 2);
}

#[test]
fn a_topology_describes_itself() {
    let builder = Builder::new();
    word_count(&builder);
    let expected = "\
Topologies:
   Sub-topology: 0
    Source: source-1 (topics: [lines])
      --> flat-map-values-1
    Processor: flat-map-values-1 (stores: [])
      --> select-key-1
      <-- source-1
    Processor: select-key-1 (stores: [])
      --> sink-1
      <-- flat-map-values-1
    Sink: sink-1 (topic: by-word-repartition)
      <-- select-key-1
   Sub-topology: 1
    Source: source-2 (topics: [by-word-repartition])
      --> aggregate-1
    Processor: aggregate-1 (stores: [word-counts])
      --> to-stream-1
      <-- source-2
    Processor: to-stream-1 (stores: [])
      --> sink-2
      <-- aggregate-1
    Sink: sink-2 (topic: counts)
      <-- to-stream-1
";
    assert_eq!(builder.build().expect("a good topology").describe(), expected);
}

#[test]
fn a_stream_meets_the_row_that_its_key_has_now() {
    let builder = Builder::new();
    let names = builder.table::<String, String>("names", "names");
    let stream = builder.stream::<String, u64>("stream");
    stream.join_table(&names, |_, n, name| format!("{name} {n}")).to("inner");
    stream.left_join_table(&names, |_, n, name| format!("{name:?} {n}")).to("left");
    names.to_stream().to("copy");
    let driver = TestDriver::new(builder.build().expect("a good topology"));
    let (names, stream) =
        (driver.input::<String, Option<String>>("names"), driver.input::<String, u64>("stream"));
    stream.send("a".into(), 1_u64, 10);
    names.send("a".into(), Some("Anna".to_owned()), 20);
    stream.send("a".into(), 2_u64, 5);
    names.send("a".into(), None, 30);
    stream.send("a".into(), 3_u64, 40);
    let values = |topic| driver.output::<String, String>(topic).drain();
    assert_eq!(values("inner"), [("a".to_owned(), "Anna 2".to_owned(), 5)]);
    let left: Vec<_> = values("left").into_iter().map(|(_, text, at)| (text, at)).collect();
    let expected = [("None 1", 10), ("Some(\"Anna\") 2", 5), ("None 3", 40)];
    assert_eq!(left, expected.map(|(text, at)| (text.to_owned(), at)));
    let copy = driver.output::<String, Option<String>>("copy").drain();
    assert_eq!(copy[1], ("a".to_owned(), None, 30));
    assert_eq!(driver.counters().unmatched, 2);
}

#[test]
fn a_bounded_table_is_complete_before_the_stream_meets_it() {
    let builder = Builder::new();
    let names: Consumed<String, String> = "names".into();
    let names = builder.table::<String, String>(names.bounded(), "names");
    let stream = builder.stream::<String, u64>("stream");
    stream.join_table(&names, |_, n, name| format!("{name} {n}")).to("out");
    let driver = TestDriver::new(builder.build().expect("a good topology"));
    driver.input::<String, u64>("stream").send("a".into(), 1_u64, 10);
    driver.input::<String, Option<String>>("names").send("a".into(), Some("Anna".to_owned()), 99);
    let output = driver.output::<String, String>("out");
    assert_eq!(output.drain(), []);
    driver.end("names");
    assert_eq!(output.drain(), [("a".to_owned(), "Anna 1".to_owned(), 10)]);
}

#[test]
fn a_changed_key_goes_through_a_repartition_topic_before_join_and_group() {
    let builder = Builder::new();
    let names = builder.table::<String, String>("names", "names");
    let stream = builder.stream::<u64, String>("stream");
    let keyed = stream.select_key(|_, name| name.clone());
    keyed.join_table(&names, |_, left, right| format!("{left} {right}")).to("joined");
    keyed.group_by_key().reduce("longest", |left, right| {
        if left.len() < right.len() { right.clone() } else { left.clone() }
    });
    let text = builder.build().expect("a good topology").describe();
    assert!(text.contains("names-join-repartition"), "{text}");
    assert!(text.contains("longest-repartition"), "{text}");
}

#[test]
fn all_mistakes_of_a_topology_are_told_at_once() {
    let builder = Builder::new();
    let first = builder.stream::<String, u64>("twice");
    builder.stream::<String, u64>("twice");
    first.group_by_key().count("store");
    first.group_by_key().count("store");
    first.map(|key, value| (key, (value, value))).group_by_key().count("tuples");
    let error = builder.build().expect_err("a bad topology").to_string();
    for part in ["source topic twice", "store store", "the records for tuples"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn copartitioned_topics_must_agree() {
    let builder = Builder::new();
    let names = builder.table::<String, String>("names", "names");
    builder.stream::<String, u64>("stream").join_table(&names, |_, n, _| *n).to("out");
    let topology = builder.build().expect("a good topology");
    let counts = BTreeMap::from([("names".to_owned(), 2), ("stream".to_owned(), 3)]);
    let error = topology.partition_counts("app", &counts).expect_err("2 is not 3").to_string();
    assert!(error.contains("names has 2, stream has 3"), "{error}");
}

/// Windows of ten, by stream time; out comes (key, start, value).
fn windows(is_final: bool, sends: &[(&str, i64)]) -> Vec<(String, i64, u64)> {
    let builder = Builder::new();
    let grouped = builder.stream::<String, u64>("in").group_by_key();
    let tumbling = Tumbling::of(Duration::from_millis(10)).grace(Duration::from_millis(5));
    let windowed = grouped.windowed(tumbling);
    let windowed = if is_final { windowed.emit_final() } else { windowed };
    windowed.count("windows").to_stream().to("out");
    let driver = TestDriver::new(builder.build().expect("a good topology"));
    for (key, at) in sends {
        driver.input::<String, u64>("in").send((*key).to_owned(), 0_u64, *at);
    }
    let output = driver.output::<Windowed<String>, u64>("out").drain();
    output.into_iter().map(|(key, count, _)| (key.key, key.start, count)).collect()
}

#[test]
fn windows_close_when_their_end_and_grace_have_passed() {
    let sends =
        [("a", 1), ("b", 9), ("a", 12), ("a", 3), ("b", 14), ("a", 15), ("a", 4), ("b", 25)];
    let updates = [("a", 0, 1), ("b", 0, 1), ("a", 10, 1), ("a", 0, 2), ("b", 10, 1), ("a", 10, 2)];
    let late_is_dropped = [("b", 20, 1)];
    let expected: Vec<_> = updates.into_iter().chain(late_is_dropped).collect();
    let named = |rows: Vec<(&str, i64, u64)>| -> Vec<(String, i64, u64)> {
        rows.into_iter().map(|(key, start, count)| (key.to_owned(), start, count)).collect()
    };
    assert_eq!(windows(false, &sends), named(expected));
    let finals = vec![("a", 0, 2), ("b", 0, 1), ("a", 10, 2), ("b", 10, 1)];
    assert_eq!(windows(true, &sends), named(finals));
}

/// Days of readings per sensor, regrouped by room: sums per room and window of 100.
fn rooms(builder: &Builder) {
    let rooms: Consumed<String, String> = "rooms".into();
    let rooms = builder.table::<String, String>(rooms.bounded(), "rooms");
    builder
        .stream::<String, u64>("readings")
        .join_table(&rooms, |_, reading, room| format!("{room}:{reading}"))
        .group_by("by-room", |_, joined| joined.split(':').next().unwrap_or_default().to_owned())
        .windowed(Tumbling::of(Duration::from_millis(100)).grace(Duration::from_millis(20)))
        .emit_final()
        .aggregate(
            "sums",
            || 0_u64,
            |_, joined, sum| {
                *sum += joined.split(':').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
            },
        )
        .to_stream()
        .to("sums");
}

/// Runs the tasks in a random order with random fetches, commits, crashes and losses of state, and
/// compares the final results with a plain sum over the input.
fn run_at_random(seed: u64) {
    let mut random = SeededRandom::new(seed);
    let mut below = move |n: u64| random.next_u64() % n;
    let builder = Builder::new().with_watermarks();
    rooms(&builder);
    let topology = builder.build().expect("a good topology");
    let driver = TestDriver::with_partitions(topology, &[("rooms", 3), ("readings", 3)]);
    driver.manual();
    let mut expected: BTreeMap<(String, i64), u64> = BTreeMap::new();
    let room_of = |sensor: u64| format!("r{}", sensor % 4);
    for sensor in 0..9 {
        let rooms = driver.input::<String, Option<String>>("rooms");
        rooms.send(format!("s{sensor}"), Some(room_of(sensor)), 10_000);
    }
    for reading in 0..40 {
        for sensor in 0..9 {
            // Out of order by less than the grace.
            let at = reading as i64 * 17 + 20 - below(20) as i64;
            driver.input::<String, u64>("readings").send(format!("s{sensor}"), reading, at);
            *expected.entry((room_of(sensor), at - at % 100)).or_default() += reading;
        }
    }
    expected.retain(|_, sum| *sum > 0);
    driver.end("rooms");
    driver.end("readings");
    let tasks = driver.tasks();
    let mut steps = 0;
    while !driver.is_ended() {
        let task = tasks[below(tasks.len() as u64) as usize];
        match below(20) {
            0 => driver.crash(task),
            1 => driver.crash_and_wipe(task),
            2..6 => driver.commit(task).expect("commit"),
            6..12 => driver.fetch(task, below(30) as usize),
            _ => {
                let step = driver.process(task).expect("process");
                assert!(matches!(step, Step::Processed(_) | Step::Waiting | Step::Idle));
            }
        }
        steps += 1;
        assert!(steps < 200_000, "seed {seed}: the end is never reached");
    }
    let mut results: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for (key, sum, _) in driver.output::<Windowed<String>, u64>("sums").drain() {
        let before = results.insert((key.key.clone(), key.start), sum);
        assert_eq!(before, None, "seed {seed}: {key:?} was final twice");
    }
    results.retain(|_, sum| *sum > 0);
    assert_eq!(results, expected, "seed {seed}");
}

#[test]
fn final_results_are_exact_in_any_order_of_tasks_commits_and_crashes() {
    for seed in 0..200 {
        run_at_random(seed);
    }
}
