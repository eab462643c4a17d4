//! What the Connect tests share: a broker, a worker that can be killed, and a small HTTP client.
//!
//! With `MAINSTEM_TEST_BOOTSTRAP=host:port` the same tests run against that cluster instead of an
//! embedded broker; it has no registry of ours, so values are JSON there.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mainstem_connect::{ConnectConfig, ConnectWorker};
use mainstem_server::Embedded;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The directory of components, built when they are not there.
pub(crate) fn plugins() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Command::new(root.join("connectors/build.sh")).status();
        assert!(built.expect("connectors/build.sh runs").success(), "the connectors do not build");
        root.join("target/plugins")
    })
}

/// A cluster, a worker and a directory that connectors may use.
pub(crate) struct Platform {
    // Dropped in this order: tasks of the worker use the runtime and the broker to their end.
    worker: Option<ConnectWorker>,
    pub(crate) runtime: Runtime,
    pub(crate) bootstrap: String,
    pub(crate) directory: TempDir,
    registry: Option<String>,
    /// Distinguishes runs against a cluster that remembers.
    pub(crate) prefix: String,
    _broker: Option<Embedded>,
}

impl Platform {
    pub(crate) fn start(test: &str) -> Platform {
        let foreign = std::env::var("MAINSTEM_TEST_BOOTSTRAP").ok();
        let broker = foreign.is_none().then(|| Embedded::start().expect("the broker starts"));
        let registry = broker.as_ref().map(Embedded::registry_url);
        let bootstrap = foreign.unwrap_or_else(|| broker.as_ref().expect("embedded").bootstrap());
        let mut platform = Platform {
            runtime: Runtime::new().expect("a runtime starts"),
            bootstrap,
            directory: tempfile::tempdir().expect("there is room for a directory"),
            registry,
            prefix: format!("{test}-{}", std::process::id()),
            worker: None,
            _broker: broker,
        };
        platform.start_worker();
        platform
    }

    pub(crate) fn start_worker(&mut self) {
        let cache = self.directory.path().join("cache");
        let mut config = ConnectConfig::new(&self.bootstrap, plugins().to_path_buf(), cache);
        config.registry_url.clone_from(&self.registry);
        config.group_id.clone_from(&self.prefix);
        config.config_topic = format!("{}-configs", self.prefix);
        config.offset_topic = format!("{}-offsets", self.prefix);
        config.status_topic = format!("{}-status", self.prefix);
        config.offset_partitions = 3;
        config.files_allow = vec![self.directory.path().to_path_buf()];
        let worker = self.runtime.block_on(ConnectWorker::start(config));
        self.worker = Some(worker.expect("the worker starts"));
    }

    /// Ends the worker where it is: nothing is committed that was not.
    pub(crate) fn kill_worker(&mut self) {
        self.worker = None;
    }

    pub(crate) fn stop_worker(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.runtime.block_on(worker.stop());
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// The converter for values that this cluster can do.
    pub(crate) fn value_converter(&self) -> &'static str {
        if self.registry.is_some() { "avro" } else { "json" }
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let address = self.worker.as_ref().expect("the worker runs").rest_address();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(address).expect("the REST API answers");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("the request is sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the answer comes");
        let answer = String::from_utf8(answer).expect("the answer is text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a head has a status"), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    pub(crate) fn create(&self, name: &str, config: Value) {
        let (status, answer) =
            self.call("POST", "/connectors", &json!({ "name": name, "config": config }));
        assert_eq!(status, 201, "{answer}");
    }

    pub(crate) fn status(&self, name: &str) -> Value {
        self.call("GET", &format!("/connectors/{name}/status"), &Value::Null).1
    }

    /// Waits until `look` finds something.
    pub(crate) fn wait<T>(&self, what: &str, mut look: impl FnMut(&Platform) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "{what} did not happen in {PATIENCE:?}");
            let pause = Duration::from_millis(20);
            self.runtime.block_on(async { tokio::time::sleep(pause).await });
        }
    }
}

/// A number of the first task of a status.
pub(crate) fn number(status: &Value, name: &str) -> u64 {
    status["tasks"][0]["metrics"][name].as_u64().unwrap_or(0)
}
