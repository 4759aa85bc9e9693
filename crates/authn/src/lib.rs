//! Turns a socket into a proven connection, and the credentials of a request into a subject.
//!
//! This is the authentication system. It must never read a policy, decide what a caller may do, believe a header, an
//! address or a server name (SNI), resume a session, speak anything older than TLS 1.3, or write a key anywhere.
//! It knows nothing of HTTP beyond header names.
//!
//! ```text
//!  CredentialStore (own key, chain) --+                   TrustStore (roots by trust domain)
//!                                     v                   v
//!  socket --accept(ServerTls, domains)--> Accepted { stream, Connection, Evidence } --request--> Subject
//!  socket --connect(ClientTls, expected id)--> Connected { stream, Evidence }
//!                                                 MeshVerifier: leaf -> the one id -> the roots of its domain only
//! ```
//!
//! What a port does with a new socket, by its mode:
//!
//! | first bytes ([`peek`]) | Strict | Permissive | Disabled |
//! |---|---|---|---|
//! | mesh TLS | [`accept`] | [`accept`] | opaque bytes of nobody |
//! | other TLS | [`accept`], which refuses with an alert | opaque bytes of [`unproven`] (`ForeignTls`) | the same (`Disabled`) |
//! | HTTP | 401 of [`Unauthenticated::challenge`], closed | served to nobody (`Plaintext`) | served to nobody (`Disabled`) |
//! | other, nothing | closed | as the port's protocol says, to nobody | the same |
//! | unfinished | closed | closed | closed |

mod accept;
mod admission;
mod algorithms;
mod bundle_pem;
mod connect;
mod credentials;
mod error;
mod evidence;
mod first_bytes;
mod request;
mod tls;
mod trust;
mod verifier;

pub use accept::{Accepted, Caller, ControlAccepted, accept, accept_control, unproven};
pub use admission::{AdmissionError, AdmissionTls};
pub use bundle_pem::{BundlePemError, bundle_from_pem};
pub use connect::{Connected, connect};
pub use credentials::{CredentialError, CredentialStore, Credentials};
pub use error::{AuthnError, CertificateRefusal, alert_received};
pub use evidence::Evidence;
pub use first_bytes::{FirstBytes, classify, peek};
pub use request::{CREDENTIAL_HEADERS, RequestRefusal, Unauthenticated, request, would_refuse};
pub use tls::{ALPN, CONTROL_ALPN, ClientTls, HANDSHAKE_DEADLINE, ServerTls};
pub use trust::{Trust, TrustError, TrustStore};
