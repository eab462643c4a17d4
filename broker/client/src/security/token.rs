//! OAUTHBEARER's tokens: what they are, and who brings them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstem_platform::Clock;
use mainstem_platform::os::OsClock;

use super::Secret;

/// Why there is no token. It is shown to users, so it must not hold a secret.
pub type TokenError = Box<dyn std::error::Error + Send + Sync>;

pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send + 'a>>;

/// Brings tokens, for example from an identity provider.
///
/// A client asks when a connection authenticates itself and the last token has spent four fifths
/// of its life; its connections share tokens, and there is one question at a time, of eight seconds
/// at most. After an error the last token is used while it lives, and without one the attempt to
/// connect fails and is made again later, as when a broker is down. A token that the broker refuses
/// fails the client.
pub trait TokenProvider: Send + Sync + 'static {
    fn token(&self) -> TokenFuture<'_>;
}

impl<F, Answer> TokenProvider for F
where
    F: Fn() -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Result<Token, TokenError>> + Send + 'static,
{
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(self())
    }
}

/// One token.
#[derive(Debug, Clone)]
pub struct Token {
    pub(crate) value: Secret,
    pub(crate) lifetime: Duration,
    pub(crate) extensions: Vec<(String, String)>,
}

impl Token {
    /// `value` is sent as it is, usually a JWT; `lifetime` counts from now.
    pub fn new(value: impl Into<String>, lifetime: Duration) -> Self {
        Self { value: Secret::new(value), lifetime, extensions: Vec::new() }
    }

    /// A SASL extension (KIP-342).
    #[must_use]
    pub fn extension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extensions.push((name.into(), value.into()));
        self
    }
}

/// Tokens that nobody signed, and that anybody can make: they say who one is without proving it.
/// For development, against brokers that accept them, as Kafka does unless told otherwise.
#[derive(Clone)]
pub struct UnsecuredTokens {
    pub(crate) lifetime: Duration,
    /// Names and values of claims, as JSON.
    pub(crate) claims: Vec<(String, String)>,
    pub(crate) extensions: Vec<(String, String)>,
}

impl fmt::Debug for UnsecuredTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnsecuredTokens")
    }
}

impl UnsecuredTokens {
    /// Tokens of an hour for this principal.
    pub fn new(subject: &str) -> Self {
        let claims = vec![("sub".to_owned(), json_string(subject))];
        Self { lifetime: Duration::from_secs(3_600), claims, extensions: Vec::new() }
    }

    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// A JWS without a signature (RFC 7515, appendix A.5), valid from `now_ms` on.
    pub(crate) fn issue(&self, now_ms: i64) -> Token {
        let lifetime_ms = i64::try_from(self.lifetime.as_millis()).unwrap_or(i64::MAX);
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1_000, ms % 1_000);
        let mut claims = self.claims.clone();
        claims.push(("iat".to_owned(), seconds(now_ms)));
        claims.push(("exp".to_owned(), seconds(now_ms.saturating_add(lifetime_ms))));
        let members: Vec<String> =
            claims.iter().map(|(name, value)| format!("{}:{value}", json_string(name))).collect();
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let (header, body) =
            (part(r#"{"alg":"none"}"#), part(&format!("{{{}}}", members.join(","))));
        let token = Token::new(format!("{header}.{body}."), self.lifetime);
        Token { extensions: self.extensions.clone(), ..token }
    }
}

impl TokenProvider for UnsecuredTokens {
    fn token(&self) -> TokenFuture<'_> {
        let token = self.issue(OsClock.now().wall_ms);
        Box::pin(std::future::ready(Ok(token)))
    }
}

/// A string as JSON writes it (RFC 8259).
pub(super) fn json_string(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if u32::from(c) < 0x20 => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}
