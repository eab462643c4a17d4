//! Many seeds, one run each. `make sim` runs more of them.
//!
//! `MAINSTEM_SIM_SEED=7` runs one seed and prints its last steps if it fails; `MAINSTEM_SIM_RUNS=1000`
//! runs more of them.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use mainstem_sim::{Planted, run, run_with, soak};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn no_rule_is_broken() {
    let seeds = match number("MAINSTEM_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MAINSTEM_SIM_RUNS").unwrap_or(400),
    };
    let report = soak(seeds.clone(), 2, |_| {});
    if let Some(failure) = report.failure {
        panic!("{failure}");
    }
    let total = report.total;
    println!("{total:?}");
    if seeds.end - seeds.start < 100 {
        return;
    }
    // Whoever judges empty runs finds nothing.
    assert!(total.records > 0 && total.transactions > 0 && total.rebalances > 0, "{total:?}");
    assert!(total.power_cuts > 0 && total.kills > 0 && total.stops > 0, "{total:?}");
    assert!(total.midway > 0, "{total:?}");
}

#[test]
fn one_seed_is_one_run() {
    let first = run(1).unwrap();
    assert_eq!(run(1).unwrap(), first);
    assert_ne!(run(2).unwrap().digest, first.digest);
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let found = (0..8).filter_map(|seed| run_with(seed, Planted::LyingDisk).err());
    let rules: Vec<String> = found.map(|failure| failure.rule).collect();
    assert!(3 < rules.len(), "the oracles see too little: {rules:?}");
}
