//! The numbers of the protocol, one type each, so that an offset is never passed for an epoch.
//!
//! On the wire structs they are plain integers, as Kafka writes them; the machines wrap them as
//! they take them over. `NONE` is what the protocol sends for "there is none".

use std::fmt;
use std::str::FromStr;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// What the protocol sends when there is none.
            pub const NONE: $name = $name(-1);

            /// Whether this is a number at all.
            pub const fn is_some(self) -> bool {
                self.0 >= 0
            }

            /// Whether the protocol says that there is none.
            pub const fn is_none(self) -> bool {
                self.0 < 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(number: $inner) -> $name {
                $name(number)
            }
        }
    };
}

number! {
    /// The place of a record in its partition, counted from 0.
    Offset(i64)
}
number! {
    /// How many leaders a partition has had; it fences requests that know an older one.
    LeaderEpoch(i32)
}
number! {
    /// The identity of an idempotent or transactional producer.
    ProducerId(i64)
}
number! {
    /// How often a producer id was handed out again; it fences older holders of the id.
    ProducerEpoch(i16)
}
number! {
    /// The number of a partition in its topic, counted from 0.
    PartitionIndex(i32)
}
number! {
    /// The number of a broker in its cluster.
    BrokerId(i32)
}

impl Offset {
    /// The first offset of every log.
    pub const ZERO: Offset = Offset(0);

    /// The offset after this one.
    #[must_use]
    pub const fn next(self) -> Offset {
        self.plus(1)
    }

    /// The offset `count` further on.
    #[must_use]
    pub const fn plus(self, count: i64) -> Offset {
        Offset(self.0 + count)
    }
}

/// The identity of a topic: it outlives no deletion, unlike the name. Zero is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// What the protocol sends when a topic is not named by its id.
    pub const NONE: TopicId = TopicId([0; 16]);

    /// Whether this names no topic.
    pub const fn is_none(self) -> bool {
        u128::from_be_bytes(self.0) == 0
    }

    /// Whether this names a topic.
    pub const fn is_some(self) -> bool {
        !self.is_none()
    }
}

/// The url-safe alphabet of base64 (RFC 4648, section 5), in which Kafka prints ids.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// 128 bits in 22 characters of 6 bits; the last character holds only two bits.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        let mut text = String::with_capacity(22);
        for character in 0..22u32 {
            let six = match character {
                21 => (bits & 0b11) << 4,
                _ => bits >> (122 - 6 * character),
            };
            text.push(char::from(ALPHABET[(six & 63) as usize]));
        }
        f.pad(&text)
    }
}

/// The text was not 22 characters of url-safe base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a topic id: expected 22 characters of url-safe base64")]
pub struct ParseTopicIdError;

impl FromStr for TopicId {
    type Err = ParseTopicIdError;

    fn from_str(text: &str) -> Result<TopicId, ParseTopicIdError> {
        if text.len() != 22 {
            return Err(ParseTopicIdError);
        }
        let mut bits = 0u128;
        for (index, byte) in text.bytes().enumerate() {
            let six = ALPHABET.iter().position(|&c| c == byte).ok_or(ParseTopicIdError)? as u128;
            bits = match index {
                21 => (bits << 2) | (six >> 4),
                _ => (bits << 6) | six,
            };
        }
        Ok(TopicId(bits.to_be_bytes()))
    }
}
