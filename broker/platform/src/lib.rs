//! Doors to the world: time, randomness and the disk.
