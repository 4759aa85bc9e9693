//! Readiness as a set of reasons why the process is not ready yet.
//!
//! Each thing that must happen first holds a [`Blocker`]; dropping it says that it has happened. Nothing can forget
//! to report (the shape of ztunnel's `readiness.rs`), and a task that panics while it owns one leaves it in place.
//! Who can fail in another way keeps the blocker outside of what may return early.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

/// The reason that a process carries from its first moment.
const STARTING: &str = "starting";

/// A shared view on whether the process is ready; cheap to clone.
#[derive(Clone, Debug)]
pub struct Readiness {
    blockers: Arc<watch::Sender<Blockers>>,
}

#[derive(Debug, Default)]
struct Blockers {
    next: u64,
    held: BTreeMap<u64, Cow<'static, str>>,
}

/// One reason for not being ready, for as long as it lives.
#[must_use = "dropping a blocker says that what it waited for has happened"]
#[derive(Debug)]
pub struct Blocker {
    number: u64,
    readiness: Readiness,
}

impl Readiness {
    /// A process that is not ready, with the blocker `starting`: drop it when every other blocker has been taken.
    // FAIL-CLOSED: there is no way to begin as ready, so a probe that comes before the first blocker gets a refusal.
    pub fn starting() -> (Self, Blocker) {
        let readiness = Self { blockers: Arc::new(watch::Sender::default()) };
        let blocker = readiness.block(STARTING);
        (readiness, blocker)
    }

    /// Adds a reason, at any time: a process that was ready is so no more. Several blockers may give the same reason.
    pub fn block(&self, reason: impl Into<Cow<'static, str>>) -> Blocker {
        let mut number = 0;
        self.blockers.send_modify(|blockers| {
            number = blockers.next;
            blockers.next += 1;
            blockers.held.insert(number, reason.into());
        });
        Blocker { number, readiness: self.clone() }
    }

    /// Why the process is not ready: each reason once, in the order in which they were given. Empty = ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<String> = Vec::new();
        for reason in self.blockers.borrow().held.values() {
            if !reasons.iter().any(|known| known == reason) {
                reasons.push(reason.to_string());
            }
        }
        reasons
    }

    /// True when no blocker is left.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.blockers.borrow().held.is_empty()
    }

    /// Waits until no blocker is left; at once if there is none.
    pub async fn ready(&self) {
        self.until(Blockers::is_ready).await;
    }

    /// Waits until some blocker is there (again); at once if there is one.
    pub async fn unready(&self) {
        self.until(|blockers| !blockers.is_ready()).await;
    }

    async fn until(&self, reached: impl FnMut(&Blockers) -> bool) {
        // `self` holds the sender, so the channel cannot close while this waits.
        drop(self.blockers.subscribe().wait_for(reached).await);
    }
}

impl Blockers {
    fn is_ready(&self) -> bool {
        self.held.is_empty()
    }
}

impl Blocker {
    /// Says that what it waited for has happened; the same as dropping it, but readable.
    pub fn done(self) {
        drop(self);
    }
}

impl Drop for Blocker {
    fn drop(&mut self) {
        // FAIL-CLOSED: unwinding past a blocker says that what it waited for did not happen.
        if std::thread::panicking() {
            return;
        }
        self.readiness.blockers.send_modify(|blockers| {
            blockers.held.remove(&self.number);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn begins_unready_and_names_each_reason_until_the_last_is_gone() {
        let (readiness, starting) = Readiness::starting();
        assert!(!readiness.is_ready());
        let certificate = readiness.block("certificate");
        let snapshot = readiness.block(format!("snapshot of {}", "shop/web"));
        starting.done();
        assert_eq!(readiness.reasons(), ["certificate", "snapshot of shop/web"]);
        drop(certificate);
        assert_eq!(readiness.reasons(), ["snapshot of shop/web"]);
        snapshot.done();
        assert!(readiness.is_ready());
        assert!(readiness.reasons().is_empty());
    }

    #[test]
    fn can_become_unready_again() {
        let (readiness, starting) = Readiness::starting();
        starting.done();
        assert!(readiness.is_ready());
        let draining = readiness.block("draining");
        assert_eq!(readiness.clone().reasons(), ["draining"]);
        drop(draining);
        assert!(readiness.is_ready());
    }

    #[test]
    fn one_of_two_equal_reasons_does_not_clear_the_other() {
        let (readiness, starting) = Readiness::starting();
        starting.done();
        let (first, second) = (readiness.block("listener"), readiness.block("listener"));
        assert_eq!(readiness.reasons(), ["listener"]);
        drop(first);
        assert!(!readiness.is_ready());
        drop(second);
        assert!(readiness.is_ready());
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_blocker_goes() {
        let (readiness, starting) = Readiness::starting();
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!waiting.is_finished());
        starting.done();
        waiting.await.unwrap();
        let unready = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.unready().await }
        });
        let _blocker = readiness.block("snapshot");
        unready.await.unwrap();
    }

    #[tokio::test]
    async fn a_task_that_panics_never_makes_the_process_ready() {
        let (readiness, starting) = Readiness::starting();
        let snapshot = readiness.block("snapshot");
        let panicked = tokio::spawn(async move {
            let _snapshot = snapshot;
            panic!("as a test");
        });
        assert!(panicked.await.is_err());
        starting.done();
        assert_eq!(readiness.reasons(), ["snapshot"]);
    }
}
