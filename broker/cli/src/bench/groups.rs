//! `mainstem bench groups`: how long a group needs until every partition has its member.
//!
//! Three times: all members join at once, one more joins, one leaves. They count from the first call
//! until every member owns partitions and every partition has an owner. The first contains the
//! broker's `group.initial.rebalance.delay.ms` twice (3 s by default, as in Kafka): the delay begins with
//! the first member, and because others came during it, is waited for once more. The report says what
//! it is. The others contain the members' heartbeat interval, by which they learn of the rebalance.

use mainstem_client::{Admin, AdminConfig, ConfigResource, Consumer, ConsumerConfig, Rebalance};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

use super::arguments::GroupsArguments;
use super::ceilings::Ceilings;
use super::report::{Report, Unit};
use super::runtime;
use super::target::Target;
use crate::failure::Failure;

const INITIAL_DELAY: &str = "group.initial.rebalance.delay.ms";
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

/// A member owns so many partitions now.
struct Owns {
    member: usize,
    partitions: usize,
}

type News = Result<Owns, Failure>;

/// The group as seen from outside of its members.
struct Group {
    settings: ConsumerConfig,
    topic: std::sync::Arc<str>,
    partitions: usize,
    sender: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
    owned: BTreeMap<usize, usize>,
    farewells: Vec<oneshot::Sender<()>>,
}

/// Runs the measurement.
pub(super) fn run(arguments: &GroupsArguments) -> Result<Report, Failure> {
    let GroupsArguments { broker, machine, members, partitions, heartbeat_ms } = arguments;
    let members = usize::from(*members);
    if partitions.unsigned_abs() as usize <= members {
        return Err(Failure::new("--partitions must be more than --members, so that all own some"));
    }
    let ceilings = Ceilings::new(machine);
    let target = Target::create(&broker.cluster.bootstrap, *partitions)?;
    let (delay, [joined, another, left]) = runtime()?.block_on(async {
        let delay = initial_delay(&broker.cluster.bootstrap).await?;
        let mut group = Group::new(&target, arguments);
        let joined = group.grow(members).await?;
        let another = group.grow(1).await?;
        let left = group.shrink().await?;
        Ok::<_, Failure>((delay, [joined, another, left]))
    })?;
    let mut report = Report::default();
    report.setting("members", members as u64);
    report.setting("partitions", *partitions);
    report.setting("heartbeat ms", *heartbeat_ms);
    report.setting("protocol", "classic, eager, range");
    report.setting("initial rebalance delay", waited(delay.as_deref(), members));
    report.setting("flush", target.flush.clone());
    let floor = ceilings.round_trip()?;
    for (name, took) in [("join", joined), ("one more joins", another), ("one leaves", left)] {
        report.figure(name, took.as_secs_f64() * 1e6, Unit::Microseconds, floor);
    }
    Ok(report)
}

/// How long the broker waits for more members of an empty group, in milliseconds, if it says so.
async fn initial_delay(bootstrap: &str) -> Result<Option<String>, Failure> {
    let admin = Admin::connect(AdminConfig::new(bootstrap)).await?;
    let Some(broker) = admin.describe_cluster().await?.brokers.into_iter().next() else {
        return Ok(None);
    };
    let configs = admin.describe_configs(&ConfigResource::Broker(broker.id)).await?;
    let delay = configs.into_iter().find(|config| config.name == INITIAL_DELAY);
    Ok(delay.and_then(|config| config.value))
}

/// What the delay adds to the time until all have joined.
fn waited(delay: Option<&str>, members: usize) -> String {
    match delay {
        None => "unknown".to_owned(),
        Some("0") => "none".to_owned(),
        Some(delay) if members == 1 => format!("{delay} ms of the join"),
        Some(delay) => format!("2 x {delay} ms of the join: members came during the first"),
    }
}

impl Group {
    fn new(target: &Target, arguments: &GroupsArguments) -> Group {
        let settings = ConsumerConfig::new(&arguments.broker.cluster.bootstrap)
            .group_id(target.topic.to_string())
            .session_timeout(SESSION_TIMEOUT)
            .heartbeat_interval(Duration::from_millis(arguments.heartbeat_ms));
        let (sender, news) = mpsc::channel(1_024);
        Group {
            settings,
            topic: target.topic.clone(),
            partitions: arguments.partitions.unsigned_abs() as usize,
            sender,
            news,
            owned: BTreeMap::new(),
            farewells: Vec::new(),
        }
    }

    /// Adds members and waits until the group is whole again. Connecting is not counted.
    async fn grow(&mut self, count: usize) -> Result<Duration, Failure> {
        let mut consumers = Vec::new();
        for _ in 0..count {
            consumers.push(Consumer::connect(self.settings.clone()).await?);
        }
        let begun = Instant::now();
        for consumer in consumers {
            consumer.subscribe(&[&*self.topic])?;
            let (farewell, asked_to_go) = oneshot::channel();
            let member = self.farewells.len();
            self.farewells.push(farewell);
            self.owned.insert(member, 0);
            tokio::spawn(live(member, consumer, self.sender.clone(), asked_to_go));
        }
        self.settle().await?;
        Ok(begun.elapsed())
    }

    /// Lets the newest member leave.
    async fn shrink(&mut self) -> Result<Duration, Failure> {
        let begun = Instant::now();
        if let Some(farewell) = self.farewells.pop() {
            self.owned.remove(&self.farewells.len());
            // A member that has failed already has said so.
            let _ = farewell.send(());
        }
        self.settle().await?;
        Ok(begun.elapsed())
    }

    async fn settle(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        let whole = |owned: &BTreeMap<usize, usize>, partitions: usize| {
            owned.values().all(|count| 0 < *count) && owned.values().sum::<usize>() == partitions
        };
        while !whole(&self.owned, self.partitions) {
            let left = deadline.saturating_duration_since(Instant::now());
            let late = |_| Failure::new("the group does not settle");
            let Some(news) = tokio::time::timeout(left, self.news.recv()).await.map_err(late)?
            else {
                return Err(Failure::new("all members are gone"));
            };
            let Owns { member, partitions } = news?;
            if let Some(owned) = self.owned.get_mut(&member) {
                *owned = partitions;
            }
        }
        Ok(())
    }
}

/// A member's life: polls until it is asked to go.
async fn live(
    member: usize,
    consumer: Consumer,
    news: mpsc::Sender<News>,
    mut asked_to_go: oneshot::Receiver<()>,
) {
    loop {
        let polled = tokio::select! {
            polled = consumer.poll(POLL) => polled,
            _ = &mut asked_to_go => {
                // Leaving is what is measured; the rest of the group tells how it went.
                let _ = consumer.close().await;
                return;
            }
        };
        let owns = match polled {
            Ok(polled) => match polled.rebalance {
                Some(Rebalance::Assigned { partitions, .. }) => Ok(partitions.len()),
                Some(Rebalance::Revoked(_) | Rebalance::Lost(_)) => Ok(0),
                None => continue,
            },
            Err(error) => Err(error.into()),
        };
        let failed = owns.is_err();
        let told = news.send(owns.map(|partitions| Owns { member, partitions })).await;
        if failed || told.is_err() {
            return;
        }
    }
}
