//! A TCP proxy that cuts connections, for tests of retries.
//!
//! It forwards to one broker, and counts the bytes of answers that it has let through. Every
//! `cut_after` of them it closes the connection instead of forwarding, so that requests were
//! carried out whose answers are lost. The broker must advertise the proxy's address to be reached
//! only through it; since it does not, the client's metadata is left as it is and the proxy is put
//! in place of the broker by rewriting the port in answers to Metadata and FindCoordinator.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Proxy {
    pub(crate) address: String,
    cuts: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }

    /// `cut_every`: answers that a connection lets through before it is cut.
    pub(crate) async fn start(broker: &str, cut_every: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = listener.local_addr().expect("address").port();
        let broker = broker.to_owned();
        let broker_port: u16 =
            broker.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("host:port");
        let cuts = Arc::new(AtomicU64::new(0));
        let counter = cuts.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (broker, counter) = (broker.clone(), counter.clone());
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(&broker).await else { return };
                    let ports = Ports { from: broker_port, to: port };
                    if forward(client, server, ports, cut_every).await == Ok(Ended::Cut) {
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Self { address: format!("127.0.0.1:{port}"), cuts, task }
    }
}

#[derive(Clone, Copy)]
struct Ports {
    from: u16,
    to: u16,
}

#[derive(PartialEq)]
enum Ended {
    Cut,
    Closed,
}

async fn forward(
    client: TcpStream,
    server: TcpStream,
    ports: Ports,
    cut_every: u64,
) -> Result<Ended, io::ErrorKind> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        tokio::io::copy(&mut from_client, &mut to_server).await.map_err(|error| error.kind())?;
        Ok(Ended::Closed)
    };
    let answers = async {
        for _ in 0..cut_every {
            let mut length = [0; 4];
            from_server.read_exact(&mut length).await.map_err(|error| error.kind())?;
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            from_server.read_exact(&mut frame).await.map_err(|error| error.kind())?;
            rewrite(&mut frame, ports);
            to_client.write_all(&length).await.map_err(|error| error.kind())?;
            to_client.write_all(&frame).await.map_err(|error| error.kind())?;
        }
        // One more answer is waited for and swallowed: its request was carried out.
        let mut length = [0; 4];
        from_server.read_exact(&mut length).await.map_err(|error| error.kind())?;
        Ok(Ended::Cut)
    };
    tokio::select! {
        end = requests => end,
        end = answers => end,
    }
}

/// Replaces the broker's port where it follows a host name. Small answers only: the port of a
/// record's payload is left alone.
fn rewrite(frame: &mut [u8], ports: Ports) {
    let (from, to) = (i32::from(ports.from).to_be_bytes(), i32::from(ports.to).to_be_bytes());
    for host in [&b"127.0.0.1"[..], b"localhost"] {
        let width = host.len() + 4;
        for at in 0..frame.len().saturating_sub(width - 1) {
            let (name, port) = (at..at + host.len(), at + host.len()..at + width);
            if frame[name] == *host && frame[port.clone()] == from {
                frame[port].copy_from_slice(&to);
            }
        }
    }
}
