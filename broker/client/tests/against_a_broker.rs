//! The client's conformance suite against the broker that `MAINSTEM_TEST_BOOTSTRAP` names.
//!
//! For Apache's broker as a peer: `make against-kafka`. It is no part of `cargo test`; the same functions
//! run against our own broker in the workspace's `tests/client.rs`.

#[path = "../../../tests/client/mod.rs"]
mod client;

macro_rules! against {
    ($($name:ident => $path:path $(, $argument:expr)*;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let bootstrap = std::env::var("MAINSTEM_TEST_BOOTSTRAP");
            let bootstrap = bootstrap.expect("MAINSTEM_TEST_BOOTSTRAP names a broker");
            $path(&bootstrap $(, $argument)*).await;
        })*
    };
}

client::suite!(against);
