//! Security by the names that Kafka's own clients have for it.
//!
//! Everything that does not begin with `security.`, `sasl.` or `ssl.` is passed over: the map may
//! hold a client's whole configuration. What begins so and would change who is trusted, or how, and
//! is not supported is refused: a client that is less strict than its configuration says would be
//! worse than one that does not start. All problems are told at once, and no value is shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::jaas::Jaas;
use super::token::json_string;
use super::{Sasl, Security, Tls, TokenProvider, UnsecuredTokens};
use crate::core::sasl::Hash;
use crate::error::{ClientError, Result};

/// Names that are accepted and change nothing here: they are about Kerberos, about providers of
/// Java's cryptography, or about when Java refreshes a login.
const WITHOUT_EFFECT: &[&str] = &[
    "sasl.kerberos.",
    "sasl.login.refresh.",
    "sasl.login.connect.timeout.ms",
    "sasl.login.read.timeout.ms",
    "sasl.login.retry.backoff.",
    "ssl.protocol",
    "ssl.secure.random.implementation",
    "ssl.keymanager.algorithm",
    "ssl.trustmanager.algorithm",
];

const CLAIM: &str = "unsecuredLoginStringClaim_";
const NUMBER_CLAIM: &str = "unsecuredLoginNumberClaim_";
const EXTENSION: &str = "unsecuredLoginExtension_";
const LIFETIME: &str = "unsecuredLoginLifetimeSeconds";

impl Security {
    /// Reads `security.protocol`, `sasl.*` and `ssl.*` as Kafka's own clients name them.
    ///
    /// Differences: stores are PEM only, and so `ssl.truststore.type` and `ssl.keystore.type` must
    /// say; `sasl.mechanism` has no default, since Kerberos is not supported; `sasl.jaas.config`
    /// takes the login modules of PLAIN, SCRAM and OAUTHBEARER, the last with its unsecured tokens.
    pub fn from_properties(properties: &BTreeMap<String, String>) -> Result<Self> {
        Self::read(properties, None)
    }

    /// The same; tokens of OAUTHBEARER come from this provider.
    pub fn from_properties_with_tokens(
        properties: &BTreeMap<String, String>,
        tokens: Arc<dyn TokenProvider>,
    ) -> Result<Self> {
        Self::read(properties, Some(tokens))
    }

    fn read(
        properties: &BTreeMap<String, String>,
        tokens: Option<Arc<dyn TokenProvider>>,
    ) -> Result<Self> {
        let mut reader = Reader { left: of_security(properties), problems: Vec::new() };
        let protocol = reader.take("security.protocol").unwrap_or("PLAINTEXT").to_uppercase();
        let (encrypted, authenticated) = match protocol.as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            _ => {
                let known = "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL";
                reader.problem(format!("security.protocol: not one of {known}"));
                (true, true)
            }
        };
        // What the protocol does not use is read all the same: it has to make sense.
        let tls = reader.tls();
        let sasl = if authenticated { reader.sasl(tokens) } else { None };
        if !authenticated {
            reader.take("sasl.mechanism");
            reader.take("sasl.jaas.config");
        }
        reader.refuse_the_rest();
        match reader.problems.as_slice() {
            [] => Ok(Self { tls: encrypted.then_some(tls), sasl }),
            problems => Err(ClientError::Config(problems.join("; "))),
        }
    }
}

