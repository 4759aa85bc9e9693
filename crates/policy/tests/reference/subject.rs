//! Subjects without a handshake. The benches share this file.

use bailiwick_identity::{Connection, Peer, Subject, SvidError, Unproven, leaf_id};

/// A proven peer with this identity. Its certificate is made up byte by byte, so that tests of policy need no
/// cryptography.
#[expect(clippy::disallowed_methods, reason = "tests of authorization need a subject, and no handshake")]
pub(crate) fn peer(id: &str) -> Result<Subject, SvidError> {
    let leaf = leaf_id(&certificate(id))?;
    Ok(Subject::assertion(Connection::Peer(Peer::assertion(leaf)), None))
}

/// A caller that proved nothing.
#[expect(clippy::disallowed_methods, reason = "tests of authorization need a subject, and no handshake")]
pub(crate) fn anonymous() -> Subject {
    Subject::assertion(Connection::Unproven(Unproven::Plaintext), None)
}

fn certificate(uri: &str) -> Vec<u8> {
    // Ed25519 (RFC 8410): the identifiers only have to be well-formed, since nothing is verified here.
    let algorithm = der(0x30, &[&der(0x06, &[&[0x2b, 0x65, 0x70]])]);
    let name = der(0x30, &[]);
    let validity = der(0x30, &[&der(0x17, &[b"250101000000Z"]), &der(0x17, &[b"450101000000Z"])]);
    let key = der(0x30, &[&algorithm, &der(0x03, &[&[0], &[7; 32]])]);
    let names = der(0x04, &[&der(0x30, &[&der(0x86, &[uri.as_bytes()])])]);
    // Key usage (RFC 5280, section 4.2.1.3): digital signature.
    let usage = der(0x04, &[&der(0x03, &[&[0x07, 0x80]])]);
    let usage = der(0x30, &[&der(0x06, &[&[0x55, 0x1d, 0x0f]]), &der(0x01, &[&[0xff]]), &usage]);
    let extension = der(0x30, &[&der(0x06, &[&[0x55, 0x1d, 0x11]]), &der(0x01, &[&[0xff]]), &names]);
    let extensions = der(0xa3, &[&der(0x30, &[&usage, &extension])]);
    let version = der(0xa0, &[&der(0x02, &[&[2]])]);
    let serial = der(0x02, &[&[1]]);
    let content = der(0x30, &[&version, &serial, &algorithm, &name, &validity, &name, &key, &extensions]);
    der(0x30, &[&content, &algorithm, &der(0x03, &[&[0], &[0; 64]])])
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut encoded = vec![tag];
    match (length, content.len()) {
        ([_, low], 0..128) => encoded.push(low),
        ([_, low], 128..256) => encoded.extend([0x81, low]),
        ([high, low], _) => encoded.extend([0x82, high, low]),
    }
    encoded.extend(content);
    encoded
}
