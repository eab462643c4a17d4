//! Assignors in text: who wants what and has what, and what comes of it. `a t,u has t0 u1` is a
//! member `a` that wants the topics `t` and `u`; `a/i` has the instance id `i`.

use super::*;
use mainstem_platform::{Random, SeededRandom};

fn topic(name: &str) -> TopicId {
    TopicId([name.as_bytes()[0]; 16])
}

fn parse(topics: &str, members: &str) -> Assignable {
    let mut assignable = Assignable::default();
    for word in topics.split_whitespace() {
        let (name, count) = word.split_once('=').expect("topic=partitions");
        assignable.topics.insert(topic(name), count.parse().expect("a number"));
    }
    for line in members.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let (name, wishes) = (words.next().expect("a member"), words.next().expect("topics"));
        let (name, instance) = match name.split_once('/') {
            Some((name, instance)) => (name, Some(instance.to_owned())),
            None => (name, None),
        };
        let topics = wishes.split(',').filter(|wish| *wish != "-").map(topic).collect();
        let mut has = Partitions::new();
        for word in words.filter(|word| *word != "has") {
            let partition = PartitionIndex(word[1..].parse().expect("a partition"));
            has.entry(topic(word)).or_default().insert(partition);
        }
        let subscriber = Subscriber { instance_id: instance, topics: Arc::new(topics), has };
        assignable.members.insert(Arc::from(name), subscriber);
    }
    assignable
}

