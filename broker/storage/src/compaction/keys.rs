//! Which offset is the last of each key, in a bounded piece of memory.
//!
//! A key is known by 128 bits of hash, as in Kafka (there MD5): two keys with the same hash would be
//! taken for one, which among a billion keys happens with a probability below 10^-20. The hash is
//! salted with a number from outside, so that nobody can prepare two keys that meet.
//!
//! The table is open addressed and doubles up to its last size. The limit counts the moment of that
//! growth, when the old and the new table stand side by side.

use mainstem_protocol::ids::Offset;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;

/// Two halves of a hash, and the offset plus one; all zero for a free slot.
type Slot = [u64; 3];

const SLOT_BYTES: usize = size_of::<Slot>();
const SLOTS_MIN: usize = 64;

/// See the module's words.
#[derive(Debug)]
pub(super) struct KeyMap {
    slots: Vec<Slot>,
    count: usize,
    slots_max: usize,
    /// How many times the table may still double.
    doublings: u32,
    salt: u64,
    /// Everything up to here was put in.
    covered: Offset,
}

impl KeyMap {
    /// An empty map that never takes more than `bytes_max`, but for a smallest size.
    pub(super) fn new(bytes_max: usize, salt: u64) -> Self {
        // While it grows to its last size there are 1.5 times that size.
        let slots_max = (bytes_max / SLOT_BYTES * 2 / 3).max(SLOTS_MIN);
        let doublings = (slots_max / SLOTS_MIN).ilog2();
        let slots = vec![[0; 3]; slots_max >> doublings];
        Self { slots, count: 0, slots_max, doublings, salt, covered: Offset::NONE }
    }

    /// The last offset that was looked at: what lies after it is not known here.
    pub(super) fn covered(&self) -> Offset {
        self.covered
    }

    /// Notes that everything up to `offset` has been put in.
    pub(super) fn cover(&mut self, offset: Offset) {
        self.covered = self.covered.max(offset);
    }

    /// Remembers that `key` stands at `offset`, which grows from call to call. False when there is no
    /// room for another key: nothing was changed then.
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let mut at = self.find(hash);
        if self.slots[at][2] == 0 {
            if self.slots.len() / 4 * 3 <= self.count {
                if self.doublings == 0 {
                    return false;
                }
                self.grow();
                at = self.find(hash);
            }
            self.count += 1;
        }
        self.slots[at] = [hash[0], hash[1], offset.0.unsigned_abs() + 1];
        self.cover(offset);
        true
    }

    /// The last offset of a key that was put in.
    pub(super) fn get(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots[self.find(self.hash(key))];
        (slot[2] != 0).then(|| Offset((slot[2] - 1) as i64))
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [0, 1].map(|half| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(self.salt.wrapping_add(half));
            hasher.write(key);
            hasher.finish()
        })
    }

    /// The slot of this hash, or the free one where it belongs. There always is a free one.
    fn find(&self, hash: [u64; 2]) -> usize {
        // The hash as a fraction of its range, of the number of slots.
        let scaled = u128::from(hash[0]) * self.slots.len() as u128;
        let mut at = (scaled >> u64::BITS) as usize;
        while self.slots[at][2] != 0 && self.slots[at][..2] != hash {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        at
    }

    fn grow(&mut self) {
        self.doublings -= 1;
        let larger = vec![[0; 3]; self.slots_max >> self.doublings];
        for slot in std::mem::replace(&mut self.slots, larger) {
            if slot[2] != 0 {
                let at = self.find([slot[0], slot[1]]);
                self.slots[at] = slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_every_key_is_known() {
        let mut map = KeyMap::new(1 << 20, 7);
        for offset in 0..10_000_i64 {
            assert!(map.put(&(offset % 3_000).to_be_bytes(), Offset(offset)));
        }
        for key in 0..3_000_i64 {
            let last = if key < 1_000 { 9_000 + key } else { 6_000 + key };
            assert_eq!(map.get(&key.to_be_bytes()), Some(Offset(last)));
        }
        assert_eq!(map.get(b"another"), None);
        assert_eq!(map.covered(), Offset(9_999));
    }

    #[test]
    fn a_full_map_takes_known_keys_only_and_stays_within_its_memory() {
        let bytes_max = 64 << 10;
        let mut map = KeyMap::new(bytes_max, 0);
        let taken = (0..i64::MAX).take_while(|key| map.put(&key.to_be_bytes(), Offset(*key)));
        let taken = taken.count() as i64;
        assert!(1_300 < taken && map.slots.len() * SLOT_BYTES * 3 / 2 <= bytes_max, "{taken}");
        assert_eq!(map.covered(), Offset(taken - 1), "the one without room is not covered");
        assert!(map.put(&0_i64.to_be_bytes(), Offset(taken + 5)));
        assert_eq!(map.get(&0_i64.to_be_bytes()), Some(Offset(taken + 5)));
        assert_eq!(map.get(&taken.to_be_bytes()), None);
    }
}
