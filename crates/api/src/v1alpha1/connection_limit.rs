//! Limits of new connections, counted before the handshake.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{IpBlock, Nothing};
use crate::schema;

/// A bound on the new connections of each source address. It is applied before the TLS handshake; of several that apply, the
/// strictest counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionLimit {
    /// The callers that the limit is about, as alternatives. Before the handshake only their address is known.
    #[schemars(transform = schema::list(64, |_| {}))]
    pub subjects: Vec<AddressSubject>,
    /// The number of new connections of one source address, for example `100`.
    #[schemars(transform = schema::number(1, 1_000_000_000))]
    pub connections: u32,
    /// The span of time in which they may come, for example `1s`.
    #[schemars(transform = schema::duration)]
    pub per: String,
}

/// Callers by address alone. Exactly one field is required.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::one_field)]
pub struct AddressSubject {
    /// The address of the TCP peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_block: Option<IpBlock>,
    /// Every caller. Written `anyone: {}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anyone: Option<Nothing>,
}
