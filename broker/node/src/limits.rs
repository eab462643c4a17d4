//! Every limit of a shard in one place, with the reason for its size.
//!
//! Invariant: [`Limits::problems`] is empty for the limits of a running node; relations between
//! them are checked there and nowhere else.

use std::time::Duration;

/// Limits of a shard. All of them bite: none is only documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest request frame. Kafka's `socket.request.max.bytes`: 100 MiB.
    pub frame_bytes_max: usize,
    /// Requests of one connection under way at once. Only produce requests pipeline, and clients
    /// keep five in flight; more is for clients without idempotence.
    pub requests_in_flight_max: usize,
    /// Frames of one connection that wait for their turn before its reading stops.
    pub frames_queued_max: usize,
    /// Bytes of those frames before its reading stops. One frame is always taken.
    pub frame_bytes_queued_max: usize,
    /// Bytes of the frames of all connections, queued and under way, before those that send more
    /// are no longer read from. Kafka's `queued.max.request.bytes`, which has no default there:
    /// without one, memory grows with the number of clients.
    pub frame_bytes_of_all_max: usize,
    /// Incremental fetch sessions (KIP-227) per shard; Kafka's 1,000 per broker.
    pub fetch_sessions_max: usize,
    /// Partitions that one fetch session may hold.
    pub fetch_session_partitions_max: usize,
    /// Largest fetch response, whatever the client asks. Kafka's `fetch.max.bytes`: 55 MiB.
    pub fetch_bytes_max: i32,
    /// Longest wait of a fetch, whatever the client asks.
    pub fetch_wait_ms_max: i32,
    /// Partitions that one topic may be created with; Kafka takes 10,000 in one request.
    pub topic_partitions_max: i32,
    /// Partitions of the whole broker; a creation that would pass it is refused.
    pub partitions_max: usize,
    /// Resources whose configurations one request may ask for; each answer is some thousand bytes.
    pub described_resources_max: usize,
    /// Partitions that one answer of DescribeTopicPartitions may hold; Kafka's
    /// `max.request.partition.size.limit`: 2,000.
    pub described_partitions_max: i32,
    /// How long a stop waits for requests under way before it closes the logs all the same.
    pub stop_patience: Duration,
    /// Batches of one partition waiting for the verification of their transaction.
    pub verifications_waiting_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame_bytes_max: 100 * 1024 * 1024,
            requests_in_flight_max: 64,
            frames_queued_max: 128,
            frame_bytes_queued_max: 8 * 1024 * 1024,
            frame_bytes_of_all_max: 256 * 1024 * 1024,
            fetch_sessions_max: 1_000,
            fetch_session_partitions_max: 10_000,
            fetch_bytes_max: 55 * 1024 * 1024,
            fetch_wait_ms_max: 5 * 60 * 1_000,
            topic_partitions_max: 10_000,
            partitions_max: 10_000,
            described_resources_max: 10_000,
            described_partitions_max: 2_000,
            stop_patience: Duration::from_secs(10),
            verifications_waiting_max: 1_000,
        }
    }
}

impl Limits {
    /// What is wrong with these limits, one sentence each.
    pub fn problems(&self) -> Vec<&'static str> {
        let relations = [
            (
                self.frame_bytes_max < 1024,
                "a frame must be able to hold a small request (1,024 bytes)",
            ),
            (
                i32::MAX as usize <= self.frame_bytes_max,
                "a frame's length must fit the four byte prefix",
            ),
            (
                self.requests_in_flight_max == 0,
                "a connection must be able to have one request in flight",
            ),
            (self.frames_queued_max == 0, "a connection must be able to queue one frame"),
            (self.topic_partitions_max < 1, "a topic must be able to have one partition"),
            (self.fetch_bytes_max < 1, "a fetch must be able to answer one byte"),
            (self.described_partitions_max < 1, "a description must be able to hold one partition"),
        ];
        relations.into_iter().filter_map(|(wrong, problem)| wrong.then_some(problem)).collect()
    }
}
