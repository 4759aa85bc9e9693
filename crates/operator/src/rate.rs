//! Token buckets, so that a herd or a loop of one workload waits instead of starving the others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bailiwick_policy::WorkloadKey;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Requests at once.
    pub(crate) burst: u32,
    /// Requests a second, in the long run.
    pub(crate) per_second: u32,
}

/// One bucket. It may go below zero where turns are given out ahead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// One bucket for all, and one for each workload. The number of buckets is bounded by that of the workloads, since
/// only proven callers get here.
#[derive(Debug)]
pub(crate) struct IssueLimits {
    all: Rate,
    each: Rate,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    all: Option<Bucket>,
    each: HashMap<WorkloadKey, Bucket>,
}

impl Bucket {
    pub(crate) const fn full(rate: Rate, now: Instant) -> Self {
        Self { tokens: rate.burst as f64, filled: now }
    }

    pub(crate) fn fill(&mut self, rate: Rate, now: Instant) {
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * f64::from(rate.per_second);
        self.tokens = (self.tokens + gained).min(f64::from(rate.burst));
        self.filled = now;
    }

    /// How long until there is a token; zero if there is one.
    pub(crate) fn wait(&self, rate: Rate) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        Duration::from_secs_f64(missing / f64::from(rate.per_second.max(1)))
    }

    pub(crate) const fn take(&mut self) {
        self.tokens -= 1.0;
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn is_full(&self, rate: Rate) -> bool {
        self.tokens >= f64::from(rate.burst)
    }
}

/// One bucket of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    rate: Rate,
    bucket: Bucket,
}

impl Meter {
    pub(crate) const fn full(rate: Rate, now: Instant) -> Self {
        Self { rate, bucket: Bucket::full(rate, now) }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.bucket.fill(self.rate, now);
        let there = self.bucket.tokens >= 1.0;
        if there {
            self.bucket.tokens -= 1.0;
        }
        there
    }
}

impl IssueLimits {
    pub(crate) fn new(all: Rate, each: Rate) -> Self {
        Self { all, each, buckets: Mutex::default() }
    }

    /// Takes one token from both buckets, or says how long to wait.
    pub(crate) fn take(&self, workload: &WorkloadKey, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own = buckets.each.get(workload).copied().unwrap_or_else(|| Bucket::full(self.each, now));
        let mut all = buckets.all.unwrap_or_else(|| Bucket::full(self.all, now));
        own.fill(self.each, now);
        all.fill(self.all, now);
        let wait = own.wait(self.each).max(all.wait(self.all));
        if wait.is_zero() {
            own.take();
            all.take();
        }
        buckets.each.insert(workload.clone(), own);
        buckets.all = Some(all);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Forgets the workloads that are gone.
    pub(crate) fn retain(&self, known: impl Fn(&WorkloadKey) -> bool) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.each.retain(|workload, _| known(workload));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::workload;

    #[test]
    fn one_workload_in_a_loop_leaves_the_others_their_turn() {
        let limits = IssueLimits::new(Rate { burst: 100, per_second: 100 }, Rate { burst: 5, per_second: 1 });
        let now = Instant::now();
        let (loud, quiet) = (workload("shop/loud"), workload("shop/quiet"));
        let granted = (0..1_000).filter(|_| limits.take(&loud, now).is_ok()).count();
        assert_eq!(granted, 5);
        assert!(limits.take(&quiet, now).is_ok());
        let wait = limits.take(&loud, now).unwrap_err();
        assert!(wait > Duration::from_millis(900) && wait <= Duration::from_secs(1), "{wait:?}");
        assert!(limits.take(&loud, now + wait).is_ok(), "the time that was told is enough");
    }

    #[test]
    fn a_herd_is_told_to_come_back() {
        let limits = IssueLimits::new(Rate { burst: 10, per_second: 10 }, Rate { burst: 5, per_second: 1 });
        let now = Instant::now();
        let granted = (0..50).filter(|n| limits.take(&workload(&format!("shop/w{n}")), now).is_ok()).count();
        assert_eq!(granted, 10);
        limits.retain(|_| false);
        assert!(limits.buckets.lock().unwrap().each.is_empty());
    }
}
