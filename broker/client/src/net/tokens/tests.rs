//! When a provider is asked, and what is used when it has nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstem_platform::Instant;

use super::Tokens;
use crate::core::sasl::Prepared;
use crate::security::{Token, TokenError};

/// Tokens of a hundred seconds, numbered; the calls that `fails` names bring none.
fn numbered(fails: &'static [u64]) -> Tokens {
    let asked = AtomicU64::new(0);
    Tokens::new(Arc::new(move || {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        let token = Token::new(number.to_string(), Duration::from_secs(100));
        let away = || TokenError::from("the provider is away");
        std::future::ready(if fails.contains(&number) { Err(away()) } else { Ok(token) })
    }))
}

async fn get(tokens: &Tokens, second: u64) -> String {
    match tokens.get(Instant::from_millis(second * 1_000)).await {
        Prepared::Token(token) => token.value.reveal().to_owned(),
        Prepared::Failed(problem) => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_serves_until_it_is_stale() {
    let tokens = numbered(&[]);
    for (second, token) in [(0, "0"), (79, "0"), (80, "1"), (159, "1"), (160, "2"), (900, "3")] {
        assert_eq!(get(&tokens, second).await, token, "in second {second}");
    }
}

#[tokio::test]
async fn connections_that_are_made_together_ask_once() {
    let tokens = numbered(&[]);
    let both = tokio::join!(get(&tokens, 0), get(&tokens, 0));
    assert_eq!(both, ("0".to_owned(), "0".to_owned()));
}

#[tokio::test]
async fn a_stale_token_serves_while_the_provider_is_away() {
    let tokens = numbered(&[1, 2, 4]);
    let away = "the token provider: the provider is away";
    for (second, token) in [(0, "0"), (80, "0"), (95, away), (96, "3"), (500, away), (501, "5")] {
        assert_eq!(get(&tokens, second).await, token, "in second {second}");
    }
}

#[tokio::test]
async fn a_silent_provider_is_not_waited_for() {
    let mut tokens = Tokens::new(Arc::new(std::future::pending::<Result<Token, TokenError>>));
    tokens.patience = Duration::ZERO;
    let silent = "the token provider did not answer in time";
    let both = tokio::join!(get(&tokens, 0), get(&tokens, 0));
    assert_eq!(both, (silent.to_owned(), silent.to_owned()));
}
