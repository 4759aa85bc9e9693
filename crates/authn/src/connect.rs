//! Connecting to exactly the server that is expected.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use bailiwick_identity::{KeyPurpose, SpiffeId};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::verifier::unix_time;
use crate::{AuthnError, ClientTls, Evidence};

/// A connection to a server that proved to be the expected one.
#[derive(Debug)]
pub struct Connected<S> {
    /// The decrypted stream.
    pub stream: TlsStream<S>,
    /// What proved the server, to be verified again when trust changes.
    pub evidence: Evidence,
    /// The generation of the own credentials that were presented; 0 if none. Part of the key of connection pools.
    pub generation: u64,
}

/// Connects to a server and fails unless it proves to be exactly `expected`. No byte of the application is sent before.
///
/// A server may still refuse *our* certificate after this returns: see [`crate::alert_received`].
///
/// # Errors
/// When the handshake fails or takes longer than `deadline`, or the server is somebody else.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    settings: &ClientTls,
    expected: &SpiffeId,
    deadline: Duration,
) -> Result<Connected<S>, AuthnError> {
    timeout(deadline, handshake(stream, settings, expected))
        .await
        .unwrap_or(Err(AuthnError::Timeout { after: deadline }))
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    settings: &ClientTls,
    expected: &SpiffeId,
) -> Result<Connected<S>, AuthnError> {
    let channel = settings.channel();
    let now = i64::try_from(unix_time(SystemTime::now()).as_secs()).unwrap_or(i64::MAX);
    let (config, generation) = settings.config(expected, now)?;
    // The library wants a name; an address is never sent as SNI, and our verifier ignores it.
    let name = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let stream = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|error| AuthnError::of_handshake(error, KeyPurpose::Server, channel.alpn_name()))?;
    let state = stream.get_ref().1;
    if state.alpn_protocol() != Some(channel.alpn()) {
        return Err(AuthnError::Alpn { wanted: channel.alpn_name() });
    }
    let evidence = Evidence::of(state, KeyPurpose::Server)?.ok_or(AuthnError::NoCertificate)?;
    Ok(Connected { stream, evidence, generation })
}
