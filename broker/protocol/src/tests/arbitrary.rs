//! The generated constructors of random values, one per struct of the wire.
#![allow(unused_variables, unused_imports, clippy::all, reason = "generated code")]

use super::dice::{Arbitrary, Dice};
use crate::codec::RecordsRef;
use crate::{ErrorCode, TopicId};
use bytes::Bytes;

include!(concat!(env!("OUT_DIR"), "/arbitrary.rs"));
