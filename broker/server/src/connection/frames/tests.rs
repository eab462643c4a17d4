//! Frames arrive in every possible cutting, and some of them are impossible.

use bytes::BufMut;

use super::*;

const LIMIT: usize = 1024 * 1024;

fn feed(frames: &mut Frames, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut whole = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let room = frames.room();
        let size = rest.len().min(room.capacity() - room.len());
        assert!(size > 0, "there must be room for at least one byte");
        room.put_slice(&rest[..size]);
        rest = &rest[size..];
        while let Some(frame) = frames.next().unwrap() {
            whole.push(frame.to_vec());
        }
    }
    whole
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn every_cutting_gives_the_same_frames() {
    let stream = [framed(b"one"), framed(b""), framed(&[7; 70_000]), framed(b"four")].concat();
    for piece in [1, 2, 3, 5, 4096, stream.len()] {
        let mut frames = Frames::new(LIMIT);
        let mut whole = Vec::new();
        for part in stream.chunks(piece) {
            whole.extend(feed(&mut frames, part));
        }
        let sizes: Vec<usize> = whole.iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 0, 70_000, 4], "pieces of {piece}");
        assert_eq!(frames.pending_bytes(), 0);
    }
}

#[test]
fn impossible_lengths_are_refused() {
    for announced in [-1, i32::MIN, i32::MAX, LIMIT as i32 + 1] {
        let mut frames = Frames::new(LIMIT);
        frames.room().put_i32(announced);
        assert_eq!(frames.next(), Err(ImpossibleFrame { announced, limit: LIMIT }));
    }
}

#[test]
fn memory_follows_what_has_arrived() {
    let mut frames = Frames::new(100 * LIMIT);
    frames.room().put_i32(100 * LIMIT as i32);
    assert_eq!(frames.next(), Ok(None));
    assert!(frames.room().capacity() < 64 * 1024);
    frames.room().put_slice(&[0; 1024]);
    assert!(frames.room().capacity() < 64 * 1024);
}

#[test]
fn frames_of_one_size_come_with_one_read_each() {
    let frame = framed(&[7; 100_000]);
    let mut frames = Frames::new(LIMIT);
    feed(&mut frames, &frame);
    for _ in 0..3 {
        frames.release();
        let room = frames.room();
        assert!(frame.len() <= room.capacity() - room.len());
        room.put_slice(&frame);
        assert_eq!(frames.next().unwrap().map(|frame| frame.len()), Some(100_000));
    }
    // A client that has sent a large frame once does not make room for what it only announces.
    feed(&mut frames, &framed(b"small"));
    frames.release();
    frames.room().put_i32(LIMIT as i32);
    assert_eq!(frames.next(), Ok(None));
    assert!(frames.room().capacity() < 64 * 1024);
}
