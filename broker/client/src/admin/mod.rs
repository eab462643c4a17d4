//! The admin client: topics, groups, settings, offsets, transactions.
//!
//! [`machine`] brings requests to their brokers, and [`routing`] to the leaders of partitions. The
//! calls are in [`topics`], [`configs`], [`records`], [`groups`], [`group_offsets`],
//! [`transactions`], [`log_dirs`], [`elections`] and [`features`]; this file holds the handle.
//!
//! Questions are repeated until they are answered, and so are commands that may be carried out
//! twice. Other commands are not: whether a lost one was carried out is for the caller to find out.

mod configs;
mod elections;
mod features;
mod group_offsets;
mod groups;
mod log_dirs;
mod machine;
mod records;
mod routing;
mod topics;
mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainstem_platform::os::os_seed;
use mainstem_protocol::{BrokerId, ErrorCode, Request};

use crate::config::AdminConfig;
use crate::core::wire::Answer;
use crate::core::{Address, Failure, OperationId, Wire};
use crate::error::{Cause, ClientError, Result};
use crate::limits::RETRY_BACKOFF;
use crate::net::{Shared, Transport};
use crate::records::TopicPartition;
pub use configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource};
pub use elections::Election;
pub use features::{FeatureUpdate, FeatureUpgrade, Features};
pub use groups::{
    GroupDescription, GroupFilter, GroupKind, GroupListing, GroupMember, MemberToRemove,
};
pub use log_dirs::{LogDir, LogDirReplica};
use machine::{AdminMachine, Outcome, Tag, Target};
pub use transactions::{
    AbortTransaction, PartitionProducer, TransactionDescription, TransactionFilter,
    TransactionListing,
};

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    /// -1: the broker's default.
    pub partitions: i32,
    /// -1: the broker's default.
    pub replication_factor: i16,
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, replication_factor: -1, configs: Vec::new() }
    }

    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((name.into(), value.into()));
        self
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    pub name: String,
    pub internal: bool,
    pub partitions: Vec<PartitionDescription>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDescription {
    pub partition: i32,
    /// -1 when there is none.
    pub leader: i32,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    pub id: i32,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    pub cluster_id: String,
    pub controller_id: i32,
    pub brokers: Vec<Broker>,
}

/// Which offset is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    Earliest,
    Latest,
    /// The first at or after this time, in milliseconds.
    Timestamp(i64),
}

/// Creates, deletes and describes. Calls that name several things answer for each of them.
pub struct Admin {
    shared: Arc<Shared<AdminMachine>>,
    request_timeout: Duration,
    call_timeout: Duration,
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.shared.tell(|machine, _| machine.close());
        self.shared.stop();
    }
}

/// Gives up an operation whose caller went away.
struct Waiting<'a> {
    shared: &'a Shared<AdminMachine>,
    operation: OperationId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.peek().cancel(self.operation);
    }
}

impl Admin {
    /// Connects to the first broker that answers.
    pub async fn connect(config: AdminConfig) -> Result<Self> {
        let bootstrap = Address::parse_list(&config.bootstrap)?;
        let transport = Transport::open(&config.security)?;
        let machine = AdminMachine::new(&config, bootstrap, os_seed());
        let shared = Shared::start(machine, transport);
        let AdminConfig { request_timeout, call_timeout, .. } = config;
        let admin = Self { shared, request_timeout, call_timeout };
        admin.brokers().await?;
        Ok(admin)
    }

    async fn brokers(&self) -> Result<Vec<BrokerId>> {
        let known = || {
            let machine = self.shared.peek();
            machine.refused().map(Err).or_else(|| machine.brokers().map(Ok))
        };
        match self.shared.wait_for(self.call_timeout, known).await {
            Some(brokers) => brokers,
            None => {
                let why = self.shared.peek().last_failure();
                Err(ClientError::Retriable(Cause::text(format!("connect: {why}"))))
            }
        }
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.request_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// One request, once: for what must not happen twice.
    async fn call<R: Request + Send + 'static>(
        &self,
        target: Target,
        cap: i16,
        build: impl FnOnce(i16) -> R + Send + 'static,
    ) -> Result<R::Response> {
        let answer = self.raw_once::<R>(target, cap, build).await?;
        answer.decode::<R>().map_err(Failure::into_error)
    }

