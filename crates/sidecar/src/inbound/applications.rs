//! The application's ports that are called, where any can be: connections to each are kept while it is used.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::inbound::upstream::Upstream;

/// Ports with kept connections. Whoever calls all 65,535 must not make us remember each.
const MOST: usize = 256;
/// How long a port that nobody calls is remembered.
const UNUSED: Duration = Duration::from_secs(60);

/// By address, of one data-plane thread.
#[derive(Debug, Default)]
pub(crate) struct Applications(Mutex<HashMap<SocketAddr, Known>>);

#[derive(Debug)]
struct Known {
    upstream: Arc<Upstream>,
    used: Instant,
}

impl Applications {
    /// The way to one port of the application. Beyond the limit it is as good, but nothing is kept for the next call.
    pub(crate) fn at(&self, address: SocketAddr) -> Arc<Upstream> {
        let mut known = self.lock();
        if let Some(known) = known.get_mut(&address) {
            known.used = Instant::now();
            return Arc::clone(&known.upstream);
        }
        let upstream = Upstream::new(address);
        if known.len() < MOST {
            known.insert(address, Known { upstream: Arc::clone(&upstream), used: Instant::now() });
        }
        upstream
    }

    /// Forgets ports that nobody called for a while, and closes what was kept to them.
    pub(crate) fn sweep(&self) {
        self.sweep_at(Instant::now());
    }

    fn sweep_at(&self, now: Instant) {
        self.lock().retain(|_, known| {
            Arc::strong_count(&known.upstream) > 1 || now.saturating_duration_since(known.used) < UNUSED
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Known>> {
        // Every operation on the map is whole, also when a thread panicked beside it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_shared_while_used_and_their_number_is_bounded() {
        let applications = Applications::default();
        let address = |port: u16| SocketAddr::from(([10, 0, 0, 7], port));
        let first = applications.at(address(1));
        assert!(Arc::ptr_eq(&first, &applications.at(address(1))));
        for port in 2..=1000 {
            drop(applications.at(address(port)));
        }
        assert_eq!(applications.lock().len(), MOST);
        applications.sweep_at(Instant::now() + UNUSED);
        assert_eq!(applications.lock().len(), 1, "the first is still in use");
        drop(first);
        applications.sweep_at(Instant::now() + UNUSED);
        assert!(applications.lock().is_empty());
    }
}
