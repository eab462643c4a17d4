//! The client against our own broker: the suite of `tests/client/`, each function on a broker of
//! its own. The same functions run against Apache Kafka with `make against-kafka`; see
//! `broker/client/tests/against_a_broker.rs`.

#[path = "client/mod.rs"]
mod client;

use mainstem_server::Embedded;

macro_rules! against_ours {
    ($($name:ident => $path:path $(, $argument:expr)*;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let broker = Embedded::start().expect("start a broker");
            $path(&broker.bootstrap() $(, $argument)*).await;
        })*
    };
}

client::suite!(against_ours);
