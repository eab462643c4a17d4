//! Which brokers hold which partition, as a pure function.
//!
//! Leaders go round the brokers from a random start; the followers of a partition are the brokers
//! after its leader, with a gap that grows by one each time the leaders have gone round, so that two
//! brokers do not share all their partitions. Racks are not known here.

use mainstem_protocol::ids::BrokerId;

/// Replicas of each partition, leader first. `replication_factor` is within `1..=brokers.len()`.
pub(crate) fn place(
    brokers: &[BrokerId],
    partitions: usize,
    replication_factor: usize,
    start: usize,
) -> Vec<Vec<BrokerId>> {
    let count = brokers.len();
    assert!(
        (1..=count).contains(&replication_factor),
        "the replication factor was checked against the number of brokers"
    );
    let replicas_of = |partition: usize| {
        let leader = (start % count + partition) % count;
        let gap = partition / count;
        let follower = |n: usize| (leader + 1 + (gap + n) % (count - 1)) % count;
        let mut replicas = vec![brokers[leader]];
        replicas.extend((0..replication_factor - 1).map(|n| brokers[follower(n)]));
        replicas
    };
    (0..partitions).map(replicas_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_distinct_and_leaders_go_round() {
        let brokers: Vec<BrokerId> = (1..=4).map(BrokerId).collect();
        for factor in 1..=4 {
            let placed = place(&brokers, 12, factor, 7);
            for replicas in &placed {
                let mut sorted = replicas.clone();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted.len(), factor, "{placed:?}");
            }
            for broker in &brokers {
                assert_eq!(placed.iter().filter(|replicas| replicas[0] == *broker).count(), 3);
            }
        }
    }
}
