//! Our messages against those of the `kafka-protocol` crate, which were made from the same facts
//! by other hands.
//!
//! What we encode they must decode and encode to the same bytes; what they encode we must decode
//! to the value we began with. No deviation is known: an exception would have to be written down
//! here, with its reason. Versions that the crate does not know yet are left out.

use super::dice::{Arbitrary, Dice};
use crate::codec::{Message, Reader, Request, Writer};
use bytes::BytesMut;
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message as TheirMessage};

const ROUNDS: u64 = 40;

fn check<Ours, Theirs>(name: &str, version: i16) -> bool
where
    Ours: Message + Arbitrary,
    Theirs: TheirMessage + Encodable + Decodable + std::fmt::Debug,
{
    let known = Theirs::VERSIONS.min <= version && version <= Theirs::VERSIONS.max;
    if !known {
        return false;
    }
    for seed in 0..ROUNDS {
        let at = format!("{name} v{version} seed {seed}");
        let value = Ours::arbitrary(&mut Dice::new(seed), version);
        let mut w = Writer::new();
        value.encode(&mut w, version).unwrap();
        let ours = w.into_bytes().unwrap();

        let mut rest = ours.clone();
        let decoded = Theirs::decode(&mut rest, version);
        let decoded = decoded.unwrap_or_else(|e| panic!("{at}: {e}\n{value:?}"));
        assert!(rest.is_empty(), "{at}: {} bytes left\n{value:?}\n{decoded:?}", rest.len());
        let mut again = BytesMut::new();
        decoded.encode(&mut again, version).unwrap_or_else(|e| panic!("{at}: {e}"));
        assert_eq!(again.freeze(), ours, "{at}\n{value:?}\n{decoded:?}");

        let back = Ours::decode(&mut Reader::new(ours), version).unwrap();
        assert_eq!(back, value, "{at}");
    }
    true
}

#[test]
fn the_other_implementation_agrees() {
    let mut compared = 0;
    macro_rules! visit {
        ($request:ident, $response:ident) => {{
            type Asked = crate::messages::$request;
            type Answered = crate::messages::$response;
            for version in Asked::MIN_VERSION..=Asked::MAX_VERSION {
                let both = [
                    check::<Asked, theirs::$request>(stringify!($request), version),
                    check::<Answered, theirs::$response>(stringify!($response), version),
                ];
                compared += both.into_iter().filter(|known| *known).count();
            }
        }};
    }
    crate::messages::for_each_api!(visit);
    assert!(compared > 280, "only {compared} messages were compared");
}

#[test]
fn the_other_implementation_agrees_on_consumer_protocol() {
    for version in 0..=3 {
        type Subscription = crate::consumer_protocol::ConsumerProtocolSubscription;
        type Assignment = crate::consumer_protocol::ConsumerProtocolAssignment;
        assert!(check::<Subscription, theirs::ConsumerProtocolSubscription>("sub", version));
        assert!(check::<Assignment, theirs::ConsumerProtocolAssignment>("assign", version));
    }
}
