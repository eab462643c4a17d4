//! Random numbers from a seed.
//!
//! A run is reproduced by its seed, so machines take a `&mut dyn Random` or a seed and never reach
//! for the system's randomness. [`SeededRandom`] is SplitMix64 (Steele, Lea, Flood 2014): eight
//! bytes of state, good enough for choices and ids. It must never make secrets.

/// A stream of random numbers.
pub trait Random: Send {
    /// The next number, uniform over all of `u64`.
    fn next_u64(&mut self) -> u64;

    /// A number in `0..bound`; zero when `bound` is zero. The bias is below one in 2^32 for the
    /// small bounds it is meant for.
    fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// True once in `n` on average; never when `n` is zero.
    fn one_in(&mut self, n: u64) -> bool {
        n != 0 && self.below(n) == 0
    }
}

/// SplitMix64: the same seed gives the same numbers, on every machine and in every release.
#[derive(Debug, Clone)]
pub struct SeededRandom {
    state: u64,
}

impl SeededRandom {
    /// A stream that is fully determined by `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A stream of its own for a part of the world, so that parts do not disturb each other.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next_u64())
    }
}

impl Random for SeededRandom {
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
