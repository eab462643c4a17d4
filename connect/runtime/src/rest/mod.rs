//! Kafka Connect's REST API.
//!
//! Paths, status codes and bodies are Kafka Connect's; errors are `{"error_code", "message"}`. A
//! task's status carries one field more, `metrics`, with what the task has counted.
//!
//! Deliberately absent: forwarding to a leader (there is one worker), and loggers.

mod answers;
mod handlers;
mod offsets;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use tokio::net::TcpListener;

use crate::limits;
use crate::worker::Shared;

/// Serves until the task is aborted.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    if let Err(error) = axum::serve(listener, router(shared)).await {
        tracing::error!("Connect REST API: {error}");
    }
}

fn router(shared: Arc<Shared>) -> Router {
    use handlers as h;
    Router::new()
        .route("/", get(h::root))
        .route("/health", get(h::health))
        .route("/connectors", get(h::list).post(h::create))
        .route("/connectors/{name}", get(h::describe).delete(h::delete))
        .route(
            "/connectors/{name}/config",
            get(h::get_config).put(h::put_config).patch(h::patch_config),
        )
        .route("/connectors/{name}/status", get(h::status))
        .route("/connectors/{name}/tasks", get(h::tasks))
        .route("/connectors/{name}/tasks/{task}/status", get(h::task_status))
        .route("/connectors/{name}/tasks/{task}/restart", post(h::restart_task))
        .route("/connectors/{name}/restart", post(h::restart))
        .route("/connectors/{name}/pause", put(h::pause))
        .route("/connectors/{name}/resume", put(h::resume))
        .route("/connectors/{name}/stop", put(h::stop))
        .route(
            "/connectors/{name}/offsets",
            get(offsets::list).delete(offsets::reset).patch(offsets::alter),
        )
        .route("/connectors/{name}/topics", get(h::topics))
        .route("/connector-plugins", get(h::plugins))
        .route("/connector-plugins/{class}/config", get(h::plugin_keys))
        .route("/connector-plugins/{class}/config/validate", put(h::validate))
        .fallback(h::not_found)
        .method_not_allowed_fallback(h::wrong_method)
        .layer(DefaultBodyLimit::max(limits::CONFIG_BYTES_MAX))
        .with_state(shared)
}
