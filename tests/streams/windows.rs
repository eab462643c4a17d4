//! A join and final windows behind a repartition topic, to the end of the stream.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstem_streams::{Builder, Consumed, Topology};
use mainstem_streams::{Tumbling, Windowed};

use super::{PATIENCE, World};

const PARTITIONS: i32 = 3;
const WINDOW_MS: i64 = 1_000;

fn topology(world: &World) -> Topology {
    let builder = Builder::new().with_watermarks();
    let rooms: Consumed<String, String> = world.topic("rooms").as_str().into();
    let rooms = builder.table(rooms.bounded(), "rooms");
    builder
        .stream::<String, String>(world.topic("readings").as_str())
        .join_table(&rooms, |_, reading, room| format!("{room}:{reading}"))
        .group_by("by-room", |_, joined| joined.split(':').next().unwrap_or_default().to_owned())
        .windowed(Tumbling::of(Duration::from_millis(1_000)).grace(Duration::from_millis(100)))
        .emit_final()
        .count("sums")
        .to_stream()
        .map(|window: Windowed<String>, count| (format!("{}@{}", window.key, window.start), count))
        .to(world.topic("sums").as_str());
    builder.build().expect("a good topology")
}

/// The application crashes on its way; every window comes out once, with all its records, and the
/// application knows that it has seen the end, also after it was started anew.
pub(crate) async fn exact_to_the_end(bootstrap: &str) {
    let world = World::new(bootstrap, "windows");
    for topic in ["rooms", "readings", "sums"] {
        world.create(topic, PARTITIONS).await;
    }
    let (readings, expected) = readings();
    let borrowed: Vec<(&str, &str, i64)> =
        readings.iter().map(|(key, value, at)| (key.as_str(), value.as_str(), *at)).collect();
    let half = borrowed.len() / 2;
    world.produce("readings", &borrowed[..half]).await;
    let app = world.start(topology(&world), "home").await;
    let rooms: Vec<(String, String)> =
        (0..20).map(|n| (format!("sensor-{n}"), format!("room-{}", n % 6))).collect();
    let rooms: Vec<(&str, &str, i64)> =
        rooms.iter().map(|(key, value)| (key.as_str(), value.as_str(), 999_999)).collect();
    world.produce("rooms", &rooms).await;
    world.end("rooms", PARTITIONS).await;
    let mut reader = world.reader("sums", PARTITIONS).await;
    reader.read_to(5).await;
    app.abort().await;
    world.produce("readings", &borrowed[half..]).await;
    let app = world.start(topology(&world), "home").await;
    reader.read_to(40).await;
    app.abort().await;
    world.end("readings", PARTITIONS).await;
    for _ in 0..2 {
        let app = world.start(topology(&world), "home").await;
        let ended = tokio::time::timeout(PATIENCE, app.ended()).await;
        ended.expect("the end is reached in time").expect("the end is reached");
        app.close().await.expect("close");
    }
    reader.read_to(expected.len()).await;
    reader.read_all().await;
    let read: BTreeMap<String, Vec<u64>> = reader
        .read
        .iter()
        .map(|(key, counts)| (String::from_utf8_lossy(key).into_owned(), counts.clone()))
        .collect();
    assert_eq!(read, expected);
}

type Readings = Vec<(String, String, i64)>;

/// Readings of twenty sensors over thirty windows, a little out of order, and the counts per room
/// and window that they make.
fn readings() -> (Readings, BTreeMap<String, Vec<u64>>) {
    let mut readings = Vec::new();
    let mut expected: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for n in 0..6_000_i64 {
        let sensor = (n * 7) % 20;
        let at = 10_000 + n * 5 - (n * 31) % 90;
        readings.push((format!("sensor-{sensor}"), n.to_string(), at));
        let window = format!("room-{}@{}", sensor % 6, at - at % WINDOW_MS);
        expected.entry(window).or_insert_with(|| vec![0])[0] += 1;
    }
    (readings, expected)
}
