//! Redirects a pod's TCP to its sidecar: one nftables table by netlink, and the original destination of a connection.
//!
//! ```text
//!  verb `capture` (root, NET_ADMIN, init container) --netlink--> table inet bailiwick
//!  sidecar (no privileges) --SO_ORIGINAL_DST--> where a redirected connection was going
//! ```
//!
//! It must never know a policy, and never leave half a table: one transaction, or an error.

mod original;

pub use original::original_destination;
