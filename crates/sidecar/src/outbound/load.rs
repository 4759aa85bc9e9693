//! How busy each endpoint is with calls of this thread, and which one to take next.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bailiwick_wire::Endpoint;

/// Calls in flight by endpoint.
#[derive(Debug)]
pub(crate) struct Loads {
    calls: Mutex<HashMap<SocketAddr, Arc<AtomicUsize>>>,
    turns: AtomicU64,
}

/// One call in flight; dropping it ends it.
#[must_use = "a call counts for as long as this lives"]
#[derive(Debug)]
pub(crate) struct InFlight(Arc<AtomicUsize>);

impl Default for Loads {
    fn default() -> Self {
        // Each thread begins elsewhere, or all would choose alike.
        Self { calls: Mutex::default(), turns: AtomicU64::new(RandomState::new().hash_one(0_u8)) }
    }
}

impl Loads {
    /// Counts a call to an endpoint.
    pub(crate) fn begin(&self, endpoint: SocketAddr) -> InFlight {
        let mut loads = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let count = Arc::clone(loads.entry(endpoint).or_default());
        count.fetch_add(1, Ordering::Relaxed);
        InFlight(count)
    }

    /// Calls in flight to an endpoint.
    pub(crate) fn of(&self, endpoint: SocketAddr) -> usize {
        let loads = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        loads.get(&endpoint).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Forgets endpoints without calls.
    pub(crate) fn sweep(&self) {
        let mut loads = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        loads.retain(|_, count| count.load(Ordering::Relaxed) > 0);
    }

    /// The less busy of two endpoints taken at random among those not tried yet ("the power of two choices",
    /// Mitzenmacher 2001): near the best choice without asking all, and without a herd on the one that looks best.
    pub(crate) fn choose<'a>(
        &self,
        endpoints: &'a [Endpoint],
        tried: &[SocketAddr],
        random: u64,
    ) -> Option<&'a Endpoint> {
        let untried = || endpoints.iter().filter(|endpoint| !tried.contains(&endpoint.address));
        let count = u64::try_from(untried().count()).ok().filter(|count| *count > 0)?;
        let first = random % count;
        // The second differs from the first, where there are two.
        let second = (first + 1 + (random >> 32) % count.saturating_sub(1).max(1)) % count;
        let at = |index: u64| usize::try_from(index).ok().and_then(|index| untried().nth(index));
        let (first, second) = (at(first)?, at(second)?);
        let busier = self.of(first.address) > self.of(second.address);
        Some(if busier { second } else { first })
    }

    /// As [`Loads::choose`], with a random number of its own.
    pub(crate) fn choose_any<'a>(
        &self,
        endpoints: &'a [Endpoint],
        tried: &[SocketAddr],
    ) -> Option<&'a Endpoint> {
        // The multiplication of SplitMix64 spreads a counter over all bits; nothing secret depends on it.
        let step = self.turns.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (step ^ (step >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.choose(endpoints, tried, mixed ^ (mixed >> 27))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_policy::PortProtocol;
    use bailiwick_wire::Transport;

    use super::*;

    fn endpoint(last: u8) -> Endpoint {
        let address = SocketAddr::from(([10, 0, 0, last], 80));
        Endpoint { address, transport: Transport::AsSent, protocol: PortProtocol::Http, workload: None }
    }

    #[test]
    fn the_less_busy_of_two_is_taken_whatever_the_order() {
        let loads = Loads::default();
        let endpoints = [endpoint(1), endpoint(2)];
        let busy = loads.begin(endpoints[0].address);
        for random in [0, 1, u64::MAX, 1 << 32] {
            assert_eq!(loads.choose(&endpoints, &[], random), Some(&endpoints[1]));
        }
        drop(busy);
        loads.sweep();
        assert!(loads.calls.lock().unwrap().is_empty());
    }

    #[test]
    fn every_endpoint_is_taken_sometimes_and_a_tried_one_never_again() {
        let loads = Loads::default();
        let endpoints: Vec<Endpoint> = (0..5).map(endpoint).collect();
        let tried = [endpoints[3].address];
        let taken: std::collections::BTreeSet<SocketAddr> = (0..200)
            .filter_map(|_| loads.choose_any(&endpoints, &tried))
            .map(|taken| taken.address)
            .collect();
        assert_eq!(taken.len(), 4);
        assert!(!taken.contains(&tried[0]));
        assert_eq!(loads.choose_any(&endpoints[3..4], &tried), None);
        assert_eq!(loads.choose_any(&[], &[]), None);
    }
}
