//! The four compressions: there and back, at the cap, and against data that lie.

use super::dice::{Dice, damage};
use super::meter::allocated_by;
use crate::ErrorCode;
use crate::compression::{Compression, CompressionError, Level, compress, compress_at, decompress};
use crate::record::{BatchBuilder, BatchView, validate_deep};
use bytes::Bytes;

fn text(size: usize) -> Vec<u8> {
    b"to be or not to be, ".iter().copied().cycle().take(size).collect()
}

#[test]
fn data_come_back() {
    let noise: Vec<u8> = {
        let g = &mut Dice::new(1);
        (0..200_000).map(|_| g.next() as u8).collect()
    };
    for codec in Compression::ALL {
        for data in [text(0), text(1), text(32 * 1024), text(300_000), noise.clone()] {
            let packed = compress(codec, &data).unwrap();
            let back = decompress(codec, &packed, data.len());
            assert_eq!(back, Ok(Bytes::from(data)), "{codec:?}");
        }
    }
}

#[test]
fn a_bomb_is_an_invalid_record() {
    let zeros = vec![0; 16 << 20];
    for codec in Compression::ALL.into_iter().skip(1) {
        let mut builder = BatchBuilder::new().compression(codec);
        builder.push(0, None, Some(&zeros), &[]);
        let bomb = builder.finish().unwrap();
        let (view, _) = BatchView::parse(&bomb).unwrap();
        let error = validate_deep(&view, 1 << 20).unwrap_err();
        assert_eq!(error.error_code(), ErrorCode::INVALID_RECORD, "{codec:?}: {error}");
        assert!(error.to_string().contains("more than 1048576 bytes"), "{codec:?}: {error}");
    }
}

#[test]
fn the_cap_is_exact() {
    for codec in Compression::ALL {
        let packed = compress(codec, &text(1000)).unwrap();
        assert_eq!(decompress(codec, &packed, 1000).map(|b| b.len()), Ok(1000));
        let error = decompress(codec, &packed, 999).unwrap_err();
        assert_eq!(error, CompressionError::TooLarge { codec: codec.name(), cap: 999 });
    }
}

#[test]
fn a_bare_snappy_block_is_read() {
    let packed = snap::raw::Encoder::new().compress_vec(&text(1000)).unwrap();
    assert_eq!(decompress(Compression::Snappy, &packed, 2000), Ok(text(1000).into()));
}

/// Clients write one form of LZ4's frames; others are legal.
#[test]
fn lz4_frames_are_read_in_any_form() {
    use lz4::liblz4::BlockChecksum;
    use lz4::{BlockMode, BlockSize, ContentChecksum, EncoderBuilder};
    let data = text(300_000);
    for mode in [BlockMode::Independent, BlockMode::Linked] {
        for size in [BlockSize::Max64KB, BlockSize::Max1MB] {
            for has_checksums in [false, true] {
                let mut builder = EncoderBuilder::new();
                builder.block_mode(mode.clone()).block_size(size.clone());
                builder.checksum(if has_checksums {
                    ContentChecksum::ChecksumEnabled
                } else {
                    ContentChecksum::NoChecksum
                });
                builder.block_checksum(if has_checksums {
                    BlockChecksum::BlockChecksumEnabled
                } else {
                    BlockChecksum::NoBlockChecksum
                });
                let mut encoder = builder.build(Vec::new()).unwrap();
                std::io::Write::write_all(&mut encoder, &data).unwrap();
                let (packed, finished) = encoder.finish();
                finished.unwrap();
                let back = decompress(Compression::Lz4, &packed, data.len());
                assert_eq!(back, Ok(Bytes::from(data.clone())));
                for cut in [0, 3, 7, 9, 100, packed.len() - 1] {
                    let back = decompress(Compression::Lz4, &packed[..cut], data.len());
                    assert!(back.is_err(), "{mode:?} {size:?} {has_checksums} cut at {cut}");
                }
            }
        }
    }
}

#[test]
fn members_of_gzip_follow_one_another() {
    let one = compress(Compression::Gzip, &text(10)).unwrap();
    let two = [one.clone(), one].concat();
    let expected = [text(10), text(10)].concat();
    assert_eq!(decompress(Compression::Gzip, &two, 100), Ok(expected.into()));
}

/// A snappy block that announces four gigabytes gets no memory for them.
#[test]
fn a_snappy_block_cannot_ask_for_memory() {
    let block = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let error = decompress(Compression::Snappy, &block, 1 << 20).unwrap_err();
    assert_eq!(error, CompressionError::TooLarge { codec: "snappy", cap: 1 << 20 });
}

#[test]
fn damaged_data_never_panic() {
    for codec in Compression::ALL {
        let packed = compress(codec, &text(2000)).unwrap();
        for seed in 0..1000 {
            let damaged = damage(&mut Dice::new(seed), &packed);
            if let Ok(data) = decompress(codec, &damaged, 4096) {
                assert!(data.len() <= 4096);
            }
        }
    }
}

/// Looking at every record of a batch takes no more than a codec's window, whatever is in it.
#[test]
fn validation_keeps_nothing() {
    let value = text(256 << 10);
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new().compression(codec);
        (0..64).for_each(|_| builder.push(0, None, Some(&value), &[]));
        let batch = builder.finish().unwrap();
        let (view, _) = BatchView::parse(&batch).unwrap();
        let (bytes, contents) = allocated_by(|| validate_deep(&view, 64 << 20).unwrap());
        assert!(16 << 20 < contents.size_bytes);
        assert!(bytes < 512 << 10, "{codec:?} took {bytes} bytes");
    }
}

#[test]
fn levels_are_taken_to_the_nearest_that_a_codec_knows() {
    let data = text(50_000);
    for codec in Compression::ALL {
        for level in [i32::MIN, -131_072, -1, 0, 1, 9, 22, i32::MAX] {
            let packed = compress_at(codec, Level::of(level), &data).unwrap();
            assert_eq!(decompress(codec, &packed, data.len()).unwrap(), data, "{codec:?} {level}");
        }
    }
}
