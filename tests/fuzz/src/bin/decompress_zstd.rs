//! The decompressor of zstd: its output never passes the cap, whatever the input promises.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstem_fuzz::decompress_capped;
use mainstem_protocol::compression::Compression;

fuzz_target!(|data: &[u8]| decompress_capped(Compression::Zstd, data));
