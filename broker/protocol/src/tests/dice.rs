//! Random values from a seed.

use crate::TopicId;
use bytes::Bytes;

/// A small generator of numbers (SplitMix64): the same seed yields the same values everywhere.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True once in `sides` times.
    pub(super) fn chance(&mut self, sides: u64) -> bool {
        self.next().is_multiple_of(sides)
    }

    /// The length of an array: mostly short, sometimes empty.
    pub(super) fn length(&mut self) -> u64 {
        self.next() % 4
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(super) fn string(&mut self) -> String {
        const LETTERS: [char; 6] = ['a', 'Z', '0', '-', 'é', '水'];
        let length = if self.chance(8) { 130 } else { self.below(9) };
        (0..length).map(|_| LETTERS[self.below(6)]).collect()
    }

    pub(super) fn bytes(&mut self) -> Bytes {
        let length = if self.chance(16) { 5000 } else { self.below(20) };
        (0..length).map(|_| self.next() as u8).collect()
    }

    pub(super) fn uuid(&mut self) -> TopicId {
        let high = u128::from(self.next()) << 64;
        TopicId((high | u128::from(self.next())).to_be_bytes())
    }
}

/// Structs of which random values can be made that are legal in a version.
pub(super) trait Arbitrary {
    fn arbitrary(g: &mut Dice, version: i16) -> Self;
}

/// Damages bytes in one of the ways in which lengths come to lie.
pub(super) fn damage(g: &mut Dice, bytes: &[u8]) -> Bytes {
    let mut damaged = bytes.to_vec();
    for _ in 0..=g.below(3) {
        let at = g.below(damaged.len() + 1);
        match g.below(5) {
            0 => damaged.truncate(at),
            1 => damaged.insert(at, g.next() as u8),
            // Fixed lengths become huge, or negative.
            2 => damaged.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0x7f),
            3 => damaged.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
            _ => damaged.iter_mut().skip(at).take(1).for_each(|byte| *byte = g.next() as u8),
        }
    }
    Bytes::from(damaged)
}
