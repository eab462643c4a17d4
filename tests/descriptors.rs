//! A broker whose process may open few files: it turns connections away before its logs lack
//! descriptors, refuses partitions when they do, and goes on with all that it has.

mod process;

use mainstem_client::{
    Admin, AdminConfig, Consumer, ConsumerConfig, NewTopic, Producer, ProducerConfig,
    ProducerRecord, TopicPartition,
};
use process::Broker;
use std::net::TcpStream;

const DESCRIPTORS: u32 = 400;
const TOPICS: usize = 6;
const PARTITIONS: i32 = 100;
/// How often something is written, and how much of it.
const TIMES: i64 = 4;
const RECORDS: i64 = 10;

async fn write(producer: &Producer, topic: &str) {
    for number in 0..RECORDS {
        let record = ProducerRecord::new(topic, number.to_string());
        let delivery = producer.send(record).await.expect("a place in the buffer");
        delivery.await.expect("acknowledged");
    }
}

#[tokio::test]
async fn a_broker_without_file_descriptors_goes_on_with_what_it_has() {
    let mut broker = Broker::start_with_descriptors(DESCRIPTORS);
    let bootstrap = broker.bootstrap();
    let admin = Admin::connect(AdminConfig::new(&bootstrap)).await.expect("connect");
    let created = admin.create_topics(&[NewTopic::new("kept", 1)]).await.expect("create");
    assert!(created.iter().all(|(_, answer)| answer.is_ok()), "{created:?}");
    let producer = Producer::connect(ProducerConfig::new(&bootstrap)).await.expect("connect");
    write(&producer, "kept").await;

    // More connections than there are descriptors.
    let strangers: Vec<_> =
        (0..2 * DESCRIPTORS).map(|_| TcpStream::connect(&bootstrap).expect("connect")).collect();
    write(&producer, "kept").await;

    // More partitions than there are descriptors: some go offline, the others do not notice.
    for number in 0..TOPICS {
        let topic = NewTopic::new(format!("more-{number}"), PARTITIONS);
        let answers = admin.create_topics(&[topic]).await.expect("an answer");
        assert!(answers.iter().all(|(_, answer)| answer.is_ok()), "{answers:?}");
    }
    write(&producer, "kept").await;
    drop(strangers);
    write(&producer, "kept").await;

    // With descriptors for all of them everything is there.
    broker.restart_without_limit();
    for number in 0..TOPICS {
        write(&producer, &format!("more-{number}")).await;
    }
    let consumer = Consumer::connect(ConsumerConfig::new(&bootstrap)).await.expect("connect");
    let kept = [TopicPartition::new("kept", 0)];
    let ends = consumer.end_offsets(&kept).await.expect("the end");
    assert_eq!(ends.values().copied().collect::<Vec<i64>>(), [TIMES * RECORDS]);
}
