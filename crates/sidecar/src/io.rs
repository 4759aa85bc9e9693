//! Streams that are not quite a socket: bytes that were read already, and either of two kinds.

mod head_deadline;
mod prefixed;

pub(crate) use self::head_deadline::{HeadTimer, with_head_deadline};
pub(crate) use self::prefixed::PrefixedStream;
