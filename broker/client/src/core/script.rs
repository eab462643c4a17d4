//! Golden scripts for machines: commands in, the trace of what the machine does out.
//!
//! A script is a text file. Lines that begin with `> ` are commands; the lines below each are what
//! came of it. The test runs the commands again and compares; with `UPDATE_SCRIPTS=1` it writes
//! what it saw. Time moves only by `> wait <ms>`.
//!
//! The cluster around the machine is played here: it accepts connections, answers ApiVersions and
//! Metadata by itself (topic `t` of two partitions and what a script adds, partition 0 led by
//! broker 1 and the others by broker 2, both coordinators on broker 1), and keeps every other
//! request until a command answers it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mainstem_platform::{Instant, Now};
use mainstem_protocol::frame::{Segment, decode_request_header, encode_response};
use mainstem_protocol::messages::api_versions::{ApiVersion, FinalizedFeatureKey};
use mainstem_protocol::messages::find_coordinator::Coordinator;
use mainstem_protocol::messages::metadata::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use mainstem_protocol::messages::{
    ApiVersionsResponse, FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest,
    MetadataResponse,
};
use mainstem_protocol::{ApiKey, ErrorCode, Message, Reader, Request, TopicId};

use super::sasl::{Need, Prepared};
use super::{Address, ConnectionId, Machine, NetEffect, NetEvent};
use crate::security::Token;

pub(crate) const TOPIC_ID: TopicId = TopicId([7; 16]);

/// The id of a topic of scripts: `t` has [`TOPIC_ID`], the others have one of their letter.
pub(crate) fn topic_id(name: &str) -> TopicId {
    match name {
        "t" => TOPIC_ID,
        name => TopicId([name.as_bytes()[0]; 16]),
    }
}

/// A request that waits for its answer.
pub(crate) struct Asked {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    connection: ConnectionId,
    correlation_id: i32,
    body: Bytes,
    /// What the cluster answers by itself, once everything before it was answered.
    ready: Option<NetEvent>,
}

impl Asked {
    pub(crate) fn read<R: Request>(&self) -> R {
        R::decode(&mut Reader::new(self.body.clone()), self.version).expect("a request of ours")
    }
}

