//! A proxy between a client and a broker that keeps, copies or loses single requests.
//!
//! It reads frames, so that a test can name the request it means: "the next EndTxn". What was kept
//! can be delivered later and more than once, as a network may do with a request of a connection
//! that the client has given up. The broker is told apart from the proxy by rewriting its port in
//! answers that name it. With [`Version::One`] the cluster seems to speak only transactions of
//! version 1.
//!
//! Absent on purpose: delays by the clock. A test says when something arrives.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use mainstem_protocol::frame::{Segment, decode_response, encode_response};
use mainstem_protocol::messages::{
    ApiVersionsRequest, DescribeClusterRequest, FindCoordinatorRequest, MetadataRequest,
};
use mainstem_protocol::{ApiKey, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Which transactions the cluster seems to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// One epoch per session (KIP-98).
    One,
    /// One epoch per transaction (KIP-890).
    Two,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// It does not arrive, and the connection is cut: the client cannot know that.
    Keep,
    /// It does not arrive, and nothing tells the client.
    KeepSilently,
    /// It arrives, and a copy is kept.
    Copy,
    /// It is carried out, and the connection is cut in place of the answer.
    LoseAnswer,
}

/// A request that was kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    frame: Bytes,
    version: i16,
}

impl Kept {
    /// Carries the request to the broker, over a connection of its own, and reads the answer.
    pub(crate) async fn deliver<R: Request>(&self, broker: &str) -> R::Response {
        let mut stream = TcpStream::connect(broker).await.expect("connect to the broker");
        stream.write_all(&self.frame).await.expect("write a request");
        let answer = read_frame(&mut stream).await.expect("read its answer");
        decode_response::<R>(self.version, answer.slice(4..)).expect("decode its answer").1
    }
}

struct Rule {
    key: ApiKey,
    act: Act,
    tell: oneshot::Sender<Kept>,
}

struct Shared {
    rules: Mutex<VecDeque<Rule>>,
    version: Version,
    /// Where the broker listens; another place after it was started again.
    broker: Mutex<String>,
    proxy_port: i32,
}

pub(crate) struct Proxy {
    pub(crate) address: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub(crate) async fn start(broker: &str, version: Version) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            rules: Mutex::new(VecDeque::new()),
            version,
            broker: Mutex::new(broker.to_owned()),
            proxy_port: address.port().into(),
        });
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&of_task);
                tokio::spawn(async move {
                    // A broker that is not there refuses by closing.
                    let broker = shared.broker();
                    let Ok(server) = TcpStream::connect(&broker).await else { return };
                    carry(client, server, &shared).await;
                });
            }
        });
        Self { address: address.to_string(), shared, task }
    }

    /// The broker was started again, somewhere else.
    pub(crate) fn follow(&self, broker: &str) {
        broker.clone_into(&mut self.shared.broker.lock().expect("an address"));
    }

    /// What is to happen to the next request of this API; gives the request when it has come.
    pub(crate) fn next(&self, key: ApiKey, act: Act) -> oneshot::Receiver<Kept> {
        let (tell, kept) = oneshot::channel();
        self.shared.rules.lock().expect("rules").push_back(Rule { key, act, tell });
        kept
    }
}

impl Shared {
    fn broker(&self) -> String {
        self.broker.lock().expect("an address").clone()
    }

    fn rule_of(&self, key: ApiKey) -> Option<Rule> {
        let mut rules = self.rules.lock().expect("rules");
        let at = rules.iter().position(|rule| rule.key == key)?;
        rules.remove(at)
    }

