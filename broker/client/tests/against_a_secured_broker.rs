//! The client's security against the broker whose properties files `MAINSTEM_TEST_SECURED` names.
//!
//! For Apache's broker as a peer: `make against-kafka`. It is no part of `cargo test`.
//!
//! Every way in is a round trip of records through a group, so that the coordinator's connection
//! is made too; every way that must be closed is tried with all three clients' first calls.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mainstem_client::{
    Admin, AdminConfig, AutoOffsetReset, ClientError, ConfigChange, ConfigResource, Consumer,
    ConsumerConfig, NewTopic, Producer, ProducerConfig, ProducerRecord, Sasl, Security, Token,
    TokenError, TokenProvider, UnsecuredTokens,
};

const RECORDS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);
/// On the listener `short`.
const SESSION: Duration = Duration::from_secs(2);

type Properties = BTreeMap<String, String>;

fn folder() -> PathBuf {
    let named = std::env::var_os("MAINSTEM_TEST_SECURED");
    PathBuf::from(named.expect("MAINSTEM_TEST_SECURED names a folder of properties files"))
}

fn properties(name: &str) -> Properties {
    let path = folder().join(format!("{name}.properties"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn set(properties: &mut Properties, name: &str, value: impl Into<String>) {
    properties.insert(name.to_owned(), value.into());
}

fn security(properties: &Properties) -> Security {
    Security::from_properties(properties).expect("settings")
}

/// A name that no run has used.
fn fresh(what: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{what}-{}-{count}", now.expect("after 1970").as_nanos())
}

/// Produces records and reads them back as a member of a group.
async fn round_trip(bootstrap: &str, security: Security) {
    let topic = fresh("secured");
    let admin = Admin::connect(AdminConfig::new(bootstrap).security(security.clone()));
    let admin = admin.await.expect("an admin");
    let created = admin.create_topics(&[NewTopic::new(&topic, 1)]).await.expect("an answer");
    assert!(created.iter().all(|(_, result)| result.is_ok()), "{created:?}");

    let producer = Producer::connect(ProducerConfig::new(bootstrap).security(security.clone()));
    let producer = producer.await.expect("a producer");
    for number in 0..RECORDS {
        let record = ProducerRecord::new(topic.as_str(), number.to_string());
        producer.send(record).await.expect("sent");
    }
    producer.close().await.expect("flushed");

    let config = ConsumerConfig::new(bootstrap)
        .security(security)
        .group_id(fresh("group"))
        .auto_offset_reset(AutoOffsetReset::Earliest);
    let consumer = Consumer::connect(config).await.expect("a consumer");
    consumer.subscribe(&[&topic]).expect("subscribed");
    let begun = Instant::now();
    let mut values = Vec::new();
    while values.len() < RECORDS {
        assert!(begun.elapsed() < PATIENCE, "{} of {RECORDS} records", values.len());
        let polled = consumer.poll(Duration::from_secs(1)).await.expect("polled");
        values.extend(polled.records().filter_map(|record| record.value.clone()));
    }
    let expected: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
    assert_eq!(values, expected.iter().map(String::as_bytes).collect::<Vec<_>>());
    consumer.close().await.expect("closed");
}

/// All clients fail with what is not worth another try. Gives the producer's reason.
async fn refused(properties: &Properties) -> String {
    let (bootstrap, security) = (&properties["bootstrap.servers"], security(properties));
    let admin = Admin::connect(AdminConfig::new(bootstrap).security(security.clone())).await.err();
    assert!(matches!(admin, Some(ClientError::Authentication(_))), "{admin:?}");
    let config = ConsumerConfig::new(bootstrap).security(security.clone());
    let consumer = Consumer::connect(config).await.err();
    assert!(matches!(consumer, Some(ClientError::Authentication(_))), "{consumer:?}");
    match Producer::connect(ProducerConfig::new(bootstrap).security(security)).await.err() {
        Some(ClientError::Authentication(cause)) => cause.text,
        other => panic!("not refused: {other:?}"),
    }
}

macro_rules! round_trips {
    ($($name:ident => $file:literal;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let properties = properties($file);
            round_trip(&properties["bootstrap.servers"], security(&properties)).await;
        })*
    };
}

round_trips! {
    tls => "ssl";
    mutual_tls => "mutual";
    plain => "sasl_plaintext-plain";
    scram_sha_256 => "sasl_plaintext-scram-sha-256";
    scram_sha_512 => "sasl_plaintext-scram-sha-512";
    oauth_bearer => "sasl_plaintext-oauthbearer";
    plain_over_tls => "sasl_ssl-plain";
    scram_sha_256_over_tls => "sasl_ssl-scram-sha-256";
    scram_sha_512_over_tls => "sasl_ssl-scram-sha-512";
    oauth_bearer_over_tls => "sasl_ssl-oauthbearer";
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    for mechanism in ["plain", "scram-sha-256", "scram-sha-512"] {
        for listener in ["sasl_plaintext", "sasl_ssl"] {
            let mut properties = properties(&format!("{listener}-{mechanism}"));
            let wrong = properties["sasl.jaas.config"].replace("alice-secret", "guessed-secret");
            set(&mut properties, "sasl.jaas.config", wrong);
            let reason = refused(&properties).await;
            assert!(reason.contains("SASL_AUTHENTICATION_FAILED"), "{reason}");
            assert!(!reason.contains("guessed-secret"), "{reason}");
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let properties = properties("sasl_plaintext-oauthbearer");
    let expired = UnsecuredTokens::new("alice").lifetime(Duration::ZERO);
    let security = Security::sasl_over_plaintext(Sasl::oauth_bearer(Arc::new(expired)));
    let config = ProducerConfig::new(&properties["bootstrap.servers"]).security(security);
    let error = Producer::connect(config).await.err().expect("refused");
    assert!(matches!(error, ClientError::Authentication(_)), "{error}");
}

#[tokio::test]
async fn a_port_that_authenticates_nobody_is_refused() {
    let mut properties = properties("sasl_plaintext-plain");
    set(&mut properties, "bootstrap.servers", plain_port());
    let reason = refused(&properties).await;
    assert!(reason.contains("ILLEGAL_SASL_STATE"), "{reason}");
}

/// The listener that authenticates nobody.
fn plain_port() -> String {
    let settings = folder().join("../server.properties");
    let text = std::fs::read_to_string(settings).expect("the broker's settings");
    let listeners = text.lines().find_map(|line| line.strip_prefix("listeners=PLAINTEXT://"));
    listeners.and_then(|rest| rest.split(',').next()).expect("a plain listener").to_owned()
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    for name in ["ssl", "sasl_ssl-plain"] {
        let mut properties = properties(name);
        let stranger = folder().join("stranger.pem");
        set(&mut properties, "ssl.truststore.location", stranger.display().to_string());
        let reason = refused(&properties).await;
        assert!(reason.contains("UnknownIssuer"), "{reason}");
    }
}

#[tokio::test]
async fn a_server_by_another_name_is_refused_unless_names_do_not_count() {
    let mut properties = properties("ssl");
    let by_address = properties["bootstrap.servers"].replace("localhost", "127.0.0.1");
    set(&mut properties, "bootstrap.servers", by_address);
    let reason = refused(&properties).await;
    assert!(reason.contains("not valid for name"), "{reason}");
    set(&mut properties, "ssl.endpoint.identification.algorithm", "");
    round_trip(&properties["bootstrap.servers"], security(&properties)).await;
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_wanted() {
    let mut properties = properties("mutual");
    properties.retain(|name, _| !name.starts_with("ssl.keystore"));
    refused(&properties).await;
}

/// The broker cuts a connection that asks for something after its session. Commands of an admin are
/// not repeated, so one that is cut off is noticed.
async fn command_until(properties: &Properties, security: Security, done: impl Fn() -> bool) {
    let config = AdminConfig::new(&properties["bootstrap.servers"]).security(security);
    let admin = Admin::connect(config).await.expect("an admin");
    let topic = fresh("renewed");
    let created = admin.create_topics(&[NewTopic::new(&topic, 1)]).await.expect("an answer");
    assert!(created.iter().all(|(_, result)| result.is_ok()), "{created:?}");
    let topic = ConfigResource::Topic(topic);
    let change = ConfigChange::Set { name: "retention.ms".into(), value: "60000".into() };
    while !done() {
        admin.alter_configs(&topic, std::slice::from_ref(&change)).await.expect("altered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_renewed() {
    for mechanism in ["plain", "scram-sha-512"] {
        let properties = properties(&format!("short-{mechanism}"));
        let begun = Instant::now();
        let three_sessions = || begun.elapsed() > 3 * SESSION;
        command_until(&properties, security(&properties), three_sessions).await;
    }
}

/// Tokens that live as long as a session: each renewal needs another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_renewed_with_new_tokens() {
    let properties = properties("short-oauthbearer");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let provider = move || {
        count.fetch_add(1, Ordering::Relaxed);
        async { UnsecuredTokens::new("alice").lifetime(SESSION).token().await }
    };
    let security = Security::sasl_over_plaintext(Sasl::oauth_bearer(Arc::new(provider)));
    command_until(&properties, security, || asked.load(Ordering::Relaxed) > 3).await;
}

/// Connections share a token, and a provider that fails is asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_shared_and_asked_for_again() {
    let properties = properties("sasl_plaintext-oauthbearer");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let provider = move || {
        let turn = count.fetch_add(1, Ordering::Relaxed);
        async move {
            if turn == 0 {
                return Err(TokenError::from("the identity provider is away"));
            }
            let token: Token = UnsecuredTokens::new("alice").token().await?;
            Ok(token)
        }
    };
    let security = Security::sasl_over_plaintext(Sasl::oauth_bearer(Arc::new(provider)));
    let config = AdminConfig::new(&properties["bootstrap.servers"]).security(security);
    let admin = Admin::connect(config).await.expect("an admin");
    admin.list_groups().await.expect("groups");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}
