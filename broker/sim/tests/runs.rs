//! Many seeds, one run each.
//!
//! `MAINSTEM_SIM_SEED=7` runs one seed and prints its last steps if it fails; `MAINSTEM_SIM_RUNS=1000`
//! runs more of them.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use mainstem_sim::{Planted, run, run_with};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn nothing_acknowledged_is_ever_lost() {
    let seeds = match number("MAINSTEM_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MAINSTEM_SIM_RUNS").unwrap_or(40),
    };
    let mut steps = 0;
    let mut records = 0;
    let mut falls = 0;
    for seed in seeds {
        let summary = run(seed).unwrap_or_else(|failure| panic!("{failure}"));
        steps += summary.steps;
        records += summary.records;
        falls += summary.falls;
    }
    assert!(records > 0 && falls > 0, "the runs were empty");
    println!("{steps} steps, {records} records through {falls} falls");
}

#[test]
fn one_seed_is_one_run() {
    let first = run(1).unwrap();
    assert_eq!(run(1).unwrap(), first);
    assert_ne!(run(2).unwrap().digest, first.digest);
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let found = (0..6).filter_map(|seed| run_with(seed, Planted::LyingDisk).err());
    let rules: Vec<String> = found.map(|failure| failure.rule).collect();
    assert!(3 < rules.len(), "the oracles see too little: {rules:?}");
}
