//! Requests to the leaders of partitions: split by broker, and made again for partitions whose
//! leader is another one by now. Only for requests that may be made twice.

use std::collections::BTreeMap;

use mainstem_protocol::{BrokerId, ErrorCode, Request};

use super::machine::Target;
use super::{Admin, refused};
use crate::error::{Cause, ClientError, Result};
use crate::limits::RETRY_BACKOFF;
use crate::records::TopicPartition;

/// What a leader says of one partition.
pub(super) struct Row<T> {
    pub(super) partition: TopicPartition,
    pub(super) code: ErrorCode,
    pub(super) content: T,
}

/// One answer per partition.
pub(super) type Answers<T> = Vec<(TopicPartition, Result<T, ClientError>)>;

impl Admin {
    /// One answer per partition, in their order.
    pub(super) async fn ask_leaders<R: Request + Send + 'static, T>(
        &self,
        partitions: Vec<TopicPartition>,
        build: impl Fn(&[TopicPartition]) -> R,
        read: impl Fn(R::Response) -> Vec<Row<T>>,
    ) -> Result<Answers<T>> {
        let begun = self.shared.now().instant;
        let mut answers: BTreeMap<TopicPartition, Result<T, ClientError>> = BTreeMap::new();
        loop {
            let is_open = |partition: &&TopicPartition| match answers.get(*partition) {
                None => true,
                Some(answer) => answer.as_ref().is_err_and(ClientError::is_retriable),
            };
            let open: Vec<TopicPartition> = partitions.iter().filter(is_open).cloned().collect();
            let spent = self.shared.now().instant.saturating_duration_since(begun);
            if open.is_empty() || (!answers.is_empty() && self.call_timeout <= spent) {
                return Ok(in_order(partitions, answers));
            }
            if !answers.is_empty() {
                self.shared.pause(RETRY_BACKOFF).await;
            }
            let mut by_leader: BTreeMap<BrokerId, Vec<TopicPartition>> = BTreeMap::new();
            for (partition, leader) in self.leaders(open).await? {
                match leader {
                    Ok(leader) => by_leader.entry(leader).or_default().push(partition),
                    Err(error) => drop(answers.insert(partition, Err(error))),
                }
            }
            for (leader, partitions) in by_leader {
                let request = build(&partitions);
                let target = Target::Broker(leader);
                match self.call(target, i16::MAX, move |_| request).await {
                    Ok(response) => {
                        for Row { partition, code, content } in read(response) {
                            let answer = refused(&partition.to_string(), code, None);
                            answers.insert(partition, answer.map(|()| content));
                        }
                    }
                    Err(error) => {
                        let failed = partitions.into_iter().map(|it| (it, Err(error.clone())));
                        answers.extend(failed);
                    }
                }
            }
        }
    }

    pub(super) async fn leader_of(&self, partition: &TopicPartition) -> Result<BrokerId> {
        self.leaders(vec![partition.clone()]).await?.swap_remove(0).1
    }

    async fn leaders(&self, partitions: Vec<TopicPartition>) -> Result<Answers<BrokerId>> {
        let mut topics: Vec<&str> = partitions.iter().map(|it| &*it.topic).collect();
        topics.sort_unstable();
        topics.dedup();
        let described: BTreeMap<_, _> = self.describe_topics(&topics).await?.into_iter().collect();
        let leader = |partition: &TopicPartition| {
            let topic = described.get(&*partition.topic).cloned().unwrap_or_else(|| {
                Err(ClientError::Retriable(Cause::text(format!("{partition}: not described"))))
            })?;
            let mut of_topic = topic.partitions.iter();
            match of_topic.find(|it| it.partition == partition.partition) {
                Some(found) if 0 <= found.leader => Ok(BrokerId(found.leader)),
                Some(_) => {
                    let cause = Cause::of(partition, ErrorCode::LEADER_NOT_AVAILABLE);
                    Err(ClientError::Retriable(cause))
                }
                None => {
                    let cause = Cause::of(partition, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                    Err(ClientError::Refused(cause))
                }
            }
        };
        let answers = partitions.iter().map(leader).collect::<Vec<_>>();
        Ok(partitions.into_iter().zip(answers).collect())
    }
}

/// Answers in the order of the question; what was not answered may be asked again.
pub(super) fn in_order<T>(
    partitions: Vec<TopicPartition>,
    mut answers: BTreeMap<TopicPartition, Result<T, ClientError>>,
) -> Answers<T> {
    let answer = |partition: TopicPartition| {
        let missing = || {
            let cause = Cause::of(&partition, ErrorCode::UNKNOWN_SERVER_ERROR);
            Err(ClientError::Retriable(cause))
        };
        let answer = answers.remove(&partition).unwrap_or_else(missing);
        (partition, answer)
    };
    partitions.into_iter().map(answer).collect()
}
