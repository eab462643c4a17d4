//! OAUTHBEARER's tokens between a provider and the connections that share them.
//!
//! A token is used until four fifths of its life are spent; then the provider is asked, once for
//! all connections. While it has none, the old token is good for most of what is left of it: an
//! identity provider may be away for a while without anybody noticing.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use mainstem_platform::Instant;
use tokio::sync::Mutex;
use tokio::time::timeout_at;

use crate::core::sasl::Prepared;
use crate::limits::TOKEN_TIMEOUT;
use crate::security::{Token, TokenProvider};

pub(super) struct Tokens {
    provider: Arc<dyn TokenProvider>,
    patience: Duration,
    /// Locked while the provider is asked.
    last: Mutex<Option<Held>>,
}

struct Held {
    token: Token,
    fresh_until: Instant,
    /// A token that ends on its way to the broker would be refused, and that is final.
    usable_until: Instant,
}

impl Held {
    fn new(token: Token, now: Instant) -> Self {
        let fresh_until = now.plus(token.lifetime / 5 * 4);
        let usable_until = now.plus(token.lifetime / 20 * 19);
        Self { token, fresh_until, usable_until }
    }
}

impl Tokens {
    pub(super) fn new(provider: Arc<dyn TokenProvider>) -> Self {
        Self { provider, patience: TOKEN_TIMEOUT, last: Mutex::new(None) }
    }

    pub(super) async fn get(&self, now: Instant) -> Prepared {
        let silent = || "the token provider did not answer in time".to_owned();
        let deadline = tokio::time::Instant::now() + self.patience;
        let Ok(mut last) = timeout_at(deadline, self.last.lock()).await else {
            return Prepared::Failed(silent());
        };
        let held = |until: fn(&Held) -> Instant, last: &Option<Held>| {
            last.as_ref().filter(|held| now < until(held)).map(|held| held.token.clone())
        };
        if let Some(token) = held(|held| held.fresh_until, &last) {
            return Prepared::Token(token);
        }
        let problem = match timeout_at(deadline, self.provider.token()).await {
            Ok(Ok(token)) => {
                *last = Some(Held::new(token.clone(), now));
                return Prepared::Token(token);
            }
            Ok(Err(error)) => format!("the token provider: {error}"),
            Err(_) => silent(),
        };
        held(|held| held.usable_until, &last).map_or(Prepared::Failed(problem), Prepared::Token)
    }
}
