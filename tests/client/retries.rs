//! Lost answers: what was sent is there once, and in order.

use mainstem_client::{ProducerConfig, ProducerRecord};

use super::proxy::Proxy;
use super::{producer, read_all, reader, text, topic};

const RECORDS: usize = 20_000;

/// Every fourth answer of a connection is lost with it; nothing is lost, doubled or swapped.
pub(crate) async fn idempotent_through_cuts(bootstrap: &str) {
    let name = topic(bootstrap, "cuts", 3).await;
    let proxy = Proxy::start(bootstrap, 4).await;
    let config = ProducerConfig::new(&proxy.address).batch_size_bytes(4 * 1024);
    let producer = producer(config).await;
    let mut deliveries = Vec::new();
    for number in 0..RECORDS {
        let partition = (number % 3) as i32;
        let record = ProducerRecord::new(name.as_str(), number.to_string()).partition(partition);
        deliveries.push(producer.send(record).await.expect("send"));
    }
    producer.flush().await.expect("flush");
    let mut offsets = Vec::new();
    for delivery in deliveries {
        offsets.push(delivery.await.expect("delivery").offset);
    }
    assert!(proxy.cuts() > 10, "{} connections were cut", proxy.cuts());

    let records = read_all(reader(bootstrap), &name, 3).await;
    assert_eq!(records.len(), RECORDS, "nothing is lost or doubled");
    for record in records {
        let number: usize = text(&record).parse().expect("a number");
        let place = (record.partition + 3 * i32::try_from(record.offset).expect("small")) as usize;
        assert_eq!(number, place, "in the order of send");
        assert_eq!(offsets[number], record.offset, "at the offset that was promised");
    }
}
