//! Asking the API server about an address that no reflector knows: a watch that lags must never mean plaintext.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;
use kube::core::params::ListParams;
use kube::core::{ObjectList, Request};
use serde_json::Value;
use tokio::sync::{Mutex as Turn, Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::cluster::catch_up::prove;
use crate::cluster::facts::{Keep as _, Pod};
use crate::cluster::stores::{Name, Reach, Stores};
use crate::destinations::Pending;

/// Less than a sidecar waits. Later is no answer, and no answer is a refusal.
const DEADLINE: Duration = Duration::from_millis(900);
/// How long "this is nobody's" is believed by the next question.
const NOBODY_HOLDS: Duration = Duration::from_secs(10);
/// How long a pod or Service that the reflectors do not know yet is believed.
const FOUND_HOLDS: Duration = Duration::from_secs(2);
/// Between two attempts where there was no answer.
const PAUSE: Duration = Duration::from_secs(1);
/// Questions to the API server at once.
const AT_ONCE: usize = 16;
/// Addresses that are asked about or remembered; more are not answered.
const MOST: usize = 8192;
/// Between two attempts to see that a reflector is current.
const STEP: Duration = Duration::from_millis(100);

/// What an address is.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// A live pod's own; the reflector does not have it yet.
    Pod(Name, Arc<Pod>),
    /// A Service's; the reflector does not have it yet.
    Service,
    /// A node's, or that of a pod in its network.
    Host,
    /// No pod's and no Service's.
    Nobody,
}

/// Asks, once for everybody who wants to know.
#[derive(Debug)]
pub(crate) struct Live {
    client: ClientBox,
    stores: Arc<Stores>,
    known: Mutex<HashMap<IpAddr, Known>>,
    turns: Semaphore,
    /// When the last proof began that the pods' store is current.
    proven: Turn<Option<Instant>>,
}

struct ClientBox(Client);

impl std::fmt::Debug for ClientBox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Client")
    }
}

#[derive(Debug)]
enum Known {
    Asked(watch::Receiver<bool>),
    Is(Verdict, Instant),
}

impl Live {
    pub(crate) fn new(client: Client, stores: Arc<Stores>) -> Self {
        Self {
            client: ClientBox(client),
            stores,
            known: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
            proven: Turn::default(),
        }
    }

    /// What an address is, if that was seen a moment ago; else what to wait for.
    pub(crate) fn ask(self: &Arc<Self>, ip: IpAddr) -> Result<Verdict, Option<Pending>> {
        let mut known = self.lock();
        match known.get(&ip) {
            Some(Known::Is(verdict, since)) if since.elapsed() < holds(verdict) => return Ok(verdict.clone()),
            Some(Known::Asked(done)) => return Err(Some(Pending(done.clone()))),
            Some(Known::Is(..)) | None => {}
        }
        if known.len() >= MOST {
            known.retain(|_, known| match known {
                Known::Asked(_) => true,
                Known::Is(verdict, since) => since.elapsed() < holds(verdict),
            });
        }
        // FAIL-CLOSED: what cannot be asked is not answered.
        if known.len() >= MOST {
            return Err(None);
        }
        let (done, wait) = watch::channel(false);
        known.insert(ip, Known::Asked(wait.clone()));
        drop(known);
        let live = Arc::clone(self);
        tokio::spawn(async move {
            let verdict = timeout(DEADLINE, live.look(ip, Instant::now())).await;
            let verdict = verdict.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            match verdict {
                Ok(verdict) => drop(live.lock().insert(ip, Known::Is(verdict, Instant::now()))),
                Err(error) => {
                    tracing::warn!(address = %ip, %error, "the API server does not say what an address is");
                    // Nobody is answered meanwhile; then it is asked again.
                    sleep(PAUSE).await;
                    live.lock().remove(&ip);
                }
            }
            done.send_replace(true);
        });
        Err(Some(Pending(wait)))
    }

    /// For a question that is to be asked again a little later.
    pub(crate) fn later() -> Pending {
        let (done, wait) = watch::channel(false);
        tokio::spawn(async move {
            sleep(FOUND_HOLDS).await;
            done.send_replace(true);
        });
        Pending(wait)
    }

    async fn look(&self, ip: IpAddr, asked: Instant) -> Result<Verdict, String> {
        let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
        if self.is_service(ip).await? {
            return Ok(Verdict::Service);
        }
        if let Some(found) = self.pod(ip).await? {
            return Ok(found);
        }
        if self.is_second_family(ip) {
            return self.by_proof(ip, asked).await;
        }
        Ok(Verdict::Nobody)
    }

    /// Every virtual address of a Service has an object of its own, named by it, in both families.
    async fn is_service(&self, ip: IpAddr) -> Result<bool, String> {
        let path = format!("/apis/networking.k8s.io/v1/ipaddresses/{ip}");
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        match self.client.0.request::<Value>(request).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Pods can be selected by their first address only.
    async fn pod(&self, ip: IpAddr) -> Result<Option<Verdict>, String> {
        let parameters = ListParams::default().fields(&format!("status.podIP={ip}"));
        let request = Request::new("/api/v1/pods").list(&parameters).map_err(|error| error.to_string())?;
        let list: ObjectList<Value> =
            self.client.0.request(request).await.map_err(|error| error.to_string())?;
        let mut found = None;
        for object in list.items {
            let Some(name) = Name::of(&object) else { continue };
            let pod = Pod::keep(object);
            if !pod.is_live() {
                continue;
            }
            if pod.host_network {
                found = found.or(Some(Verdict::Host));
            } else if !pod.terminating || found.is_none() {
                found = Some(Verdict::Pod(name, Arc::new(pod)));
            }
        }
        Ok(found)
    }

    /// True if some pod has an address of this family that is not its first one: then nobody can be asked for it.
    fn is_second_family(&self, ip: IpAddr) -> bool {
        let second = |pod: &Pod| pod.addresses.iter().skip(1).any(|known| known.is_ipv4() == ip.is_ipv4());
        self.stores.pods.list().iter().any(|(_, item)| second(&item.content))
    }

    /// Looks into our own store, once it has been seen to be as new as the question.
    async fn by_proof(&self, ip: IpAddr, asked: Instant) -> Result<Verdict, String> {
        let mut proven = self.proven.lock().await;
        while proven.is_none_or(|since| since < asked) {
            let started = Instant::now();
            let pods = Arc::clone(&self.stores.pods) as Arc<dyn Reach>;
            if prove(&self.client.0, &*pods).await? {
                *proven = Some(started);
            } else {
                sleep(STEP).await;
            }
        }
        drop(proven);
        for (name, item) in self.stores.pods.list() {
            let pod = &item.content;
            if pod.is_live() && pod.addresses.contains(&ip) {
                let own = !pod.host_network;
                return Ok(if own { Verdict::Pod(name, Arc::clone(pod)) } else { Verdict::Host });
            }
        }
        Ok(Verdict::Nobody)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn holds(verdict: &Verdict) -> Duration {
    match verdict {
        Verdict::Pod(..) | Verdict::Service => FOUND_HOLDS,
        Verdict::Host | Verdict::Nobody => NOBODY_HOLDS,
    }
}
