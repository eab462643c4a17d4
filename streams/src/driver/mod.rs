//! The test driver: a whole application in one thread, without a broker and without async.
//!
//! It runs the same tasks as `App`, with topics as vectors in memory. Two ways of use:
//! - Feeding: [`TestDriver::input`] sends records; each is processed at once through all
//!   sub-topologies and committed, and [`TestDriver::output`] reads what came out.
//! - Stepping: after [`TestDriver::manual`] nothing happens by itself. A test fetches, processes,
//!   commits and crashes single tasks in whatever order it likes, and so looks for an order in
//!   which the results differ.
//!
//! A commit is atomic, as a transaction is: outputs, changelogs, offsets and state, or nothing.

mod cluster;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::CodecOf;
use crate::dsl::{Consumed, Produced, Store};
use crate::error::StreamsError;
use crate::operator::{BadRecords, Counters};
use crate::record::{END_OF_STREAM_HEADER, Header, Item};
use crate::state::KeyValueStore;
use crate::task::{Application, Idle, Step, TaskId};
use crate::topology::Topology;

use cluster::{Cluster, Written};

/// Runs a topology in the test's own thread.
pub struct TestDriver {
    cluster: RefCell<Cluster>,
}

impl TestDriver {
    /// One partition for every topic. Panics if the topology cannot run, as do all methods here:
    /// the failure of a test is what it is for.
    pub fn new(topology: Topology) -> TestDriver {
        TestDriver::with_partitions(topology, &[])
    }

    /// Topics with as many partitions as given; all others have one.
    pub fn with_partitions(topology: Topology, partitions: &[(&str, i32)]) -> TestDriver {
        let mut counts: BTreeMap<String, i32> =
            topology.external_topics().into_iter().map(|topic| (topic, 1)).collect();
        let given = partitions.iter().map(|(topic, count)| ((*topic).to_owned(), *count));
        counts.extend(given);
        let idle = Idle::CaughtUpAnd { wait_ms: 0 };
        let application = Application::new(topology, "test", &counts, BadRecords::Fail, idle)
            .unwrap_or_else(|error| panic!("{error}"));
        TestDriver { cluster: RefCell::new(Cluster::new(&Arc::new(application), counts)) }
    }

    /// A door to write a source topic.
    pub fn input<K: Item, V: Item>(&self, topic: impl Into<Produced<K, V>>) -> TestInput<'_, K, V> {
        let Produced { topic, keys, values } = topic.into();
        let mut cluster = self.cluster.borrow_mut();
        cluster.register(keys.schema());
        cluster.register(values.schema());
        TestInput { driver: self, topic, keys, values }
    }

    /// A door to read a topic that the application writes.
    pub fn output<K: Item, V: Item>(
        &self,
        topic: impl Into<Consumed<K, V>>,
    ) -> TestOutput<'_, K, V> {
        let Consumed { topic, keys, values, .. } = topic.into();
        let mut cluster = self.cluster.borrow_mut();
        cluster.register(keys.schema());
        cluster.register(values.schema());
        TestOutput { driver: self, topic, keys, values }
    }

    /// Writes the end-of-stream record into every partition of the topic.
    pub fn end(&self, topic: &str) {
        let partitions = self.cluster.borrow().partitions(topic);
        for partition in 0..partitions {
            let header = Header { key: END_OF_STREAM_HEADER.to_owned(), value: None };
            let written = Written { headers: vec![header], ..Written::default() };
            self.cluster.borrow_mut().append(topic, Some(partition), written);
        }
        self.settle();
    }

    /// The rows of a store, over all partitions.
    pub fn store<K: Item + Ord, V: Item>(&self, store: &Store<K, V>) -> BTreeMap<K, V> {
        let mut cluster = self.cluster.borrow_mut();
        let rows = cluster.with_stores(store.id, |store: &mut KeyValueStore<K, V>| store.rows());
        rows.unwrap_or_else(|error| panic!("{error}")).into_iter().flatten().collect()
    }

    /// What all tasks together have counted since they were opened.
    pub fn counters(&self) -> Counters {
        self.cluster.borrow().counters()
    }

    /// True once every task has seen the end of its inputs and committed it.
    pub fn is_ended(&self) -> bool {
        self.cluster.borrow().is_ended()
    }

    /// From here on nothing is processed or committed but by the methods below.
    pub fn manual(&self) {
        self.cluster.borrow_mut().is_manual = true;
    }

    /// All tasks of the application.
    pub fn tasks(&self) -> Vec<TaskId> {
        self.cluster.borrow().application.tasks()
    }

    /// Hands up to `limit` records of each input to the task.
    pub fn fetch(&self, task: TaskId, limit: usize) {
        self.cluster.borrow_mut().fetch(task, limit);
    }

    /// Lets the task process one batch, without a commit.
    pub fn process(&self, task: TaskId) -> Result<Step, StreamsError> {
        self.cluster.borrow_mut().process(task)
    }

    /// Commits what the task has processed.
    pub fn commit(&self, task: TaskId) -> Result<(), StreamsError> {
        self.cluster.borrow_mut().commit(task)
    }

    /// Drops the task with all that was not committed and opens it anew.
    pub fn crash(&self, task: TaskId) {
        self.cluster.borrow_mut().crash(task, false);
    }

    /// As `crash`, with the task's local state lost: it is rebuilt from the changelogs.
    pub fn crash_and_wipe(&self, task: TaskId) {
        self.cluster.borrow_mut().crash(task, true);
    }

    fn settle(&self) {
        let settled = self.cluster.borrow_mut().settle();
        settled.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Writes a source topic.
pub struct TestInput<'a, K, V> {
    driver: &'a TestDriver,
    topic: String,
    keys: CodecOf<K>,
    values: CodecOf<V>,
}

impl<K: Item, V: Item> TestInput<'_, K, V> {
    /// Sends a record to the partition of its key's hash.
    #[expect(clippy::needless_pass_by_value, reason = "a test writes keys in place")]
    pub fn send(&self, key: K, value: impl Into<V>, timestamp: i64) {
        self.send_to(None, &key, &value.into(), timestamp);
    }

    /// Sends a record to a partition of the test's choice.
    pub fn send_to(&self, partition: Option<i32>, key: &K, value: &V, timestamp: i64) {
        let encode = "a test's record can be encoded";
        let key = self.keys.encode(key).expect(encode);
        let value = self.values.encode(value).expect(encode);
        let written = Written { key, value, timestamp, headers: Vec::new() };
        self.driver.cluster.borrow_mut().append(&self.topic, partition, written);
        self.driver.settle();
    }
}

/// Reads a topic that the application writes.
pub struct TestOutput<'a, K, V> {
    driver: &'a TestDriver,
    topic: String,
    keys: CodecOf<K>,
    values: CodecOf<V>,
}

impl<K: Item, V: Item> TestOutput<'_, K, V> {
    /// What was committed since the last call: key, value, timestamp, partition by partition.
    pub fn drain(&self) -> Vec<(K, V, i64)> {
        let written = self.driver.cluster.borrow_mut().drain(&self.topic);
        let decode = "what the application wrote can be read with the codecs of this output";
        let decoded = written.into_iter().map(|record| {
            let key = self.keys.decode(record.key.as_ref()).expect(decode);
            let value = self.values.decode(record.value.as_ref()).expect(decode);
            (key, value, record.timestamp)
        });
        decoded.collect()
    }
}

#[cfg(test)]
mod tests;
