//! Full-jitter exponential backoff.
//!
//! A thousand sidecars that lost the same operator must not come back in the same millisecond, so each delay is
//! drawn uniformly from zero to a ceiling that doubles up to a cap ("Exponential Backoff And Jitter", AWS
//! Architecture Blog, 2015).

use std::time::Duration;

/// A sequence of delays between attempts; [`Backoff::reset`] it after a success.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// Delays drawn from zero to `base` at first, then to twice as much after each attempt, at most to `cap`.
    /// A cap below the base lowers the base.
    #[must_use]
    pub fn new(base: Duration, cap: Duration) -> Self {
        let base = base.min(cap);
        Self { base, cap, ceiling: base }
    }

    /// For reconnecting to a server that is away: 0.5 s, doubling to 30 s.
    #[must_use]
    pub fn reconnect() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
    }

    /// For renewing a credential, where there is time and the issuer must not be pressed: 0.5 s, doubling to 150 s.
    #[must_use]
    pub fn renewal() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(150))
    }

    /// The next delay, with randomness from the operating system's generator.
    pub fn next_delay(&mut self) -> Duration {
        self.next_delay_with(rand::random::<u64>())
    }

    /// The next delay for a given random number, uniform over `u64`: 0 gives no delay, `u64::MAX` the ceiling (less
    /// a nanosecond at most). Tests pass fixed numbers.
    pub fn next_delay_with(&mut self, random: u64) -> Duration {
        let delay = scale(self.ceiling, random);
        self.ceiling = self.ceiling.saturating_mul(2).min(self.cap);
        delay
    }

    /// The longest that the next delay can be.
    #[must_use]
    pub fn ceiling(&self) -> Duration {
        self.ceiling
    }

    /// Starts again from the base; to be called once an attempt has really succeeded, not when it was only accepted.
    pub fn reset(&mut self) {
        self.ceiling = self.base;
    }
}

/// `duration * random / 2^64`, in nanoseconds. A duration of more than 584 years is cut to that.
fn scale(duration: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let scaled = (u128::from(nanos) * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_to_the_cap_and_resets() {
        let mut backoff = Backoff::reconnect();
        let mut ceilings = Vec::new();
        for _ in 0..8 {
            ceilings.push(backoff.ceiling().as_millis());
            backoff.next_delay();
        }
        assert_eq!(ceilings, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        backoff.reset();
        assert_eq!(backoff.ceiling(), Duration::from_millis(500));
    }

    #[test]
    fn the_delay_is_uniform_below_the_ceiling_for_the_given_number() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(64));
        assert_eq!(backoff.next_delay_with(0), Duration::ZERO);
        assert_eq!(backoff.next_delay_with(1 << 63), Duration::from_secs(1));
        let longest = backoff.next_delay_with(u64::MAX);
        assert!(longest <= Duration::from_secs(4) && longest > Duration::from_millis(3_999));
    }

    #[test]
    fn extreme_durations_neither_panic_nor_exceed_the_cap() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        for _ in 0..200 {
            backoff.next_delay_with(u64::MAX);
        }
        let mut lowered = Backoff::new(Duration::from_secs(9), Duration::from_secs(2));
        assert!(lowered.next_delay_with(u64::MAX) <= Duration::from_secs(2));
        assert_eq!(Backoff::new(Duration::ZERO, Duration::ZERO).next_delay(), Duration::ZERO);
    }

    #[test]
    fn two_processes_do_not_wait_equally_long() {
        let delays: std::collections::BTreeSet<_> =
            (0..50).map(|_| Backoff::renewal().next_delay()).collect();
        assert!(delays.len() > 40, "{delays:?}");
    }
}
