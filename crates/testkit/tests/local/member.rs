//! A workload that holds its certificate in the test's own hands: it can say anything to anybody.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::{AuthnError, ClientTls, CredentialStore, Credentials, TrustStore, bundle_from_pem};
use bailiwick_identity::SpiffeId;
use bailiwick_wire::proto::client_message::Kind;
use bailiwick_wire::proto::configuration_client::ConfigurationClient;
use bailiwick_wire::proto::identity_client::IdentityClient;
use bailiwick_wire::proto::{ClientMessage, Hello, IssueRequest, IssueResponse, ServerMessage};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls_stream::MeshStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use crate::client::Http;
use crate::world::{OPERATOR_ID, World};

/// The type of a proven stream, named once.
mod tokio_rustls_stream {
    pub(crate) type MeshStream = <bailiwick_authn::Connected<tokio::net::TcpStream> as super::Stream>::Inner;
}

/// Takes the stream's type out of what `authn` gives.
pub(crate) trait Stream {
    type Inner;
}

const SOON: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Member {
    credentials: Arc<CredentialStore>,
    trust: Arc<TrustStore>,
}
