//! Cuts the power of the broker's disk at random moments under load, and counts.
//!
//! The data directory is a file system of its own in an image file. A cut stops that file system without
//! writing anything more: what was not synced, files and names, is gone, as after a real power cut; a
//! SIGKILL alone would leave it in the page cache. Then the broker is killed, the file system is mounted
//! again, which plays its journal, and the broker starts on what is left. Both loads of `load` live through
//! all rounds, with `flush=commit`.
//!
//! Needs root and a loop device, which not every machine gives: without them it says so and ends.
//! `MAINSTEM_POWER_CUTS` sets the number of cuts, `MAINSTEM_CRASH_SEED` repeats a run's moments.
#![allow(clippy::print_stdout, reason = "a test without the usual harness says what it does")]

#[path = "power_cut/disk.rs"]
mod disk;
mod load;
mod process;

use disk::Disk;
use load::{Idempotent, Moments, Transactional, setting};
use process::Broker;

fn main() {
    // This test has no harness: the flags of one are answered here.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let disk = match Disk::make() {
        Ok(disk) => disk,
        Err(reason) => {
            println!("power_cut: LEFT OUT, this machine cannot mount an image: {reason}");
            return;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(no_acknowledged_record_is_lost_when_the_power_fails(disk));
}

async fn no_acknowledged_record_is_lost_when_the_power_fails(disk: Disk) {
    let cuts = setting("MAINSTEM_POWER_CUTS", 20);
    let seed = setting("MAINSTEM_CRASH_SEED", u64::from(std::process::id()));
    println!("{cuts} power cuts, MAINSTEM_CRASH_SEED={seed}");
    let mut moments = Moments(seed);
    let mut broker = Broker::start_in(disk.directory(), &["--flush", "commit"]);
    let bootstrap = broker.bootstrap();
    load::create_topics(&bootstrap, &["records", "transactions"]).await;
    let mut records = Idempotent::start(&bootstrap, "records", 264).await;
    let transactions = Transactional::start(&bootstrap, "transactions", seed);
    for cut in 0..cuts {
        records.work(&mut moments).await;
        disk.cut_power();
        broker.kill();
        disk.mount_again();
        broker.restart();
        records.settle_all().await;
        println!("cut {cut}: {}", records.summary());
    }
    records.verify(&bootstrap).await;
    transactions.verify(&bootstrap).await;
    broker.kill();
    println!("power_cut: {cuts} cuts passed");
}
