//! A Kafka client of a few lines, over the protocol crate and a blocking socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::codec::RecordsRef;
use mainstem_protocol::codec::Request;
use mainstem_protocol::frame::{decode_response, encode_request};
use mainstem_protocol::messages::fetch::{FetchPartition, FetchTopic};
use mainstem_protocol::messages::metadata::MetadataRequestTopic;
use mainstem_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use mainstem_protocol::messages::{FetchRequest, MetadataRequest, ProduceRequest};
use mainstem_protocol::record::BatchBuilder;
use mainstem_protocol::record::batches;

/// Longer than any answer takes, so that a test fails rather than hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub(crate) fn connect(bootstrap: &str) -> Self {
        let stream = TcpStream::connect(bootstrap).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
        stream.set_nodelay(true).expect("set TCP_NODELAY");
        Self { stream, correlation_id: 0 }
    }

    pub(crate) fn send<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        self.correlation_id += 1;
        let frame = encode_request(request, version, self.correlation_id, Some("test"));
        self.stream.write_all(&frame.expect("encode")).expect("send");
        self.correlation_id
    }

    pub(crate) fn receive<R: Request>(&mut self, version: i16, correlation_id: i32) -> R::Response {
        let frame = read_frame(&mut self.stream).expect("a response");
        let (id, response) = decode_response::<R>(version, frame).expect("decode");
        assert_eq!(id, correlation_id, "responses come in the order of the requests");
        response
    }

    pub(crate) fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let id = self.send(request, version);
        self.receive::<R>(version, id)
    }

    /// Makes sure that the topic is there.
    pub(crate) fn create(&mut self, topic: &str) {
        let topics = Some(vec![MetadataRequestTopic {
            name: Some(topic.into()),
            ..MetadataRequestTopic::default()
        }]);
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation: true,
            ..MetadataRequest::default()
        };
        // The first answer may say that the topic is being made.
        for _ in 0..1_000 {
            let response = self.call(&request, 9);
            if response.topics[0].error_code == ErrorCode::NONE
                && !response.topics[0].partitions.is_empty()
            {
                return;
            }
        }
        panic!("the topic {topic} was not created");
    }

    pub(crate) fn produce(&mut self, topic: &str, values: &[&[u8]]) -> Result<i64, ErrorCode> {
        let id = self.send_produce(topic, values);
        self.receive_produced(id)
    }

    pub(crate) fn send_produce(&mut self, topic: &str, values: &[&[u8]]) -> i32 {
        let (id, frame) = self.produce_frame(topic, values);
        self.stream.write_all(&frame).expect("send");
        id
    }

    /// A produce request and its correlation id, to be sent.
    pub(crate) fn produce_frame(&mut self, topic: &str, values: &[&[u8]]) -> (i32, Bytes) {
        let mut batch = BatchBuilder::new();
        for value in values {
            batch.push(1_000, None, Some(value), &[]);
        }
        let records = Some(batch.finish().expect("a batch"));
        let partition = PartitionProduceData { index: 0, records };
        let topic = TopicProduceData {
            name: topic.into(),
            partition_data: vec![partition],
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        };
        self.correlation_id += 1;
        let frame = encode_request(&request, 9, self.correlation_id, Some("test"));
        (self.correlation_id, frame.expect("encode"))
    }

    pub(crate) fn receive_produced(&mut self, correlation_id: i32) -> Result<i64, ErrorCode> {
        let response = self.receive::<ProduceRequest>(9, correlation_id);
        let partition = &response.responses[0].partition_responses[0];
        match partition.error_code {
            ErrorCode::NONE => Ok(partition.base_offset),
            error => Err(error),
        }
    }

    /// The values from `offset` on, as far as one response brings them.
    pub(crate) fn fetch(&mut self, topic: &str, offset: i64) -> Vec<Vec<u8>> {
        let partition = FetchPartition {
            fetch_offset: offset,
            partition_max_bytes: 64 * 1024 * 1024,
            ..FetchPartition::default()
        };
        let topic = FetchTopic {
            topic: topic.into(),
            partitions: vec![partition],
            ..FetchTopic::default()
        };
        let request = FetchRequest {
            max_bytes: 64 * 1024 * 1024,
            session_epoch: -1,
            topics: vec![topic],
            ..FetchRequest::default()
        };
        let response = self.call(&request, 11);
        assert_eq!(response.error_code, ErrorCode::NONE);
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.error_code, ErrorCode::NONE);
        let Some(RecordsRef::Bytes(bytes)) = &partition.records else { return Vec::new() };
        values(bytes, offset)
    }
}

fn values(bytes: &Bytes, from: i64) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for batch in batches(bytes) {
        let batch = batch.expect("a whole batch");
        let view = batch.view();
        assert!(view.is_checksum_ok());
        for record in view.records(64 * 1024 * 1024).expect("records") {
            let record = record.expect("a record");
            if view.offset_of(&record).0 >= from {
                values.push(record.value.expect("a value").to_vec());
            }
        }
    }
    values
}

pub(crate) fn read_frame(stream: &mut TcpStream) -> std::io::Result<Bytes> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let mut frame = vec![0; u32::from_be_bytes(prefix) as usize];
    stream.read_exact(&mut frame)?;
    Ok(frame.into())
}
