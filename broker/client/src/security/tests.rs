//! Settings by Kafka's names, and that nothing of them shows a secret.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::jaas::Jaas;
use super::tls::Pem;
use super::*;
use crate::core::sasl::Hash;
use crate::error::ClientError;
use crate::{AdminConfig, ConsumerConfig, ProducerConfig};

const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
const BEARER: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";

/// `name=value` a line.
fn properties(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.trim().split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn read(text: &str) -> Result<Security, String> {
    Security::from_properties(&properties(text)).map_err(|error| match error {
        ClientError::Config(text) => text,
        error => panic!("not a problem of configuration: {error}"),
    })
}

fn with_login(mechanism: &str, jaas: &str) -> String {
    format!("security.protocol=SASL_SSL\nsasl.mechanism={mechanism}\nsasl.jaas.config={jaas}")
}

#[test]
fn protocols() {
    let parts = |text: &str| {
        let security = read(text).expect("accepted");
        (security.tls.is_some(), security.sasl.map(|sasl| sasl.login.mechanism()))
    };
    assert_eq!(parts(""), (false, None));
    assert_eq!(parts("bootstrap.servers=a:1\nacks=all\nsecurity.protocol=ssl"), (true, None));
    let plain = with_login("PLAIN", &format!("{PLAIN} required username=\"u\" password=\"p\";"));
    assert_eq!(parts(&plain), (true, Some("PLAIN")));
    let plaintext = plain.replace("SASL_SSL", "SASL_PLAINTEXT");
    assert_eq!(parts(&plaintext), (false, Some("PLAIN")));
    for (mechanism, module) in [("SCRAM-SHA-256", SCRAM), ("SCRAM-SHA-512", SCRAM)] {
        let jaas = format!("{module} required username=u password=p;");
        assert_eq!(parts(&with_login(mechanism, &jaas)), (true, Some(mechanism)));
    }
    let jaas = format!("{BEARER} required unsecuredLoginStringClaim_sub=\"alice\";");
    assert_eq!(parts(&with_login("OAUTHBEARER", &jaas)), (true, Some("OAUTHBEARER")));
}

#[test]
fn login_modules() {
    let jaas =
        format!("{SCRAM}  required\n username='al\\'ice' password=\"a\\\"b;c=d\" tokenauth=true ;");
    let security = read(&with_login("SCRAM-SHA-256", &jaas.replace('\n', " "))).expect("accepted");
    match security.login() {
        Some(Login::Scram { hash, username, password, delegation_token }) => {
            assert_eq!((hash, username.as_str()), (Hash::Sha256, "al'ice"));
            assert_eq!((password.reveal(), delegation_token), ("a\"b;c=d", true));
        }
        login => panic!("another login: {login:?}"),
    }
    let wrong = [
        ("", "the class of a login module is missing"),
        ("a.Module", "a flag is missing"),
        ("a.Module perhaps x=y;", "the flag"),
        ("a.Module required x=y", "semicolon"),
        ("a.Module required x;", "name=value"),
        ("a.Module required x==y;", "name=value"),
        ("a.Module required =y;", "name=value"),
        ("a.Module required x=\"y;", "not closed"),
        ("a.Module required x=y; b.Module required;", "only one"),
    ];
    for (text, reason) in wrong {
        let problem = Jaas::parse(text).err().unwrap_or_else(|| panic!("{text}: accepted"));
        assert!(problem.contains(reason), "{text}: {problem}");
    }
}

#[test]
fn stores() {
    let tls =
        |text: &str| read(&format!("security.protocol=SSL\n{text}")).map(|s| s.tls.expect("TLS"));
    let trust = tls("ssl.truststore.type=PEM\nssl.truststore.location=/ca.pem").expect("accepted");
    assert!(matches!(trust.authorities, Some(Pem::File(path)) if path.ends_with("ca.pem")));
    let memory = tls("ssl.truststore.type=pem\nssl.truststore.certificates=x").expect("accepted");
    assert!(matches!(memory.authorities, Some(Pem::Memory(_))));
    let key = tls("ssl.keystore.type=PEM\nssl.keystore.location=/me.pem").expect("accepted");
    assert!(matches!(key.identity, Some((Pem::File(_), Pem::File(_)))));
    assert!(tls("").expect("accepted").verify_server_name);
    let https = tls("ssl.endpoint.identification.algorithm=HTTPS").expect("accepted");
    assert!(https.verify_server_name);
    let empty = tls("ssl.endpoint.identification.algorithm=").expect("accepted");
    assert!(!empty.verify_server_name);
    let new = tls("ssl.enabled.protocols=TLSv1.3").expect("accepted");
    assert!(new.tls13 && !new.tls12);
    assert!(
        tls("ssl.protocol=TLSv1.3\nssl.cipher.suites=\nsasl.login.refresh.buffer.seconds=9")
            .is_ok()
    );
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    let table = [
        ("security.protocol=TLS", "security.protocol: not one of"),
        (
            "security.protocol=SSL\nssl.truststore.location=/a.jks",
            "ssl.truststore.type: must be PEM",
        ),
        (
            "ssl.keystore.type=PKCS12\nssl.keystore.location=/a.p12",
            "ssl.keystore.type: must be PEM",
        ),
        (
            "ssl.truststore.type=PEM\nssl.truststore.location=/a\nssl.truststore.password=secret",
            "ssl.truststore.password: PEM stores have none",
        ),
        ("ssl.key.password=secret", "ssl.key.password: keys under a password"),
        (
            "ssl.keystore.type=PEM\nssl.keystore.certificate.chain=secret",
            "ssl.keystore: either location, or",
        ),
        ("ssl.cipher.suites=secret", "ssl.cipher.suites: not supported"),
        ("ssl.engine.factory.class=secret", "ssl.engine.factory.class: not supported"),
        ("ssl.enabled.protocols=TLSv1.1", "ssl.enabled.protocols: neither"),
        ("ssl.endpoint.identification.algorithm=secret", "https or empty"),
        ("sasl.login.callback.handler.class=secret", "sasl.login.callback.handler.class: not"),
        ("security.protocol=SASL_SSL", "sasl.mechanism: missing"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=GSSAPI", "sasl.mechanism: not one of"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN", "needs a PlainLoginModule"),
    ];
    for (text, reason) in table {
        let problem = read(text).expect_err(text);
        assert!(problem.contains(reason), "{text}: {problem}");
        assert!(!problem.contains("secret"), "{problem}");
    }
    let both = read("ssl.cipher.suites=x\nsecurity.protocol=TLS").expect_err("two problems");
    assert!(both.contains("ssl.cipher.suites") && both.contains("security.protocol"), "{both}");
}

#[test]
fn logins_that_are_refused() {
    let table = [
        ("PLAIN", format!("{SCRAM} required username=u password=secret;"), "PlainLoginModule"),
        ("PLAIN", format!("{PLAIN} required username=u;"), "no password"),
        ("PLAIN", format!("{PLAIN} required password=secret;"), "no username"),
        ("PLAIN", format!("{PLAIN} required username='' password=secret;"), "name is empty"),
        ("PLAIN", format!("{PLAIN} required username=u password=secret x=secret;"), "option x"),
        ("PLAIN", format!("{PLAIN} required username=u password=\"secret;"), "not closed"),
        ("SCRAM-SHA-256", format!("{PLAIN} required username=u password=secret;"), "ScramLogin"),
        ("OAUTHBEARER", format!("{BEARER} required;"), "no token provider"),
        (
            "OAUTHBEARER",
            format!("{BEARER} required unsecuredLoginStringClaim_sub=a clientSecret=secret;"),
            "clientSecret is not supported",
        ),
    ];
    for (mechanism, jaas, reason) in table {
        let problem = read(&with_login(mechanism, &jaas)).expect_err(&jaas);
        assert!(problem.contains(reason), "{jaas}: {problem}");
        assert!(!problem.contains("=secret") && !problem.contains("\"secret"), "{problem}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let canary = "canary-7f3a";
    let tokens = Token::new(canary, Duration::from_secs(1));
    let tls = Tls::new().ca_pem(canary).identity_pem(canary, canary);
    let provider = UnsecuredTokens::new(canary);
    let all = [
        Security::tls(tls.clone()),
        Security::sasl_over_tls(Sasl::plain("user", canary).expect("a login"), tls),
        Security::sasl_over_plaintext(Sasl::scram_sha_512("user", canary).expect("a login")),
        Security::sasl_over_plaintext(Sasl::oauth_bearer(Arc::new(provider))),
    ];
    for security in all {
        let producer = ProducerConfig::new("a:1").security(security.clone());
        let admin = AdminConfig::new("a:1").security(security.clone());
        let consumer = ConsumerConfig::new("a:1").security(security);
        let shown = format!("{producer:?} {admin:?} {:?} {tokens:?}", consumer.security);
        assert!(!shown.contains(canary), "{shown}");
    }
}

#[test]
fn unsecured_tokens_are_jws_without_a_signature() {
    let mut tokens = UnsecuredTokens::new("al\"ice\n").lifetime(Duration::from_millis(1_500));
    tokens.claims.push(("level".to_owned(), "7".to_owned()));
    let token = tokens.issue(1_700_000_000_250);
    let parts: Vec<&str> = token.value.reveal().split('.').collect();
    let decode = |part: &str| {
        String::from_utf8(URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("text")
    };
    assert_eq!(decode(parts[0]), r#"{"alg":"none"}"#);
    assert_eq!(
        decode(parts[1]),
        r#"{"sub":"al\"ice\u000a","level":7,"iat":1700000000.250,"exp":1700000001.750}"#
    );
    assert_eq!((parts[2], parts.len()), ("", 3));
}
