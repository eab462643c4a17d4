//! Which member of the group runs which task: sticky and balanced, as a pure function.
//!
//! The unit is the task, not the partition: a member gets that partition of all source topics of
//! the sub-topology. Each member tells, in its subscription, its process and the tasks whose state
//! it holds; tasks stay with them as far as balance allows, so that little has to be restored.
//!
//! User data of a subscription:
//! 1. version, u8: 1
//! 2. process id, 16 bytes
//! 3. number of tasks, u32 big-endian, and each as sub-topology (u32 big-endian) and partition
//!    (u32 big-endian)
//!
//! Absent on purpose: standby copies and rack awareness; the version byte leaves room for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mainstem_client::{Assignor, Joining, Member, MemberAssignment, TopicPartition};
use parking_lot::Mutex;

use crate::task::{Application, TaskId};

/// The name that members of a group agree on.
const NAME: &str = "mainstem-streams";

const VERSION: u8 = 1;

/// Tasks that a member's user data is believed to hold; more than any application has.
const TASKS_MAX: usize = 100_000;

/// What a member says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) process: [u8; 16],
    pub(crate) tasks: BTreeSet<TaskId>,
}

impl Standing {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u8(VERSION);
        bytes.put_slice(&self.process);
        bytes.put_u32(self.tasks.len() as u32);
        for task in &self.tasks {
            bytes.put_u32(task.sub as u32);
            bytes.put_u32(task.partition.unsigned_abs());
        }
        bytes.freeze()
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Standing, String> {
        const HEAD_BYTES: usize = 1 + 16 + 4;
        const TASK_BYTES: usize = 8;
        if bytes.len() < HEAD_BYTES || bytes[0] != VERSION {
            return Err("a member of another kind or version is in the group".to_owned());
        }
        bytes.advance(1);
        let mut process = [0; 16];
        bytes.copy_to_slice(&mut process);
        let count = bytes.get_u32() as usize;
        if count > TASKS_MAX || bytes.len() != count * TASK_BYTES {
            return Err("the user data of a member is malformed".to_owned());
        }
        let task = |pair: &[u8]| {
            let mut pair = pair;
            let (sub, partition) = (pair.get_u32() as usize, pair.get_u32());
            TaskId { sub, partition: i32::try_from(partition).unwrap_or(i32::MAX) }
        };
        Ok(Standing { process, tasks: bytes.chunks(TASK_BYTES).map(task).collect() })
    }
}

/// Shares `tasks` among members, by member id.
pub(crate) fn assign_tasks(
    tasks: &[TaskId],
    members: &BTreeMap<String, Standing>,
) -> BTreeMap<String, Vec<TaskId>> {
    let mut shares: BTreeMap<String, Vec<TaskId>> =
        members.keys().map(|id| (id.clone(), Vec::new())).collect();
    if members.is_empty() {
        return shares;
    }
    let least = tasks.len() / members.len();
    // So many members have one task more than the others.
    let mut extra = tasks.len() % members.len();
    let mut open = Vec::new();
    for task in tasks {
        let holders = members.iter().filter(|(_, standing)| standing.tasks.contains(task));
        let loads = holders.map(|(id, _)| (shares[id].len(), id));
        let Some((load, id)) = loads.min() else {
            open.push(*task);
            continue;
        };
        let has_room = load < least || (load == least && extra > 0);
        if !has_room {
            open.push(*task);
            continue;
        }
        if load == least {
            extra -= 1;
        }
        if let Some(share) = shares.get_mut(id) {
            share.push(*task);
        }
    }
    for task in open {
        // The least loaded, and of those the first by id.
        let lightest = shares.iter().min_by_key(|(id, share)| (share.len(), (*id).clone()));
        let Some(id) = lightest.map(|(id, _)| id.clone()) else { break };
        shares.entry(id).or_default().push(task);
    }
    shares
}

/// The assignor that streams members bring to their group.
pub(crate) struct TaskAssignor {
    pub(crate) application: Arc<Application>,
    pub(crate) standing: Arc<Mutex<Standing>>,
}

impl Assignor for TaskAssignor {
    fn name(&self) -> &str {
        NAME
    }

    fn user_data(&self, _joining: &Joining<'_>) -> Bytes {
        self.standing.lock().encode()
    }

    fn assign(
        &self,
        _partitions: &BTreeMap<String, i32>,
        members: &[Member],
    ) -> Result<BTreeMap<String, MemberAssignment>, String> {
        let standings: Result<BTreeMap<String, Standing>, String> = members
            .iter()
            .map(|member| Ok((member.id.clone(), Standing::decode(&member.user_data)?)))
            .collect();
        let shares = assign_tasks(&self.application.tasks(), &standings?);
        let assigned = shares.into_iter().map(|(id, tasks)| {
            let partitions = tasks.into_iter().flat_map(|task| {
                let topics = self.application.source_topics(task).into_iter();
                topics.map(move |topic| TopicPartition::new(topic, task.partition))
            });
            let partitions = partitions.collect();
            (id, MemberAssignment { partitions, user_data: Bytes::new() })
        });
        Ok(assigned.collect())
    }
}

#[cfg(test)]
mod tests;
