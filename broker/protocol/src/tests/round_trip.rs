//! Every message in every version: decoding what was encoded yields the same value.

use super::dice::{Arbitrary, Dice};
use crate::codec::{Data, Message, Reader, Request, Writer};
use crate::messages::records::*;
use crate::messages::*;

const ROUNDS: u64 = 60;

/// Encodes random values in `version`, decodes them, and compares.
fn check<M: Message + Arbitrary>(version: i16) {
    for seed in 0..ROUNDS {
        let value = M::arbitrary(&mut Dice::new(seed), version);
        let mut w = Writer::new();
        let name = std::any::type_name::<M>();
        value.encode(&mut w, version).unwrap_or_else(|e| panic!("{name} v{version} {seed}: {e}"));
        let bytes = w.into_bytes().unwrap();
        assert!(bytes.len() >= M::wire_size_min(version), "{name} v{version} seed {seed}");
        let mut r = Reader::new(bytes);
        let back = M::decode(&mut r, version);
        let back = back.unwrap_or_else(|e| panic!("{name} v{version} seed {seed}: {e}"));
        assert_eq!(back, value, "{name} v{version} seed {seed}");
        r.finish().unwrap();
    }
}

#[test]
fn every_request_and_response_round_trips() {
    macro_rules! visit {
        ($request:ident, $response:ident) => {
            for version in $request::MIN_VERSION..=$request::MAX_VERSION {
                check::<$request>(version);
                check::<$response>(version);
            }
        };
    }
    for_each_api!(visit);
}

#[test]
fn every_data_record_round_trips() {
    macro_rules! visit {
        ($data:ident) => {
            for version in $data::MIN_VERSION..=$data::MAX_VERSION {
                check::<$data>(version);
            }
        };
    }
    for_each_data!(visit);
}

/// The defaults are what a version without the fields decodes to, so they must be encodable.
#[test]
fn defaults_encode_in_every_version() {
    macro_rules! visit {
        ($request:ident, $response:ident) => {
            for version in $request::MIN_VERSION..=$request::MAX_VERSION {
                $request::default().encode(&mut Writer::new(), version).unwrap();
                $response::default().encode(&mut Writer::new(), version).unwrap();
            }
        };
    }
    for_each_api!(visit);
}
