//! The range assignor: each topic is cut into as many ranges as members want it, the first ones
//! being the larger.
//!
//! Members always come in the same order: static ones by their instance id, so that a restart
//! changes nothing, then the others by their member id. So members that want the same topics of
//! the same size get the same numbers of each.

use super::{Assignable, Assignment, give};
use crate::group::member::MemberId;
use mainstem_protocol::ids::PartitionIndex;

pub(super) fn assign(assignable: &Assignable) -> Assignment {
    let mut assignment = assignable.empty();
    let mut ordered: Vec<&MemberId> = assignable.members.keys().collect();
    ordered.sort_by_key(|id| {
        let instance = assignable.members[*id].instance_id.as_deref();
        (instance.is_none(), instance, *id)
    });
    for (topic, count) in &assignable.topics {
        let wants = |id: &&&MemberId| assignable.members[**id].topics.contains(topic);
        let takers: Vec<&MemberId> = ordered.iter().filter(wants).copied().collect();
        let Ok(members) = i32::try_from(takers.len()) else { continue };
        if members == 0 {
            continue;
        }
        let (least, larger) = (count / members, count % members);
        let mut next = 0;
        for (place, id) in (0..).zip(takers) {
            let end = next + least + i32::from(place < larger);
            for partition in next..end {
                give(&mut assignment, id, *topic, PartitionIndex(partition));
            }
            next = end;
        }
    }
    assignment
}
