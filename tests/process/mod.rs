//! The real `mainstem` process in a test: started on free ports with a directory of its own, killed with SIGKILL,
//! started again on the same ports and the same data.
//!
//! The binary is the one that `make test` has built beside the tests.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a start may take before the test gives up.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A broker process; dropped, it is killed and its data removed.
pub(crate) struct Broker {
    child: Option<Child>,
    directory: PathBuf,
    /// Holds the directory where the test gave none.
    _temporary: Option<tempfile::TempDir>,
    listen: SocketAddr,
    admin: SocketAddr,
    extra: Vec<String>,
    /// `ulimit -n` of the process, where the test sets one.
    descriptors_max: Option<u32>,
}

/// The binary beside this test's executable.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    let folder = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let binary = folder.join("mainstem");
    assert!(binary.exists(), "{} is missing: run `make test`", binary.display());
    binary
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
    listener.local_addr().expect("the address of a bound socket")
}

impl Broker {
    /// Starts a broker without Connect; `extra` are more arguments of `mainstem serve`.
    pub(crate) fn start(extra: &[&str]) -> Broker {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let mut broker = Broker::start_in(temporary.path().to_owned(), extra);
        broker._temporary = Some(temporary);
        broker
    }

    /// The same for a process that may open so many files.
    pub(crate) fn start_with_descriptors(max: u32) -> Broker {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let mut broker = Broker::prepared(temporary.path().to_owned(), &[]);
        broker._temporary = Some(temporary);
        broker.descriptors_max = Some(max);
        broker.restart();
        broker
    }

    /// The same with its data in a directory of the test's.
    pub(crate) fn start_in(directory: PathBuf, extra: &[&str]) -> Broker {
        let mut broker = Broker::prepared(directory, extra);
        broker.restart();
        broker
    }

    fn prepared(directory: PathBuf, extra: &[&str]) -> Broker {
        Broker {
            child: None,
            directory,
            _temporary: None,
            listen: free_port(),
            admin: free_port(),
            extra: extra.iter().map(|text| (*text).to_owned()).collect(),
            descriptors_max: None,
        }
    }

    /// Where clients connect, before and after a restart.
    pub(crate) fn bootstrap(&self) -> String {
        self.listen.to_string()
    }

    /// A number that the broker counts, by its name in `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.admin).expect("the listener for metrics");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("ask for the metrics");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the metrics");
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {answer}")).parse().expect("a number")
    }

    /// SIGKILL: no handler runs, nothing is closed.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill the broker");
            child.wait().expect("reap the broker");
        }
    }

    /// Stops and starts it without the limit of descriptors.
    pub(crate) fn restart_without_limit(&mut self) {
        self.descriptors_max = None;
        self.restart();
    }

    /// Starts the process and waits until it accepts connections.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = match self.descriptors_max {
            None => Command::new(binary()),
            Some(max) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("ulimit -n {max}; exec \"$0\" \"$@\"")).arg(binary());
                shell
            }
        };
        command.arg("serve").arg("--no-connect").arg("--data-dir").arg(&self.directory);
        command.arg("--listen").arg(self.bootstrap());
        command.args(["--registry-listen", "127.0.0.1:0"]);
        command.arg("--admin-listen").arg(self.admin.to_string());
        command.args(&self.extra);
        // The tests' own settings are none of the broker's.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MAINSTEM_")) {
            command.env_remove(name);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        self.child = Some(child.expect("start the broker"));
        let started = Instant::now();
        while TcpStream::connect(self.listen).is_err() {
            assert!(started.elapsed() < START_TIMEOUT, "the broker does not listen");
            let exited = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(exited.is_none(), "the broker ended: {exited:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
