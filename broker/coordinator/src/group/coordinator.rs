//! The group coordinator's public face.
//!
//! (The rules behind each method live in the sibling files; this file only names the doors.)

use super::{GroupConfig, GroupEffect, GroupRequest, TopicDirectory};
use crate::log::{AppendToken, ClientContext, ReplyTo};
use mainstem_platform::{Instant, Now};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, ProducerId};

impl GroupCoordinator {
    /// A coordinator that holds no partition yet. `seed` feeds the member ids.
    pub fn new(config: GroupConfig, seed: u64) -> Self;
    /// The partition of `__consumer_offsets` that holds `group_id`.
    pub fn partition_of(&self, group_id: &str) -> PartitionIndex;
    /// Takes a request; the answer leaves as `GroupEffect::Reply`, now or later.
    pub fn handle_request(&mut self, now: Now, context: &ClientContext, topics: &dyn TopicDirectory, request: GroupRequest, to: ReplyTo);
    /// The batch of `token` is past the high watermark at `Ok(base offset)`, or it is not.
    pub fn handle_appended(&mut self, now: Now, token: AppendToken, result: Result<Offset, ErrorCode>);
    /// A transaction's marker is in `__consumer_offsets-<partition>`, past the high watermark.
    pub fn handle_marker(&mut self, now: Now, partition: PartitionIndex, producer_id: ProducerId, commit: bool);
    /// Topics are gone: their offsets go too.
    pub fn handle_topics_deleted(&mut self, now: Now, names: &[&str]);
    /// The deadline has passed.
    pub fn handle_timeout(&mut self, now: Now);
    pub fn deadline(&self) -> Option<Instant>;
    pub fn poll_effect(&mut self) -> Option<GroupEffect>;

    pub fn begin_load(&mut self, partition: PartitionIndex, epoch: LeaderEpoch);
    /// One record of the log, in order. `transaction` is the producer of a transactional batch.
    pub fn load_record(&mut self, partition: PartitionIndex, offset: Offset, transaction: Option<ProducerId>, key: &[u8], value: Option<&[u8]>);
    pub fn load_marker(&mut self, partition: PartitionIndex, producer_id: ProducerId, commit: bool);
    pub fn finish_load(&mut self, now: Now, partition: PartitionIndex);
    /// This broker does not lead the partition any more: forget it, answer all who wait.
    pub fn resign(&mut self, partition: PartitionIndex);
}
