//! Configurations, good and bad, as a table.

use std::fs;

use super::*;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<ServerConfig, String> {
    load_named("mainstem.toml", text, environment)
}

fn load_named(
    name: &str,
    text: &str,
    environment: &[(&str, &str)],
) -> Result<ServerConfig, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let shown = path.display().to_string();
    ServerConfig::load(Some(&path), environment, [])
        .map_err(|problems| problems.to_string().replace(&shown, "FILE"))
}

#[test]
fn kafkas_names_are_read_wherever_they_stand() {
    let toml = "listeners = 'PLAINTEXT://127.0.0.1:7000'\nnum.partitions = 3\n\
                [log]\ndirs = '/somewhere'\nretention.hours = 2\n\
                [registry]\nlistener = 'off'";
    let config = load(toml, &[("MAINSTEM_NUM_PARTITIONS", "5"), ("HOME", "/root")]).unwrap();
    assert_eq!(config.kafka_listen.to_string(), "127.0.0.1:7000");
    assert_eq!(config.node.num_partitions, 5);
    assert_eq!(config.node.log_dir.to_str(), Some("/somewhere"));
    let retention = config.node.topic_defaults.get("retention.ms");
    assert_eq!(retention.map(String::as_str), Some("7200000"));
    assert_eq!(config.registry_listen, None);
    assert_eq!(config.node.advertised_host, "127.0.0.1");
}

#[test]
fn a_server_properties_file_starts() {
    let text = "# Kafka's own\nprocess.roles=broker,controller\nnode.id=7\n\
                listeners=PLAINTEXT://127.0.0.1:7000\n\
                advertised.listeners=PLAINTEXT://kafka.example:7001\n\
                num.network.threads=3\nlog.dirs=/tmp/\\\n  logs\nlog.retention.hours=-1\n";
    let config = load_named("server.properties", text, &[]).unwrap();
    assert_eq!(config.node.node_id.0, 7);
    assert_eq!(config.node.advertised_host, "kafka.example");
    assert_eq!(config.node.advertised_port, 7001);
    assert_eq!(config.node.log_dir.to_str(), Some("/tmp/logs"));
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
}

#[test]
fn log_directories_are_a_list() {
    let config = load("log.dirs = ['/a', '/b']\nnum.recovery.threads.per.data.dir = 4", &[]);
    let config = config.unwrap();
    let dirs: Vec<_> = config.node.log_dirs().filter_map(Path::to_str).collect();
    assert_eq!(dirs, ["/a", "/b"]);
    assert_eq!(config.node.recovery_threads, 4);
    let config = load_named("server.properties", "log.dirs=/a, /b ,/c\n", &[]).unwrap();
    let dirs: Vec<_> = config.node.log_dirs().filter_map(Path::to_str).collect();
    assert_eq!(dirs, ["/a", "/b", "/c"]);
    for (text, expected) in [
        ("log.dirs = '/a,/b,/a'", "log.dirs: names /a twice"),
        ("log.dirs = '/a,,/b'", "log.dirs: names a directory without a name (from FILE)"),
        ("log.dirs = '/a'\nlog.dir = '/b'", "log.dirs: log.dir is given too (from FILE)"),
    ] {
        let problem = load(text, &[]).unwrap_err();
        assert!(problem.starts_with(expected), "{text}: {problem}");
    }
}

#[test]
fn all_problems_are_said_at_once_with_their_keys() {
    let toml = "listeners = 'SSL://x:1'\nshards = 0\nnum.partitions = 'many'\nno.such.key = 1\n\
                log.dirs = ['/a', '']\nauto.create.topics.enable = 'perhaps'\n\
                log.segment.bytes = 5\nlog.preallocate = true\n";
    let problems = load(toml, &[("MAINSTEM_MAX_CONNECTIONS", "-5")]).unwrap_err();
    for expected in [
        "listeners: the protocol SSL is not PLAINTEXT (from FILE)",
        "shards: invalid value `0`: Value must be at least 1 (from FILE)",
        "num.partitions: invalid value `many`: Not a number of type INT (from FILE)",
        "no.such.key: no setting has this name (from FILE)",
        "log.dirs: names a directory without a name (from FILE)",
        "auto.create.topics.enable: invalid value `perhaps`: Expected value to be either true or \
         false (from FILE)",
        "max.connections: invalid value `-5`: Value must be at least 1 (from MAINSTEM_MAX_CONNECTIONS)",
        "log.segment.bytes: invalid value `5`: Value must be at least 1048576 (from FILE)",
        "log.preallocate: invalid value `true`: this broker only has false; segments grow as they \
         are written (from FILE)",
    ] {
        assert!(problems.lines().any(|line| line == expected), "{expected}\nin\n{problems}");
    }
    assert_eq!(problems.lines().count(), 9, "{problems}");
}

