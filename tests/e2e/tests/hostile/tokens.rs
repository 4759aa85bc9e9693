//! Wrong tokens: none of them gets a certificate.
