//! Members come, leave and die while records flow: every record is processed once, and a partition
//! never has two owners, whatever the group's protocol.
//!
//! Members commit each batch before they poll again, so nothing may come twice: what a member had
//! processed when it gave a partition up, left or died was committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstem_client::{
    Assignor, Consumer, ConsumerConfig, CooperativeStickyAssignor, GroupProtocol,
    OffsetAndMetadata, Polled, ProducerConfig, ProducerRecord, RangeAssignor, Rebalance,
    TopicPartition,
};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::{PATIENCE, partitions, producer, reader, topic, unique};

const PARTITIONS: i32 = 6;
/// Of each of the five acts.
const ACT_RECORDS: usize = 2_000;
/// A member of the consumer protocol that died is noticed after 45 s.
const TAKEOVER_PATIENCE: Duration = Duration::from_secs(150);

/// How a group shares its partitions.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Eager,
    Cooperative,
    Served,
}

fn member(bootstrap: &str, group: &str, way: Way) -> ConsumerConfig {
    let config = reader(bootstrap)
        .group_id(group)
        .max_poll_records(50)
        .session_timeout(Duration::from_secs(6))
        .heartbeat_interval(Duration::from_millis(200))
        .metadata_max_age(Duration::from_millis(500));
    let cooperative: Arc<dyn Assignor> = Arc::new(CooperativeStickyAssignor);
    match way {
        Way::Eager => config.assignors(vec![Arc::new(RangeAssignor)]),
        Way::Cooperative => config.assignors(vec![cooperative]),
        Way::Served => config.group_protocol(GroupProtocol::Consumer),
    }
}

/// Who owns what, and what was processed, as the applications see it.
#[derive(Default)]
struct Ledger {
    owners: BTreeMap<TopicPartition, usize>,
    processed: BTreeSet<(TopicPartition, i64)>,
}

impl Ledger {
    fn assign(&mut self, id: usize, partitions: Vec<TopicPartition>) {
        for partition in partitions {
            let before = self.owners.insert(partition.clone(), id);
            assert_eq!(before, None, "{partition} has two owners");
        }
    }

    /// Whether so many records are processed, and each of the members has its share.
    fn is_settled(&self, count: usize, members: &[usize]) -> bool {
        let shares = self.shares();
        let even = PARTITIONS as usize / members.len();
        let is_shared = members.iter().all(|m| shares.get(m).is_some_and(|n| even <= *n));
        self.processed.len() == count && is_shared && shares.len() == members.len()
    }

    fn shares(&self) -> BTreeMap<usize, usize> {
        let mut shares = BTreeMap::new();
        for owner in self.owners.values() {
            *shares.entry(*owner).or_default() += 1;
        }
        shares
    }
}

#[derive(Debug, PartialEq)]
enum Ending {
    Leave,
    /// Without a word to the group.
    Die,
}

/// One application: it polls, processes and commits until it is told to end.
struct Application {
    id: usize,
    consumer: Consumer,
    ledger: Arc<watch::Sender<Ledger>>,
    /// Given up with the next poll.
    going: Vec<TopicPartition>,
}

struct Handle {
    end: oneshot::Sender<Ending>,
    task: JoinHandle<()>,
}

impl Handle {
    async fn end(self, ending: Ending) {
        self.end.send(ending).expect("the application runs");
        self.task.await.expect("the application ends well");
    }
}

impl Application {
    async fn start(
        id: usize,
        config: ConsumerConfig,
        topic: &str,
        ledger: &Arc<watch::Sender<Ledger>>,
    ) -> Handle {
        let consumer = Consumer::connect(config).await.expect("connect");
        consumer.subscribe(&[topic]).expect("subscribe");
        let application = Self { id, consumer, ledger: ledger.clone(), going: Vec::new() };
        let (end, ended) = oneshot::channel();
        Handle { end, task: tokio::spawn(application.run(ended)) }
    }

