//! The examples of the client, run one after the other on a broker of their own.

#![expect(dead_code, reason = "each example has a `main` of its own")]

#[path = "../examples/administer.rs"]
mod administer;
#[path = "../examples/consume.rs"]
mod consume;
#[path = "../examples/produce.rs"]
mod produce;
#[path = "../examples/transact.rs"]
mod transact;

use mainstem_server::Embedded;

const RECORDS: u32 = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn examples_do_what_they_say() {
    let broker = Embedded::start().expect("start a broker");
    let bootstrap = broker.bootstrap();
    for _ in 0..2 {
        administer::create(&bootstrap, "readings", 4).await.expect("create");
    }
    administer::create(&bootstrap, "shouted", 2).await.expect("create");
    let written = produce::run(&bootstrap, "readings", RECORDS).await.expect("produce");
    assert_eq!(written, RECORDS);
    let (read, shouted) = tokio::join!(
        consume::run(&bootstrap, "readings", "readers"),
        transact::run(&bootstrap, "readings", "shouted", "shouters"),
    );
    assert_eq!(read.expect("consume"), u64::from(RECORDS));
    assert_eq!(shouted.expect("transact"), u64::from(RECORDS));
    let of_output = consume::run(&bootstrap, "shouted", "listeners").await.expect("consume");
    assert_eq!(of_output, u64::from(RECORDS));
    let more = produce::run(&bootstrap, "readings", 100).await.expect("produce");
    let lags = administer::lags(&bootstrap, "readings").await.expect("lags");
    let behind = i64::from(more);
    assert_eq!(lags, [("readers".to_owned(), behind), ("shouters".to_owned(), behind)].into());
}
