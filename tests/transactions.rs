//! Transactions on a network that delays and loses requests, and over kills of the broker: our
//! client of both protocols, an embedded broker, and between them a proxy that keeps, copies and
//! loses the requests that a test names.

#[path = "transactions/kills.rs"]
mod kills;
#[path = "transactions/late.rs"]
mod late;
#[path = "transactions/proxy.rs"]
mod proxy;
#[path = "transactions/room.rs"]
mod room;

use proxy::Version;

macro_rules! in_version {
    ($version:expr; $($name:ident => $path:path;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $path($version).await;
        })*
    };
}

macro_rules! in_both_versions {
    ($($name:ident => $room:ident :: $function:ident;)*) => {
        mod version_1 {
            use super::{Version, kills, late};
            in_version! { Version::One; $($name => $room::$function;)* }
        }

        mod version_2 {
            use super::{Version, kills, late};
            in_version! { Version::Two; $($name => $room::$function;)* }
        }
    };
}

in_both_versions! {
    a_late_end_never_touches_the_next_transaction => late::an_end_in_the_next_transaction;
    a_late_end_after_the_clients_timeout => late::an_end_after_a_timeout;
    a_late_batch_never_lands_in_the_next_transaction => late::a_batch_in_the_next_transaction;
    a_late_batch_that_was_given_up => late::a_batch_given_up;
    late_offsets_take_nothing_back => late::offsets_in_the_next_transaction;
    lost_answers_change_nothing => late::lost_answers;
    killed_before_the_end_arrives => kills::before_the_end_arrives;
    killed_before_the_answer_arrives => kills::before_the_answer_arrives;
    killed_after_the_answer => kills::after_the_answer;
}

// What only clients of version 1 send.
in_version! {
    Version::One;
    late_partitions_begin_no_transaction => late::added_partitions;
    a_late_raise_of_the_epoch_aborts_nothing => late::a_raised_epoch;
}
