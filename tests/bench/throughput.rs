//! `make bench`: start-up, memory and throughput of the real process.
//!
//! Start-up and idle memory are printed beside their goals. Throughput and latency are measured by
//! `mainstem bench`, which prints every figure with its settings and as a share of what the machine
//! does in the same run without a broker. Nothing is asserted: a slow machine is not a failed test.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "../process/mod.rs"]
mod process;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Goals of the platform: start-up and resident memory of an idle broker.
const START_UP_GOAL_MS: f64 = 50.0;
const IDLE_GOAL_BYTES: f64 = 40e6;
const STARTS: usize = 5;
/// Idle means: the work of starting is done. Plenty; nothing is asserted.
const SETTLE: Duration = Duration::from_secs(2);
/// An ApiVersions v0 request: length, key 18, version 0, correlation 1, no client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
/// What is measured of each flush mode.
const MEASUREMENTS: [(&str, &[&str]); 4] = [
    ("produce", &["--record-bytes", "100"]),
    ("fetch", &["--record-bytes", "100"]),
    ("produce", &["--record-bytes", "100", "--driver", "client", "--batch-bytes", "262144"]),
    ("fetch", &["--record-bytes", "100", "--driver", "client"]),
];

/// A broker on an empty folder; dropped, it is killed.
struct Serving {
    child: Child,
    listen: SocketAddr,
    /// From exec to the first answer.
    started_in: Duration,
    _directory: tempfile::TempDir,
}

fn main() {
    // `cargo test --benches` passes flags of its own; there is nothing to test here.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    start_up("broker and registry", &["--no-connect"]);
    start_up("with Connect", &["--connect-listen", "127.0.0.1:0"]);
    for flush in ["os", "commit"] {
        let broker = Serving::start(&["--no-connect", "--flush", flush]);
        for (command, options) in MEASUREMENTS {
            println!("\n== mainstem bench {command} {}, flush={flush}", options.join(" "));
            let mut bench = Command::new(process::binary());
            bench.args(["bench", command, "--bootstrap", &broker.listen.to_string()]);
            bench.args(["--pid", &broker.child.id().to_string()]).args(options);
            let status = bench.status().expect("run the measurement");
            assert!(status.success(), "the measurement failed: {status}");
        }
    }
}

/// The quickest of some starts, and the resident memory when all is quiet.
fn start_up(what: &str, options: &[&str]) {
    let quickest = (0..STARTS).map(|_| Serving::start(options).started_in).min();
    let milliseconds = quickest.unwrap_or_default().as_secs_f64() * 1e3;
    let broker = Serving::start(options);
    std::thread::park_timeout(SETTLE);
    let resident = broker.resident_bytes();
    println!(
        "{what:<20} first ApiVersions after exec {milliseconds:>7.1} ms  ({})",
        verdict(milliseconds, START_UP_GOAL_MS, "50 ms")
    );
    println!(
        "{what:<20} resident when idle           {:>7.1} MB  ({})",
        resident / 1e6,
        verdict(resident, IDLE_GOAL_BYTES, "40 MB")
    );
}

fn verdict(value: f64, goal: f64, text: &str) -> String {
    let reached = if value <= goal { "reached" } else { "MISSED" };
    format!("goal {text}: {reached}")
}

impl Serving {
    fn start(options: &[&str]) -> Serving {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let listen = process::free_port();
        let mut command = Command::new(process::binary());
        command.arg("serve").arg("--data-dir").arg(directory.path()).args(options);
        command.args(["--listen", &listen.to_string()]);
        command.args(["--registry-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let child = command.spawn().expect("start the broker");
        let mut broker =
            Serving { child, listen, started_in: Duration::ZERO, _directory: directory };
        broker.started_in = loop {
            if let Some(answered) = first_answer(listen) {
                break answered.duration_since(begun);
            }
            let exited = broker.child.try_wait().expect("look after the broker");
            assert!(exited.is_none(), "the broker ended: {exited:?}");
        };
        broker
    }

    fn resident_bytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the broker's status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
        1024.0 * kib.unwrap_or(f64::NAN)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().expect("kill the broker");
        self.child.wait().expect("reap the broker");
    }
}

fn first_answer(listen: SocketAddr) -> Option<Instant> {
    let mut stream = TcpStream::connect(listen).ok()?;
    stream.write_all(&API_VERSIONS).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    Some(Instant::now())
}
