//! The wall clock, and waiting by it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Timers do not count time in which the machine was suspended, so the wall clock is read again this often.
pub(crate) const LONGEST_SLICE: Duration = Duration::from_secs(30);

/// Seconds since the Unix epoch.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or_default()
}

/// Waits until the wall clock shows `instant` (seconds since the Unix epoch), also across a suspend or a clock change.
pub(crate) async fn sleep_until(instant: i64) {
    loop {
        let left = instant.saturating_sub(now());
        let Ok(left @ 1..) = u64::try_from(left) else { return };
        tokio::time::sleep(Duration::from_secs(left).min(LONGEST_SLICE)).await;
    }
}