    async fn run(mut self, mut ended: oneshot::Receiver<Ending>) {
        let ending = loop {
            if let Ok(ending) = ended.try_recv() {
                break ending;
            }
            self.give_up();
            let polled = self.consumer.poll(Duration::from_millis(50)).await.expect("poll");
            let offsets = self.take_in(polled);
            if !offsets.is_empty() {
                let offsets: Vec<_> = offsets.into_iter().collect();
                self.consumer.commit(&offsets).await.expect("commit what is owned");
            }
        };
        self.ledger.send_modify(|ledger| ledger.owners.retain(|_, owner| *owner != self.id));
        match ending {
            Ending::Leave => self.consumer.close().await.expect("close"),
            Ending::Die => drop(self.consumer),
        }
    }

    fn give_up(&mut self) {
        let (id, going) = (self.id, std::mem::take(&mut self.going));
        self.ledger.send_if_modified(|ledger| {
            for partition in &going {
                assert_eq!(ledger.owners.remove(partition), Some(id), "{partition} was ours");
            }
            !going.is_empty()
        });
    }

    /// Processes; returns what is to be committed.
    fn take_in(&mut self, polled: Polled) -> BTreeMap<TopicPartition, OffsetAndMetadata> {
        let mut offsets = BTreeMap::new();
        let (id, going) = (self.id, &mut self.going);
        let has_news = !polled.is_empty();
        self.ledger.send_if_modified(|ledger| {
            match polled.rebalance {
                Some(Rebalance::Assigned { partitions, .. }) => ledger.assign(id, partitions),
                Some(Rebalance::Revoked(partitions)) => *going = partitions,
                Some(Rebalance::Lost(partitions)) => panic!("{id} lost {partitions:?}"),
                None => {}
            }
            for batch in polled.batches {
                let partition = batch.topic_partition;
                assert_eq!(ledger.owners.get(&partition), Some(&id), "{partition} is not ours");
                for record in batch.records {
                    let place = (partition.clone(), record.offset);
                    assert!(ledger.processed.insert(place.clone()), "{place:?} came twice");
                    offsets.insert(partition.clone(), OffsetAndMetadata::new(record.offset + 1));
                }
            }
            has_news
        });
        offsets
    }
}

async fn settle(ledger: &watch::Sender<Ledger>, count: usize, members: &[usize]) {
    let mut watched = ledger.subscribe();
    let settled = watched.wait_for(|ledger| ledger.is_settled(count, members));
    if tokio::time::timeout(TAKEOVER_PATIENCE, settled).await.is_err() {
        let ledger = ledger.borrow();
        let (processed, shares) = (ledger.processed.len(), ledger.shares());
        panic!("processed {processed} of {count}; {shares:?} of {members:?}");
    }
}

async fn fill(bootstrap: &str, topic: &str, act: usize) {
    let producer = producer(ProducerConfig::new(bootstrap)).await;
    for number in 0..ACT_RECORDS {
        let partition = i32::try_from(number).expect("few records") % PARTITIONS;
        let value = (act * ACT_RECORDS + number).to_string();
        let record = ProducerRecord::new(topic, value).partition(partition);
        producer.send(record).await.expect("send");
    }
    producer.close().await.expect("close");
}

/// Five acts: two begin; a third joins; one leaves; one dies; two more join.
pub(crate) async fn share(bootstrap: &str, way: Way) {
    let name = topic(bootstrap, "sharing", PARTITIONS).await;
    let group = unique("group");
    let ledger = Arc::new(watch::Sender::new(Ledger::default()));
    let start =
        async |id| Application::start(id, member(bootstrap, &group, way), &name, &ledger).await;
    let first = start(1).await;
    let second = start(2).await;
    fill(bootstrap, &name, 0).await;
    settle(&ledger, ACT_RECORDS, &[1, 2]).await;

    let (third, ()) = tokio::join!(start(3), fill(bootstrap, &name, 1));
    settle(&ledger, 2 * ACT_RECORDS, &[1, 2, 3]).await;

    tokio::join!(first.end(Ending::Leave), fill(bootstrap, &name, 2));
    settle(&ledger, 3 * ACT_RECORDS, &[2, 3]).await;

    tokio::join!(second.end(Ending::Die), fill(bootstrap, &name, 3));
    settle(&ledger, 4 * ACT_RECORDS, &[3]).await;

    let (fourth, fifth, ()) = tokio::join!(start(4), start(5), fill(bootstrap, &name, 4));
    settle(&ledger, 5 * ACT_RECORDS, &[3, 4, 5]).await;
    for member in [third, fourth, fifth] {
        member.end(Ending::Leave).await;
    }
}

