//! Records of the metadata log and of the schema registry's topic, as a start reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstem_fuzz::{choose, piece};
use mainstem_metadata::{Image, MetadataRecord};
use mainstem_registry::Registry;

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let mut image = Image::new();
    let mut registry = Registry::new();
    while let (Some(flags), Some(key)) = (choose(&mut data), piece(&mut data)) {
        if flags & 1 == 0 {
            let Ok(record) = MetadataRecord::decode(key) else { continue };
            let bytes = record.encode().expect("what was decoded");
            assert_eq!(MetadataRecord::decode(bytes).expect("what was encoded"), record);
            let _ = image.apply(&record);
        } else {
            let value = if flags & 2 == 0 { piece(&mut data) } else { None };
            let _ = registry.apply(&key, value.as_deref());
        }
    }
    let _ = image.partition_count();
});
