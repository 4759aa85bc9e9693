//! Full-jitter exponential back-off ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015): a thousand agents
//! that lost the same operator must not come back together.

use std::time::Duration;

/// Delays drawn uniformly from zero to a ceiling that doubles from `base` to `cap`.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    ceiling: Duration,
}

impl Backoff {
    pub(crate) const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, ceiling: base }
    }

    /// For streams: 0.5 s to 30 s.
    pub(crate) const fn reconnect() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
    }

    /// The next delay.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let delay = self.ceiling.mul_f64(rand::random_range(0.0..=1.0));
        self.ceiling = self.ceiling.saturating_mul(2).min(self.cap);
        delay
    }

    /// Starts again from the base; called once an attempt has really succeeded.
    pub(crate) const fn reset(&mut self) {
        self.ceiling = self.base;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_start_again() {
        let mut backoff = Backoff::reconnect();
        assert!(backoff.next_delay() <= Duration::from_millis(500));
        for _ in 0..20 {
            assert!(backoff.next_delay() <= Duration::from_secs(30));
        }
        assert_eq!(backoff.ceiling, Duration::from_secs(30));
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(500));
    }
}
