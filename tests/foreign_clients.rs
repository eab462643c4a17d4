//! Clients that we did not write, against our broker: Apache Kafka's own in Java, kcat, three in
//! Python, and a part of librdkafka's own tests.
//!
//! The programs in `tests/foreign` do the work and say what differs; they take any broker's
//! address, so that they can be tried on another broker too. What they need is kept in the cache
//! (`MAINSTEM_CACHE`), made once with pinned versions; compilers and kcat come with the machine's
//! packages (`make test` sees to it). More clients, and all of librdkafka's tests: `make foreign`.
#![allow(clippy::print_stdout, reason = "what a client says belongs to the test's output")]

mod process;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use mainstem_server::{Embedded, EmbeddedOptions};

/// The records that each client writes and reads.
const RECORDS: &str = "100000";
/// What the Python clients are.
const REQUIREMENTS: &str = include_str!("foreign/requirements.txt");

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(name)
}

/// Runs to the end and shows everything that was said when it went wrong.
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    print!("{said}");
    assert!(output.status.success(), "{command:?}: {}\n{said}{complained}", output.status);
}

fn cache() -> PathBuf {
    match std::env::var_os("MAINSTEM_CACHE") {
        Some(cache) => cache.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target"),
    }
}

/// A Python with the clients. The environment is made aside and renamed, so that one that is there
/// is whole; its name holds the versions, so that others make another.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let packages: Vec<&str> = REQUIREMENTS.split_whitespace().collect();
        let name = packages.join("-").replace("==", "-");
        let folder = cache().join(format!("foreign-{name}"));
        let python = folder.join("bin/python");
        if python.exists() {
            return python;
        }
        fs::create_dir_all(cache()).expect("make the cache");
        let aside = cache().join(format!("foreign-{}.tmp", std::process::id()));
        run(Command::new("python3").args(["-m", "venv"]).arg(&aside));
        run(Command::new(aside.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(&packages));
        match fs::rename(&aside, &folder) {
            Ok(()) => {}
            // Another process was faster.
            Err(_) if python.exists() => fs::remove_dir_all(&aside).expect("remove the copy"),
            Err(error) => panic!("rename {}: {error}", aside.display()),
        }
        python
    })
}

/// The clients take turns: each of them keeps both cores of a small machine busy, and librdkafka's
/// tests have limits of time.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    // A client that failed before is no reason for the next one to fail.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn broker() -> Embedded {
    // Two shards, so that requests cross from the connection's to the partition's.
    let options = EmbeddedOptions { shards: 2, registry: false, ..EmbeddedOptions::default() };
    Embedded::start_with(options).expect("start a broker")
}

#[test]
fn kcat_round_trips() {
    let found = Command::new("kcat").arg("-V").output();
    if found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        panic!("kcat is not installed: `make setup-test` or `apt-get install kcat`");
    }
    let _turn = turn();
    let broker = broker();
    run(Command::new(script("kcat_roundtrip.sh")).arg(broker.bootstrap()).arg(RECORDS));
    broker.stop().expect("stop the broker");
}

/// Runs a client of Python.
fn python_round_trips(name: &str) {
    let _turn = turn();
    let broker = broker();
    run(Command::new(python()).arg(script(name)).arg(broker.bootstrap()).arg(RECORDS));
    broker.stop().expect("stop the broker");
}

#[test]
fn confluent_kafka_round_trips() {
    python_round_trips("confluent_roundtrip.py");
}

#[test]
fn kafka_python_round_trips() {
    python_round_trips("kafka_python_roundtrip.py");
}

#[test]
fn aiokafka_round_trips() {
    python_round_trips("aiokafka_roundtrip.py");
}

#[test]
fn kafkas_own_client_round_trips() {
    let _turn = turn();
    let broker = broker();
    let mut command = Command::new(script("java/run.sh"));
    run(command.env("MAINSTEM_CACHE", cache()).arg(broker.bootstrap()).arg(RECORDS));
    broker.stop().expect("stop the broker");
}

#[test]
fn tests_of_librdkafka_pass() {
    let _turn = turn();
    let mut command = Command::new(script("librdkafka/run.sh"));
    run(command.env("MAINSTEM_CACHE", cache()).arg(process::binary()).arg("short"));
}