fn draw(assignment: &Assignment) -> String {
    let member = |(id, partitions): (&MemberId, &Partitions)| {
        let mut line = id.to_string();
        for (topic, set) in partitions {
            for partition in set {
                line.push_str(&format!(" {}{}", char::from(topic.0[0]), partition.0));
            }
        }
        line
    };
    assignment.iter().map(member).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(assignor: ServerAssignor, topics: &str, members: &str, expected: &str) {
    let assigned = draw(&assign(assignor, &parse(topics, members)));
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(assigned, expected.join("\n"));
}

#[test]
fn uniform_shares_evenly_and_spreads_each_topic() {
    check(ServerAssignor::Uniform, "t=3 u=3", "a t,u\n b t,u", "a t0 t2 u1\n b t1 u0 u2");
    check(ServerAssignor::Uniform, "t=4", "a t\n b t\n c t", "a t0 t3\n b t1\n c t2");
    check(ServerAssignor::Uniform, "t=1", "a t\n b t", "a t0\n b");
    check(ServerAssignor::Uniform, "", "a -\n b -", "a\n b");
}

#[test]
fn uniform_moves_no_more_than_it_must() {
    // A newcomer takes its share and nothing else moves.
    check(
        ServerAssignor::Uniform,
        "t=6",
        "a t has t0 t1 t2\n b t has t3 t4 t5\n c t",
        "a t0 t1\n b t3 t4\n c t2 t5",
    );
    // Who has more already keeps the larger share.
    check(
        ServerAssignor::Uniform,
        "t=5",
        "a t has t0 t1\n b t has t2 t3 t4",
        "a t0 t1\n b t2 t3 t4",
    );
    // A member has gone: the others keep what they have.
    check(ServerAssignor::Uniform, "t=4", "a t has t0\n b t has t3", "a t0 t1\n b t2 t3");
    // The topic has grown, another one is gone.
    check(ServerAssignor::Uniform, "t=4", "a t has t0 u0\n b t has t1 u1", "a t0 t2\n b t1 t3");
    // Two claim the same partition: the first keeps it.
    check(ServerAssignor::Uniform, "t=2", "a t has t0\n b t has t0", "a t0\n b t1");
}

#[test]
fn uniform_knows_different_wishes() {
    // Only one wants u, so it gets less of t.
    check(ServerAssignor::Uniform, "t=3 u=2", "a t\n b t,u", "a t0 t1 t2\n b u0 u1");
    check(ServerAssignor::Uniform, "t=4 u=2", "a t\n b t,u", "a t0 t1 t2\n b t3 u0 u1");
    // What somebody no longer wants goes to those who do.
    check(ServerAssignor::Uniform, "t=2 u=2", "a t has t0 t1 u0 u1\n b t,u", "a t0 t1\n b u0 u1");
    // Sticky as long as that is even.
    check(
        ServerAssignor::Uniform,
        "t=4 u=4",
        "a t,u has t0 t1 u0 u1\n b t has t2 t3\n c u has u2 u3",
        "a t0 u0 u1\n b t1 t2 t3\n c u2 u3",
    );
    // Nobody wants it, nobody gets it.
    check(ServerAssignor::Uniform, "t=1 u=1", "a t\n b -", "a t0\n b");
}

#[test]
fn range_cuts_each_topic() {
    check(ServerAssignor::Range, "t=3 u=3", "a t,u\n b t,u", "a t0 t1 u0 u1\n b t2 u2");
    check(ServerAssignor::Range, "t=3 u=2", "a t\n b t,u", "a t0 t1\n b t2 u0 u1");
    check(ServerAssignor::Range, "t=1", "a t\n b t\n c t", "a t0\n b\n c");
    // What they have had does not matter.
    check(ServerAssignor::Range, "t=2", "a t has t1\n b t has t0", "a t0\n b t1");
    // Static members come first, by their instance ids, whatever their member ids are now.
    check(ServerAssignor::Range, "t=3", "a t\n x/2 t\n z/1 t", "a t2\n x t1\n z t0");
    check(ServerAssignor::Range, "t=3", "a t\n y/1 t\n z/2 t", "a t2\n y t0\n z t1");
}

/// Whatever members have and want: every wanted partition has one owner that wants it, loads are
/// even, and what is assigned already does not move again.
#[test]
fn assignments_are_whole_even_and_stable() {
    for seed in 0..300 {
        let mut random = SeededRandom::new(seed);
        let same = random.one_in(2);
        let mut assignable = Assignable::default();
        for name in 0..1 + random.below(5) {
            let count = i32::try_from(random.below(9)).expect("small");
            assignable.topics.insert(TopicId([name as u8; 16]), count);
        }
        for member in 0..random.below(7) {
            let topics = assignable.topics.keys().filter(|_| same || random.one_in(2));
            let topics = Arc::new(topics.copied().collect());
            let mut has = Partitions::new();
            for _ in 0..random.below(12) {
                let topic = TopicId([random.below(6) as u8; 16]);
                let partition = PartitionIndex(random.below(10) as i32);
                has.entry(topic).or_default().insert(partition);
            }
            let subscriber = Subscriber { instance_id: None, topics, has };
            assignable.members.insert(Arc::from(member.to_string()), subscriber);
        }
        for assignor in [ServerAssignor::Uniform, ServerAssignor::Range] {
            let assigned = assign(assignor, &assignable);
            check_whole(seed, &assignable, &assigned);
            if assignor == ServerAssignor::Uniform {
                check_even(seed, &assignable, &assigned);
            }
            let mut again = assignable.clone();
            for (id, member) in &mut again.members {
                member.has = assigned[id].clone();
            }
            assert_eq!(assign(assignor, &again), assigned, "seed {seed} {assignor:?}");
        }
    }
}

fn check_whole(seed: u64, assignable: &Assignable, assigned: &Assignment) {
    assert_eq!(assigned.len(), assignable.members.len(), "seed {seed}");
    let mut owned = BTreeSet::new();
    for (id, partitions) in assigned {
        for (topic, set) in partitions {
            assert!(assignable.members[id].topics.contains(topic), "seed {seed}");
            assert!(!set.is_empty(), "seed {seed}");
            for partition in set {
                assert!(partition.0 < assignable.topics[topic], "seed {seed}");
                assert!(owned.insert((*topic, *partition)), "seed {seed}: two owners");
            }
        }
    }
    let is_wanted = |topic: &TopicId| assignable.members.values().any(|m| m.topics.contains(topic));
    let wanted = assignable.partitions().filter(|(topic, _)| is_wanted(topic)).count();
    assert_eq!(owned.len(), wanted, "seed {seed}");
}

/// No partition could move to a taker of its topic that has two less.
fn check_even(seed: u64, assignable: &Assignable, assigned: &Assignment) {
    let load = |id: &MemberId| assigned[id].values().map(BTreeSet::len).sum::<usize>();
    for (id, partitions) in assigned {
        for topic in partitions.keys() {
            let takers = assignable.members.iter().filter(|(_, m)| m.topics.contains(topic));
            let least = takers.map(|(other, _)| load(other)).min().expect("it has one taker");
            assert!(load(id) <= least + 1, "seed {seed}");
        }
    }
}
