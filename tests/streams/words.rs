//! Word counts through crashes, loss of state, and changes of the group.

use mainstem_streams::{Builder, Topology};

use super::{Reader, World};

const PARTITIONS: i32 = 3;

fn topology(world: &World) -> Topology {
    let builder = Builder::new();
    builder
        .stream::<String, String>(world.topic("lines").as_str())
        .flat_map_values(|_, line| line.split_whitespace().map(String::from).collect::<Vec<_>>())
        .group_by("by-word", |_, word| word.clone())
        .count("counts")
        .to_stream()
        .to(world.topic("counts").as_str());
    builder.build().expect("a good topology")
}

async fn world(bootstrap: &str, name: &str) -> World {
    let world = World::new(bootstrap, name);
    world.create("lines", PARTITIONS).await;
    world.create("counts", PARTITIONS).await;
    world
}

/// Writes so many lines of three words each, one of them rare.
async fn write(world: &World, lines: usize) -> usize {
    let texts: Vec<(String, String)> = (0..lines)
        .map(|n| (format!("key-{n}"), format!("all word-{} word-{}", n % 7, n % 31)))
        .collect();
    let records: Vec<(&str, &str, i64)> = texts
        .iter()
        .enumerate()
        .map(|(at, (key, text))| (key.as_str(), text.as_str(), 1_000_000 + at as i64))
        .collect();
    world.produce("lines", &records).await;
    3 * lines
}

/// For each word the counts are 1, 2, 3 and so on.
fn assert_exact(reader: &Reader) {
    for (word, counts) in &reader.read {
        let expected: Vec<u64> = (1..=counts.len() as u64).collect();
        assert_eq!(*counts, expected, "counts of {}", String::from_utf8_lossy(word));
    }
}

/// The application is dropped in the middle of its work again and again.
pub(crate) async fn crashes(bootstrap: &str) {
    let world = world(bootstrap, "crashes").await;
    let mut reader = world.reader("counts", PARTITIONS).await;
    let mut expected = 0;
    for round in 0..5 {
        expected += write(&world, 1_500).await;
        let app = world.start(topology(&world), "home").await;
        // Some of the work of this round is committed, some is under way.
        reader.read_to(expected - 4_500 + 300 * (round + 1)).await;
        app.abort().await;
    }
    let app = world.start(topology(&world), "home").await;
    reader.read_to(expected).await;
    reader.read_all().await;
    assert_exact(&reader);
    assert_eq!(reader.count, expected);
    app.close().await.expect("close");
}

/// The state directory is lost: the counts go on from the changelog.
pub(crate) async fn wiped_state(bootstrap: &str) {
    let world = world(bootstrap, "wiped").await;
    let mut reader = world.reader("counts", PARTITIONS).await;
    let mut expected = 0;
    for _ in 0..3 {
        expected += write(&world, 500).await;
        let app = world.start(topology(&world), "home").await;
        reader.read_to(expected).await;
        app.close().await.expect("close");
        world.wipe("home");
    }
    reader.read_all().await;
    assert_exact(&reader);
    assert_eq!(reader.count, expected);
}

/// A second instance joins, takes tasks over, and the first one leaves.
pub(crate) async fn two_instances(bootstrap: &str) {
    let world = world(bootstrap, "two").await;
    let mut reader = world.reader("counts", PARTITIONS).await;
    let first = world.start(topology(&world), "first").await;
    let mut expected = write(&world, 500).await;
    reader.read_to(expected).await;
    let second = world.start(topology(&world), "second").await;
    for _ in 0..5 {
        expected += write(&world, 300).await;
    }
    reader.read_to(expected).await;
    first.close().await.expect("close the first");
    for _ in 0..3 {
        expected += write(&world, 300).await;
    }
    reader.read_to(expected).await;
    reader.read_all().await;
    assert_exact(&reader);
    assert_eq!(reader.count, expected);
    assert!(second.counters().processed > 0, "the second instance has taken over");
    second.close().await.expect("close the second");
}
