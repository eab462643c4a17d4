//! Every decompressor: the output never passes its cap, whatever the input promises.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstem_fuzz::choose;
use mainstem_protocol::compression::{Compression, compress, decompress};

const CAP: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let Some(id) = choose(&mut data) else { return };
    let Ok(codec) = Compression::from_id(id % 5) else { return };
    if let Ok(contents) = decompress(codec, data, CAP) {
        assert!(contents.len() <= CAP);
        let packed = compress(codec, &contents).expect("compress what was decompressed");
        assert_eq!(decompress(codec, &packed, CAP).expect("decompress it again"), contents);
    }
});
