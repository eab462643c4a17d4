//! Streams against our own broker: the suite of `tests/streams/`, each function on a broker of its
//! own. The same functions run against Apache Kafka with `make against-kafka`; see
//! `streams/tests/against_a_broker.rs`.

#[path = "streams/mod.rs"]
mod streams;

use mainstem_server::Embedded;

macro_rules! against_ours {
    ($($name:ident => $path:path;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let broker = Embedded::start().expect("start a broker");
            $path(&broker.bootstrap()).await;
        })*
    };
}

streams::suite!(against_ours);
