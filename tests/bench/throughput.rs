//! `make bench`: start-up, memory and throughput of the real process, each beside a ceiling measured in the same run.
//!
//! A figure alone says more about the machine than about the broker, so throughput is printed as a ratio: produce
//! against writing the same bytes to the page cache in one file, fetch against sending them over a loopback socket.
//! Nothing is asserted here: a slow machine is not a failed test.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "../process/mod.rs"]
mod process;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mainstem_client::{
    Admin, AdminConfig, Consumer, ConsumerConfig, NewTopic, Producer, ProducerConfig,
    ProducerRecord, TopicPartition,
};

const RECORDS: u64 = 2_000_000;
const RECORD_BYTES: usize = 100;
const PARTITIONS: i32 = 6;
const CHUNK_BYTES: usize = 1 << 20;
/// An ApiVersions v0 request: length, key 18, version 0, correlation 1, no client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];

fn main() {
    // `cargo test --benches` passes flags of its own; there is nothing to test here.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    start_up();
    let bytes = RECORDS * RECORD_BYTES as u64;
    let disk = page_cache_write(bytes);
    let wire = loopback(bytes);
    println!("page cache, one file           {:>9.0} MB/s  (ceiling of produce)", disk / 1e6);
    println!("loopback, one connection       {:>9.0} MB/s  (ceiling of fetch)", wire / 1e6);
    for flush in ["os", "commit"] {
        let broker = process::Broker::start(&["--flush", flush]);
        let (produced, fetched) = runtime.block_on(throughput(&broker.bootstrap()));
        report(&format!("produce, acks=all, flush={flush}"), produced, bytes, disk);
        report(&format!("fetch, flush={flush}"), fetched, bytes, wire);
    }
}

fn report(what: &str, took: Duration, bytes: u64, ceiling: f64) {
    let rate = bytes as f64 / took.as_secs_f64();
    let records = RECORDS as f64 / took.as_secs_f64();
    println!(
        "{what:<30} {:>9.0} MB/s  {:>5.1} % of the ceiling  ({:.2} M records/s of {RECORD_BYTES} B)",
        rate / 1e6,
        100.0 * rate / ceiling,
        records / 1e6,
    );
}

/// From exec to the first answer, on an empty directory; then the resident memory once it is idle.
fn start_up() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let listen = process::free_port();
    let mut command = Command::new(process::binary());
    command.args(["serve", "--no-connect", "--data-dir"]).arg(directory.path());
    command.args(["--listen", &listen.to_string()]);
    command.args(["--registry-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn().expect("start the broker");
    let answered = loop {
        if let Some(answered) = first_answer(listen) {
            break answered.duration_since(started);
        }
    };
    // Idle means: its start-up work is done. Two seconds are plenty; nothing is asserted.
    std::thread::park_timeout(Duration::from_secs(2));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
    let status = status.unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("?");
    println!(
        "first ApiVersions after exec   {:>9.1} ms    (goal: 50)",
        answered.as_secs_f64() * 1e3
    );
    println!("resident when idle             {:>12}  (goal: under 40,000 kB)", resident.trim());
    let _ = child.kill();
    let _ = child.wait();
}

fn first_answer(listen: SocketAddr) -> Option<Instant> {
    let mut stream = TcpStream::connect(listen).ok()?;
    stream.write_all(&API_VERSIONS).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    Some(Instant::now())
}

/// Bytes a second that this machine takes into the page cache of one file.
fn page_cache_write(bytes: u64) -> f64 {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut file = File::create(directory.path().join("ceiling")).expect("create a file");
    let chunk = vec![b'x'; CHUNK_BYTES];
    let started = Instant::now();
    for _ in 0..bytes / CHUNK_BYTES as u64 {
        file.write_all(&chunk).expect("write");
    }
    bytes as f64 / started.elapsed().as_secs_f64()
}

/// Bytes a second from one thread to another over a loopback connection.
fn loopback(bytes: u64) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accept");
        let mut buffer = vec![0; CHUNK_BYTES];
        while stream.read(&mut buffer).expect("read") > 0 {}
    });
    let mut stream = TcpStream::connect(address).expect("connect");
    let chunk = vec![b'x'; CHUNK_BYTES];
    let started = Instant::now();
    for _ in 0..bytes / CHUNK_BYTES as u64 {
        stream.write_all(&chunk).expect("write");
    }
    drop(stream);
    reader.join().expect("the reader");
    bytes as f64 / started.elapsed().as_secs_f64()
}

async fn throughput(bootstrap: &str) -> (Duration, Duration) {
    let admin = Admin::connect(AdminConfig::new(bootstrap)).await.expect("admin");
    let topic = NewTopic::new("throughput", PARTITIONS);
    for (_, result) in admin.create_topics(&[topic]).await.expect("create") {
        result.expect("create the topic");
    }
    let config = ProducerConfig::new(bootstrap).batch_size_bytes(256 << 10);
    let producer = Producer::connect(config).await.expect("producer");
    let value = bytes::Bytes::from(vec![b'x'; RECORD_BYTES]);
    let topic: std::sync::Arc<str> = "throughput".into();
    let started = Instant::now();
    for number in 0..RECORDS {
        let partition = i32::try_from(number % PARTITIONS.unsigned_abs() as u64).expect("small");
        let record = ProducerRecord::new(topic.clone(), value.clone()).partition(partition);
        drop(producer.send(record).await.expect("send"));
    }
    producer.flush().await.expect("flush");
    let produced = started.elapsed();
    producer.close().await.expect("close");

    let consumer = Consumer::connect(ConsumerConfig::new(bootstrap)).await.expect("consumer");
    let partitions: Vec<TopicPartition> =
        (0..PARTITIONS).map(|index| TopicPartition::new("throughput", index)).collect();
    consumer.assign(&partitions).expect("assign");
    consumer.seek_to_beginning(&partitions).expect("seek");
    let started = Instant::now();
    let mut seen = 0;
    while seen < RECORDS {
        let polled = consumer.poll(Duration::from_secs(1)).await.expect("poll");
        seen += polled.batches.iter().map(|batch| batch.records.len() as u64).sum::<u64>();
    }
    (produced, started.elapsed())
}
