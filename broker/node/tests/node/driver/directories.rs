//! What scripts say about log directories: `dirs`, `move t-0 /b`, `leaders t`, and what goes wrong
//! with disks: `break /b`, `fill /b`, `mend /b`, `corrupt <file> at=70`.

use super::script::{Script, Words, partition_of};
use mainstem_platform::simulated::Fault;
use mainstem_protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use mainstem_protocol::messages::metadata::MetadataRequestTopic;
use mainstem_protocol::messages::{DescribeLogDirsRequest, MetadataRequest};
use mainstem_protocol::{ErrorCode, TopicId};
use std::path::Path;

impl Script {
    pub(super) fn directory_step(&mut self, command: &str, words: &Words) {
        let disk = std::sync::Arc::clone(&self.world.disk);
        let path = words.plain.first().copied().unwrap_or_default();
        match command {
            "dirs" => self.dirs(),
            "move" => self.move_partition(words),
            "leaders" => self.leaders(path),
            "break" => disk.set_fault(Path::new(path), Fault::Broken),
            "fill" => disk.set_fault(Path::new(path), Fault::Full),
            "mend" => disk.mend(Path::new(path)),
            "corrupt" => {
                let position = words.number("at", 0) as u64;
                disk.flip(Path::new(path), position, 1).expect("there is such a byte");
            }
            "hold-copies" => self.world.hold_copies = true,
            "release-copies" => self.world.release_copies(),
            "hold-compactions" => self.world.hold_compactions = true,
            "release-compactions" => self.world.release_compactions(),
            "stop" => self.world.stop(),
            "start" => match self.world.open() {
                Ok(()) => {}
                Err(error) => self.say(&error.to_string()),
            },
            other => self.inspect(other, words),
        }
    }

    /// One line per directory, with its partitions; `*` marks a copy that is not there yet.
    fn dirs(&mut self) {
        let request = DescribeLogDirsRequest { topics: None };
        for dir in self.world.call(1, 5, &request).results {
            let mut line = dir.log_dir.clone();
            if dir.error_code != ErrorCode::NONE {
                line = format!("{line} {}", dir.error_code.name());
            }
            for topic in &dir.topics {
                for row in &topic.partitions {
                    line.push_str(&format!(" {}-{}", topic.name, row.partition_index));
                    if row.is_future_key {
                        line.push_str(&format!("*lag={}", row.offset_lag));
                    }
                }
            }
            self.say(&line);
        }
    }

    /// `move t-0 /b`.
    fn move_partition(&mut self, words: &Words) {
        let (name, partition) = partition_of(words.plain[0]);
        let topic = AlterReplicaLogDirTopic { name, partitions: vec![partition] };
        let dir = AlterReplicaLogDir { path: words.plain[1].to_owned(), topics: vec![topic] };
        let response = self.world.call(1, 2, &AlterReplicaLogDirsRequest { dirs: vec![dir] });
        let error = response.results[0].partitions[0].error_code;
        self.say(error.name());
    }

    /// What Metadata says of each partition, on a connection of every shard.
    fn leaders(&mut self, name: &str) {
        let topic = MetadataRequestTopic { name: Some(name.to_owned()), topic_id: TopicId::NONE };
        let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
        let [one, other] = [1, 2].map(|connection| self.world.call(connection, 12, &request));
        assert_eq!(one, other, "all shards say the same");
        for row in &one.topics[0].partitions {
            let (index, leader) = (row.partition_index, row.leader_id);
            let (error, offline) = (row.error_code.name(), &row.offline_replicas);
            self.say(&format!("{index} leader={leader} {error} offline={offline:?}"));
        }
    }
}
