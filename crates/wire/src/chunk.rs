//! Chunks: one policy object each, named by the digest of its canonical bytes.

use std::collections::HashMap;
use std::sync::Arc;

use bailiwick_policy::{Body, PolicyObject};
use prost::Message as _;

use crate::{DecodeError, Digest, MAXIMUM_CHUNK_BYTES, decode_object, encode_object, proto};

/// Encoded objects, so that one that many workloads share is encoded once. Entries are found by the identity of the
/// shared object (its address), which the cache keeps alive, so an address can never come to mean another object.
#[derive(Debug, Default)]
pub struct ChunkCache {
    entries: HashMap<usize, Entry>,
}

#[derive(Debug)]
struct Entry {
    object: Arc<PolicyObject>,
    chunk: CachedChunk,
}

#[derive(Debug, Clone)]
pub(crate) struct CachedChunk {
    pub(crate) digest: Digest,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) replaced: bool,
}

impl ChunkCache {
    /// Forgets the objects that nobody else holds any more. To be called after each compile.
    pub fn sweep(&mut self) {
        self.entries.retain(|_, entry| Arc::strong_count(&entry.object) > 1);
    }

    /// How many objects are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if no object is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn chunk(&mut self, object: &Arc<PolicyObject>) -> CachedChunk {
        let entry = self
            .entries
            .entry(Arc::as_ptr(object).addr())
            .or_insert_with(|| Entry { object: Arc::clone(object), chunk: encode_chunk(object) });
        entry.chunk.clone()
    }
}

fn encode_chunk(object: &PolicyObject) -> CachedChunk {
    let mut bytes = encode_object::object(object).encode_to_vec();
    let replaced = bytes.len() > MAXIMUM_CHUNK_BYTES;
    if replaced {
        bytes = encode_object::object(&denial_of(object, bytes.len())).encode_to_vec();
    }
    CachedChunk { digest: Digest::of(&bytes), bytes: Arc::from(bytes), replaced }
}

/// FAIL-CLOSED: what cannot be sent denies all that it selects.
fn denial_of(object: &PolicyObject, length: usize) -> PolicyObject {
    let reason =
        format!("the compiled object has {length} bytes, more than the {MAXIMUM_CHUNK_BYTES} that are sent");
    PolicyObject {
        origin: object.origin.clone(),
        generation: object.generation,
        mode: object.mode,
        body: Body::Uncompilable { reason: Arc::from(reason) },
    }
}

/// Decodes a chunk whose digest is known.
///
/// # Errors
/// When the bytes are not those that the digest names, are not canonical, or hold a value that the parsers of the
/// policy crate refuse.
pub fn decode_chunk(bytes: &[u8], expected: &Digest) -> Result<PolicyObject, DecodeError> {
    const WHAT: &str = "chunk";
    if bytes.len() > MAXIMUM_CHUNK_BYTES {
        return Err(DecodeError::TooLong { what: WHAT, length: bytes.len(), limit: MAXIMUM_CHUNK_BYTES });
    }
    let found = Digest::of(bytes);
    if found != *expected {
        return Err(DecodeError::Digest { expected: *expected, found });
    }
    let message =
        proto::PolicyObject::decode(bytes).map_err(|source| DecodeError::Malformed { what: WHAT, source })?;
    let object = decode_object::object(&message).map_err(|field| field.of(WHAT))?;
    // FAIL-CLOSED: an unknown field, or a value that is not in its one form, means more than we understood.
    if encode_object::object(&object).encode_to_vec() != bytes {
        return Err(DecodeError::NotCanonical { what: WHAT });
    }
    Ok(object)
}