/// A pattern finds the topics that there are, and those that come.
pub(crate) async fn pattern(bootstrap: &str, way: Way) {
    let stem = unique("pattern");
    let first = topic(bootstrap, &format!("{stem}.a"), 2).await;
    let other = topic(bootstrap, &format!("other.{stem}"), 1).await;
    let group = unique("group");
    let consumer = Consumer::connect(member(bootstrap, &group, way)).await.expect("connect");
    consumer.subscribe_pattern(&format!("{stem}\\.[ab].*")).expect("a pattern");
    let mut expected: BTreeSet<TopicPartition> = partitions(&first, 2).into_iter().collect();
    read_until(&consumer, &expected).await;
    let second = topic(bootstrap, &format!("{stem}.b"), 1).await;
    expected.extend(partitions(&second, 1));
    read_until(&consumer, &expected).await;
    assert!(consumer.assignment().iter().all(|partition| *partition.topic != *other));
    consumer.close().await.expect("close");
}

async fn read_until(consumer: &Consumer, expected: &BTreeSet<TopicPartition>) {
    let begun = Instant::now();
    while consumer.assignment() != *expected {
        consumer.poll(Duration::from_millis(50)).await.expect("poll");
        let assignment = consumer.assignment();
        assert!(begun.elapsed() < PATIENCE, "{assignment:?} instead of {expected:?}");
    }
}

/// A static member that closes and comes back in time has what it had, and the other one notices
/// nothing (KIP-345).
pub(crate) async fn static_member_returns(bootstrap: &str, way: Way) {
    let name = topic(bootstrap, "static", PARTITIONS).await;
    let group = unique("group");
    let open = async |instance: &str| {
        let config = member(bootstrap, &group, way).group_instance_id(instance);
        let consumer = Consumer::connect(config).await.expect("connect");
        consumer.subscribe(&[&name]).expect("subscribe");
        consumer
    };
    let (first, second) = (open("one").await, open("two").await);
    let half = PARTITIONS as usize / 2;
    let begun = Instant::now();
    while first.assignment().len() != half || second.assignment().len() != half {
        assert!(begun.elapsed() < PATIENCE, "the group did not settle");
        poll_both(&first, &second).await;
    }
    let (had, others) = (first.assignment(), second.assignment());
    first.close().await.expect("close");
    let first = open("one").await;
    while first.assignment() != had {
        assert!(begun.elapsed() < 2 * PATIENCE, "{:?} instead of {had:?}", first.assignment());
        poll_both(&first, &second).await;
        assert_eq!(second.assignment(), others, "the other member keeps what it has");
    }
    first.close().await.expect("close");
    second.close().await.expect("close");
}

async fn poll_both(first: &Consumer, second: &Consumer) {
    let wait = Duration::from_millis(50);
    let (first, second) = tokio::join!(first.poll(wait), second.poll(wait));
    first.and(second).expect("poll");
}

/// A member goes from one protocol to the other while the group lives.
pub(crate) async fn cross_over(bootstrap: &str, from: Way, to: Way) {
    let name = topic(bootstrap, "crossing", PARTITIONS).await;
    let group = unique("group");
    let ledger = Arc::new(watch::Sender::new(Ledger::default()));
    let start = async |id, way| {
        Application::start(id, member(bootstrap, &group, way), &name, &ledger).await
    };
    let (old, ()) = tokio::join!(start(1, from), fill(bootstrap, &name, 0));
    settle(&ledger, ACT_RECORDS, &[1]).await;
    let (new, ()) = tokio::join!(start(2, to), fill(bootstrap, &name, 1));
    settle(&ledger, 2 * ACT_RECORDS, &[1, 2]).await;
    tokio::join!(old.end(Ending::Leave), fill(bootstrap, &name, 2));
    settle(&ledger, 3 * ACT_RECORDS, &[2]).await;
    new.end(Ending::Leave).await;
}
