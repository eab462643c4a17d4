//! The uniform assignor where all members want the same topics.
//!
//! Every member gets the same number of partitions, or one more than another. Within that, as much
//! as possible stays where it is: members keep what they have up to their share, and the larger
//! shares go to those who have more already. What is left over is dealt out in turn, so that each
//! topic is spread over the members.

use super::{Assignable, Assignment, give};
use crate::group::member::MemberId;
use mainstem_protocol::ids::{PartitionIndex, TopicId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(super) fn assign(assignable: &Assignable) -> Assignment {
    let mut assignment = assignable.empty();
    let members = assignable.members.len();
    let Some(first) = assignable.members.values().next() else { return assignment };
    let wanted: Vec<_> =
        assignable.partitions().filter(|(topic, _)| first.topics.contains(topic)).collect();
    let total = wanted.len();
    let (least, mut larger) = (total / members, total % members);
    let mut taken: BTreeSet<(TopicId, PartitionIndex)> = BTreeSet::new();
    let mut kept: BTreeMap<&MemberId, Vec<(TopicId, PartitionIndex)>> = BTreeMap::new();
    for (id, member) in &assignable.members {
        // A partition that two members claim stays with the first.
        let keeps = assignable.keepable(member).filter(|partition| taken.insert(*partition));
        kept.insert(id, keeps.collect());
    }
    let mut shares: BTreeMap<&MemberId, usize> = BTreeMap::new();
    for (id, keeps) in &mut kept {
        let is_larger = least < keeps.len() && 0 < larger;
        larger -= usize::from(is_larger);
        let share = least + usize::from(is_larger);
        for partition in keeps.drain(share.min(keeps.len())..) {
            taken.remove(&partition);
        }
        for (topic, partition) in keeps.iter() {
            give(&mut assignment, id, *topic, *partition);
        }
        shares.insert(id, share);
    }
    // The larger shares that nobody had a claim to.
    for (id, share) in &mut shares {
        if 0 < larger && *share == least {
            debug_assert!(kept[id].len() <= least, "who has more has the larger share already");
            *share += 1;
            larger -= 1;
        }
    }
    let mut unfilled: VecDeque<(&MemberId, usize)> = VecDeque::new();
    for (id, share) in &shares {
        let open = share - kept[*id].len();
        if 0 < open {
            unfilled.push_back((*id, open));
        }
    }
    for (topic, partition) in wanted.into_iter().filter(|p| !taken.contains(p)) {
        let (id, open) = unfilled.pop_front().expect("the shares add up to all partitions");
        give(&mut assignment, id, topic, partition);
        if 1 < open {
            unfilled.push_back((id, open - 1));
        }
    }
    assignment
}
