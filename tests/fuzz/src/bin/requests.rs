//! Every request at every version: what decodes, encodes again to what decodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstem_fuzz::{choose, round_trip};
use mainstem_protocol::Request;
use mainstem_protocol::messages::*;

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let (Some(api), Some(version)) = (choose(&mut data), choose(&mut data)) else { return };
    let mut index = 0_u8;
    macro_rules! visit {
        ($request:ident, $response:ident) => {
            if index == api {
                let versions = $request::MAX_VERSION - $request::MIN_VERSION + 1;
                let version = $request::MIN_VERSION + i16::from(version) % versions;
                round_trip::<$request>(data, version);
            }
            index = index.wrapping_add(1);
        };
    }
    mainstem_protocol::for_each_api!(visit);
    let _ = index;
});
