//! The built-in assignors in tables.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mainstem_platform::{Random, SeededRandom};

use crate::consumer::assignor::{
    Assignor, Joining, Member, MemberAssignment, RangeAssignor, RoundRobinAssignor, StickyAssignor,
};
use crate::consumer::cooperative_sticky::{CooperativeStickyAssignor, moving};
use crate::records::TopicPartition;

/// `id: topics [owned]` per member.
fn members(text: &[(&str, &str, &[i32])]) -> Vec<Member> {
    let member = |(id, topics, owned): &(&str, &str, &[i32])| Member {
        id: (*id).to_owned(),
        group_instance_id: None,
        topics: topics.split(' ').map(str::to_owned).collect(),
        owned: owned.iter().map(|p| TopicPartition::new("a", *p)).collect(),
        generation: 1,
        user_data: Bytes::new(),
    };
    text.iter().map(member).collect()
}

fn assign(assignor: &dyn Assignor, counts: &[(&str, i32)], members: &[Member]) -> String {
    let counts = counts.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect();
    let assigned = assignor.assign(&counts, members).expect("an assignment");
    let line = |(id, a): (String, MemberAssignment)| {
        let names: Vec<String> = a.partitions.iter().map(ToString::to_string).collect();
        format!("{id}={}", names.join(","))
    };
    assigned.into_iter().map(line).collect::<Vec<_>>().join(" ")
}

#[test]
fn assignors() {
    let two = members(&[("m1", "a b", &[]), ("m2", "a b", &[])]);
    let counts = [("a", 3), ("b", 3)];
    let range = assign(&RangeAssignor, &counts, &two);
    assert_eq!(range, "m1=a-0,a-1,b-0,b-1 m2=a-2,b-2");
    let round_robin = assign(&RoundRobinAssignor, &counts, &two);
    assert_eq!(round_robin, "m1=a-0,a-2,b-1 m2=a-1,b-0,b-2");
    let apart = members(&[("m1", "a", &[]), ("m2", "b", &[])]);
    assert_eq!(assign(&RangeAssignor, &counts, &apart), "m1=a-0,a-1,a-2 m2=b-0,b-1,b-2");
    let owners = members(&[("m1", "a", &[2, 3]), ("m2", "a", &[0, 1]), ("m3", "a", &[])]);
    let sticky = assign(&StickyAssignor, &[("a", 6)], &owners);
    assert_eq!(sticky, "m1=a-2,a-3 m2=a-0,a-1 m3=a-4,a-5");
    let greedy = members(&[("m1", "a", &[0, 1, 2, 3]), ("m2", "a", &[])]);
    assert_eq!(assign(&StickyAssignor, &[("a", 4)], &greedy), "m1=a-0,a-1 m2=a-2,a-3");
    assert_eq!(assign(&RangeAssignor, &counts, &[]), "");
}

/// `id topics owned@generation`, and what they get.
fn share(counts: &[(&str, i32)], table: &[(&str, &str, &str)]) -> String {
    let member = |(id, topics, owned): &(&str, &str, &str)| {
        let (owned, generation) = owned.split_once('@').unwrap_or(("", "-1"));
        let partition = |text: &str| {
            let (topic, partition) = text.split_once('-').expect("topic-partition");
            TopicPartition::new(topic, partition.parse().expect("a partition"))
        };
        Member {
            id: (*id).to_owned(),
            group_instance_id: None,
            topics: topics.split_whitespace().map(str::to_owned).collect(),
            owned: owned.split_whitespace().map(partition).collect(),
            generation: generation.parse().expect("a generation"),
            user_data: Bytes::new(),
        }
    };
    let members: Vec<Member> = table.iter().map(member).collect();
    assign(&CooperativeStickyAssignor, counts, &members)
}

#[test]
fn cooperative_sticky() {
    // Nobody has anything: all is free.
    assert_eq!(share(&[("a", 3)], &[("m1", "a", ""), ("m2", "a", "")]), "m1=a-0,a-2 m2=a-1");
    // A member comes: what it shall get is taken first, and given in the next round.
    let first = [("m1", "a", "a-0 a-1 a-2 a-3@1"), ("m2", "a", "")];
    assert_eq!(share(&[("a", 4)], &first), "m1=a-0,a-1 m2=");
    let second = [("m1", "a", "a-0 a-1@2"), ("m2", "a", "@2")];
    assert_eq!(share(&[("a", 4)], &second), "m1=a-0,a-1 m2=a-2,a-3");
    // A member goes: what it had is free at once.
    let alone = [("m1", "a", "a-0 a-1@3")];
    assert_eq!(share(&[("a", 4)], &alone), "m1=a-0,a-1,a-2,a-3");
    // As few as possible move: m3 gets one of each.
    let three = [("m1", "a", "a-0 a-1 a-2@5"), ("m2", "a", "a-3 a-4 a-5@5"), ("m3", "a", "")];
    assert_eq!(share(&[("a", 6)], &three), "m1=a-0,a-1 m2=a-3,a-4 m3=");
    // A claim of an older generation does not count, but its owner has to give up first.
    let stale = [("m1", "a", "a-0 a-1@5"), ("m2", "a", "a-2 a-1@4")];
    assert_eq!(share(&[("a", 3)], &stale), "m1=a-0,a-1 m2=a-2");
    let taken = [("m1", "a", "@5"), ("m2", "a", "a-0 a-1@4")];
    assert_eq!(share(&[("a", 2)], &taken), "m1= m2=a-1");
    // Two claims of one generation: neither counts. One of the two keeps it, the other gives up.
    let double = [("m1", "a", "a-0@5"), ("m2", "a", "a-0@5")];
    assert_eq!(share(&[("a", 1)], &double), "m1=a-0 m2=");
    // Topics that not all want: m1 can take only b, so it keeps all of it.
    let apart = [("m1", "b", "b-0 b-1@1"), ("m2", "a b", "a-0@1"), ("m3", "a", "")];
    assert_eq!(share(&[("a", 2), ("b", 2)], &apart), "m1=b-0,b-1 m2=a-0 m3=a-1");
    // Topics that are gone, and members that want no more what they have.
    let gone = [("m1", "b", "a-0 c-0@1"), ("m2", "a", "")];
    assert_eq!(share(&[("a", 1), ("b", 1)], &gone), "m1=b-0 m2=");
}

