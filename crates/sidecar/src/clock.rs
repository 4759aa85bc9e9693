//! The wall clock, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use bailiwick_policy::Timestamp;

/// Now, in seconds since the Unix epoch. A clock before the epoch reads as the epoch: every certificate is then not
/// yet valid, and nothing opens.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