    /// A question, asked again while it finds no one to answer.
    async fn ask<R: Request + Send + 'static>(
        &self,
        target: &Target,
        cap: i16,
        build: impl Fn(i16) -> R,
    ) -> Result<R::Response> {
        let answer = self.raw::<R>(target, cap, build).await?;
        answer.decode::<R>().map_err(Failure::into_error)
    }

    async fn raw<R: Request + Send + 'static>(
        &self,
        target: &Target,
        cap: i16,
        build: impl Fn(i16) -> R,
    ) -> Result<Answer> {
        let begun = self.shared.now().instant;
        loop {
            // Requests differ by version in few places; all that are possible are made ready.
            let versions = R::MIN_VERSION..=R::MAX_VERSION.min(cap);
            let mut ready: Vec<(i16, R)> = versions.map(|v| (v, build(v))).collect();
            let pick = move |version: i16| {
                let index = ready.iter().position(|(v, _)| *v == version).unwrap_or_default();
                ready.swap_remove(index).1
            };
            match self.raw_once::<R>(target.clone(), cap, pick).await {
                Err(ClientError::Retriable(cause)) => {
                    let spent = self.shared.now().instant.saturating_duration_since(begun);
                    if spent >= self.call_timeout {
                        return Err(ClientError::Retriable(cause));
                    }
                    self.shared.pause(RETRY_BACKOFF).await;
                }
                result => return result,
            }
        }
    }

    async fn raw_once<R: Request + Send + 'static>(
        &self,
        target: Target,
        cap: i16,
        build: impl FnOnce(i16) -> R + Send + 'static,
    ) -> Result<Answer> {
        let timeout = self.request_timeout;
        let send = Box::new(move |wire: &mut Wire<Tag>, now, route, tag| {
            let version = wire.version::<R>(route, cap).unwrap_or(R::MIN_VERSION);
            wire.send(now, route, &build(version), cap, timeout, tag);
        });
        match self.operate(|machine| machine.call(target, send)).await? {
            Outcome::Answer(answer) => Ok(answer),
            Outcome::Found(_) => Err(ClientError::Retriable(Cause::text("crossed answers"))),
        }
    }

    /// A question to a group's coordinator; `read` finds the error code of the answer.
    async fn ask_group<R: Request + Send + 'static, T>(
        &self,
        group: &str,
        cap: i16,
        build: impl Fn(i16) -> R,
        read: impl Fn(R::Response) -> (ErrorCode, T),
    ) -> Result<T> {
        let target = Target::group(group);
        self.ask_coordinator(&target, &format!("group {group}"), cap, build, read).await
    }

    /// A question to a coordinator, asked again while it moves or loads.
    async fn ask_coordinator<R: Request + Send + 'static, T>(
        &self,
        target: &Target,
        operation: &str,
        cap: i16,
        build: impl Fn(i16) -> R,
        read: impl Fn(R::Response) -> (ErrorCode, T),
    ) -> Result<T> {
        let begun = self.shared.now().instant;
        loop {
            let (code, content) = read(self.ask(target, cap, &build).await?);
            let spent = self.shared.now().instant.saturating_duration_since(begun);
            match code {
                ErrorCode::NONE => return Ok(content),
                code if code.is_retriable() && spent < self.call_timeout => {
                    self.coordinator_moved(target).await?;
                }
                code => return refused(operation, code, None).map(|()| content),
            }
        }
    }

    /// Before asking again: the coordinator moved or loads.
    async fn coordinator_moved(&self, target: &Target) -> Result<()> {
        self.shared.tell(|machine, _| machine.forget_coordinator(target));
        self.shared.pause(RETRY_BACKOFF).await;
        Ok(())
    }

    async fn look_up(
        &self,
        times: Vec<(TopicPartition, i64)>,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        if times.is_empty() {
            return Ok(BTreeMap::new());
        }
        match self.operate(|machine| machine.look_up(times)).await? {
            Outcome::Found(found) => Ok(found.into_iter().map(|(p, f)| (p, f.offset)).collect()),
            Outcome::Answer(_) => Ok(BTreeMap::new()),
        }
    }

    async fn operate(
        &self,
        start: impl FnOnce(&mut AdminMachine) -> Result<OperationId>,
    ) -> Result<Outcome> {
        let shared = &*self.shared;
        let operation = shared.tell(|machine, _| start(machine))?;
        let waiting = Waiting { shared, operation };
        let answer = || shared.peek().operations().take(operation);
        let result = shared.wait_for(self.call_timeout, answer).await;
        drop(waiting);
        result.unwrap_or_else(|| {
            let why = shared.peek().last_failure();
            Err(ClientError::Retriable(Cause::text(format!("no answer in time: {why}"))))
        })
    }
}

/// An error code of an answer as an error of ours.
fn refused(operation: &str, code: ErrorCode, message: Option<String>) -> Result<()> {
    if code.is_ok() {
        return Ok(());
    }
    let mut cause = Cause::of(operation, code);
    if let Some(message) = message {
        cause.text = format!("{operation}: {message} ({})", code.name());
    }
    Err(if code.is_retriable() {
        ClientError::Retriable(cause)
    } else {
        ClientError::Refused(cause)
    })
}
