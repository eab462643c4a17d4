//! Tests of the shared machines: addresses, backoff, operations.

use std::time::Duration;

use mainstem_platform::{Instant, SeededRandom};

use super::backoff::Backoff;
use super::{Address, Operations};
use crate::error::ClientError;

#[test]
fn addresses() {
    let parse = |text: &str| {
        Address::parse_list(text)
            .map(|list| list.iter().map(|a| format!("{}|{}", a.host, a.port)).collect::<Vec<_>>())
    };
    assert_eq!(parse("a:1, b:2").expect("two"), ["a|1", "b|2"]);
    assert_eq!(parse("[::1]:9092").expect("IPv6"), ["::1|9092"]);
    for wrong in ["", "a", "a:", ":1", "a:70000", "a:1,"] {
        assert!(matches!(parse(wrong), Err(ClientError::Config(_))), "{wrong:?}");
    }
}

#[test]
fn backoff_doubles_up_to_its_limit() {
    let mut random = SeededRandom::new(1);
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
    let start = Instant::from_millis(1_000);
    for most in [100, 200, 350, 350] {
        backoff.failed(start, &mut random);
        let until = backoff.deadline(start).expect("waits");
        let waited = until.saturating_duration_since(start).as_millis();
        assert!(most * 8 / 10 <= waited && waited <= most, "{waited} of {most}");
        assert!(!backoff.ready(start) && backoff.ready(until));
    }
    backoff.succeeded();
    assert!(backoff.ready(start));
}

#[test]
fn operations_answer_once() {
    let mut operations: Operations<u8> = Operations::default();
    let (a, b) = (operations.start().expect("room"), operations.start().expect("room"));
    assert_eq!(operations.take(a), None);
    operations.finish(a, Ok(1));
    operations.finish(a, Ok(2));
    assert_eq!(operations.take(a), Some(Ok(1)));
    assert_eq!(operations.take(a), None);
    operations.cancel(b);
    operations.finish(b, Ok(3));
    assert_eq!(operations.take(b), None);
}
