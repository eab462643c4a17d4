//! Administration: records, offsets of groups, members, log directories, features, elections.

use mainstem_client::{
    Admin, AdminConfig, ClientError, Consumer, ConsumerConfig, Election, FeatureUpdate,
    FeatureUpgrade, GroupFilter, GroupKind, MemberToRemove, OffsetAndMetadata, OffsetSpec,
    ProducerConfig, ProducerRecord, TopicPartition,
};

use super::{PATIENCE, partitions, producer, reader, topic, unique};

async fn admin(bootstrap: &str) -> Admin {
    Admin::connect(AdminConfig::new(bootstrap)).await.expect("connect an admin")
}

/// Sends so many records to each partition, named after their places.
async fn fill(bootstrap: &str, topic: &str, partitions: i32, records: i32) {
    let writer = producer(ProducerConfig::new(bootstrap)).await;
    for partition in 0..partitions {
        for number in 0..records {
            let record = ProducerRecord::new(topic, format!("{partition}.{number}"));
            writer.send(record.partition(partition)).await.expect("send");
        }
    }
    writer.close().await.expect("close");
}

fn code<T: std::fmt::Debug>(answer: &Result<T, ClientError>) -> i16 {
    answer.as_ref().expect_err("refused").code().expect("a code")
}

/// Deleted records are gone, and each partition has an answer of its own.
pub(crate) async fn records_are_deleted(bootstrap: &str) {
    let name = topic(bootstrap, "deleted", 3).await;
    fill(bootstrap, &name, 3, 10).await;
    let admin = admin(bootstrap).await;
    let [first, second, third] = &partitions(&name, 3)[..] else { panic!("three partitions") };
    let before = [
        (first.clone(), 4),
        (second.clone(), 11),
        (third.clone(), -1),
        (TopicPartition::new(name.as_str(), 9), 1),
    ];
    let answers = admin.delete_records(&before).await.expect("delete");
    let asked = before.iter().map(|(partition, _)| partition);
    assert!(answers.iter().map(|(partition, _)| partition).eq(asked), "in the order given");
    assert_eq!(answers[0].1, Ok(4));
    assert_eq!(code(&answers[1].1), 1, "OFFSET_OUT_OF_RANGE");
    assert_eq!(answers[2].1, Ok(10), "all of them");
    assert_eq!(code(&answers[3].1), 3, "UNKNOWN_TOPIC_OR_PARTITION");
    let earliest = |it: &TopicPartition| (it.clone(), OffsetSpec::Earliest);
    let asked: Vec<_> = partitions(&name, 3).iter().map(earliest).collect();
    let starts = admin.list_offsets(&asked).await.expect("list offsets");
    assert_eq!(starts.into_values().collect::<Vec<_>>(), [4, 0, 10]);
}

async fn joined(config: ConsumerConfig, topic: &str) -> Consumer {
    let consumer = Consumer::connect(config).await.expect("connect a consumer");
    consumer.subscribe(&[topic]).expect("subscribe");
    let deadline = std::time::Instant::now() + PATIENCE;
    while consumer.assignment().is_empty() {
        assert!(std::time::Instant::now() < deadline, "no assignment");
        consumer.poll(std::time::Duration::from_millis(100)).await.expect("poll");
    }
    consumer
}

