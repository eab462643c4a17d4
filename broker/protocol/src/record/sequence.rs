//! Sequence numbers: they count the records of one producer in one partition, from 0 to
//! `i32::MAX` and from there on to 0 again.

/// The sequence number `count` records after `sequence`.
pub const fn sequence_plus(sequence: i32, count: i32) -> i32 {
    ((sequence as i64 + count as i64) & i32::MAX as i64) as i32
}

/// How many records `to` is after `from`, taking the shorter way around.
pub const fn sequence_distance(from: i32, to: i32) -> i32 {
    let forward = (to as i64 - from as i64) & i32::MAX as i64;
    let half = 1 << 30;
    if forward >= half { (forward - (1 << 31)) as i32 } else { forward as i32 }
}
