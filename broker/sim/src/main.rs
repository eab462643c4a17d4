//! `simulate --seeds N [--start S] [--threads T]`: many runs, with a line of counts at the end, or the
//! first failure with its seed and its last steps and exit code 1. `simulate --seed S` is one run.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use mainstem_sim::{Report, Summary, run, soak};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: simulate [--seeds N] [--start S] [--threads T] | --seed S";
/// How often a line of progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

struct Wishes {
    seeds: u64,
    start: u64,
    threads: usize,
    only: Option<u64>,
}

fn wishes() -> Result<Wishes, String> {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let mut wishes = Wishes { seeds: 1_000, start: 0, threads, only: None };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let word = words.next().ok_or_else(|| format!("{name} wants a number\n{USAGE}"))?;
        let number: u64 = word.parse().map_err(|_| format!("{name}: {word} is no number"))?;
        match name.as_str() {
            "--seeds" => wishes.seeds = number,
            "--start" => wishes.start = number,
            "--threads" => wishes.threads = number as usize,
            "--seed" => wishes.only = Some(number),
            _ => return Err(format!("{name} is not known\n{USAGE}")),
        }
    }
    Ok(wishes)
}

fn counts(seeds: u64, total: &Summary) -> String {
    format!(
        "{seeds} seeds, {:.1} simulated hours, {} steps, {} crashes ({} power cuts, {} kills, {} of \
         them midway) and {} stops, {} records, {} transactions, {} partitions moved in groups",
        total.duration.as_secs_f64() / 3600.0,
        total.steps,
        total.power_cuts + total.kills,
        total.power_cuts,
        total.kills,
        total.midway,
        total.stops,
        total.records,
        total.transactions,
        total.rebalances,
    )
}

fn main() -> ExitCode {
    let wishes = match wishes() {
        Ok(wishes) => wishes,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    if let Some(seed) = wishes.only {
        return match run(seed) {
            Ok(summary) => {
                println!("{} digest {:016x}", counts(1, &summary), summary.digest);
                ExitCode::SUCCESS
            }
            Err(failure) => {
                println!("{failure}");
                ExitCode::FAILURE
            }
        };
    }
    let began = Instant::now();
    let shown = Mutex::new(began);
    let end = wishes.start.saturating_add(wishes.seeds);
    let report = soak(wishes.start..end, wishes.threads, |report| {
        let Ok(mut shown) = shown.lock() else { return };
        if PROGRESS_EVERY <= shown.elapsed() {
            *shown = Instant::now();
            let rate = report.seeds as f64 / began.elapsed().as_secs_f64();
            eprintln!("{} of {} seeds, {rate:.0} a second", report.seeds, wishes.seeds);
        }
    });
    end_with(&report, began.elapsed())
}

fn end_with(report: &Report, took: Duration) -> ExitCode {
    println!("{}, {:.0} s", counts(report.seeds, &report.total), took.as_secs_f64());
    match &report.failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            println!("{failure}");
            println!("again: simulate --seed {}", failure.seed);
            ExitCode::FAILURE
        }
    }
}
