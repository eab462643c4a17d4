//! Authentication in golden scripts, `src/core/sasl/scripts/`, and mechanisms in tables.
//!
//! Commands of the scripts, whose form is told in [`crate::core::script`]:
//! - `login <plain|scram-256|scram-512|oauth>`: who we are, first of all.
//! - `send`: a request is to be sent; the machine connects and authenticates for it.
//! - `reply SaslHandshake <code> [mechanism...]`
//! - `reply SaslAuthenticate ok <token|-> [lifetime=<ms>]`, or `<code> [message]`
//! - `reply ListGroups ok`, `cut <Api>`, `wait <ms>`
//! - `missing <Api>`: brokers that do not have it; `no_token <reason>`: a provider that fails.

use std::time::Duration;

use bytes::Bytes;
use mainstem_platform::{Instant, Now};
use mainstem_protocol::messages::{
    ListGroupsRequest, ListGroupsResponse, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use mainstem_protocol::{ApiKey, BrokerId, ErrorCode};

use super::scram::{Hash, Scram};
use super::{Exchange, Login, Next, Prepared, bearer};
use crate::core::script::{Asked, Cluster, check, code};
use crate::core::{Lane, Machine, NetEffect, NetEvent, Route, Wire};
use crate::limits::{SASL_REASON_CHARS_MAX, SASL_TOKEN_BYTES_MAX};
use crate::security::{Secret, Token};

const ROUTE: Route = Route::new(BrokerId(-1), Lane::Control);
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";

/// A client that sends a request whenever it is told to.
struct Client {
    wire: Wire<usize>,
    unsent: usize,
    events: Vec<String>,
}

impl Client {
    fn drain(&mut self) {
        while let Some(completion) = self.wire.poll_completion() {
            let end = match completion.result {
                Ok(_) => "answered".to_owned(),
                Err(failure) => failure.text().to_owned(),
            };
            self.events.push(format!("  request: {end}"));
        }
    }
}

impl Machine for Client {
    fn handle_net(&mut self, now: Now, event: NetEvent) {
        self.wire.handle_net(now.instant, event);
        self.drain();
    }

    fn advance(&mut self, now: Now) {
        self.wire.handle_timeout(now.instant);
        while self.unsent > 0 && self.wire.ready(now.instant, ROUTE) {
            self.unsent -= 1;
            let request = ListGroupsRequest::default();
            self.wire.send(now.instant, ROUTE, &request, 0, Duration::from_secs(30), 0);
        }
        self.drain();
    }

    fn poll_effect(&mut self) -> Option<NetEffect> {
        let effect = self.wire.poll_effect()?;
        match &effect {
            NetEffect::Connect(..) => self.events.push("  connect".to_owned()),
            NetEffect::Close(_) => self.events.push("  close".to_owned()),
            NetEffect::Prepare(_, need) => self.events.push(format!("  prepare {need:?}")),
            NetEffect::Write(..) => {}
        }
        Some(effect)
    }

    fn deadline(&self) -> Option<Instant> {
        self.wire.deadline()
    }
}

fn login(name: &str) -> Login {
    let (username, password) = ("user".to_owned(), Secret::new("pencil"));
    let delegation_token = false;
    match name {
        "plain" => Login::Plain { username, password },
        "scram-256" => Login::Scram { hash: Hash::Sha256, username, password, delegation_token },
        "scram-512" => Login::Scram { hash: Hash::Sha512, username, password, delegation_token },
        "oauth" => Login::OAuthBearer,
        name => panic!("no login {name}"),
    }
}

struct World {
    cluster: Cluster,
    client: Client,
    refused: bool,
}

impl World {
    fn new(name: &str) -> Self {
        let wire = Wire::new("script", Some(login(name)), Cluster::address(), 1);
        let client = Client { wire, unsent: 0, events: Vec::new() };
        Self { cluster: Cluster::new(), client, refused: false }
    }

    fn run(&mut self, words: &[&str]) -> Vec<String> {
        match words {
            ["login", _] => {}
            ["send"] => self.client.unsent += 1,
            ["wait", milliseconds] => self.cluster.wait(milliseconds.parse().expect("ms")),
            ["missing", api] => self.cluster.missing.push(api_named(api)),
            ["no_token", reason @ ..] => {
                self.cluster.prepared = Some(Prepared::Failed(reason.join(" ")));
            }
            ["cut", api] => self.cluster.cut(&mut self.client, api),
            ["reply", api, outcome @ ..] => self.reply(api, outcome),
            words => panic!("no command {words:?}"),
        }
        self.cluster.settle(&mut self.client, draw);
        self.client.events.append(&mut self.cluster.trace);
        let mut trace = std::mem::take(&mut self.client.events);
        if let Some(refused) = self.client.wire.refused().filter(|_| !self.refused) {
            self.refused = true;
            trace.push(format!("  {refused}; code {:?}", refused.code()));
        }
        trace
    }

    fn reply(&mut self, api: &str, outcome: &[&str]) {
        let asked = self.cluster.take(api);
        let [error_code, rest @ ..] = outcome else { panic!("no outcome") };
        let error_code = code(error_code);
        match asked.api {
            ApiKey::SaslHandshake => {
                let mechanisms = rest.iter().map(|name| (*name).to_owned()).collect();
                let response = SaslHandshakeResponse { error_code, mechanisms };
                self.cluster.reply(&mut self.client, &asked, &response);
            }
            ApiKey::SaslAuthenticate => {
                let response = sasl_response(error_code, rest);
                self.cluster.reply(&mut self.client, &asked, &response);
            }
            _ => self.cluster.reply(&mut self.client, &asked, &ListGroupsResponse::default()),
        }
    }
}

fn sasl_response(error_code: ErrorCode, rest: &[&str]) -> SaslAuthenticateResponse {
    let mut response = SaslAuthenticateResponse { error_code, ..Default::default() };
    if error_code.is_error() {
        response.error_message = (!rest.is_empty()).then(|| rest.join(" "));
        return response;
    }
    for word in rest {
        match (word.strip_prefix("lifetime="), *word) {
            (Some(ms), _) => response.session_lifetime_ms = ms.parse().expect("ms"),
            (None, "-") => {}
            (None, token) => response.auth_bytes = Bytes::copy_from_slice(token.as_bytes()),
        }
    }
    response
}

fn api_named(name: &str) -> ApiKey {
    let named = |api: &&ApiKey| format!("{api:?}") == name;
    *ApiKey::ALL.iter().find(named).unwrap_or_else(|| panic!("no API {name}"))
}

fn draw(asked: &Asked) -> String {
    let what = match asked.api {
        ApiKey::SaslHandshake => asked.read::<SaslHandshakeRequest>().mechanism,
        ApiKey::SaslAuthenticate => {
            let token = asked.read::<SaslAuthenticateRequest>().auth_bytes;
            String::from_utf8_lossy(&token).replace('\0', "^@").replace('\u{1}', "^A")
        }
        _ => String::new(),
    };
    format!("{:?} v{} {what}", asked.api, asked.version).trim_end().to_owned()
}

#[test]
fn scripts() {
    check("src/core/sasl/scripts", || {
        let mut world: Option<World> = None;
        Box::new(move |words| {
            let name = words.get(1).copied().unwrap_or_default();
            world.get_or_insert_with(|| World::new(name)).run(words)
        })
    });
}

fn scram(hash: Hash) -> Scram {
    Scram::new(hash, "user", &Secret::new("pencil"), false, NONCE)
}

fn text(reply: Result<Option<Bytes>, String>) -> String {
    let reply = reply.expect("accepted").expect("a reply");
    String::from_utf8(reply.to_vec()).expect("text")
}

const CHALLENGE: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

/// The example of RFC 7677.
#[test]
fn scram_sha_256_of_the_rfc() {
    let mut scram = scram(Hash::Sha256);
    assert_eq!(scram.client_first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    assert_eq!(
        text(scram.handle(CHALLENGE.as_bytes())),
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    let signature = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    assert_eq!(scram.handle(signature), Ok(None));
    assert!(scram.handle(signature).is_err(), "it is over");
}

/// The same conversation with the other hash, computed by Python's hashlib.
#[test]
fn scram_sha_512() {
    let mut scram = scram(Hash::Sha512);
    assert_eq!(
        text(scram.handle(CHALLENGE.as_bytes())),
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ=="
    );
    let signature = b"v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";
    assert_eq!(scram.handle(signature), Ok(None));
}

#[test]
fn names_are_escaped_and_delegation_tokens_say_so() {
    let password = Secret::new("pass,w=ord");
    let mut scram = Scram::new(Hash::Sha256, "al=ice,b", &password, true, NONCE);
    assert_eq!(scram.client_first(), format!("n,,n=al=3Dice=2Cb,r={NONCE},tokenauth=true"));
    let challenge = format!("r={NONCE}X,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=8192");
    let proof = format!("c=biws,r={NONCE}X,p=yATCm7Ha2W0TO12C05eKD2qyO5tJ7e5xsCSFkHllTtA=");
    assert_eq!(text(scram.handle(challenge.as_bytes())), proof);
}

#[test]
fn challenges_that_are_refused() {
    let salt = "s=W22ZaJ0SNY7soEsUEjb6gQ==";
    let long = format!("r={NONCE}x,{salt}");
    let table = [
        (String::new(), "cannot be read"),
        (format!("m=ext,r={NONCE}x,{salt},i=4096"), "cannot be read"),
        (format!("{salt},r={NONCE}x,i=4096"), "cannot be read"),
        (format!("r={NONCE}x,s=***,i=4096"), "cannot be read"),
        (format!("{long},i=many"), "cannot be read"),
        (format!("{long},i=-1"), "cannot be read"),
        (format!("{long},i=99999999999999999999"), "cannot be read"),
        (format!("r={NONCE},{salt},i=4096"), "does not continue ours"),
        (format!("r=other,{salt},i=4096"), "does not continue ours"),
        (format!("{long},i=1"), "wants 1 iterations; accepted: 4096 to 100000"),
        (format!("{long},i=4095"), "wants 4095 iterations"),
        (format!("{long},i=100001"), "wants 100001 iterations"),
        ("e=unknown-user".to_owned(), "the broker says unknown-user"),
    ];
    for (challenge, reason) in table {
        let error = scram(Hash::Sha256).handle(challenge.as_bytes()).expect_err(&challenge);
        assert!(error.contains(reason), "{challenge}: {error}");
    }
    assert!(scram(Hash::Sha256).handle(b"r=\xff").is_err());
}

#[test]
fn a_broker_that_does_not_know_the_password_is_refused() {
    let wrong = [
        ("v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "does not know the password"),
        ("v=6rri", "does not know the password"),
        ("v=", "does not know the password"),
        ("v=***", "no signature"),
        ("", "no signature"),
        ("e=other-error", "other-error"),
    ];
    for (last, reason) in wrong {
        let mut scram = scram(Hash::Sha256);
        scram.handle(CHALLENGE.as_bytes()).expect("a challenge");
        let error = scram.handle(last.as_bytes()).expect_err(last);
        assert!(error.contains(reason), "{last}: {error}");
    }
}

#[test]
fn success_before_the_signature_is_none() {
    let (login, plain) = (login("scram-256"), login("plain"));
    let mut exchange = Exchange::new(&login, Prepared::Nonce(NONCE.to_owned())).expect("begun");
    let refused = exchange.handle_token(&SaslAuthenticateResponse::default());
    assert!(refused.is_err(), "the broker proved nothing");
    let mut exchange = Exchange::new(&plain, Prepared::Nothing).expect("begun");
    let done = exchange.handle_token(&SaslAuthenticateResponse::default());
    assert_eq!(done, Ok(Next::Authenticated(None)));
}

#[test]
fn what_a_broker_says_is_bounded() {
    let mut exchange = Exchange::new(&login("plain"), Prepared::Nothing).expect("begun");
    let auth_bytes = Bytes::from(vec![b'x'; SASL_TOKEN_BYTES_MAX + 1]);
    let long = SaslAuthenticateResponse { auth_bytes, ..Default::default() };
    let cause = exchange.handle_token(&long).expect_err("too long");
    assert!(cause.text.contains("more than 65536 bytes"), "{cause}");
    let error_message = Some("no\n".repeat(100_000));
    let error_code = ErrorCode::SASL_AUTHENTICATION_FAILED;
    let chatty = SaslAuthenticateResponse { error_code, error_message, ..Default::default() };
    let cause = exchange.handle_token(&chatty).expect_err("refused");
    let said = "no".repeat(SASL_REASON_CHARS_MAX / 2);
    assert_eq!(cause.text, format!("PLAIN: {said} (SASL_AUTHENTICATION_FAILED)"));
}

#[test]
fn bearer_tokens() {
    let hour = Duration::from_secs(3_600);
    let token = Token::new("a.b-c_d~e+f/g=", hour).extension("traceId", "12 3");
    let first = bearer::client_first(&token).expect("sendable");
    assert_eq!(first, "n,,\u{1}auth=Bearer a.b-c_d~e+f/g=\u{1}traceId=12 3\u{1}\u{1}");
    let wrong = [
        Token::new("", hour),
        Token::new("se\u{1}cret", hour),
        Token::new("se cret", hour),
        Token::new("secret", hour).extension("auth", "x"),
        Token::new("secret", hour).extension("a1", "x"),
        Token::new("secret", hour).extension("", "x"),
        Token::new("secret", hour).extension("a", ""),
        Token::new("secret", hour).extension("a", "\u{1}"),
    ];
    for token in wrong {
        let error = bearer::client_first(&token).expect_err("not sendable");
        assert!(!error.contains("secret"), "{error}");
    }
}
