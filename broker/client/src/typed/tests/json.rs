//! JSON there and back.

use crate::typed::json::{JsonError, decode, encode};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    note: Option<String>,
}

#[test]
fn values_come_back() {
    let order = Order { id: 7, note: Some("fragile".into()) };
    let bytes = encode(&order).unwrap();
    assert_eq!(bytes[..], *br#"{"id":7,"note":"fragile"}"#);
    assert_eq!(decode(&bytes), Ok(order));
}

#[test]
fn bytes_that_do_not_fit_are_malformed() {
    for bytes in ["", "{", r#"{"id":"7"}"#, r#"{"id":7"#, "{}"] {
        let result = decode::<Order>(bytes.as_bytes());
        assert!(matches!(result, Err(JsonError::Malformed(_))), "{bytes}: {result:?}");
    }
    let deep = "[".repeat(100_000);
    assert!(decode::<serde_json::Value>(deep.as_bytes()).is_err());
}
