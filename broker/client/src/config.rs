//! Settings of the three clients, with defaults, and the check that names every wrong one at once.

use std::sync::Arc;
use std::time::Duration;

pub use mainstem_protocol::compression::Compression;

use crate::consumer::assignor::{Assignor, RangeAssignor, common_protocol};
use crate::error::{ClientError, Result};
use crate::limits::METADATA_AGE_MAX;
use crate::producer::Partitioner;
use crate::security::Security;

/// What a broker must have done before it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Every in-sync replica has it.
    All,
    /// The leader has it.
    Leader,
    /// Nothing is asked and nothing is answered; offsets are unknown.
    None,
}

/// Which records a consumer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    /// Only records outside transactions and of committed ones, up to the last stable offset.
    ReadCommitted,
}

/// How the members of a group come to their partitions: `group.protocol` of Kafka's clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupProtocol {
    /// One of the members shares the partitions, by an assignor that all of them have.
    Classic,
    /// The coordinator does, and each member moves on its own (KIP-848).
    Consumer,
}

/// Where to begin without a committed offset, or when it no longer exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoOffsetReset {
    Earliest,
    Latest,
    /// `poll` answers with an error.
    None,
}

/// A setter for each named field, so that a config can be written as one expression.
macro_rules! setters {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(#[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        })*
    };
}

/// Settings of a [`crate::Producer`].
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// `host:port[,host:port...]`
    pub bootstrap: String,
    pub client_id: String,
    /// Encryption and authentication.
    pub security: Security,
    pub acks: Acks,
    /// How long a batch that is not full waits for more records.
    pub linger: Duration,
    /// A batch is closed at this size before compression.
    pub batch_size_bytes: usize,
    pub compression: Compression,
    /// How hard gzip (1 to 9) and zstd (-131072 to 22) try; `None`: the codec's default.
    pub compression_level: Option<i32>,
    /// Chooses the partitions of records that name none, before the client does.
    pub partitioner: Option<Arc<dyn Partitioner>>,
    /// No duplicates by retries. Needs `Acks::All`.
    pub idempotent: bool,
    pub transactional_id: Option<String>,
    /// After this time without an end the coordinator aborts the transaction.
    pub transaction_timeout: Duration,
    /// One request's patience.
    pub request_timeout: Duration,
    /// From `send` to the final answer, retries included.
    pub delivery_timeout: Duration,
    /// How long `send` waits for metadata and for buffer room.
    pub max_block: Duration,
    /// Produce requests in flight per connection; at most 5 when idempotent.
    pub max_in_flight: usize,
    /// Memory of all batches not yet acknowledged; `send` waits while it is full.
    pub buffer_memory_bytes: usize,
    /// Largest produce request, and so the largest record.
    pub max_request_bytes: usize,
    /// Let the broker create a topic that is sent to.
    pub allow_auto_create_topics: bool,
}

impl ProducerConfig {
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            client_id: "mainstem-producer".to_owned(),
            security: Security::plaintext(),
            acks: Acks::All,
            linger: Duration::from_millis(2),
            batch_size_bytes: 64 * 1024,
            compression: Compression::None,
            compression_level: None,
            partitioner: None,
            idempotent: true,
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(30),
            delivery_timeout: Duration::from_secs(120),
            max_block: Duration::from_secs(60),
            max_in_flight: 5,
            buffer_memory_bytes: 32 * 1024 * 1024,
            max_request_bytes: 1024 * 1024,
            allow_auto_create_topics: true,
        }
    }

    setters! {
        security: Security, acks: Acks, linger: Duration, batch_size_bytes: usize,
        compression: Compression,
        compression_level: Option<i32>, partitioner: Option<Arc<dyn Partitioner>>,
        idempotent: bool, transaction_timeout: Duration, request_timeout: Duration,
        delivery_timeout: Duration, max_block: Duration, max_in_flight: usize,
        buffer_memory_bytes: usize, max_request_bytes: usize, allow_auto_create_topics: bool,
    }

    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    #[must_use]
    pub fn transactional_id(mut self, transactional_id: impl Into<String>) -> Self {
        self.transactional_id = Some(transactional_id.into());
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let idempotent = self.idempotent || self.transactional_id.is_some();
        refuse(&[
            (idempotent && self.acks != Acks::All, "acks: an idempotent producer needs Acks::All"),
            (idempotent && self.max_in_flight > 5, "max_in_flight: at most 5 when idempotent"),
            (self.max_in_flight == 0, "max_in_flight: at least 1"),
            (self.batch_size_bytes == 0, "batch_size_bytes: at least 1"),
            (
                self.batch_size_bytes > self.buffer_memory_bytes,
                "batch_size_bytes: must fit into buffer_memory_bytes",
            ),
            (
                self.delivery_timeout < self.linger + self.request_timeout,
                "delivery_timeout: at least linger + request_timeout",
            ),
            (
                self.transactional_id.is_some() && !self.idempotent,
                "idempotent: a transactional producer is idempotent",
            ),
            (self.transactional_id.as_deref() == Some(""), "transactional_id: empty"),
        ])
    }
}

