//! Ports and addresses that a pod's sidecar takes, and the operator's.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The user and group that the sidecar runs as where the installation names no other; no common image uses it.
pub const DEFAULT_USER: u32 = 42_137;

/// The admin server with `/config`, on loopback.
pub const ADMIN: u16 = 15_000;
/// Where the application's connections are redirected to, on loopback of both families.
pub const OUTBOUND: u16 = 15_001;
/// Where connections to the pod are redirected to, on every address.
pub const INBOUND: u16 = 15_006;
/// The pod-IP port: `/ready`, `/live`, `/metrics`, and the pod's declared probes and hooks by index. Not redirected.
pub const PROBES: u16 = 15_020;
/// Nothing listens here. The kubelet asks for `/ready` at this port, and only a redirected connection is answered: so
/// a pod is Ready only while its inbound capture is in force.
pub const INBOUND_PROOF: u16 = 15_099;
/// With [`OUTBOUND_PROOF_V4`] and [`OUTBOUND_PROOF_V6`]: redirected for the sidecar's own user too.
pub const OUTBOUND_PROOF: u16 = 15_098;
/// A reserved address (TEST-NET-1, RFC 5737): a connection to it ends at the sidecar itself, or the capture is not in
/// force.
pub const OUTBOUND_PROOF_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 137);
/// The same for IPv6 (documentation prefix, RFC 3849).
pub const OUTBOUND_PROOF_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x89);

/// The operator issues certificates here; no client certificate is asked for.
pub const OPERATOR_IDENTITY: u16 = 15_010;
/// The operator serves configuration, destinations and reports here, over mutual TLS.
pub const OPERATOR_CONFIGURATION: u16 = 15_012;
/// The operator's replicas tell each other acknowledgements and denials here, over mutual TLS.
pub const OPERATOR_REPLICAS: u16 = 15_013;
/// The operator's admin server with `/config` and `/why`, on loopback.
pub const OPERATOR_ADMIN: u16 = 15_014;
/// The operator's `/ready`, `/live` and `/metrics`, on the pod's address.
pub const OPERATOR_PROBES: u16 = 15_015;
/// The operator's admission webhooks.
pub const OPERATOR_WEBHOOK: u16 = 9_443;

/// Ports that an application cannot use while it has a sidecar.
pub const RESERVED: [u16; 6] = [ADMIN, OUTBOUND, INBOUND, PROBES, OUTBOUND_PROOF, INBOUND_PROOF];
