//! How many reports may be made: a token bucket.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Reports a second, over time.
const RATE: f64 = 20.0;
/// Reports at once.
const BURST: f64 = 100.0;

/// What may still be reported now.
#[derive(Debug)]
pub(super) struct Budget(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new(Bucket { tokens: BURST, filled: Instant::now() }))
    }
}

impl Budget {
    /// True if one more may be made.
    pub(super) fn take(&self) -> bool {
        // Both fields are plain values, whole also when a thread panicked beside it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = since.mul_add(RATE, self.tokens).min(BURST);
        self.filled = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_and_then_a_rate() {
        let start = Instant::now();
        let mut bucket = Bucket { tokens: BURST, filled: start };
        let taken = |bucket: &mut Bucket, at| (0..1000).filter(|_| bucket.take(at)).count();
        assert_eq!(taken(&mut bucket, start), 100);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(1)), 20);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(3600)), 100);
    }
}
