//! Kills the real broker process at random moments under load, and counts.
//!
//! Both loads of `load` live through all rounds. However long the logs have grown, a start reads only
//! their last segments. `MAINSTEM_CRASH_ROUNDS` sets the number of kills
//! (`tests/crash_loop.sh` asks for 200), `MAINSTEM_CRASH_SEED` repeats a run's moments.

#![allow(clippy::print_stdout, reason = "a round tells what it has seen")]

mod load;
mod process;

use load::{Idempotent, Moments, Transactional, setting};
use process::Broker;

#[tokio::test]
async fn no_acknowledged_record_is_lost_or_doubled_when_the_broker_is_killed() {
    let rounds = setting("MAINSTEM_CRASH_ROUNDS", 12);
    let seed = setting("MAINSTEM_CRASH_SEED", u64::from(std::process::id()));
    println!("{rounds} rounds, MAINSTEM_CRASH_SEED={seed}");
    let mut moments = Moments(seed);
    let mut broker = Broker::start(&[]);
    let bootstrap = broker.bootstrap();
    load::create_topics(&bootstrap, &["records", "transactions"]).await;
    let mut records = Idempotent::start(&bootstrap, "records", 2_048).await;
    let transactions = Transactional::start(&bootstrap, "transactions", seed);
    for round in 0..rounds {
        records.work(&mut moments).await;
        broker.kill();
        broker.restart();
        records.settle_all().await;
        let segments = broker.metric("mainstem_recovery_segments_max");
        // The active one, the one before, and those whose sync was still under way.
        assert!(segments <= 4, "{segments} segments of one log were read to open it");
        println!("round {round}: {}, recovery read {segments} segments", records.summary());
    }
    records.verify(&bootstrap).await;
    transactions.verify(&bootstrap).await;
    // The first start leaves nothing unsynced: the second has only the ends of the logs to look at.
    for _ in 0..2 {
        broker.kill();
        broker.restart();
    }
    let read = broker.metric("mainstem_recovery_scanned_bytes");
    let held = broker.metric("mainstem_log_bytes");
    let segments = broker.metric("mainstem_recovery_segments_max");
    println!("recovery at rest read {read} of {held} bytes, {segments} segments of a log at most");
    assert!(segments <= 2, "{segments} segments of one log at rest were read to open it");
    assert!(read < held, "the logs were read whole");
}
