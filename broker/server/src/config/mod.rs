//! The configuration of a server: the broker's settings and the shell's own.
//!
//! Settings have Kafka's property names where the meaning is the same. They come, later ones over
//! earlier ones, from the defaults, a file (TOML, or Kafka's `.properties`), the environment
//! (`MAINSTEM_NUM_PARTITIONS` is `num.partitions`) and overrides such as flags.
//!
//! Invariant: whatever is wrong is reported at once, each problem with its key and where the
//! value came from. A key that nobody knows is a problem; a key of Kafka's that means nothing here
//! is a warning. Which keys there are stands in the metadata crate's table; `docs/configuration.md`
//! is written from it.

mod kafka_names;
mod listener;
mod source;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use mainstem_metadata::config::validate_at_start;
use mainstem_node::{ConfigProblem, ConfigProblems, NodeConfig};

use source::{Given, Sources};

/// Everything that a server needs to know.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The broker's own settings. The advertised port 0 stands for the port that was bound.
    pub node: NodeConfig,
    /// Where Kafka clients connect; port 0 takes a free one.
    pub kafka_listen: SocketAddr,
    /// Where the schema registry answers, if it shall.
    pub registry_listen: Option<SocketAddr>,
    /// Where metrics and health are shown, if they shall be.
    pub metrics_listen: Option<SocketAddr>,
    /// Threads with an event loop; partitions and connections are spread over them.
    pub shards: u16,
    /// Connections of Kafka clients at one time; more are closed at once.
    pub connections_max: usize,
    /// Of these, from one address.
    pub connections_per_address_max: usize,
    /// A connection without traffic for this long is closed.
    pub idle_timeout: Duration,
    /// What was ignored, to be said in the log.
    pub warnings: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            node: NodeConfig::default(),
            kafka_listen: local(9092),
            registry_listen: Some(local(8081)),
            metrics_listen: Some(local(9644)),
            shards: default_shards(),
            connections_max: 50_000,
            connections_per_address_max: i32::MAX as usize,
            idle_timeout: Duration::from_secs(600),
            warnings: Vec::new(),
        }
    }
}

/// One per core, few enough that an idle broker stays small.
fn default_shards() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    u16::try_from(cores.min(16)).unwrap_or(1)
}

impl ServerConfig {
    /// Reads the file, if there is one, the environment and the overrides.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigProblems> {
        let mut sources = Sources::default();
        if let Some(file) = file {
            sources.add_file(file);
        }
        sources.add_environment(environment);
        sources.add_overrides(overrides);
        Self::from_sources(sources)
    }

    /// Reads properties alone.
    pub fn from_properties(
        properties: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigProblems> {
        Self::load(None, [], properties)
    }

    fn from_sources(sources: Sources) -> Result<Self, ConfigProblems> {
        let Sources { mut given, mut problems } = sources;
        let mut config = Self::default();
        kafka_names::translate(&mut given, &mut problems, &mut config.warnings);
        let mut reader = Reader { given, problems, read: BTreeMap::new() };
        config.read_listeners(&mut reader);
        if let Some(shards) = reader.number("shards") {
            config.shards = shards;
        }
        if let Some(connections) = reader.number("max.connections") {
            config.connections_max = connections;
        }
        if let Some(connections) = reader.number("max.connections.per.ip") {
            config.connections_per_address_max = connections;
        }
        if let Some(idle_ms) = reader.number("connections.max.idle.ms") {
            config.idle_timeout = Duration::from_millis(idle_ms);
        }
        let Reader { given, mut problems, read } = reader;
        config.read_node(&given, &mut problems);
        config.node.shell = read;
        if problems.is_empty() { Ok(config) } else { Err(ConfigProblems(problems)) }
    }

    fn read_listeners(&mut self, reader: &mut Reader) {
        if let Some(address) = reader.parsed("listeners", listener::kafka_listener) {
            self.kafka_listen = address;
        }
        if let Some(port) = reader.number("port") {
            self.kafka_listen.set_port(port);
        }
        if let Some(address) = reader.parsed("registry.listener", listener::http_listener) {
            self.registry_listen = address;
        }
        if let Some(address) = reader.parsed("metrics.listener", listener::http_listener) {
            self.metrics_listen = address;
        }
        match reader.parsed("advertised.listeners", listener::advertised) {
            Some((host, port)) => {
                self.node.advertised_host = host;
                self.node.advertised_port = port;
            }
            None => {
                self.node.advertised_host = listener::own_name(self.kafka_listen.ip());
                self.node.advertised_port = 0;
            }
        }
    }

    /// Hands everything that the shell has not taken to the broker's own table.
    fn read_node(&mut self, given: &BTreeMap<String, Given>, problems: &mut Vec<ConfigProblem>) {
        let properties: BTreeMap<String, String> =
            given.iter().map(|(key, given)| (key.clone(), given.value.clone())).collect();
        match NodeConfig::from_properties(&properties) {
            Ok(node) => {
                let advertised_host = std::mem::take(&mut self.node.advertised_host);
                let advertised_port = self.node.advertised_port;
                self.node = NodeConfig { advertised_host, advertised_port, ..node };
            }
            Err(found) => problems.extend(found.0.into_iter().map(|mut problem| {
                if let Some(source) = given.get(&problem.key).and_then(|g| g.source.as_ref()) {
                    problem.problem = format!("{} (from {source})", problem.problem);
                }
                problem
            })),
        }
    }
}

/// Takes the shell's settings out of what was given.
struct Reader {
    given: BTreeMap<String, Given>,
    problems: Vec<ConfigProblem>,
    /// What was taken out, as it was given.
    read: BTreeMap<String, String>,
}

impl Reader {
    fn parsed<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let given = self.given.remove(key)?;
        match parse(given.value.trim()) {
            Ok(value) => {
                self.read.insert(key.to_owned(), given.value.trim().to_owned());
                Some(value)
            }
            Err(problem) => {
                self.problems.push(given.problem(key, problem));
                None
            }
        }
    }

    /// A number within the limits of the table.
    fn number<T: FromStr>(&mut self, key: &str) -> Option<T> {
        self.parsed(key, |text| {
            validate_at_start(key, text).map_err(|error| error.problem())?;
            text.parse().map_err(|_| format!("`{text}` is not a whole number in range"))
        })
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