/// The cluster around a machine.
pub(crate) struct Cluster {
    pub(crate) now: Now,
    pub(crate) asked: VecDeque<Asked>,
    /// 0: only TV1 is spoken.
    pub(crate) transaction_version: i16,
    /// APIs that the brokers do not have.
    pub(crate) missing: Vec<ApiKey>,
    /// What authentications are given instead of what they need.
    pub(crate) prepared: Option<Prepared>,
    /// Highest versions that are lower than ours.
    pub(crate) versions_max: BTreeMap<ApiKey, i16>,
    /// Partitions by topic.
    pub(crate) topics: BTreeMap<String, i32>,
    connections: BTreeMap<ConnectionId, Address>,
    pub(crate) trace: Vec<String>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            now: Now { instant: Instant::from_millis(1_000), wall_ms: 1_000 },
            asked: VecDeque::new(),
            transaction_version: 2,
            missing: Vec::new(),
            prepared: None,
            versions_max: BTreeMap::new(),
            topics: BTreeMap::from([("t".to_owned(), 2)]),
            connections: BTreeMap::new(),
            trace: Vec::new(),
        }
    }

    pub(crate) fn address() -> Vec<Address> {
        vec![Address { host: "seed".to_owned(), port: 9092 }]
    }

    pub(crate) fn wait(&mut self, milliseconds: u64) {
        self.now.instant = self.now.instant.plus(Duration::from_millis(milliseconds));
        self.now.wall_ms += i64::try_from(milliseconds).expect("a short wait");
    }

    /// Lets the machine act until it waits for an answer or for time. `show` draws a request.
    pub(crate) fn settle(&mut self, machine: &mut impl Machine, show: impl Fn(&Asked) -> String) {
        loop {
            machine.advance(self.now);
            let mut events = Vec::new();
            while let Some(effect) = machine.poll_effect() {
                self.carry_out(effect, &mut events, &show);
            }
            if events.is_empty() {
                return;
            }
            for event in events {
                machine.handle_net(self.now, event);
            }
        }
    }

    fn carry_out(
        &mut self,
        effect: NetEffect,
        events: &mut Vec<NetEvent>,
        show: impl Fn(&Asked) -> String,
    ) {
        match effect {
            NetEffect::Connect(id, address) => {
                self.connections.insert(id, address);
                events.push(NetEvent::Connected(id));
            }
            NetEffect::Prepare(id, need) => {
                let prepared = self.prepared.clone().unwrap_or_else(|| prepare(need));
                events.push(NetEvent::Prepared(id, prepared));
            }
            NetEffect::Close(id) => {
                self.connections.remove(&id);
                self.asked.retain(|asked| asked.connection != id);
            }
            NetEffect::Write(connection, frame) => {
                let mut reader = Reader::new(frame.slice(4..));
                let header = decode_request_header(&mut reader).expect("a header of ours");
                let mut asked = Asked {
                    api: ApiKey::try_from(header.api_key).expect("a known API"),
                    version: header.api_version,
                    connection,
                    correlation_id: header.correlation_id,
                    body: reader.rest(),
                    ready: None,
                };
                asked.ready = match asked.api {
                    ApiKey::ApiVersions => Some(respond(&asked, &self.versions())),
                    ApiKey::Metadata => Some(respond(&asked, &self.metadata(&asked))),
                    ApiKey::FindCoordinator => Some(respond(&asked, &coordinator(&asked))),
                    _ => None,
                };
                if asked.ready.is_none() {
                    let host = &self.connections[&connection].host;
                    self.trace.push(format!("  -> {host} {}", show(&asked)));
                }
                self.asked.push_back(asked);
                events.extend(self.answers_due(connection));
            }
        }
    }

    /// The answers that the cluster gives by itself and that nothing stands before.
    fn answers_due(&mut self, connection: ConnectionId) -> Vec<NetEvent> {
        let mut due = Vec::new();
        let of = |asked: &Asked| asked.connection == connection;
        while let Some(at) = self.asked.iter().position(of)
            && let Some(event) = self.asked[at].ready.take()
        {
            self.asked.remove(at);
            due.push(event);
        }
        due
    }

    fn versions(&self) -> ApiVersionsResponse {
        let api = |api: &ApiKey| ApiVersion {
            api_key: *api as i16,
            min_version: api.min_version(),
            max_version: self.versions_max.get(api).copied().unwrap_or(api.max_version()),
        };
        ApiVersionsResponse {
            api_keys: ApiKey::ALL
                .iter()
                .filter(|key| !self.missing.contains(key))
                .map(api)
                .collect(),
            finalized_features_epoch: 1,
            finalized_features: vec![FinalizedFeatureKey {
                name: "transaction.version".to_owned(),
                max_version_level: self.transaction_version,
                min_version_level: self.transaction_version,
            }],
            ..ApiVersionsResponse::default()
        }
    }

    /// Answers by ids alone when there is one, as brokers do.
    fn metadata(&self, asked: &Asked) -> MetadataResponse {
        let broker = |node_id| MetadataResponseBroker {
            node_id,
            host: format!("broker{node_id}"),
            port: 9092,
            rack: None,
        };
        let names: Vec<String> = match asked.read::<MetadataRequest>().topics {
            None => self.topics.keys().cloned().collect(),
            Some(topics) if topics.iter().any(|topic| topic.topic_id.is_some()) => {
                let is_asked = |name: &&String| topics.iter().any(|t| t.topic_id == topic_id(name));
                self.topics.keys().filter(is_asked).cloned().collect()
            }
            Some(topics) => topics.into_iter().filter_map(|topic| topic.name).collect(),
        };
        MetadataResponse {
            brokers: vec![broker(1), broker(2)],
            topics: names.iter().map(|name| self.described(name)).collect(),
            ..MetadataResponse::default()
        }
    }

    fn described(&self, name: &str) -> MetadataResponseTopic {
        let partition = |index: i32| MetadataResponsePartition {
            partition_index: index,
            leader_id: 2.min(index + 1),
            leader_epoch: 5,
            ..MetadataResponsePartition::default()
        };
        let count = self.topics.get(name);
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        MetadataResponseTopic {
            error_code: if count.is_some() { ErrorCode::NONE } else { unknown },
            name: Some(name.to_owned()),
            topic_id: if count.is_some() { topic_id(name) } else { TopicId::NONE },
            is_internal: name.starts_with("__"),
            partitions: (0..count.copied().unwrap_or(0)).map(partition).collect(),
            ..MetadataResponseTopic::default()
        }
    }

    /// The oldest unanswered request of this API, or of `<Api>@<host>`. Brokers answer a
    /// connection's requests in order, and so must scripts.
    pub(crate) fn take(&mut self, name: &str) -> Asked {
        let (api, host) = name.split_once('@').unwrap_or((name, ""));
        let at = self.asked.iter().position(|asked| {
            format!("{:?}", asked.api) == api
                && self.connections[&asked.connection].host.starts_with(host)
        });
        let at = at.unwrap_or_else(|| panic!("no {name} waits for an answer"));
        let asked = self.asked.remove(at).expect("the place was just found");
        let earlier = self.asked.iter().take(at).find(|a| a.connection == asked.connection);
        let earlier = earlier.map(|asked| asked.api);
        assert_eq!(earlier, None, "something else must be answered before {name}");
        asked
    }

    pub(crate) fn reply(
        &mut self,
        machine: &mut impl Machine,
        asked: &Asked,
        response: &impl Message,
    ) {
        machine.handle_net(self.now, respond(asked, response));
        for event in self.answers_due(asked.connection) {
            machine.handle_net(self.now, event);
        }
    }

    /// Cuts the connection that carries the oldest request of this API.
    pub(crate) fn cut(&mut self, machine: &mut impl Machine, api: &str) {
        let event = NetEvent::Closed(self.lose(api), "cut by the script".to_owned());
        machine.handle_net(self.now, event);
    }

    /// The same, and one side does not trust the other.
    pub(crate) fn refuse(&mut self, machine: &mut impl Machine, api: &str) {
        let event = NetEvent::Refused(self.lose(api), "refused by the script".to_owned());
        machine.handle_net(self.now, event);
    }

    fn lose(&mut self, api: &str) -> ConnectionId {
        let asked = self.take(api);
        self.asked.retain(|other| other.connection != asked.connection);
        self.connections.remove(&asked.connection);
        asked.connection
    }
}