    /// An answer as the client may see it.
    fn disguise(&self, key: ApiKey, version: i16, frame: Bytes) -> Bytes {
        match key {
            ApiKey::ApiVersions if self.version == Version::One => {
                changed::<ApiVersionsRequest>(version, &frame, |answer| {
                    for feature in &mut answer.finalized_features {
                        if feature.name == "transaction.version" {
                            feature.max_version_level = 1;
                            feature.min_version_level = 1;
                        }
                    }
                })
            }
            ApiKey::Metadata => changed::<MetadataRequest>(version, &frame, |answer| {
                answer.brokers.iter_mut().for_each(|broker| self.redirect(&mut broker.port));
            }),
            ApiKey::FindCoordinator => {
                changed::<FindCoordinatorRequest>(version, &frame, |answer| {
                    self.redirect(&mut answer.port);
                    answer.coordinators.iter_mut().for_each(|found| self.redirect(&mut found.port));
                })
            }
            ApiKey::DescribeCluster => {
                changed::<DescribeClusterRequest>(version, &frame, |answer| {
                    answer.brokers.iter_mut().for_each(|broker| self.redirect(&mut broker.port));
                })
            }
            _ => frame,
        }
    }

    /// There is one broker, and it is reached through the proxy only.
    fn redirect(&self, port: &mut i32) {
        if 0 < *port {
            *port = self.proxy_port;
        }
    }
}

fn changed<R: Request>(
    version: i16,
    frame: &Bytes,
    change: impl FnOnce(&mut R::Response),
) -> Bytes {
    let (correlation_id, mut answer) =
        decode_response::<R>(version, frame.slice(4..)).expect("decode an answer");
    change(&mut answer);
    let encoded = encode_response(R::API_KEY, version, correlation_id, &answer);
    let mut bytes = BytesMut::new();
    for segment in encoded.expect("encode an answer").segments {
        match segment {
            Segment::Bytes(part) => bytes.extend_from_slice(&part),
            Segment::External { .. } => unreachable!("only answers with records have files"),
        }
    }
    bytes.freeze()
}

/// What is known of a request until it is answered.
struct Asked {
    key: ApiKey,
    version: i16,
    lose: Option<(Kept, oneshot::Sender<Kept>)>,
}

type Open = Mutex<BTreeMap<i32, Asked>>;

/// Carries frames both ways until one side ends, or a rule cuts.
async fn carry(client: TcpStream, server: TcpStream, shared: &Shared) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let open = Open::default();
    tokio::select! {
        _ = requests(from_client, to_server, shared, &open) => {}
        _ = answers(from_server, to_client, shared, &open) => {}
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    open: &Open,
) -> io::Result<()> {
    loop {
        let frame = read_frame(&mut from).await?;
        let number = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
        let key = ApiKey::try_from(number(4)).expect("a known API");
        let version = number(6);
        let correlation_id = i32::from_be_bytes([frame[8], frame[9], frame[10], frame[11]]);
        let kept = Kept { frame: frame.clone(), version };
        let mut asked = Asked { key, version, lose: None };
        // Nobody listens any more when a test has ended; that is no error.
        match shared.rule_of(key) {
            None => {}
            Some(Rule { act: Act::Keep, tell, .. }) => {
                let _ = tell.send(kept);
                return Ok(());
            }
            Some(Rule { act: Act::KeepSilently, tell, .. }) => {
                let _ = tell.send(kept);
                continue;
            }
            Some(Rule { act: Act::Copy, tell, .. }) => {
                let _ = tell.send(kept);
            }
            Some(Rule { act: Act::LoseAnswer, tell, .. }) => asked.lose = Some((kept, tell)),
        }
        open.lock().expect("open requests").insert(correlation_id, asked);
        to.write_all(&frame).await?;
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    open: &Open,
) -> io::Result<()> {
    loop {
        let frame = read_frame(&mut from).await?;
        let correlation_id = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
        let asked = open.lock().expect("open requests").remove(&correlation_id);
        let Asked { key, version, lose } = asked.expect("an answer has its request");
        if let Some((kept, tell)) = lose {
            let _ = tell.send(kept);
            return Ok(());
        }
        to.write_all(&shared.disguise(key, version, frame)).await?;
    }
}

/// A frame with its length.
async fn read_frame(from: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Bytes> {
    let mut frame = BytesMut::zeroed(4);
    from.read_exact(&mut frame).await?;
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
    frame.resize(4 + length, 0);
    from.read_exact(&mut frame[4..]).await?;
    Ok(frame.freeze())
}
