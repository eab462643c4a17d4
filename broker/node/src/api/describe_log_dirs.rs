//! DescribeLogDirs: key 35, versions 1-5.
//!
//! Behaviour: all log directories with their partitions, or with those that are asked for; one that
//! has failed has the error KAFKA_STORAGE_ERROR and nothing else. A partition on its way to another
//! directory is in both, in the other one as a future one with its lag. No directory is cordoned.
//!
//! Version notes:
//! - v2: flexible. v3: an error of the whole answer. v4: size of the volume (KIP-827).
//! - v5: cordoned directories (KIP-1066).

use super::{Api, Pending, Place};
use crate::ask::{Ask, LogPlace, Ticket};
use crate::dispatch::{Request, RequestError};
use crate::event::ShardIndex;
use crate::log_dirs::LogDirIndex;
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use mainstem_protocol::{ApiKey, ErrorCode};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const API: Api = Api::new(ApiKey::DescribeLogDirs, 1, 5, Place::AnyShard, handle);

/// Answers of one request.
pub(crate) struct Gather {
    /// Topics and partitions that are asked for; `None` stands for all.
    wanted: Option<BTreeSet<(String, i32)>>,
    places: Vec<LogPlace>,
    missing: u16,
}

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: DescribeLogDirsRequest = request.decode()?;
    let wanted = body.topics.map(|topics| {
        let partitions = topics.into_iter().flat_map(|topic| {
            topic.partitions.into_iter().map(move |partition| (topic.topic.clone(), partition))
        });
        partitions.collect()
    });
    let gather = Gather { wanted, places: Vec::new(), missing: node.shard_count };
    for shard in 0..node.shard_count {
        node.ask(ShardIndex(shard), request.ticket, Ask::LogDirs);
    }
    node.pending.insert(request.ticket, Pending::LogDirs(gather));
    Ok(())
}

/// A shard has answered.
pub(crate) fn told(
    node: &mut ShardNode,
    ticket: Ticket,
    mut gather: Gather,
    places: Vec<LogPlace>,
) {
    let Gather { wanted, .. } = &gather;
    let is_wanted = |place: &LogPlace| {
        let key = || (place.topic.to_string(), place.partition.0);
        wanted.as_ref().is_none_or(|wanted| wanted.contains(&key()))
    };
    let found: Vec<LogPlace> = places.into_iter().filter(is_wanted).collect();
    gather.places.extend(found);
    gather.missing -= 1;
    if 0 < gather.missing {
        node.pending.insert(ticket, Pending::LogDirs(gather));
        return;
    }
    let mut by_dir: BTreeMap<LogDirIndex, Vec<LogPlace>> = BTreeMap::new();
    for place in gather.places {
        by_dir.entry(place.dir).or_default().push(place);
    }
    let describe = |dir| describe(node, dir, by_dir.remove(&dir).unwrap_or_default());
    let results: Vec<DescribeLogDirsResult> = node.dirs.indexes().map(describe).collect();
    for result in &results {
        node.metrics.error(result.error_code);
    }
    node.respond(ticket, &DescribeLogDirsResponse { results, ..Default::default() });
}

fn describe(
    node: &ShardNode,
    dir: LogDirIndex,
    mut places: Vec<LogPlace>,
) -> DescribeLogDirsResult {
    let path = node.dirs.path(dir);
    let mut result =
        DescribeLogDirsResult { log_dir: path.display().to_string(), ..Default::default() };
    let space = node.disk.space(path).ok().filter(|_| node.dirs.is_online(dir));
    let Some(space) = space else {
        result.error_code = ErrorCode::KAFKA_STORAGE_ERROR;
        return result;
    };
    let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    result.total_bytes = number(space.total_bytes);
    result.usable_bytes = number(space.usable_bytes);
    places.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    for place in places {
        if result.topics.last().is_none_or(|topic| topic.name != *place.topic) {
            let name = place.topic.to_string();
            result.topics.push(DescribeLogDirsTopic { name, ..Default::default() });
        }
        let topic = result.topics.last_mut().expect("a topic was pushed");
        topic.partitions.push(DescribeLogDirsPartition {
            partition_index: place.partition.0,
            partition_size: number(place.size_bytes),
            offset_lag: place.offset_lag,
            is_future_key: place.is_future,
        });
    }
    result
}
