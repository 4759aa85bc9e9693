//! Turns: how many tokens are reviewed, so that neither a herd nor garbage floods the API server.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::rate::{Bucket, Rate};

/// Reviews of one replica.
const REVIEWS: Rate = Rate { burst: 50, per_second: 50 };
/// A herd waits this long in the queue; whoever would wait longer is told to come back.
const LONGEST_QUEUE: Duration = Duration::from_secs(3);
/// Tokens from one address: a sidecar that starts shows one, and backs off when it is refused. A pod in a loop takes a
/// tenth of the turns.
const ADDRESS: Rate = Rate { burst: 50, per_second: 5 };
/// Addresses that are remembered. An address that was forgotten starts with a full bucket.
const MOST_ADDRESSES: usize = 8192;

/// Who may ask for a review now.
#[derive(Debug, Default)]
pub(super) struct Gate {
    reviews: Mutex<Option<Bucket>>,
    addresses: Mutex<HashMap<IpAddr, Bucket>>,
}

impl Gate {
    /// Takes a turn of this address, or says how long to wait.
    pub(super) fn address(&self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= MOST_ADDRESSES && !addresses.contains_key(&peer) {
            addresses.retain(|_, bucket| {
                bucket.fill(ADDRESS, now);
                !bucket.is_full(ADDRESS)
            });
            if addresses.len() >= MOST_ADDRESSES {
                addresses.clear();
            }
        }
        let bucket = addresses.entry(peer.to_canonical()).or_insert_with(|| Bucket::full(ADDRESS, now));
        bucket.fill(ADDRESS, now);
        let wait = bucket.wait(ADDRESS);
        if wait.is_zero() {
            bucket.take();
            Ok(())
        } else {
            Err(wait)
        }
    }

    /// Takes the next turn for a review: how long to wait for it here, or, if the queue is too long, how long to stay
    /// away.
    pub(super) fn review(&self, now: Instant) -> Result<Duration, Duration> {
        let mut reviews = self.reviews.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = reviews.get_or_insert_with(|| Bucket::full(REVIEWS, now));
        bucket.fill(REVIEWS, now);
        let wait = bucket.wait(REVIEWS);
        if wait > LONGEST_QUEUE {
            return Err(wait);
        }
        // Turns that are given out and not due yet are below zero.
        bucket.take();
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_herd_queues_and_the_rest_is_told_when_to_come_back() {
        let gate = Gate::default();
        let now = Instant::now();
        let turns: Vec<_> = (0..1_000).map(|_| gate.review(now)).collect();
        let at_once = turns.iter().filter(|turn| **turn == Ok(Duration::ZERO)).count();
        let queued = turns.iter().filter(|turn| turn.is_ok()).count();
        assert_eq!(at_once, 50);
        assert!((195..=205).contains(&queued), "{queued}");
        let wait = turns.last().unwrap().unwrap_err();
        assert!(wait > LONGEST_QUEUE && wait < LONGEST_QUEUE + Duration::from_secs(1), "{wait:?}");
        // In the long run no more than fifty a second.
        let granted = (0..10_000_u64)
            .filter(|tenth| gate.review(now + Duration::from_millis(tenth * 10)).is_ok())
            .count();
        assert!(granted <= 100 * 50 + 200, "{granted}");
    }

    #[test]
    fn one_address_in_a_loop_leaves_the_others_their_turn_and_memory_is_bounded() {
        let gate = Gate::default();
        let now = Instant::now();
        let loud: IpAddr = "10.0.0.1".parse().unwrap();
        let granted = (0..200).filter(|_| gate.address(loud, now).is_ok()).count();
        assert_eq!(granted, 50);
        assert!(gate.address("10.0.0.2".parse().unwrap(), now).is_ok());
        assert!(gate.address("::ffff:10.0.0.1".parse().unwrap(), now).is_err(), "the same address");
        for number in 0..20_000_u32 {
            gate.address(IpAddr::from(number.to_be_bytes()), now).unwrap();
        }
        assert!(gate.addresses.lock().unwrap().len() <= MOST_ADDRESSES);
    }
}
