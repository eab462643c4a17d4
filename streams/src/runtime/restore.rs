//! Restoring: bringing the state on disk up to the end of its changelogs before a task opens.
//!
//! The changelogs are read committed, but the goal is their high watermark: a transaction that is
//! still open belongs to an earlier owner, and must have ended one way or the other before the task
//! may begin. So the restore waits for it.
//!
//! State that lies beyond the changelog's end, or before its beginning, belongs to another life of
//! the topic: it is cleared and read from the beginning.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainstem_client::{Consumer, ConsumerConfig, Isolation, PartitionBatch, TopicPartition};
use mainstem_protocol::ids::Offset;
use tokio::time::Instant;

use super::{Config, Guarantee, Shared, client_error};
use crate::error::StreamsError;
use crate::state::{ChangelogRecord, Slot, Storage};
use crate::task::TaskId;
use crate::topology::StoreId;

const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// A restore that does not move for so long has failed; more than any transaction may stay open.
const STALL_MAX: Duration = Duration::from_secs(120);

/// One store on its way to the end of its changelog.
struct Pending {
    id: StoreId,
    task: TaskId,
    slot: Slot,
    storage: Storage,
    end: i64,
}

/// The clients that read changelogs.
pub(super) struct Restorer {
    records: Consumer,
    /// Sees uncommitted ends.
    ends: Consumer,
}

impl Restorer {
    pub(super) async fn connect(config: &Config) -> Result<Restorer, StreamsError> {
        let isolation = match config.guarantee {
            Guarantee::ExactlyOnceV2 => Isolation::ReadCommitted,
            Guarantee::AtLeastOnce => Isolation::ReadUncommitted,
        };
        let connect = async |isolation| {
            let settings = ConsumerConfig::new(config.bootstrap.clone())
                .client_id(format!("{}-restore", config.application_id))
                .isolation(isolation)
                .max_poll_records(10_000);
            let connected = Consumer::connect(settings).await;
            connected.map_err(|error| client_error("connect the restore consumer", error))
        };
        let records = connect(isolation).await?;
        let ends = connect(Isolation::ReadUncommitted).await?;
        Ok(Restorer { records, ends })
    }

    /// Brings all stores of these tasks up to date.
    pub(super) async fn restore(
        &self,
        shared: &Shared,
        tasks: &[TaskId],
    ) -> Result<(), StreamsError> {
        let mut pending = self.begin(shared, tasks).await?;
        if pending.is_empty() {
            return Ok(());
        }
        let (began, mut restored) = (Instant::now(), 0);
        let mut moved = Instant::now();
        loop {
            self.finish_reached(shared, &mut pending)?;
            if pending.is_empty() {
                break;
            }
            let polled = self.records.poll(POLL_TIMEOUT).await;
            let polled = polled.map_err(|error| client_error("read changelogs", error))?;
            for batch in polled.batches {
                restored += batch.records.len();
                moved = Instant::now();
                apply(shared, &pending, batch)?;
            }
            if moved.elapsed() > STALL_MAX {
                let topics: Vec<String> = pending.keys().map(ToString::to_string).collect();
                let reason = format!("restoring does not move: {}", topics.join(", "));
                return Err(StreamsError::Abort(reason));
            }
        }
        self.assign(&[])?;
        tracing::info!(restored, elapsed = ?began.elapsed(), "state is restored");
        Ok(())
    }

    async fn begin(
        &self,
        shared: &Shared,
        tasks: &[TaskId],
    ) -> Result<BTreeMap<TopicPartition, Pending>, StreamsError> {
        let mut pending = BTreeMap::new();
        for task in tasks {
            for (id, slot, storage, changelog) in shared.application.slots(*task) {
                shared.backends.of(storage).open_store(&slot.store)?;
                let place = TopicPartition::new(changelog, task.partition);
                pending.insert(place, Pending { id, task: *task, slot, storage, end: 0 });
            }
        }
        let places: Vec<TopicPartition> = pending.keys().cloned().collect();
        if places.is_empty() {
            return Ok(pending);
        }
        let failed = |error| client_error("look at changelogs", error);
        let ends = self.ends.end_offsets(&places).await.map_err(failed)?;
        let beginnings = self.ends.beginning_offsets(&places).await.map_err(failed)?;
        self.assign(&places)?;
        for (place, pending) in &mut pending {
            let (Some(end), Some(beginning)) = (ends.get(place), beginnings.get(place)) else {
                return Err(StreamsError::Abort(format!("the end of {place} is not known")));
            };
            pending.end = *end;
            let from = start(shared, pending, *beginning)?;
            let sought = self.records.seek(place, from);
            sought.map_err(|error| client_error("seek in a changelog", error))?;
        }
        Ok(pending)
    }

    /// Takes out the stores that have reached their ends.
    fn finish_reached(
        &self,
        shared: &Shared,
        pending: &mut BTreeMap<TopicPartition, Pending>,
    ) -> Result<(), StreamsError> {
        let reached = |place: &TopicPartition, pending: &Pending| {
            self.records.position(place).is_some_and(|position| position >= pending.end)
        };
        for (place, done) in pending.iter().filter(|(place, pending)| reached(place, pending)) {
            let end = self.records.position(place).unwrap_or(done.end);
            write(shared, done, &[], Offset(end))?;
        }
        pending.retain(|place, pending| !reached(place, pending));
        Ok(())
    }

    fn assign(&self, places: &[TopicPartition]) -> Result<(), StreamsError> {
        self.records.assign(places).map_err(|error| client_error("read changelogs", error))
    }
}

/// Where to begin reading for the store, which is cleared if it does not fit its changelog.
fn start(shared: &Shared, pending: &Pending, beginning: i64) -> Result<i64, StreamsError> {
    let backend = shared.backends.of(pending.storage);
    match backend.changelog_offset(&pending.slot)? {
        Some(Offset(offset)) if beginning <= offset && offset <= pending.end => Ok(offset),
        Some(offset) => {
            tracing::warn!(
                slot = ?pending.slot, %offset, beginning, end = pending.end,
                "the state does not fit its changelog and is restored from the beginning"
            );
            backend.clear(&pending.slot)?;
            Ok(beginning)
        }
        None => Ok(beginning),
    }
}

fn apply(
    shared: &Shared,
    pending: &BTreeMap<TopicPartition, Pending>,
    batch: PartitionBatch,
) -> Result<(), StreamsError> {
    let Some(store) = pending.get(&batch.topic_partition) else {
        return Ok(());
    };
    let Some(last) = batch.records.last() else {
        return Ok(());
    };
    let behind = Offset(last.offset).next();
    let records = batch.records.into_iter().map(|record| ChangelogRecord {
        key: record.key.unwrap_or_default(),
        value: record.value,
        timestamp: record.timestamp_ms,
    });
    let records: Vec<ChangelogRecord> = records.collect();
    write(shared, store, &records, behind)
}

fn write(
    shared: &Shared,
    store: &Pending,
    records: &[ChangelogRecord],
    end: Offset,
) -> Result<(), StreamsError> {
    let application = Arc::clone(&shared.application);
    application.restore(store.id, store.task, &shared.backends, records, end)
}
