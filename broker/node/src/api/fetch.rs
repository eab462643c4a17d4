//! Fetch: key 1, versions 4-18.
//!
//! Behaviour: partitions are read on their shards and gathered here. A fetch that finds fewer than
//! `min_bytes` watches its partitions and reads again when one of them grows, until `max_wait_ms`
//! is over; an error or a diverging log answers at once. Answers are file ranges, never copies.
//! `max_bytes` bounds the whole answer, but the first partition with data always gives a batch.
//! A replica id is not believed: everybody is a consumer here and sees up to the high watermark.
//!
//! Version notes:
//! - v4: isolation level and aborted transactions (KIP-98). v5: log start offset.
//! - v7: sessions (KIP-227). v9: leader epoch of the client (KIP-320). v11: rack (KIP-392).
//! - v12: flexible; last fetched epoch and divergence (KIP-595).
//! - v13: topics by id (KIP-516). v15: replica state. v16: node endpoints (KIP-951).
//! - v17: directory of a replica (KIP-853). v18: high watermark of a replica (KIP-1166).

mod answer;
mod waiting;

pub(crate) use waiting::{Waiting, deadline, told, unwatch};

use super::{Api, Place};
use crate::ask::Isolation;
use crate::dispatch::{Request, RequestError};
use crate::fetch_session::{FetchKey, FetchWish, SessionRequest};
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::messages::fetch::{FetchRequest, FetchResponse};
use mainstem_protocol::{ApiKey, LeaderEpoch, Offset};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const API: Api = Api::new(ApiKey::Fetch, 4, 18, Place::AnyShard, handle);

/// From here on topics are named by id.
const VERSION_TOPIC_IDS: i16 = 13;
/// From here on there are sessions, and an error of the whole answer.
const VERSION_SESSIONS: i16 = 7;

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body: FetchRequest = request.decode()?;
    let isolation = match body.isolation_level {
        1 => Isolation::ReadCommitted,
        _ => Isolation::ReadUncommitted,
    };
    let limits = &node.config.limits;
    let bytes_max = body.max_bytes.clamp(0, limits.fetch_bytes_max);
    let wait_ms = body.max_wait_ms.clamp(0, limits.fetch_wait_ms_max);
    let min_bytes = body.min_bytes;
    let mut session = session_request(&body);
    if request.version < VERSION_SESSIONS {
        session.id = 0;
        session.epoch = -1;
    }
    let (session, wishes) = match node.fetch_sessions.open(now.instant, session) {
        Ok(opened) => opened,
        Err(error_code) => {
            node.metrics.error(error_code);
            let response = FetchResponse { error_code, ..Default::default() };
            node.respond(request.ticket, &response);
            return Ok(());
        }
    };
    let wait = Duration::from_millis(wait_ms.unsigned_abs().into());
    let mut waiting =
        Waiting::new(request.version, isolation, session, wishes, now.instant.plus(wait));
    waiting.min_bytes = min_bytes;
    waiting.bytes_max = bytes_max;
    waiting.may_wait = 0 < wait_ms && 0 < min_bytes;
    waiting::begin_round(node, now, request.ticket, Box::new(waiting));
    Ok(())
}

fn session_request(body: &FetchRequest) -> SessionRequest {
    let mut wishes = Vec::new();
    for topic in &body.topics {
        let name: Arc<str> = topic.topic.as_str().into();
        wishes.extend(topic.partitions.iter().map(|partition| {
            let key = FetchKey {
                topic: Arc::clone(&name),
                topic_id: topic.topic_id,
                partition: partition.partition,
            };
            let wish = FetchWish {
                from: Offset(partition.fetch_offset),
                current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
                last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
                bytes_max: partition.partition_max_bytes,
            };
            (key, wish)
        }));
    }
    let mut forgotten = Vec::new();
    for topic in &body.forgotten_topics_data {
        let name: Arc<str> = topic.topic.as_str().into();
        forgotten.extend(topic.partitions.iter().map(|partition| FetchKey {
            topic: Arc::clone(&name),
            topic_id: topic.topic_id,
            partition: *partition,
        }));
    }
    SessionRequest { id: body.session_id, epoch: body.session_epoch, wishes, forgotten }
}
