//! Two Avro schemas of strangers: parsed, made canonical, compared.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstem_registry::Avro;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (reader, writer) = text.split_once('\0').unwrap_or((text, text));
    let Ok(reader) = Avro::parse(reader, &[], false) else { return };
    let canonical = Avro::parse(reader.canonical(), &[], false).expect("the canonical form parses");
    assert_eq!(canonical.canonical(), reader.canonical());
    if let Ok(writer) = Avro::parse(writer, &[], false) {
        let _ = reader.differences(&writer);
    }
    assert!(reader.differences(&reader).is_empty(), "every schema reads itself");
});
