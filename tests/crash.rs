//! Kills the real broker process at random moments under load, and counts.
//!
//! Both loads of `load` live through all rounds. `MAINSTEM_CRASH_ROUNDS` sets the number of kills
//! (`tests/crash_loop.sh` asks for 200), `MAINSTEM_CRASH_SEED` repeats a run's moments.

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
    let mut records = Idempotent::start(&bootstrap, "records").await;
    let transactions = Transactional::start(&bootstrap, "transactions", seed);
    for round in 0..rounds {
        records.work(&mut moments).await;
        broker.kill();
        broker.restart();
        records.settle_all().await;
        println!("round {round}: {}", records.summary());
    }
    records.verify(&bootstrap).await;
    transactions.verify(&bootstrap).await;
}
