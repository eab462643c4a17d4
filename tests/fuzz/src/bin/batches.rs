//! Record batches as they come from a client: heads, records, compressed contents, validation.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mainstem_fuzz::{choose, seal_batches};
use mainstem_protocol::record::{batches, validate_deep};

const CONTENTS_BYTES_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let Some(flags) = choose(&mut data) else { return };
    let mut bytes = data.to_vec();
    if flags & 1 == 0 {
        seal_batches(&mut bytes);
    }
    let bytes = Bytes::from(bytes);
    for batch in batches(&bytes) {
        let Ok(batch) = batch else { return };
        let view = batch.view();
        let _ = (view.is_checksum_ok(), view.last_sequence(), view.next_offset());
        let valid = validate_deep(&view, CONTENTS_BYTES_MAX);
        let Ok(records) = batch.records(CONTENTS_BYTES_MAX) else { continue };
        let mut count = 0;
        let mut whole = true;
        for record in records {
            match record {
                Ok(record) => {
                    let _ = (view.offset_of(&record), view.timestamp_of_ms(&record));
                    count += 1;
                }
                Err(_) => whole = false,
            }
        }
        if valid.is_ok() {
            assert!(whole, "a valid batch has records that cannot be read");
            assert_eq!(count, view.record_count(), "a valid batch counts its records");
        }
    }
});
