//! The output half: the sidecar calls a reserved address and expects to meet itself.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bailiwick_pod::ports;
use bailiwick_runtime::ready::{Blocker, Readiness};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// How long one proof may take; both ends are in this process.
const DEADLINE: Duration = Duration::from_secs(2);
/// How often what was proven is proven again.
const AGAIN: Duration = Duration::from_secs(30);
/// How soon what was not proven is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What the prover says once, so that nobody can say it for it.
type Nonce = [u8; 16];

/// The proofs under way: what was said at one end and is waited for at the other.
///
/// INVARIANT: proven is what our own listener saw arrive by redirection. No answer over the network is believed, since
/// without the capture anybody could give it.
#[derive(Debug, Default)]
pub(crate) struct OutputProof(Mutex<HashMap<Nonce, oneshot::Sender<()>>>);

/// True if a redirected connection was going to one of the reserved addresses.
pub(crate) fn is_proof(destination: SocketAddr) -> bool {
    destination.port() == ports::OUTBOUND_PROOF
        && match destination.ip().to_canonical() {
            IpAddr::V4(address) => address == ports::OUTBOUND_PROOF_V4,
            IpAddr::V6(address) => address == ports::OUTBOUND_PROOF_V6,
        }
}

/// Takes one proof, for the outbound listener, when [`is_proof`] says so of the original destination.
pub(crate) async fn answer(mut stream: TcpStream, proof: &OutputProof) {
    let mut nonce = Nonce::default();
    // Who says something else, or nothing, has proven nothing.
    if let Ok(Ok(_)) = timeout(DEADLINE, stream.read_exact(&mut nonce)).await {
        proof.seen(&nonce);
    }
}

impl OutputProof {
    /// Proves once.
    async fn prove(&self, address: SocketAddr) -> bool {
        let nonce: Nonce = rand::random();
        let (seen, arrived) = oneshot::channel();
        self.lock().insert(nonce, seen);
        let exchange = async {
            let mut stream = TcpStream::connect(address).await.ok()?;
            stream.write_all(&nonce).await.ok()?;
            arrived.await.ok()
        };
        let proven = matches!(timeout(DEADLINE, exchange).await, Ok(Some(())));
        self.lock().remove(&nonce);
        proven
    }

    fn seen(&self, nonce: &Nonce) {
        if let Some(waiting) = self.lock().remove(nonce) {
            // The prover may just have given up.
            waiting.send(()).ok();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Nonce, oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One family's redirection, proven again and again; the process is not ready while it is not.
#[derive(Debug)]
pub(crate) struct Prover {
    address: SocketAddr,
    reason: &'static str,
    readiness: Readiness,
    unproven: Option<Blocker>,
    again: Duration,
}

impl Prover {
    /// For the redirection of calls of the family of `address`, one of the pod's own.
    pub(crate) fn new(address: IpAddr, readiness: &Readiness) -> Self {
        let (reserved, reason) = match address {
            IpAddr::V4(_) => (
                IpAddr::from(ports::OUTBOUND_PROOF_V4),
                "capture: outbound connections are not redirected (IPv4)",
            ),
            IpAddr::V6(_) => (
                IpAddr::from(ports::OUTBOUND_PROOF_V6),
                "capture: outbound connections are not redirected (IPv6)",
            ),
        };
        // FAIL-CLOSED: nothing is proven yet.
        let unproven = Some(readiness.block(reason));
        let address = SocketAddr::new(reserved, ports::OUTBOUND_PROOF);
        Self { address, reason, readiness: readiness.clone(), unproven, again: AGAIN }
    }

    /// Proves until the process ends.
    pub(crate) async fn run(mut self, proof: Arc<OutputProof>) {
        loop {
            // What was proven may fail once: both ends may have waited for a processor.
            let proven = proof.prove(self.address).await
                || (self.unproven.is_none() && proof.prove(self.address).await);
            match (proven, self.unproven.take()) {
                (true, Some(_)) => {
                    tracing::info!(address = %self.address, "the capture of outbound connections is in force")
                }
                (true, None) => {}
                (false, Some(still)) => self.unproven = Some(still),
                (false, None) => {
                    tracing::error!(address = %self.address, "{}", self.reason);
                    self.unproven = Some(self.readiness.block(self.reason));
                }
            }
            sleep(if proven { self.again } else { RETRY }).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn only_the_reserved_addresses_are_the_proof() {
        for (address, expected) in [
            ("192.0.2.137:15098", true),
            ("[::ffff:192.0.2.137]:15098", true),
            ("[2001:db8::89]:15098", true),
            ("192.0.2.137:15099", false),
            ("192.0.2.138:15098", false),
            ("127.0.0.1:15098", false),
        ] {
            assert_eq!(is_proof(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[tokio::test]
    async fn only_the_own_listener_proves_and_a_stranger_that_answers_does_not() {
        let proof = Arc::new(OutputProof::default());
        let own = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = own.local_addr().unwrap();
        let answering = {
            let proof = Arc::clone(&proof);
            tokio::spawn(async move { answer(own.accept().await.unwrap().0, &proof).await })
        };
        assert!(proof.prove(address).await);
        answering.await.unwrap();
        let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = stranger.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = stranger.accept().await.unwrap();
            let mut nonce = Nonce::default();
            stream.read_exact(&mut nonce).await.unwrap();
            stream.write_all(&nonce).await.unwrap();
        });
        assert!(!proof.prove(address).await);
        assert!(proof.lock().is_empty(), "nothing is remembered of what failed");
        proof.seen(&Nonce::default());
    }

    #[tokio::test]
    async fn readiness_follows_the_proof_both_ways() {
        let (readiness, starting) = Readiness::starting();
        starting.done();
        let proof = Arc::new(OutputProof::default());
        let own = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut prover = Prover::new(IpAddr::from([10, 0, 0, 7]), &readiness);
        assert_eq!(readiness.reasons(), ["capture: outbound connections are not redirected (IPv4)"]);
        prover.address = own.local_addr().unwrap();
        prover.again = Duration::from_millis(10);
        let answering = {
            let proof = Arc::clone(&proof);
            tokio::spawn(async move {
                loop {
                    answer(own.accept().await.unwrap().0, &proof).await;
                }
            })
        };
        tokio::spawn(prover.run(proof));
        timeout(DEADLINE, readiness.ready()).await.unwrap();
        answering.abort();
        timeout(3 * DEADLINE, readiness.unready()).await.unwrap();
        assert_eq!(readiness.reasons(), ["capture: outbound connections are not redirected (IPv4)"]);
    }
}
