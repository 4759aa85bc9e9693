//! The versioned bytes between operator and sidecar.
//!
//! The operator encodes what a workload is to enforce as a header and content-addressed chunks; the sidecar decodes
//! them strictly, checks every value again with the parsers of `policy` and `identity`, and refuses what it does not
//! know. This crate must never guess a value, skip a field, widen what a message says, read a clock or the
//! environment, or (without the feature `rpc`) hold an async runtime.
//!
//! ```text
//!  Configuration --encode--> Encoded{ id, content, chunks }      id = SHA-256(content)
//!                               | header(Position)  | chunk bytes, by SHA-256
//!                               v                   v
//!                      decode_header          decode_chunk ---> Arc<PolicyObject>, shared
//!                               \                   /
//!                                `---- assemble ---'--> Assembled{ Configuration, id, Position }
//! ```
//!
//! Feature `rpc` adds the gRPC stubs ([`proto`]): `Identity` (no client certificate), `Configuration`,
//! `Destinations` and `Reports` (mTLS). The messages are described in `proto/bailiwick/v1/*.proto`.

mod assemble;
mod bundle;
mod chunk;
mod decode_header;
mod decode_object;
mod decode_rule;
mod destination;
mod digest;
mod encode;
mod encode_object;
mod error;
mod greeting;
mod position;
mod report;

/// The generated messages and, with feature `rpc`, the service stubs.
#[expect(missing_docs, reason = "generated; the .proto files hold the documentation")]
#[cfg_attr(
    feature = "rpc",
    expect(
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::too_many_lines,
        reason = "generated"
    )
)]
pub mod proto {
    include!("proto/bailiwick.v1.rs");
}

pub use assemble::{Assembled, Configuration, assemble};
pub use bundle::{decode_bundle, encode_bundle};
pub use chunk::{ChunkCache, decode_chunk};
pub use decode_header::{Header, decode_header};
pub use destination::{
    Destination, Endpoint, Endpoints, Query, Transport, decode_destination, decode_query, encode_destination,
    encode_query,
};
pub use digest::{Digest, DigestError};
pub use encode::{Encoded, encode};
pub use error::{DecodeError, FieldError, FieldProblem};
pub use greeting::{Greeting, decode_hello};
pub use position::Position;
pub use report::{
    MAXIMUM_REPORTED_RULES, MAXIMUM_REPORTED_TEXT_BYTES, Report, ReportedCall, ReportedCaller,
    ReportedOutcome, ReportedRule, ReportedVerdict, ReportedWouldBe, decode_report, encode_report,
};

/// The schema level that this build writes and the highest that it reads. It grows whenever a message gains a meaning
/// that an older reader would miss; a reader refuses a header of a higher level, and the operator replaces by deny
/// what a sidecar's announced level cannot express.
pub const SCHEMA_LEVEL: u32 = 1;

/// The longest chunk, bytes. `encode` replaces a longer object by one that denies all that it selects.
pub const MAXIMUM_CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// The longest header, bytes.
pub const MAXIMUM_HEADER_BYTES: usize = 8 * 1024 * 1024;

/// The longest encoded trust bundle, bytes.
pub const MAXIMUM_BUNDLE_BYTES: usize = 4 * 1024 * 1024;

/// The longest gRPC message that either side reads, bytes: a chunk and its envelope.
pub const MAXIMUM_MESSAGE_BYTES: usize = 9 * 1024 * 1024;

/// The most questions that one sidecar may have open at `Destinations`. A sidecar asks no more, and the operator
/// refuses each question above it.
pub const MAXIMUM_OPEN_QUERIES: usize = 4096;

#[cfg(test)]
mod tests;