/// The generation as user data: what members told before the subscription had a field for it.
#[test]
fn cooperative_user_data() {
    let joining = Joining { topics: &[], owned: &[], generation: 258 };
    assert_eq!(&CooperativeStickyAssignor.user_data(&joining)[..], [0, 0, 1, 2]);
    let member = |id: &str, user_data: &[u8], generation| Member {
        id: id.to_owned(),
        group_instance_id: None,
        topics: vec!["a".to_owned()],
        owned: vec![TopicPartition::new("a", 0)],
        generation,
        user_data: Bytes::copy_from_slice(user_data),
    };
    let members = [member("m1", &[0, 0, 0, 3], -1), member("m2", &[0, 0, 0, 9], 4)];
    assert_eq!(assign(&CooperativeStickyAssignor, &[("a", 1)], &members), "m1= m2=a-0");
}

/// A member of a played group: what it owns, and since which generation.
#[derive(Default)]
struct Player {
    owned: BTreeSet<TopicPartition>,
    generation: i32,
}

/// One rebalance of the group. True when it has to be followed by another one.
fn rebalance(
    players: &mut BTreeMap<String, Player>,
    count: i32,
    generation: i32,
    mut misses: impl FnMut() -> bool,
) -> bool {
    let members = players.iter().map(|(id, player)| Member {
        id: id.clone(),
        group_instance_id: None,
        topics: vec!["a".to_owned()],
        owned: player.owned.iter().cloned().collect(),
        generation: player.generation,
        user_data: Bytes::new(),
    });
    let members: Vec<Member> = members.collect();
    let counts = BTreeMap::from([("a".to_owned(), count)]);
    let assigned = CooperativeStickyAssignor.assign(&counts, &members).expect("an assignment");
    assert_eq!(moving(&members, &assigned), [], "nothing goes directly");
    let mut again = false;
    for (id, player) in players.iter_mut() {
        // One that does not hear of the assignment has what it had, of a generation that is over.
        if misses() {
            again = true;
            continue;
        }
        let new: BTreeSet<TopicPartition> = assigned[id].partitions.iter().cloned().collect();
        again |= !player.owned.is_subset(&new);
        *player = Player { owned: new, generation };
    }
    let owned: Vec<&TopicPartition> = players.values().flat_map(|p| &p.owned).collect();
    let distinct: BTreeSet<&TopicPartition> = owned.iter().copied().collect();
    assert_eq!(owned.len(), distinct.len(), "no partition has two owners");
    again
}

/// Members come, go and miss assignments, for many seeds: no partition ever has two owners, and
/// after a few rounds all are shared evenly.
#[test]
fn cooperative_rounds_come_to_an_end() {
    for seed in 0..300 {
        let mut random = SeededRandom::new(seed);
        let count = 1 + i32::try_from(random.below(20)).expect("a small number");
        let (mut players, mut generation, mut next) = (BTreeMap::new(), 0, 0);
        for _ in 0..15 {
            if players.is_empty() || random.one_in(2) {
                let player = Player { generation: -1, ..Player::default() };
                players.insert(format!("m{next:02}"), player);
                next += 1;
            } else if random.one_in(2) {
                players.pop_first();
            } else {
                players.pop_last();
            }
            let mut rounds = 0;
            loop {
                generation += 1;
                let may_miss = rounds == 0;
                let again =
                    rebalance(&mut players, count, generation, || may_miss && random.one_in(6));
                if !again {
                    break;
                }
                rounds += 1;
                assert!(rounds < 4, "seed {seed}: the group does not settle");
            }
            let loads: Vec<usize> = players.values().map(|p| p.owned.len()).collect();
            let (Some(least), Some(most)) = (loads.iter().min(), loads.iter().max()) else {
                continue;
            };
            assert_eq!(loads.iter().sum::<usize>(), count as usize, "seed {seed}");
            assert!(most - least <= 1, "seed {seed}: {loads:?}");
        }
    }
}