/// Offsets are set and forgotten while nobody reads, and members are sent away.
pub(crate) async fn groups_are_administered(bootstrap: &str) {
    let name = topic(bootstrap, "administered", 2).await;
    fill(bootstrap, &name, 2, 10).await;
    let admin = admin(bootstrap).await;
    let group = unique("administered");
    let [first, second] = &partitions(&name, 2)[..] else { panic!("two partitions") };
    let offset = |offset| OffsetAndMetadata {
        metadata: "by hand".to_owned(),
        ..OffsetAndMetadata::new(offset)
    };
    let offsets = [(second.clone(), offset(7)), (first.clone(), offset(3))];
    let answers = admin.alter_group_offsets(&group, &offsets).await.expect("alter");
    assert_eq!(answers, [(second.clone(), Ok(())), (first.clone(), Ok(()))]);
    let committed = admin.group_offsets(&group).await.expect("offsets");
    assert_eq!(committed, offsets.into_iter().collect());

    let instance = unique("instance");
    let config = reader(bootstrap).group_id(&group).group_instance_id(&instance);
    let consumer = joined(config, &name).await;
    let listed = admin.list_groups().await.expect("list");
    let listing = listed.iter().find(|it| it.group_id == group).expect("the group");
    assert_eq!((&*listing.protocol_type, &*listing.state), ("consumer", "Stable"));
    let dead = GroupFilter { states: vec!["Dead".to_owned()], ..GroupFilter::default() };
    let found = admin.find_groups(&dead).await.expect("find");
    assert!(!found.iter().any(|it| it.group_id == group));
    let described = admin.describe_groups(&[&group]).await.expect("describe").remove(0).1;
    let described = described.expect("the group");
    assert_eq!(described.kind, GroupKind::Classic);
    let member = &described.members[0];
    assert_eq!(member.instance_id.as_deref(), Some(&*instance));
    assert_eq!(member.assignment.len(), 2);
    assert_eq!(member.target, member.assignment);
    let refused = admin.alter_group_offsets(&group, &[(first.clone(), offset(0))]).await;
    assert_eq!(code(&refused.expect("answers")[0].1), 25, "UNKNOWN_MEMBER_ID");
    let refused = admin.delete_group_offsets(&group, std::slice::from_ref(first)).await;
    assert_eq!(code(&refused.expect("answers")[0].1), 86, "GROUP_SUBSCRIBED_TO_TOPIC");

    // A static member stays when its process goes, until its session ends or somebody removes it.
    drop(consumer);
    let nobody = MemberToRemove::Instance(unique("nobody"));
    let gone = [MemberToRemove::Instance(instance), nobody];
    let answers = admin.remove_members(&group, &gone, "a test").await.expect("remove");
    assert_eq!(answers[0], (gone[0].clone(), Ok(())));
    assert_eq!(code(&answers[1].1), 25, "UNKNOWN_MEMBER_ID");
    let described = admin.describe_groups(&[&group]).await.expect("describe").remove(0).1;
    assert_eq!(described.expect("the group").members, []);

    let answers =
        admin.delete_group_offsets(&group, std::slice::from_ref(first)).await.expect("delete");
    assert_eq!(answers, [(first.clone(), Ok(()))]);
    let committed = admin.group_offsets(&group).await.expect("offsets");
    assert_eq!(committed.into_keys().collect::<Vec<_>>(), std::slice::from_ref(second));
    let deleted = admin.delete_groups(&[&group]).await.expect("delete").remove(0).1;
    assert_eq!(deleted, Ok(()));
    let unknown = admin.delete_group_offsets(&group, std::slice::from_ref(second)).await;
    assert_eq!(code(&unknown), 69, "GROUP_ID_NOT_FOUND");
}

/// What lies in the log directories, and what a move there or an election is answered.
pub(crate) async fn disks_and_leaders(bootstrap: &str) {
    let name = topic(bootstrap, "disks", 2).await;
    fill(bootstrap, &name, 2, 10).await;
    let admin = admin(bootstrap).await;
    let cluster = admin.describe_cluster().await.expect("cluster");
    let broker = cluster.brokers[0].id;
    let mut answers = admin.describe_log_dirs(&[broker]).await.expect("log dirs");
    let dirs = answers.remove(0).1.expect("of the broker");
    let ours = |it: &&mainstem_client::LogDirReplica| *it.topic_partition.topic == *name;
    let replicas: Vec<_> = dirs.iter().flat_map(|dir| &dir.replicas).filter(ours).collect();
    assert_eq!(replicas.len(), 2);
    assert!(replicas.iter().all(|it| 0 < it.size_bytes && it.offset_lag == 0 && !it.is_future));
    assert!(dirs.iter().all(|dir| dir.error.is_none() && dir.usable_bytes <= dir.total_bytes));

    let all = partitions(&name, 2);
    let moved = admin.move_replicas(broker, &all, "/nowhere").await.expect("answers");
    assert!(moved.iter().all(|(_, answer)| code(answer) == 57), "LOG_DIR_NOT_FOUND");
    let elected = admin.elect_leaders(Election::Preferred, Some(&all)).await.expect("answers");
    assert_eq!(elected.len(), 2);
    assert!(elected.iter().all(|(_, answer)| code(answer) == 84), "ELECTION_NOT_NEEDED");
}

/// Levels of features are seen, and one that no broker supports is refused.
pub(crate) async fn features_have_levels(bootstrap: &str) {
    let admin = admin(bootstrap).await;
    let features = admin.describe_features().await.expect("features");
    let (lowest, highest) = features.supported["transaction.version"];
    assert!((lowest..=highest).contains(&features.finalized["transaction.version"]));
    assert!(features.epoch.is_some());
    let update = FeatureUpdate {
        name: "transaction.version".to_owned(),
        level: highest + 1,
        upgrade: FeatureUpgrade::Upgrade,
    };
    let refused = admin.update_features(&[update], true).await;
    assert_eq!(code(&refused), 95, "INVALID_UPDATE_VERSION");
    let after = admin.describe_features().await.expect("features");
    assert_eq!(after.finalized, features.finalized);
}
