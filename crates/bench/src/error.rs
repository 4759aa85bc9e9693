//! Why a measurement was not made. A figure is either measured or missing, never guessed.

use std::io;
use std::path::PathBuf;

/// Why a measurement was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("`{path}` is missing; build it first: benches/run.sh")]
    NoProgram { path: PathBuf },
    #[error("{what} does not read as PEM: {source}")]
    Pem { what: String, source: rustls_pki_types::pem::Error },
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the roots cannot be used: {0}")]
    Roots(#[from] rustls::server::VerifierBuilderError),
    #[error("the call failed: {0}")]
    Exchange(#[from] hyper::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
    #[error("HTTP/1.1 carries one stream a connection, not {streams}")]
    Streams { streams: usize },
    #[error("the certificate authority cannot be used: {0}")]
    Authority(#[from] bailiwick_ca::RootError),
    #[error("no certificate was issued: {0}")]
    Issue(#[from] bailiwick_ca::IssueError),
    #[error("the name of the bench's world is refused: {0}")]
    Name(String),
    #[error("{what} is not as expected: {detail}")]
    Content { what: String, detail: String },
    #[error(
        "{name} answered {found} for `{path}`, not {expected}: the comparison would be of different jobs"
    )]
    Status { name: String, path: String, expected: u16, found: u16 },
    #[error("{name} was not ready after {seconds} s; the end of its log:\n{log}")]
    NotReady { name: String, seconds: u64, log: String },
    #[error("{name} ended; the end of its log:\n{log}")]
    Ended { name: String, log: String },
    #[error("{name}: {errors} of {requests} calls failed in one run")]
    Failures { name: String, errors: u64, requests: u64 },
}

/// Adds what was tried to what the system said.
pub(crate) trait Tried<T> {
    fn tried(self, what: impl Into<String>) -> Result<T, BenchError>;
}

impl<T> Tried<T> for io::Result<T> {
    fn tried(self, what: impl Into<String>) -> Result<T, BenchError> {
        self.map_err(|source| BenchError::Io { what: what.into(), source })
    }
}
