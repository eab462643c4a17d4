//! The values that are sent: lines of made-up words, which LZ4 packs to about half their size, as it
//! does with much of what goes through a broker. Constant bytes would make compression free, random
//! ones would make it useless.
//!
//! The text is the same in each run and in each program.

use bytes::Bytes;

const TEXT_BYTES: usize = 1024 * 1024;
const WORDS: usize = 1000;
const LETTERS: &[u8] = b"etaoinshrdlucmfwypvbgkjqxz";
/// Where a value begins moves on by this much; it shares no factor with the text's length.
const STRIDE_BYTES: usize = 7919;

/// See the module's text.
pub struct Values {
    text: Bytes,
    value_bytes: usize,
}

impl Values {
    pub fn new(value_bytes: usize) -> Self {
        assert!(value_bytes < TEXT_BYTES, "a value is part of the text");
        let mut random = Random(0x2545_F491_4F6C_DD1D);
        let words: Vec<Vec<u8>> = (0..WORDS).map(|_| word(&mut random)).collect();
        let mut text = Vec::with_capacity(TEXT_BYTES + 16);
        while text.len() < TEXT_BYTES {
            // The smaller of two choices: some words come more often than others.
            let choice = random.below(WORDS).min(random.below(WORDS));
            text.extend_from_slice(&words[choice]);
            text.push(b' ');
        }
        Self { text: text.into(), value_bytes }
    }

    /// The value of the record with this number; shares the text's memory.
    pub fn get(&self, number: u64) -> Bytes {
        let places = (self.text.len() - self.value_bytes) as u64;
        let begin = (number.wrapping_mul(STRIDE_BYTES as u64) % places) as usize;
        self.text.slice(begin..begin + self.value_bytes)
    }
}

fn word(random: &mut Random) -> Vec<u8> {
    let letters = 3 + random.below(8);
    let letter =
        |random: &mut Random| LETTERS[random.below(LETTERS.len()).min(random.below(LETTERS.len()))];
    (0..letters).map(|_| letter(random)).collect()
}

/// Xorshift; the numbers only have to look mixed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}
