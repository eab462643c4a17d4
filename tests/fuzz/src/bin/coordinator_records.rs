//! Records of groups, offsets and transactions, as a coordinator loads them from its log.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstem_coordinator::group::{GroupConfig, GroupCoordinator, TopicDirectory};
use mainstem_coordinator::transaction::{TransactionConfig, TransactionCoordinator};
use mainstem_fuzz::{choose, piece};
use mainstem_platform::{Instant, Now};
use mainstem_protocol::{LeaderEpoch, Offset, PartitionIndex, ProducerId, TopicId};

const PARTITION: PartitionIndex = PartitionIndex(0);

/// A cluster without topics.
struct NoTopics;

impl TopicDirectory for NoTopics {
    fn topic_id(&self, _: &str) -> Option<TopicId> {
        None
    }

    fn topic_name(&self, _: TopicId) -> Option<&str> {
        None
    }

    fn partition_count(&self, _: TopicId) -> Option<i32> {
        None
    }

    fn for_each_topic(&self, _: &mut dyn FnMut(&str)) {}

    fn version(&self) -> i64 {
        0
    }
}

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let now = Now { instant: Instant::from_millis(1_000), wall_ms: 1_700_000_000_000 };
    let mut groups = GroupCoordinator::new(GroupConfig::default(), 1);
    let mut transactions = TransactionCoordinator::new(TransactionConfig::default());
    groups.begin_load(PARTITION, LeaderEpoch(0));
    transactions.begin_load(PARTITION, LeaderEpoch(0));
    let mut offset = 0;
    while let (Some(flags), Some(key)) = (choose(&mut data), piece(&mut data)) {
        let value = if flags & 1 == 0 { piece(&mut data) } else { None };
        let producer = (flags & 2 != 0).then_some(ProducerId(i64::from(flags >> 4)));
        groups.load_record(PARTITION, Offset(offset), producer, &key, value.as_ref());
        transactions.load_record(PARTITION, Offset(offset), &key, value.as_ref());
        if let (Some(producer), true) = (producer, flags & 4 != 0) {
            groups.load_marker(PARTITION, producer, flags & 8 != 0);
        }
        offset += 1;
    }
    groups.finish_load(now, PARTITION);
    transactions.finish_load(now, PARTITION);
    let later = Now { instant: Instant::from_millis(100_000_000), ..now };
    groups.handle_timeout(later, &NoTopics);
    while groups.poll_effect().is_some() {}
});