fn of_security(properties: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let prefixes = ["security.", "sasl.", "ssl."];
    properties
        .iter()
        .filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// Takes what it understands; what is left was not understood.
struct Reader<'a> {
    left: BTreeMap<&'a str, &'a str>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, name: &str) -> Option<&'a str> {
        self.left.remove(name)
    }

    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn refuse_the_rest(&mut self) {
        for (name, value) in std::mem::take(&mut self.left) {
            let effect = !WITHOUT_EFFECT.iter().any(|known| name.starts_with(known));
            if effect && !value.is_empty() {
                self.problem(format!("{name}: not supported"));
            }
        }
    }

    fn tls(&mut self) -> Tls {
        let mut tls = Tls::new();
        self.versions(&mut tls);
        match self.take("ssl.endpoint.identification.algorithm").map(str::trim) {
            None => {}
            Some("") => tls = tls.dangerously_skip_server_name_verification(),
            Some(algorithm) if algorithm.eq_ignore_ascii_case("https") => {}
            Some(_) => self.problem("ssl.endpoint.identification.algorithm: https or empty"),
        }
        let file = self.take("ssl.truststore.location");
        let text = self.take("ssl.truststore.certificates");
        self.store("ssl.truststore", file.is_some() || text.is_some());
        tls = match (file, text) {
            (Some(file), None) => tls.ca_file(file),
            (None, Some(text)) => tls.ca_pem(text),
            (None, None) => tls,
            (Some(_), Some(_)) => {
                self.problem("ssl.truststore: location or certificates, not both");
                tls
            }
        };
        self.identity(tls)
    }

    fn versions(&mut self, tls: &mut Tls) {
        let Some(names) = self.take("ssl.enabled.protocols") else { return };
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        (tls.tls12, tls.tls13) = (names.contains(&"TLSv1.2"), names.contains(&"TLSv1.3"));
        if !tls.tls12 && !tls.tls13 {
            self.problem("ssl.enabled.protocols: neither TLSv1.2 nor TLSv1.3");
        }
    }

    /// Type and password of a trust or key store.
    fn store(&mut self, store: &str, used: bool) {
        let kind = self.take(&format!("{store}.type"));
        if used && !kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("PEM")) {
            self.problem(format!("{store}.type: must be PEM, other stores are not supported"));
        }
        let password = self.take(&format!("{store}.password"));
        if used && password.is_some_and(|password| !password.is_empty()) {
            self.problem(format!("{store}.password: PEM stores have none"));
        }
    }

    fn identity(&mut self, tls: Tls) -> Tls {
        let file = self.take("ssl.keystore.location");
        let chain = self.take("ssl.keystore.certificate.chain");
        let key = self.take("ssl.keystore.key");
        self.store("ssl.keystore", file.is_some() || chain.is_some() || key.is_some());
        if self.take("ssl.key.password").is_some_and(|password| !password.is_empty()) {
            self.problem("ssl.key.password: keys under a password are not supported");
        }
        match (file, chain, key) {
            (None, None, None) => tls,
            (Some(file), None, None) => tls.identity_files(file, file),
            (None, Some(chain), Some(key)) => tls.identity_pem(chain, key),
            _ => {
                let both = "ssl.keystore.certificate.chain and ssl.keystore.key";
                self.problem(format!("ssl.keystore: either location, or {both}"));
                tls
            }
        }
    }

    fn sasl(&mut self, tokens: Option<Arc<dyn TokenProvider>>) -> Option<Sasl> {
        let mechanism = self.take("sasl.mechanism");
        let jaas = self.take("sasl.jaas.config");
        let jaas = match jaas.map(Jaas::parse).transpose() {
            Ok(jaas) => jaas,
            Err(problem) => {
                self.problem(format!("sasl.jaas.config: {problem}"));
                return None;
            }
        };
        let Some(mechanism) = mechanism else {
            self.problem("sasl.mechanism: missing; Kafka's default, GSSAPI, is not supported");
            return None;
        };
        let sasl = match mechanism {
            "PLAIN" => password_login(jaas, "PlainLoginModule", Sasl::plain),
            "SCRAM-SHA-256" => scram(jaas, Hash::Sha256),
            "SCRAM-SHA-512" => scram(jaas, Hash::Sha512),
            "OAUTHBEARER" => oauth_bearer(jaas, tokens),
            _ => {
                let known = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";
                self.problem(format!("sasl.mechanism: not one of {known}"));
                return None;
            }
        };
        match sasl {
            Ok(sasl) => Some(sasl),
            Err(problem) => {
                self.problem(format!("sasl.jaas.config: {problem}"));
                None
            }
        }
    }
}

fn module(jaas: Option<Jaas>, expected: &str) -> Result<BTreeMap<String, String>, String> {
    let jaas = jaas.ok_or_else(|| format!("missing; the mechanism needs a {expected}"))?;
    if jaas.module == expected {
        Ok(jaas.options)
    } else {
        Err(format!("the mechanism needs a {expected}"))
    }
}

fn password_login(
    jaas: Option<Jaas>,
    expected: &str,
    make: impl FnOnce(String, String) -> Result<Sasl>,
) -> Result<Sasl, String> {
    let mut options = module(jaas, expected)?;
    let mut take = |name: &str| options.remove(name).ok_or_else(|| format!("no {name}"));
    let (username, password) = (take("username")?, take("password")?);
    nothing_left(&options)?;
    make(username, password).map_err(|error| error.to_string())
}

fn scram(mut jaas: Option<Jaas>, hash: Hash) -> Result<Sasl, String> {
    let option = jaas.as_mut().and_then(|jaas| jaas.options.remove("tokenauth"));
    let delegation_token = option.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    password_login(jaas, "ScramLoginModule", |username, password| {
        let sasl = Sasl::scram(hash, username, password)?;
        if delegation_token { sasl.as_delegation_token() } else { Ok(sasl) }
    })
}

fn oauth_bearer(
    jaas: Option<Jaas>,
    tokens: Option<Arc<dyn TokenProvider>>,
) -> Result<Sasl, String> {
    if let Some(tokens) = tokens {
        // The provider knows where tokens come from; the module has nothing to add.
        return Ok(Sasl::oauth_bearer(tokens));
    }
    let mut options = module(jaas, "OAuthBearerLoginModule")?;
    let subject = options.remove(&format!("{CLAIM}sub"));
    let subject = subject.ok_or("no unsecuredLoginStringClaim_sub, and no token provider")?;
    let mut tokens = UnsecuredTokens::new(&subject);
    for (name, value) in std::mem::take(&mut options) {
        if let Some(claim) = name.strip_prefix(CLAIM) {
            tokens.claims.push((claim.to_owned(), json_string(&value)));
        } else if let Some(claim) = name.strip_prefix(NUMBER_CLAIM) {
            let number: f64 = value.parse().map_err(|_| format!("{name}: not a number"))?;
            if !number.is_finite() {
                return Err(format!("{name}: not a number"));
            }
            tokens.claims.push((claim.to_owned(), number.to_string()));
        } else if let Some(extension) = name.strip_prefix(EXTENSION) {
            tokens.extensions.push((extension.to_owned(), value));
        } else if name == LIFETIME {
            let seconds = value.parse().map_err(|_| format!("{name}: not a number of seconds"))?;
            tokens = tokens.lifetime(Duration::from_secs(seconds));
        } else {
            options.insert(name, value);
        }
    }
    nothing_left(&options)?;
    Ok(Sasl::oauth_bearer(Arc::new(tokens)))
}

fn nothing_left(options: &BTreeMap<String, String>) -> Result<(), String> {
    match options.keys().next() {
        None => Ok(()),
        Some(name) => Err(format!("the option {name} is not supported")),
    }
}
