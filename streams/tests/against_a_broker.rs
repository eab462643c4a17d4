//! The suite of Streams against the broker that `MAINSTEM_TEST_BOOTSTRAP` names.
//!
//! For Apache's broker as a peer: `make against-kafka`. It is no part of `cargo test`; the same functions
//! run against our own broker in the workspace's `tests/streams.rs`.

#[path = "../../tests/streams/mod.rs"]
mod streams;

macro_rules! against {
    ($($name:ident => $path:path;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let bootstrap = std::env::var("MAINSTEM_TEST_BOOTSTRAP");
            let bootstrap = bootstrap.expect("MAINSTEM_TEST_BOOTSTRAP names a broker");
            $path(&bootstrap).await;
        })*
    };
}

streams::suite!(against);
