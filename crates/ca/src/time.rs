//! Seconds since the Unix epoch, and the certificate dates made of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, date_time_ymd};

/// How far a certificate's start lies in the past, in seconds, so that a verifier whose clock runs late believes it.
pub(crate) const BACKDATE: i64 = 10 * 60;

/// The last second that a certificate names without surprises in other software (end of the year 9998).
const LAST: i64 = 253_370_764_799;

/// Seconds since the Unix epoch; times before it are the epoch, times after the year 9998 are its end.
pub(crate) fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, duration_seconds)
}

/// Whole seconds, at most those until the end of the year 9998.
pub(crate) fn duration_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(LAST).min(LAST)
}

/// Sets the validity, in seconds since the Unix epoch.
pub(crate) fn set_validity(params: &mut CertificateParams, not_before: i64, not_after: i64) {
    let since_epoch = |seconds: i64| Duration::from_secs(u64::try_from(seconds.clamp(0, LAST)).unwrap_or(0));
    params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(not_before);
    params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(not_after);
}
