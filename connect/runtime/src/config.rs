//! The worker's own configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::convert::Format;
use crate::error::{ConnectError, Result};

/// Settings of a [`crate::ConnectWorker`].
#[derive(Debug, Clone)]
pub struct ConnectConfig {
    /// `host:port[,host:port...]` of the brokers.
    pub bootstrap: String,
    /// Address of the REST API; port 0 takes a free one.
    pub rest_listen: SocketAddr,
    /// Base URL of the schema registry, for the Avro converter.
    pub registry_url: Option<String>,
    /// Where components (`*.wasm`) lie. A file that is added later is found when a connector asks
    /// for it.
    pub plugin_dir: PathBuf,
    /// Where compiled plugins are kept. Must be writable by nobody else: its content is run as
    /// machine code.
    pub cache_dir: PathBuf,
    /// Names this worker's cluster: the prefix of transactional ids.
    pub group_id: String,
    pub config_topic: String,
    pub offset_topic: String,
    pub status_topic: String,
    /// Partitions of the offsets topic, when it is created.
    pub offset_partitions: i32,
    /// What values are in topics when a connector does not say: string, json, bytes or avro. `None`
    /// is avro with a registry, and json without one.
    pub value_converter: Option<String>,
    /// Directories that connectors may read and write. Empty: none.
    pub files_allow: Vec<PathBuf>,
}

impl ConnectConfig {
    /// Kafka Connect's usual names, on a free port, granting nothing.
    pub fn new(bootstrap: impl Into<String>, plugin_dir: PathBuf, cache_dir: PathBuf) -> Self {
        ConnectConfig {
            bootstrap: bootstrap.into(),
            rest_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            registry_url: None,
            plugin_dir,
            cache_dir,
            group_id: "connect-cluster".to_string(),
            config_topic: "connect-configs".to_string(),
            offset_topic: "connect-offsets".to_string(),
            status_topic: "connect-status".to_string(),
            offset_partitions: 25,
            value_converter: None,
            files_allow: Vec::new(),
        }
    }

    /// The converter of values that a connector gets when it names none.
    pub(crate) fn default_value_converter(&self) -> &str {
        let own = if self.registry_url.is_some() { "avro" } else { "json" };
        self.value_converter.as_deref().unwrap_or(own)
    }

    /// All problems at once, with the key.
    pub(crate) fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        if self.bootstrap.trim().is_empty() {
            problems.push("bootstrap.servers: must be given".to_string());
        }
        if self.group_id.is_empty() {
            problems.push("group.id: must be given".to_string());
        }
        let topics = [&self.config_topic, &self.offset_topic, &self.status_topic];
        for (index, topic) in topics.iter().enumerate() {
            if topic.is_empty() || topics[..index].contains(topic) {
                problems.push("storage topics: must be three different names".to_string());
                break;
            }
        }
        if self.offset_partitions < 1 {
            problems.push("offset.storage.partitions: must be at least 1".to_string());
        }
        if Format::parse(self.default_value_converter()).is_none() {
            problems.push("value.converter: must be string, json, bytes or avro".to_string());
        }
        for directory in self.files_allow.iter().filter(|path| !path.is_absolute()) {
            problems.push(format!(
                "connect.files.allow: {} is not an absolute path",
                directory.display()
            ));
        }
        if problems.is_empty() { Ok(()) } else { Err(ConnectError::Config(problems.join("; "))) }
    }
}
