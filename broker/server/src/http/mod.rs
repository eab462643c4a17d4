//! HTTP beside the broker: the schema registry, metrics and health, on one thread.
//!
//! Handlers decide nothing. They translate paths and bodies into commands for the shards and
//! answers into JSON or text; a question waits at most `PATIENCE` for its shard.

mod listener;
mod metrics;
mod registry;

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mainstem_node::{LocalCommand, LocalReply};
use tokio::sync::oneshot;

use crate::ServerError;
use crate::shard::Mailbox;
use crate::status::Status;
use listener::LimitedListener;

/// How long an answer of a shard is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest body of a request: a schema of the largest size with every character escaped.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
const STACK_BYTES: usize = 1024 * 1024;

/// What every handler may use.
#[derive(Clone)]
struct Broker {
    shards: Arc<[Mailbox]>,
    status: Arc<Status>,
}

impl Broker {
    /// Asks one shard; the error is a text for the client.
    async fn ask(&self, shard: usize, command: LocalCommand) -> Result<LocalReply, String> {
        match tokio::time::timeout(PATIENCE, self.shards[shard].ask(command)).await {
            Ok(Some(LocalReply::Failed { reason })) => Err(reason),
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err("the broker is stopping".into()),
            Err(_) => Err("the broker did not answer in time".into()),
        }
    }
}

/// The thread that serves HTTP.
pub(crate) struct HttpThread {
    thread: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl HttpThread {
    /// Serves on the listeners that there are; no thread when there is none.
    pub(crate) fn start(
        registry: Option<TcpListener>,
        metrics: Option<TcpListener>,
        shards: Vec<Mailbox>,
        status: Arc<Status>,
    ) -> Result<Option<Self>, ServerError> {
        if registry.is_none() && metrics.is_none() {
            return Ok(None);
        }
        let failed = |source| ServerError::Spawn { what: "the HTTP thread".into(), source };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let broker = Broker { shards: shards.into(), status };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("http".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                runtime.block_on(async {
                    if let Some(listener) = registry {
                        serve(listener, registry::router(broker.clone()));
                    }
                    if let Some(listener) = metrics {
                        serve(listener, metrics::router(broker));
                    }
                    // An error says that the other end is gone, which means the same.
                    let _ = stopped.await;
                });
                // Connections that are open are dropped with the runtime.
            })
            .map_err(failed)?;
        Ok(Some(Self { thread, stop }))
    }

    /// Ends the thread. Answers that are not given yet are not given any more.
    pub(crate) fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

fn serve(listener: TcpListener, router: axum::Router) {
    let listener = match LimitedListener::new(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "serve HTTP");
            return;
        }
    };
    let router = router.layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "serve HTTP");
        }
    });
}
