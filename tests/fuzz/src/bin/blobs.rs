//! What consumers tell one another through the broker: subscriptions and assignments.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mainstem_protocol::consumer_protocol::{
    decode_assignment, decode_subscription, encode_assignment, encode_subscription,
};

/// The newest version of both.
const VERSION: i16 = 3;

fuzz_target!(|data: &[u8]| {
    let blob = Bytes::copy_from_slice(data);
    if let Ok(subscription) = decode_subscription(&blob) {
        let bytes = encode_subscription(&subscription, VERSION).expect("the newest has all fields");
        assert_eq!(decode_subscription(&bytes).expect("what was encoded"), subscription);
    }
    if let Ok(assignment) = decode_assignment(&blob) {
        let bytes = encode_assignment(&assignment, VERSION).expect("the newest has all fields");
        assert_eq!(decode_assignment(&bytes).expect("what was encoded"), assignment);
    }
});