#[test]
fn a_wrong_value_has_one_clear_problem() {
    for (text, expected) in [
        ("listeners = '127.0.0.1'", "listeners: `127.0.0.1` is not host:port (from FILE)"),
        ("listeners = ':99999'", "listeners: `99999` is not a port (from FILE)"),
        ("listeners = 'a:1,b:2'", "listeners: names more than one listener (from FILE)"),
        ("advertised.listeners = ':9092'", "advertised.listeners: names no host (from FILE)"),
        (
            "port = 70000",
            "port: invalid value `70000`: Value must be no more than 65535 (from FILE)",
        ),
        ("registry.listener = 'x'", "registry.listener: `x` is not host:port (from FILE)"),
        (
            "log.retention.hours = 'x'",
            "log.retention.hours: `x` is not a whole number in range (from FILE)",
        ),
        ("broker.id = 1\nnode.id = 2", "broker.id: node.id is given too (from FILE)"),
        ("list = [true]", "FILE: list: a list may hold texts and numbers only"),
    ] {
        assert_eq!(load(text, &[]).unwrap_err(), expected, "{text}");
    }
    assert!(load("a = = b", &[]).unwrap_err().starts_with("FILE: is no TOML"));
    let missing = ServerConfig::load(Some(Path::new("/no/such/file")), [], []).unwrap_err();
    assert!(missing.to_string().starts_with("/no/such/file: read the file"));
}

#[test]
fn every_row_of_the_table_can_be_given() {
    let samples = [
        ("advertised.listeners", "PLAINTEXT://here:1"),
        ("broker.rack", "r1"),
        ("cluster.id", "MkU3OEVBNTcwNTJENDM2Qg"),
        ("log.dirs", "/a,/b"),
        ("port", "1"),
        ("shards", "2"),
    ];
    for row in mainstem_metadata::config::broker_definitions() {
        let sample = samples.iter().find(|(name, _)| *name == row.name).map(|(_, value)| *value);
        let value = row.default.or(sample).expect("a default or a sample");
        let given = [(row.name.to_owned(), value.to_owned())];
        let config = ServerConfig::from_properties(given);
        let config = config.unwrap_or_else(|problems| panic!("{}: {problems}", row.name));
        let meaningless = kafka_names::MEANINGLESS.contains(&row.name);
        assert_eq!(config.warnings.len(), usize::from(meaningless), "{}", row.name);
    }
}

#[test]
fn the_defaults_of_the_shell_are_those_of_the_table() {
    let table = |name| mainstem_metadata::config::broker_definition(name).expect("a row").default;
    let config = ServerConfig::default();
    let listener = format!("PLAINTEXT://{}", config.kafka_listen);
    assert_eq!(table("listeners"), Some(&*listener));
    let http = |address: Option<SocketAddr>| format!("http://{}", address.expect("on"));
    assert_eq!(table("registry.listener"), Some(&*http(config.registry_listen)));
    assert_eq!(table("metrics.listener"), Some(&*http(config.metrics_listen)));
    assert_eq!(table("max.connections"), Some(&*config.connections_max.to_string()));
    let per_address = config.connections_per_address_max.to_string();
    assert_eq!(table("max.connections.per.ip"), Some(&*per_address));
    let idle_ms = config.idle_timeout.as_millis().to_string();
    assert_eq!(table("connections.max.idle.ms"), Some(&*idle_ms));
}
