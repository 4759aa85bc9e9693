//! Where the application's calls lead, by address: one route for each destination in use.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::outbound::route::Route;

/// Routes that one thread remembers. Each keeps its destination subscribed, and a sidecar may have 4,096 of those.
const MOST: usize = 1024;
/// How long a route that nobody uses is remembered.
const UNUSED: Duration = Duration::from_secs(60);

/// By original destination, of one data-plane thread.
#[derive(Debug, Default)]
pub(crate) struct Routes(Mutex<HashMap<SocketAddr, Known>>);

#[derive(Debug)]
struct Known {
    route: Arc<Route>,
    used: Instant,
}

impl Known {
    /// No connection uses it.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.route) == 1
    }
}

impl Routes {
    /// The route to an address; `None` for one that cannot be connected to. An application that calls ever new
    /// addresses pushes the ones out that it used longest ago.
    pub(crate) fn to(&self, destination: SocketAddr) -> Option<Arc<Route>> {
        let mut known = self.lock();
        if let Some(known) = known.get_mut(&destination) {
            known.used = Instant::now();
            return Some(Arc::clone(&known.route));
        }
        let route = Arc::new(Route::to_address(destination)?);
        if known.len() >= MOST {
            let idle = known.iter().filter(|(_, known)| known.is_idle());
            let oldest = idle.min_by_key(|(_, known)| known.used).map(|(address, _)| *address);
            oldest.map(|oldest| known.remove(&oldest));
        }
        // All are in use: it serves its connection all the same, and is forgotten with it.
        if known.len() < MOST {
            known.insert(destination, Known { route: Arc::clone(&route), used: Instant::now() });
        }
        Some(route)
    }

    /// Puts a route in place whose answer is known.
    #[cfg(test)]
    pub(crate) fn put(&self, destination: SocketAddr, route: Route) {
        self.lock().insert(destination, Known { route: Arc::new(route), used: Instant::now() });
    }

    /// Forgets routes that nobody used for a while.
    pub(crate) fn sweep(&self) {
        self.sweep_at(Instant::now());
    }

    fn sweep_at(&self, now: Instant) {
        self.lock().retain(|_, known| !known.is_idle() || now.saturating_duration_since(known.used) < UNUSED);
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
    fn routes_are_shared_bounded_and_forgotten_when_unused() {
        let routes = Routes::default();
        let address = |number: u16| SocketAddr::from(([10, 0, 0, 7], number));
        assert!(routes.to(address(0)).is_none());
        let first = routes.to(address(1)).unwrap();
        assert!(Arc::ptr_eq(&first, &routes.to(address(1)).unwrap()));
        for number in 2..=2000 {
            drop(routes.to(address(number)));
        }
        assert_eq!(routes.lock().len(), MOST);
        assert!(Arc::ptr_eq(&first, &routes.to(address(1)).unwrap()), "one in use is not pushed out");
        assert!(routes.lock().contains_key(&address(2000)) && !routes.lock().contains_key(&address(2)));
        routes.sweep_at(Instant::now() + UNUSED);
        assert_eq!(routes.lock().len(), 1);
        drop(first);
        routes.sweep_at(Instant::now() + UNUSED);
        assert!(routes.lock().is_empty());
    }
}
