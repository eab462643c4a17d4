//! Metrics and health.

use mainstem_server::{Embedded, EmbeddedOptions};

use crate::client::Client;
use crate::web;

#[test]
fn metrics_count_what_happened_on_all_shards() {
    let options = EmbeddedOptions { metrics: true, shards: 2, ..Default::default() };
    let broker = Embedded::start_with(options).expect("start");
    let mut client = Client::connect(&broker.bootstrap());
    client.create("counted");
    client.produce("counted", &[b"one"]).expect("produce");
    client.produce("counted", &[b"two"]).expect("produce");

    let answer = web::call(&broker.metrics_url(), "GET", "/metrics", "");
    assert_eq!(answer.status, 200);
    assert!(answer.content_type.starts_with("application/openmetrics-text"));
    let value = |name: &str| {
        let line = answer.body.lines().find(|line| line.starts_with(&format!("{name} ")));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("{name} in\n{}", answer.body))
    };
    assert_eq!(value("mainstem_requests_total{api=\"Produce\"}"), 2.0);
    assert!(value("mainstem_batches_appended_total") >= 2.0);
    assert_eq!(value("mainstem_connections"), 1.0);
    assert_eq!(value("mainstem_shards"), 2.0);
    assert_eq!(value("mainstem_log_dirs_offline"), 0.0);
    assert_eq!(value("mainstem_partitions_offline"), 0.0);
    assert!(answer.body.ends_with("# EOF\n"));
}

#[test]
fn health_is_said_in_one_word() {
    let options = EmbeddedOptions { metrics: true, ..Default::default() };
    let broker = Embedded::start_with(options).expect("start");
    let answer = web::call(&broker.metrics_url(), "GET", "/health", "");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
}