/// Settings of a [`crate::Consumer`].
#[derive(Clone)]
pub struct ConsumerConfig {
    /// `host:port[,host:port...]`
    pub bootstrap: String,
    pub client_id: String,
    /// Encryption and authentication.
    pub security: Security,
    /// Needed by `subscribe`, `commit` and `committed`.
    pub group_id: Option<String>,
    /// Kafka's `group.instance.id` (KIP-345): a static member keeps its partitions over a restart
    /// shorter than the session timeout.
    pub group_instance_id: Option<String>,
    /// Kafka's `group.protocol`. A group may be moved to the other one member by member.
    pub group_protocol: GroupProtocol,
    /// Kafka's `group.remote.assignor`, in the consumer protocol alone: the coordinator's assignor
    /// by name (`uniform`, `range`); its default when there is none.
    pub group_remote_assignor: Option<String>,
    pub isolation: Isolation,
    pub auto_offset_reset: AutoOffsetReset,
    /// Commit what earlier polls returned, at this interval and before a rebalance.
    pub auto_commit: Option<Duration>,
    /// Without a heartbeat for this long a member of a classic group is expelled. In the consumer
    /// protocol this and the interval are the coordinator's settings.
    pub session_timeout: Duration,
    pub heartbeat_interval: Duration,
    /// Kafka's `max.poll.interval.ms`: the longest time between two polls, and what members have to
    /// give up partitions and to rejoin.
    pub rebalance_timeout: Duration,
    /// One fetch response; also the bound of what is buffered.
    pub fetch_max_bytes: usize,
    pub max_partition_fetch_bytes: usize,
    /// How long a broker may wait for `min_bytes`.
    pub max_wait: Duration,
    pub min_bytes: usize,
    pub max_poll_records: usize,
    pub request_timeout: Duration,
    /// Kafka's `partition.assignment.strategy`, of classic groups alone, in order of preference; the
    /// group takes one that all members know. Rebalances are cooperative when all of them support
    /// that. To change a running group from eager to cooperative, add the cooperative assignor to
    /// all members first, then remove the eager ones.
    pub assignors: Vec<Arc<dyn Assignor>>,
    /// New topics and partitions are seen at least this often.
    pub metadata_max_age: Duration,
    pub allow_auto_create_topics: bool,
}

impl ConsumerConfig {
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            client_id: "mainstem-consumer".to_owned(),
            security: Security::plaintext(),
            group_id: None,
            group_instance_id: None,
            group_protocol: GroupProtocol::Classic,
            group_remote_assignor: None,
            isolation: Isolation::ReadUncommitted,
            auto_offset_reset: AutoOffsetReset::Latest,
            auto_commit: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            rebalance_timeout: Duration::from_secs(300),
            fetch_max_bytes: 32 * 1024 * 1024,
            max_partition_fetch_bytes: 1024 * 1024,
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_poll_records: 500,
            request_timeout: Duration::from_secs(30),
            assignors: vec![Arc::new(RangeAssignor)],
            metadata_max_age: METADATA_AGE_MAX,
            allow_auto_create_topics: false,
        }
    }

    setters! {
        security: Security, isolation: Isolation, auto_offset_reset: AutoOffsetReset,
        auto_commit: Option<Duration>,
        session_timeout: Duration, heartbeat_interval: Duration, rebalance_timeout: Duration,
        fetch_max_bytes: usize, max_partition_fetch_bytes: usize, max_wait: Duration,
        min_bytes: usize, max_poll_records: usize, request_timeout: Duration,
        assignors: Vec<Arc<dyn Assignor>>, metadata_max_age: Duration,
        allow_auto_create_topics: bool, group_protocol: GroupProtocol,
    }

    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    #[must_use]
    pub fn group_remote_assignor(mut self, name: impl Into<String>) -> Self {
        self.group_remote_assignor = Some(name.into());
        self
    }

    #[must_use]
    pub fn group_id(mut self, group_id: impl Into<String>) -> Self {
        self.group_id = Some(group_id.into());
        self
    }

    #[must_use]
    pub fn group_instance_id(mut self, group_instance_id: impl Into<String>) -> Self {
        self.group_instance_id = Some(group_instance_id.into());
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        refuse(&[
            (self.group_id.as_deref() == Some(""), "group_id: empty"),
            (self.group_instance_id.as_deref() == Some(""), "group_instance_id: empty"),
            (
                self.group_remote_assignor.is_some()
                    && self.group_protocol == GroupProtocol::Classic,
                "group_remote_assignor: only in the consumer protocol",
            ),
            (
                !self.assignors.is_empty() && common_protocol(&self.assignors).is_none(),
                "assignors: they have no rebalance protocol in common",
            ),
            (self.metadata_max_age.is_zero(), "metadata_max_age: more than nothing"),
            (
                self.heartbeat_interval * 2 > self.session_timeout,
                "heartbeat_interval: at most half of session_timeout",
            ),
            (self.max_poll_records == 0, "max_poll_records: at least 1"),
            (self.fetch_max_bytes == 0, "fetch_max_bytes: at least 1"),
            (self.max_partition_fetch_bytes == 0, "max_partition_fetch_bytes: at least 1"),
            (self.max_wait >= self.request_timeout, "max_wait: less than request_timeout"),
            (self.assignors.is_empty(), "assignors: at least one"),
            (
                self.auto_commit.is_some() && self.group_id.is_none(),
                "auto_commit: needs a group_id",
            ),
        ])
    }
}

/// Settings of an [`crate::Admin`].
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// `host:port[,host:port...]`
    pub bootstrap: String,
    pub client_id: String,
    /// Encryption and authentication.
    pub security: Security,
    pub request_timeout: Duration,
    /// The whole call, retries included.
    pub call_timeout: Duration,
}

impl AdminConfig {
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            client_id: "mainstem-admin".to_owned(),
            security: Security::plaintext(),
            request_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_secs(60),
        }
    }

    setters! { security: Security, request_timeout: Duration, call_timeout: Duration }

    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }
}

/// All the rules that are broken, in one error.
fn refuse(rules: &[(bool, &str)]) -> Result<()> {
    let broken: Vec<&str> =
        rules.iter().filter(|(broken, _)| *broken).map(|(_, text)| *text).collect();
    if broken.is_empty() { Ok(()) } else { Err(ClientError::Config(broken.join("; "))) }
}
