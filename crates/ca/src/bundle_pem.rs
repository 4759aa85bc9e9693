//! `bundle.pem`: the roots that a workload needs before its first contact with the control plane.

use std::path::Path;

use bailiwick_identity::TrustBundle;

use crate::state::{self, StateError};

/// Anyone may read roots.
const PUBLIC_FILE: u32 = 0o644;
/// Every root of a bundle as PEM, by trust domain.
#[must_use]
pub fn bundle_pem(bundle: &TrustBundle) -> String {
    let roots = bundle.iter().flat_map(|(_, roots)| roots);
    let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    roots.map(|root| pem::encode_config(&pem::Pem::new("CERTIFICATE", root.to_vec()), lines)).collect()
}

/// Writes `bundle.pem` so that a reader sees the old file or the new one, never a part.
///
/// # Errors
/// When the file cannot be written.
pub fn write_bundle_pem(path: &Path, bundle: &TrustBundle) -> Result<(), StateError> {
    state::replace(path, &bundle_pem(bundle), PUBLIC_FILE)
}

#[cfg(test)]
mod tests;
