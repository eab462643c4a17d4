//! The client against our own broker: the suite of `tests/client/`, each function on a broker of
//! its own. The same functions run against Apache's broker by hand; see
//! `broker/client/tests/against_a_broker.rs`.

#[path = "client/mod.rs"]
mod client;

use client::sharing::Way;
use mainstem_client::Compression;
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

against_ours! {
    plain => client::round_trip::round_trip, Compression::None;
    gzip => client::round_trip::round_trip, Compression::Gzip;
    snappy => client::round_trip::round_trip, Compression::Snappy;
    lz4 => client::round_trip::round_trip, Compression::Lz4;
    zstd => client::round_trip::round_trip, Compression::Zstd;
    oddities => client::round_trip::oddities;
    nothing_waits_that_must_not => client::producing::nothing_waits_that_must_not;
    partitions_are_chosen => client::producing::partitions_are_chosen;
    batches_are_read_in_place => client::batches::batches_are_read_in_place;
    batches_begin_where_we_are => client::batches::batches_begin_where_we_are;
    idempotent_through_cuts => client::retries::idempotent_through_cuts;
    commit_and_abort => client::transactions::commit_and_abort;
    open_transaction_is_invisible => client::transactions::open_transaction_is_invisible;
    zombie_is_fenced => client::transactions::zombie_is_fenced;
    offsets_in_a_transaction => client::transactions::offsets_in_a_transaction;
    transactions_are_found_and_ended => client::operators::transactions_are_found_and_ended;
    records_are_deleted => client::administration::records_are_deleted;
    groups_are_administered => client::administration::groups_are_administered;
    disks_and_leaders => client::administration::disks_and_leaders;
    features_have_levels => client::administration::features_have_levels;
    rebalance => client::groups::rebalance;
    commit_around_a_rebalance => client::groups::commit_around_a_rebalance;
    resume_and_reset => client::groups::resume_and_reset;
    auto_commit => client::groups::auto_commit;
    share_eager => client::sharing::share, Way::Eager;
    share_cooperative => client::sharing::share, Way::Cooperative;
    share_served => client::sharing::share, Way::Served;
    static_eager => client::sharing::static_member_returns, Way::Eager;
    static_cooperative => client::sharing::static_member_returns, Way::Cooperative;
    static_served => client::sharing::static_member_returns, Way::Served;
    pattern_classic => client::sharing::pattern, Way::Cooperative;
    pattern_served => client::sharing::pattern, Way::Served;
    from_classic_to_served => client::sharing::cross_over, Way::Cooperative, Way::Served;
    from_served_to_classic => client::sharing::cross_over, Way::Served, Way::Cooperative;
    long_polls_delay_nobody => client::polling::long_polls_delay_nobody;
    two_members => client::exactly_once::two_members;
    zombie_member => client::exactly_once::zombie_member;
}
