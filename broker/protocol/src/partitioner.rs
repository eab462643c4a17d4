//! The partition of a key, as every Kafka client computes it.
//!
//! Records with equal keys must meet in one partition whichever client wrote them, and two topics
//! with the same number of partitions must agree; so the hash is part of the protocol in all but
//! name. It is MurmurHash2 (32 bits) with a fixed seed, made positive by dropping the sign.

/// The seed that Kafka's clients start from.
const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;

/// MurmurHash2 with Kafka's seed.
pub fn murmur2(data: &[u8]) -> u32 {
    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        k ^= k >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ k.wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// The partition of `key` among `partition_count` partitions, which must not be zero.
pub fn partition_for_key(key: &[u8], partition_count: i32) -> i32 {
    debug_assert!(partition_count > 0, "a topic has at least one partition");
    let positive = (murmur2(key) & 0x7fff_ffff) as i32;
    positive % partition_count.max(1)
}
