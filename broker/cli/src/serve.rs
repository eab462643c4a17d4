//! `mainstem serve`: broker, schema registry and Connect in one process.
//!
//! The broker's threads are its own; Connect runs beside them on a small runtime and reaches the broker over its Kafka
//! listener like any other client, so that the same worker serves an Apache Kafka cluster. Connect starts after the
//! broker answers and stops before it. SIGTERM and SIGINT close everything cleanly.

use mainstem_connect::{ConnectConfig, ConnectWorker};
use mainstem_server::{Server, ServerConfig};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::arguments::{Flush, ServeArguments};
use crate::descriptors;
use crate::failure::Failure;

/// Variables of this binary's other commands and flags, which are no settings of the broker.
const NOT_SETTINGS: [&str; 5] = [
    "MAINSTEM_BOOTSTRAP",
    "MAINSTEM_REGISTRY",
    "MAINSTEM_CONNECT",
    "MAINSTEM_PLUGINS",
    "MAINSTEM_DATA_DIR",
];

/// Threads that serve Connect's REST API and clients; plugins have threads of their own.
const CONNECT_THREADS: usize = 2;

/// Memory that a thread may keep for its next requests is twice this.
const KEPT_BYTES: usize = 2 << 20;

/// Runs until a signal comes or the broker gives up.
pub(crate) fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    keep_freed_memory();
    let filter = EnvFilter::try_from_env("MAINSTEM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    tracing::info!(limit = ?descriptors::allow_all(), "file descriptors");
    let config = configuration(arguments)?;
    let connect_dir = connect_dir(arguments, &config);
    let server = Server::start(config).map_err(|error| Failure::new(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONNECT_THREADS)
        .thread_name("connect")
        .enable_all()
        .build()?;
    let connect = if arguments.no_connect {
        None
    } else {
        let config = connect_configuration(arguments, &server, &connect_dir);
        let started = runtime.block_on(ConnectWorker::start(config));
        Some(started.map_err(|error| Failure::doing("start Connect", &error))?)
    };
    let stop = server.stop_handle();
    runtime.spawn(async move {
        if wait_for_signal().await.is_ok() {
            if let Some(connect) = connect {
                connect.stop().await;
            }
            stop.request_stop();
        }
    });
    let ended = server.wait();
    runtime.shutdown_background();
    ended.map_err(|error| Failure::new(error.to_string()))
}

/// Tells glibc's allocator to keep a little of what is freed. By default every thread gives memory back to the
/// kernel as soon as 128 KiB are free and gets it again, zeroed, for the next request, which has cost a quarter of
/// the CPU time of appends. glibc learns the right bound from the largest mapped block that a program frees.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT_BYTES)));
}

async fn wait_for_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    Ok(())
}

fn configuration(arguments: &ServeArguments) -> Result<ServerConfig, Failure> {
    let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    let flush = arguments.flush.map(|flush| match flush {
        Flush::Commit => "commit".to_owned(),
        Flush::Os => "os".to_owned(),
    });
    let log_dir = arguments.data_dir.as_ref().map(|path| path.join("log").display().to_string());
    let overrides = [
        ("log.dir", log_dir),
        ("listeners", arguments.listen.map(|address| format!("PLAINTEXT://{address}"))),
        ("registry.listener", address(arguments.registry_listen)),
        ("metrics.listener", address(arguments.admin_listen)),
        ("flush", flush),
        ("shards", arguments.shards.map(|shards| shards.to_string())),
    ];
    let overrides =
        overrides.into_iter().filter_map(|(key, value)| value.map(|value| (key.to_owned(), value)));
    let environment = std::env::vars().filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str()));
    ServerConfig::load(arguments.config.as_deref(), environment, overrides)
        .map_err(|problems| Failure::new(problems.to_string()))
}

/// Connect's own files lie beside the broker's log directory, never in it.
fn connect_dir(arguments: &ServeArguments, config: &ServerConfig) -> PathBuf {
    match &arguments.data_dir {
        Some(directory) => directory.join("connect"),
        None => config.node.log_dir.with_extension("connect"),
    }
}

fn connect_configuration(
    arguments: &ServeArguments,
    server: &Server,
    directory: &Path,
) -> ConnectConfig {
    let plugins = arguments.plugins.clone().unwrap_or_else(|| directory.join("plugins"));
    let bootstrap = server.kafka_address().to_string();
    let mut config = ConnectConfig::new(bootstrap, plugins, directory.join("compiled"));
    config.rest_listen = arguments.connect_listen;
    config.registry_url = server.registry_address().map(|address| format!("http://{address}"));
    config.files_allow.clone_from(&arguments.connect_files);
    config
}
