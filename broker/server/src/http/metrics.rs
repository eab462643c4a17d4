//! Metrics in Prometheus' text format, and health.
//!
//! Nothing is counted here: at each scrape every shard is asked for its numbers, which are added
//! up and written. Names follow Prometheus' rules: `mainstem_`, a unit, `_total` for counters.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response as HttpResponse};
use axum::routing::get;
use mainstem_node::{ApiCounters, LocalCommand, LocalReply, MetricsSnapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::Ordering;

use super::Broker;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn router(broker: Broker) -> Router {
    Router::new().route("/metrics", get(metrics)).route("/health", get(health)).with_state(broker)
}

/// The broker is well when every shard answers.
async fn health(State(broker): State<Broker>) -> HttpResponse {
    if let Some(reason) = broker.status.failure() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("halted: {reason}\n")).into_response();
    }
    if broker.status.is_stopping() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    match collect(&broker).await {
        Ok(_) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n").into_response(),
    }
}

async fn metrics(State(broker): State<Broker>) -> HttpResponse {
    let snapshot = match collect(&broker).await {
        Ok(snapshot) => snapshot,
        Err(reason) => return (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    };
    let mut registry = Registry::with_prefix("mainstem");
    registry.register_collector(Box::new(Scrape { snapshot, broker }));
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The numbers of all shards, added up.
async fn collect(broker: &Broker) -> Result<MetricsSnapshot, String> {
    let mut sum = MetricsSnapshot::default();
    for shard in 0..broker.shards.len() {
        match broker.ask(shard, LocalCommand::Metrics).await? {
            LocalReply::Metrics(snapshot) => add(&mut sum, &snapshot),
            _ => return Err("the broker answered another question".into()),
        }
    }
    Ok(sum)
}

fn add(sum: &mut MetricsSnapshot, shard: &MetricsSnapshot) {
    for (api, counters) in &shard.apis {
        let api = sum.apis.entry(api).or_default();
        api.requests += counters.requests;
        api.request_bytes += counters.request_bytes;
        api.response_bytes += counters.response_bytes;
    }
    for (error, count) in &shard.errors {
        *sum.errors.entry(error).or_default() += count;
    }
    sum.batches_appended += shard.batches_appended;
    sum.bytes_appended += shard.bytes_appended;
    sum.bytes_fetched += shard.bytes_fetched;
    sum.syncs += shard.syncs;
    sum.malformed_requests += shard.malformed_requests;
    sum.connections += shard.connections;
    sum.partitions += shard.partitions;
    sum.partitions_offline += shard.partitions_offline;
    // Every shard knows of all failed directories.
    sum.log_dirs_offline = sum.log_dirs_offline.max(shard.log_dirs_offline);
    sum.fetches_waiting += shard.fetches_waiting;
    sum.fetch_sessions += shard.fetch_sessions;
    sum.log_bytes += shard.log_bytes;
    sum.recovery_scanned_bytes += shard.recovery_scanned_bytes;
    sum.recovery_segments_max = sum.recovery_segments_max.max(shard.recovery_segments_max);
    sum.open_transactions += shard.open_transactions;
    sum.partitions_with_late_transactions += shard.partitions_with_late_transactions;
    sum.requests_under_way += shard.requests_under_way;
}

struct Scrape {
    snapshot: MetricsSnapshot,
    broker: Broker,
}

impl std::fmt::Debug for Scrape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Scrape").field(&self.snapshot).finish()
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let MetricsSnapshot { apis, errors, .. } = &self.snapshot;
        let by_api = |pick: fn(&ApiCounters) -> u64| {
            apis.iter().map(move |(api, counters)| ("api", *api, pick(counters)))
        };
        let errors = errors.iter().map(|(error, count)| ("error", *error, *count));
        labelled(&mut encoder, "requests", "Requests by API.", by_api(|c| c.requests))?;
        labelled(
            &mut encoder,
            "request_bytes",
            "Bytes of requests by API.",
            by_api(|c| c.request_bytes),
        )?;
        labelled(
            &mut encoder,
            "response_bytes",
            "Bytes of responses by API.",
            by_api(|c| c.response_bytes),
        )?;
        labelled(&mut encoder, "errors", "Error codes answered.", errors)?;
        for (name, help, count) in self.counters() {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        for (name, help, value) in self.gauges() {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn counters(&self) -> [(&'static str, &'static str, u64); 9] {
        let shell = &self.broker.status.counters;
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let node = &self.snapshot;
        [
            ("batches_appended", "Record batches appended.", node.batches_appended),
            ("bytes_appended", "Bytes of record batches appended.", node.bytes_appended),
            ("bytes_fetched", "Bytes of record batches sent to consumers.", node.bytes_fetched),
            ("syncs", "Group commits.", node.syncs),
            ("malformed_requests", "Requests that could not be read.", node.malformed_requests),
            ("connections_accepted", "Clients that connected.", read(&shell.connections_accepted)),
            ("connections_refused", "Clients beyond the limit.", read(&shell.connections_refused)),
            ("frames_refused", "Frames of an impossible length.", read(&shell.frames_refused)),
            (
                "connections_timed_out",
                "Clients that were silent for too long.",
                read(&shell.connections_timed_out),
            ),
        ]
    }

    fn gauges(&self) -> [(&'static str, &'static str, u64); 13] {
        let node = &self.snapshot;
        [
            ("connections", "Open connections.", self.broker.status.connections() as u64),
            ("partitions", "Partitions.", node.partitions),
            ("partitions_offline", "Partitions not usable.", node.partitions_offline),
            ("log_dirs_offline", "Log directories that failed.", node.log_dirs_offline),
            ("fetches_waiting", "Fetch requests that wait for data.", node.fetches_waiting),
            ("fetch_sessions", "Open fetch sessions.", node.fetch_sessions),
            ("log_bytes", "Bytes in the logs.", node.log_bytes),
            (
                "recovery_scanned_bytes",
                "Bytes that were verified to open the logs.",
                node.recovery_scanned_bytes,
            ),
            (
                "recovery_segments_max",
                "Segments that were verified to open a log, of the log with most.",
                node.recovery_segments_max,
            ),
            ("open_transactions", "Producers with an open transaction.", node.open_transactions),
            (
                "partitions_with_late_transactions",
                "Partitions with a transaction that should have ended long ago.",
                node.partitions_with_late_transactions,
            ),
            ("requests_under_way", "Requests without an answer yet.", node.requests_under_way),
            ("shards", "Threads with an event loop.", self.broker.shards.len() as u64),
        ]
    }
}

/// One family of counters with one label.
fn labelled<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (&'a str, &'a str, u64)>,
) -> std::fmt::Result {
    use prometheus_client::metrics::MetricType;
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (label, value, count) in rows {
        ConstCounter::new(count).encode(family.encode_family(&[(label, value)])?)?;
    }
    Ok(())
}