fn respond(asked: &Asked, response: &impl Message) -> NetEvent {
    let frame = encode_response(asked.api, asked.version, asked.correlation_id, response);
    let mut bytes = BytesMut::new();
    for segment in frame.expect("an answer of ours").segments {
        match segment {
            Segment::Bytes(part) => bytes.extend_from_slice(&part),
            Segment::External { .. } => panic!("answers of scripts are in memory"),
        }
    }
    NetEvent::Frame(asked.connection, bytes.freeze().slice(4..))
}

/// The nonce is the one of the example in RFC 7677.
fn prepare(need: Need) -> Prepared {
    match need {
        Need::Nonce => Prepared::Nonce("rOprNGfwEbeRWgbNEkqO".to_owned()),
        Need::Token => Prepared::Token(Token::new("a.token", Duration::from_secs(60))),
    }
}

fn coordinator(asked: &Asked) -> FindCoordinatorResponse {
    let key = asked.read::<FindCoordinatorRequest>().coordinator_keys.remove(0);
    FindCoordinatorResponse {
        coordinators: vec![Coordinator {
            key,
            node_id: 1,
            host: "broker1".to_owned(),
            port: 9092,
            error_code: ErrorCode::NONE,
            error_message: None,
        }],
        ..FindCoordinatorResponse::default()
    }
}

/// The code of that name; `ok` for none.
pub(crate) fn code(name: &str) -> ErrorCode {
    let named = |code: &&ErrorCode| code.name() == name;
    match name {
        "ok" => ErrorCode::NONE,
        name => *ErrorCode::ALL.iter().find(named).unwrap_or_else(|| panic!("no code {name}")),
    }
}

/// Runs every script in a folder; `run` executes one command and gives its trace.
pub(crate) fn check(
    folder: &str,
    mut start: impl FnMut() -> Box<dyn FnMut(&[&str]) -> Vec<String>>,
) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .expect("a folder of scripts")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    names.sort();
    let mut wrong = Vec::new();
    for path in names {
        let expected = std::fs::read_to_string(&path).expect("a script");
        // Shown when a command fails.
        println!("{}", path.display());
        let mut run = start();
        let mut seen = String::new();
        for line in expected.lines() {
            let comment = line.starts_with('#') || line.is_empty();
            if !comment && !line.starts_with("> ") {
                continue;
            }
            seen.push_str(line);
            seen.push('\n');
            if let Some(command) = line.strip_prefix("> ") {
                let words: Vec<&str> = command.split_whitespace().collect();
                println!("{line}");
                for line in run(&words) {
                    println!("{line}");
                    seen.push_str(&line);
                    seen.push('\n');
                }
            }
        }
        if std::env::var_os("UPDATE_SCRIPTS").is_some() {
            std::fs::write(&path, &seen).expect("write the script");
        } else if seen != expected {
            wrong.push(format!("{}:\n{seen}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "UPDATE_SCRIPTS=1 writes what was seen:\n{}", wrong.join("\n"));
}
