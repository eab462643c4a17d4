//! The suite of Streams against the broker that `MAINSTEM_TEST_BOOTSTRAP` names.
//!
//! For Apache's broker as a peer, by hand. Without the variable there is nothing to do; the same
//! functions run against our own broker in the workspace's `tests/streams.rs`.

#[path = "../../tests/streams/mod.rs"]
mod streams;

macro_rules! against {
    ($($name:ident => $path:path;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            if let Ok(bootstrap) = std::env::var("MAINSTEM_TEST_BOOTSTRAP") {
                $path(&bootstrap).await;
            }
        })*
    };
}

against! {
    crashes => streams::words::crashes;
    wiped_state => streams::words::wiped_state;
    two_instances => streams::words::two_instances;
    exact_to_the_end => streams::windows::exact_to_the_end;
}
