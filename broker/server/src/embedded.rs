//! A broker inside the process that uses it: for tests, and for programs that bring their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mainstem_node::FlushPolicy;
use tempfile::TempDir;

use crate::config::ServerConfig;
use crate::{Server, ServerError};

/// What an embedded broker is like. The default has free ports and a directory of its own that is
/// removed at the end; it syncs to no disk, since nothing of it outlives the process anyway.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Where data is kept; a temporary directory when absent. A directory that is given stays, and
    /// so do those that `log.dirs` among the properties names in its place.
    pub data_dir: Option<PathBuf>,
    /// When `acks=all` is answered.
    pub flush: FlushPolicy,
    /// Threads with an event loop.
    pub shards: u16,
    /// Whether the schema registry answers.
    pub registry: bool,
    /// Whether metrics and health are shown.
    pub metrics: bool,
    /// Whether a topic that is asked for is created.
    pub auto_create_topics: bool,
    /// The port for Kafka clients; 0 takes a free one.
    pub kafka_port: u16,
    /// Any setting of the broker by its property name, over all of the above.
    pub properties: BTreeMap<String, String>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            data_dir: None,
            flush: FlushPolicy::Os,
            shards: 1,
            registry: true,
            metrics: false,
            auto_create_topics: true,
            kafka_port: 0,
            properties: BTreeMap::new(),
        }
    }
}

/// A running embedded broker; it stops when it is dropped.
pub struct Embedded {
    // Fields drop in this order: the directory goes after the server.
    server: Server,
    data_dir: PathBuf,
    _temporary: Option<TempDir>,
}

impl Embedded {
    /// Starts a broker with the default options.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_with(EmbeddedOptions::default())
    }

    /// Starts a broker.
    pub fn start_with(options: EmbeddedOptions) -> Result<Self, ServerError> {
        let (data_dir, temporary) = match options.data_dir.clone() {
            Some(directory) => (directory, None),
            None => {
                let temporary = temporary_directory()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let config = configuration(options, data_dir)?;
        let data_dir = config.node.log_dir.clone();
        let server = Server::start(config)?;
        Ok(Self { server, data_dir, _temporary: temporary })
    }

    /// `host:port` for Kafka clients.
    pub fn bootstrap(&self) -> String {
        self.server.kafka_address().to_string()
    }

    /// The base URL of the schema registry.
    ///
    /// # Panics
    ///
    /// When the broker was started without a registry.
    pub fn registry_url(&self) -> String {
        let address = self.server.registry_address();
        format!("http://{}", address.expect("the broker was started with a registry"))
    }

    /// The base URL of metrics and health.
    ///
    /// # Panics
    ///
    /// When the broker was started without metrics.
    pub fn metrics_url(&self) -> String {
        let address = self.server.metrics_address();
        format!("http://{}", address.expect("the broker was started with metrics"))
    }

    /// Where the data lies; with several log directories, the first one.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Stops cleanly, and says whether all went well.
    pub fn stop(self) -> Result<(), ServerError> {
        self.server.stop()
    }

    /// Ends without a clean close, as if the process had been killed. With a directory that was
    /// given, the next start recovers what this one wrote.
    pub fn kill(self) {
        self.server.abandon();
    }
}

fn temporary_directory() -> Result<TempDir, ServerError> {
    TempDir::with_prefix("mainstem-").map_err(|source| {
        let path = std::env::temp_dir();
        ServerError::Directory { action: "make a temporary directory in", path, source }
    })
}

fn configuration(options: EmbeddedOptions, data_dir: PathBuf) -> Result<ServerConfig, ServerError> {
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let mut properties = options.properties;
    let auto_create = options.auto_create_topics.to_string();
    let flush = match options.flush {
        FlushPolicy::Commit => "commit",
        FlushPolicy::Os => "os",
    };
    // Nobody else joins the groups of a test: their first rebalance need not wait for anyone.
    for (key, value) in [
        ("flush", flush),
        ("auto.create.topics.enable", auto_create.as_str()),
        ("group.initial.rebalance.delay.ms", "0"),
    ] {
        properties.entry(key.into()).or_insert_with(|| value.into());
    }
    let names_dirs = properties.contains_key("log.dirs");
    let mut config = ServerConfig::from_properties(properties)?;
    if !names_dirs {
        config.node.log_dir = data_dir;
    }
    config.node.advertised_host = "127.0.0.1".into();
    config.kafka_listen = local(options.kafka_port);
    config.registry_listen = options.registry.then(|| local(0));
    config.metrics_listen = options.metrics.then(|| local(0));
    config.shards = options.shards.max(1);
    Ok(config)
}
