//! The cryptography that is believed: one provider, passed explicitly, and a short list of signatures.

use std::sync::{Arc, LazyLock};

use rustls::SignatureScheme;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::aws_lc_rs as verify;

/// Signatures in certificates, and in handshakes. ECDSA P-521, SHA-1, and PKCS#1 v1.5 in handshakes are left out. RSA
/// is for other issuers; its length is bounded where certificates are read (`bailiwick_identity`).
pub(crate) static SIGNATURES: WebPkiSupportedAlgorithms =
    WebPkiSupportedAlgorithms { all: CERTIFICATE, mapping: HANDSHAKE };

static CERTIFICATE: &[&dyn SignatureVerificationAlgorithm] = &[
    verify::ECDSA_P256_SHA256,
    verify::ECDSA_P256_SHA384,
    verify::ECDSA_P384_SHA256,
    verify::ECDSA_P384_SHA384,
    verify::ED25519,
    verify::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    verify::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    verify::RSA_PKCS1_2048_8192_SHA256,
    verify::RSA_PKCS1_2048_8192_SHA384,
    verify::RSA_PKCS1_2048_8192_SHA512,
];

type Mapping = &'static [(SignatureScheme, &'static [&'static dyn SignatureVerificationAlgorithm])];

/// In TLS 1.3 a scheme names its curve, so each has exactly one algorithm (RFC 8446, section 4.2.3).
static HANDSHAKE: Mapping = &[
    (SignatureScheme::ECDSA_NISTP256_SHA256, &[verify::ECDSA_P256_SHA256]),
    (SignatureScheme::ECDSA_NISTP384_SHA384, &[verify::ECDSA_P384_SHA384]),
    (SignatureScheme::ED25519, &[verify::ED25519]),
    (SignatureScheme::RSA_PSS_SHA256, &[verify::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
    (SignatureScheme::RSA_PSS_SHA384, &[verify::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
];

/// The one provider. Never the process default: that is whatever some other library chose first.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = aws_lc_rs::default_provider();
        provider.signature_verification_algorithms = SIGNATURES;
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}
