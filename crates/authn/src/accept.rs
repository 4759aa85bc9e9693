//! A socket becomes a proven connection, or is refused with a TLS alert.

use std::time::Duration;

use bailiwick_identity::{Connection, KeyPurpose, Peer, TrustDomain, Unproven};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::tls::Channel;
use crate::{AuthnError, Evidence, ServerTls};

/// A fatal `no_application_protocol` alert, as the first record of a server (RFC 8446, section 5.1; RFC 7301).
const NO_APPLICATION_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];
/// The longest wait for an alert to be taken.
const ALERT_DEADLINE: Duration = Duration::from_secs(1);

/// A connection between workloads whose caller is proven.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The decrypted stream.
    pub stream: TlsStream<S>,
    /// The proven peer.
    pub connection: Connection,
    /// What proved it, to be verified again when trust changes.
    pub evidence: Evidence,
}

/// A connection of the control channel.
#[derive(Debug)]
pub struct ControlAccepted<S> {
    /// The decrypted stream.
    pub stream: TlsStream<S>,
    /// Who calls.
    pub caller: Caller,
}

/// Who calls the control plane.
#[derive(Debug)]
pub enum Caller {
    /// A workload that proved its identity.
    Peer(Peer, Evidence),
    /// Nobody yet: the caller presented no certificate, and a token must speak for it.
    FirstContact,
}

/// Accepts a connection of a workload of one of the given trust domains. The mesh's protocol name and a certificate
/// are required; everything else gets a TLS alert and an error.
///
/// # Errors
/// When the handshake fails or takes longer than `deadline`, or this workload has no certificate yet.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    settings: &ServerTls,
    domains: &[TrustDomain],
    deadline: Duration,
) -> Result<Accepted<S>, AuthnError> {
    let (stream, evidence) = within(deadline, handshake(stream, settings, domains)).await?;
    // A mesh server always requires a certificate; a control server must not be used here.
    let evidence = evidence.ok_or(AuthnError::NoCertificate)?;
    Ok(Accepted { stream, connection: Connection::Peer(prove(&evidence)), evidence })
}

/// Accepts a connection of the control channel, with or without a certificate. One that is presented must be good.
///
/// # Errors
/// When the handshake fails or takes longer than `deadline`, or this process has no certificate yet.
pub async fn accept_control<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    settings: &ServerTls,
    domains: &[TrustDomain],
    deadline: Duration,
) -> Result<ControlAccepted<S>, AuthnError> {
    let (stream, evidence) = within(deadline, handshake(stream, settings, domains)).await?;
    let caller = match evidence {
        Some(evidence) => Caller::Peer(prove(&evidence), evidence),
        None => Caller::FirstContact,
    };
    Ok(ControlAccepted { stream, caller })
}

/// A connection that nobody proved anything on, for ports that let it live.
#[must_use]
pub const fn unproven(reason: Unproven) -> Connection {
    Connection::Unproven(reason)
}

/// The only place where a peer comes into being.
#[expect(clippy::disallowed_methods, reason = "evidence exists only after a completed handshake")]
fn prove(evidence: &Evidence) -> Peer {
    Peer::assertion(evidence.leaf().clone())
}

async fn within<T>(
    deadline: Duration,
    handshake: impl Future<Output = Result<T, AuthnError>>,
) -> Result<T, AuthnError> {
    timeout(deadline, handshake).await.unwrap_or(Err(AuthnError::Timeout { after: deadline }))
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    settings: &ServerTls,
    domains: &[TrustDomain],
) -> Result<(TlsStream<S>, Option<Evidence>), AuthnError> {
    let channel = settings.channel();
    let failed = |error| AuthnError::of_handshake(error, KeyPurpose::Client, channel.alpn_name());
    let config = settings.config(domains)?;
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(failed)?;
    let offered =
        start.client_hello().alpn().is_some_and(|mut names| names.any(|name| name == channel.alpn()));
    if !offered {
        refuse_protocol(&mut start.io).await;
        return Err(AuthnError::Alpn { wanted: channel.alpn_name() });
    }
    let stream = start.into_stream(config).await.map_err(failed)?;
    let evidence = Evidence::of(stream.get_ref().1, KeyPurpose::Client)?;
    if evidence.is_none() && channel == Channel::Mesh {
        return Err(AuthnError::NoCertificate);
    }
    Ok((stream, evidence))
}

/// The TLS library accepts a client that offers no protocol name at all; we do not. Nothing was sent yet, so the alert
/// is plaintext, as for any ClientHello that is refused.
async fn refuse_protocol<S: AsyncWrite + Unpin>(stream: &mut S) {
    let alert = async {
        stream.write_all(&NO_APPLICATION_PROTOCOL).await?;
        stream.shutdown().await
    };
    // The connection is refused whether or not the other side takes the alert.
    drop(timeout(ALERT_DEADLINE, alert).await);
}
