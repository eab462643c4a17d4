//! The messages of the protocol: one module per API, one struct per request and response.
//!
//! Everything here is generated from `wire/*.wire`, which is the place to read: each file says
//! what its API is for and what each version changed. Names are Kafka's, in snake case. A field
//! that a version does not have is left out when it has its default or is ignorable, and is an
//! error otherwise; on decoding it keeps its default. Unknown tagged fields are skipped: a broker
//! has no use for them, and keeping them would cost every struct a field.
#![allow(clippy::all, clippy::pedantic, reason = "generated code is read in its description")]
#![allow(dead_code, unused_variables, unused_mut, reason = "generated code")]
#![allow(unused_parens, unused_qualifications, reason = "generated code")]
#![allow(unused_imports, reason = "every module sees all the names that any of them needs")]

use crate::codec::generated::*;

include!(concat!(env!("OUT_DIR"), "/messages.rs"));
