//! The topic that is measured: made for one measurement and deleted at its end, and what the cluster
//! says about it.

use mainstem_client::{Admin, AdminConfig, ConfigResource, NewTopic, OffsetSpec, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::runtime;
use crate::failure::Failure;

/// Settings by which brokers name the moment of a sync; Mainstem's own first.
const FLUSH_POLICY: &str = "flush.policy";
const FLUSH_MESSAGES: &str = "flush.messages";

/// How long a new topic may take until it can be used, and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// See the module's text.
pub(crate) struct Target {
    bootstrap: String,
    pub(crate) topic: Arc<str>,
    partitions: usize,
    /// When the broker answers acks=all: `commit` (synced), `os` (page cache), `every N records`.
    pub(crate) flush: String,
    /// Address and partitions of each broker that leads some.
    pub(crate) leaders: BTreeMap<String, Vec<i32>>,
}

impl Target {
    /// Makes a topic that nobody else uses.
    pub(crate) fn create(bootstrap: &str, partitions: i32) -> Result<Target, Failure> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("mainstem-bench-{}-{}", since.as_micros(), std::process::id());
        let mut target = Target {
            bootstrap: bootstrap.to_owned(),
            topic: name.as_str().into(),
            partitions: partitions.unsigned_abs() as usize,
            flush: "unknown".to_owned(),
            leaders: BTreeMap::new(),
        };
        runtime()?.block_on(async {
            let admin = Admin::connect(AdminConfig::new(bootstrap)).await?;
            for (_, answer) in admin.create_topics(&[NewTopic::new(&name, partitions)]).await? {
                answer.map_err(|error| Failure::doing("create the topic", &error))?;
            }
            target.look(&admin).await
        })?;
        Ok(target)
    }

    async fn look(&mut self, admin: &Admin) -> Result<(), Failure> {
        self.leaders = self.wait_for_leaders(admin).await?;
        let resource = ConfigResource::Topic(self.topic.to_string());
        let configs = admin.describe_configs(&resource).await?;
        let value = |name: &str| {
            configs.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.clone())
        };
        self.flush = match (value(FLUSH_POLICY), value(FLUSH_MESSAGES)) {
            (Some(policy), _) => policy,
            (None, Some(messages)) if messages == i64::MAX.to_string() => "os".to_owned(),
            (None, Some(messages)) => format!("every {messages} records"),
            (None, None) => "unknown".to_owned(),
        };
        Ok(())
    }

    /// A topic is made before every broker knows it and before its leaders serve it.
    async fn wait_for_leaders(&self, admin: &Admin) -> Result<BTreeMap<String, Vec<i32>>, Failure> {
        let begun = Instant::now();
        let leaders = loop {
            match self.leaders(admin).await {
                Ok(leaders) => break leaders,
                Err(failure) if PATIENCE < begun.elapsed() => return Err(failure),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        let all = leaders.values().flatten();
        let asked: Vec<(TopicPartition, OffsetSpec)> = all
            .map(|index| (TopicPartition::new(self.topic.clone(), *index), OffsetSpec::Latest))
            .collect();
        // Asked again until the leaders answer.
        admin.list_offsets(&asked).await?;
        Ok(leaders)
    }

    async fn leaders(&self, admin: &Admin) -> Result<BTreeMap<String, Vec<i32>>, Failure> {
        let brokers: BTreeMap<i32, String> = admin
            .describe_cluster()
            .await?
            .brokers
            .into_iter()
            .map(|broker| (broker.id, format!("{}:{}", broker.host, broker.port)))
            .collect();
        let mut leaders: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for (name, description) in admin.describe_topics(&[&*self.topic]).await? {
            let description = description.map_err(|error| Failure::doing(&name, &error))?;
            for partition in description.partitions {
                let index = partition.partition;
                let leader = brokers
                    .get(&partition.leader)
                    .ok_or_else(|| Failure::new(format!("{name}-{index} has no leader")))?;
                leaders.entry(leader.clone()).or_default().push(index);
            }
        }
        let known = leaders.values().map(Vec::len).sum::<usize>();
        if known == self.partitions { Ok(leaders) } else { Err(Failure::new("no such topic yet")) }
    }

    /// Whether acks=all waits for the disk.
    pub(crate) fn is_synced(&self) -> bool {
        self.flush == "commit"
    }

    /// Shares of the partitions for so many connections, each with its broker's address; never an
    /// empty one, so there may be fewer.
    pub(crate) fn shares(&self, connections: u16) -> Vec<(String, Vec<i32>)> {
        let connections = usize::from(connections).div_ceil(self.leaders.len().max(1));
        let mut shares = Vec::new();
        for (address, partitions) in &self.leaders {
            for connection in 0..connections.min(partitions.len()) {
                let own = partitions.iter().skip(connection).step_by(connections).copied();
                shares.push((address.clone(), own.collect()));
            }
        }
        shares
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let deleted: Result<(), Failure> = runtime().and_then(|runtime| {
            runtime.block_on(async {
                let admin = Admin::connect(AdminConfig::new(&self.bootstrap)).await?;
                admin.delete_topics(&[&*self.topic]).await?;
                Ok(())
            })
        });
        if let Err(failure) = deleted {
            let topic = &self.topic;
            crate::output::error(&Failure::doing(&format!("delete {topic}"), &failure), false);
        }
    }
}
