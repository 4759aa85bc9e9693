//! Two replicas over real sockets and real TLS.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bailiwick_authn::{ClientTls, CredentialStore};
use bailiwick_ca::Authority;
use bailiwick_policy::SnapshotId;
use bailiwick_runtime::accept::{Acceptor, ReusePort, listen};
use bailiwick_runtime::drain::Drain;
use bailiwick_runtime::metrics::Metrics;
use bailiwick_runtime::ready::Readiness;
use tokio::sync::watch;
use tokio::time::timeout;

use super::teller::{FindLeader, TellError};
use super::*;
use crate::cluster::fleet::{Fleet, Origin};
use crate::cluster::lease::Leadership;
use crate::control::Control;
use crate::own_certificate;
use crate::reports::Denials;
use crate::serve::Services;
use crate::status::{Happened, Observer as _, SidecarFacts, SidecarKey};
use crate::testing::{identity, workload};

const SOON: Duration = Duration::from_secs(10);

struct Loopback;

impl FindLeader for Loopback {
    async fn find(&self, _: &str) -> Result<IpAddr, String> {
        Ok(Ipv4Addr::LOCALHOST.into())
    }
}

struct Leader {
    control: Control,
    fleet: Arc<Fleet>,
    leadership: watch::Sender<Leadership>,
    /// What the other replicas know of it.
    known: watch::Sender<Leadership>,
    port: u16,
    drain: Drain,
    _folder: tempfile::TempDir,
}

fn leads() -> Leadership {
    Leadership::for_test(Some("a"), Some(Duration::from_secs(1_000)))
}

fn led_by_a() -> Leadership {
    Leadership::for_test(Some("a"), None)
}

impl Leader {
    fn start(leadership: Leadership) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let domain = "cluster.local".parse().unwrap();
        let authority = Authority::open(folder.path(), &domain, SystemTime::now()).unwrap();
        let (readiness, _starting) = Readiness::starting();
        let metrics = Metrics::new("test");
        let control = Control::open(Arc::new(authority), "bailiwick-system", metrics, readiness).unwrap();
        let (fleet, drain) = (Arc::new(Fleet::new()), Drain::new());
        let (leadership, receiver) = watch::channel(leadership);
        let service = ReplicasService {
            fleet: Arc::clone(&fleet),
            denials: Arc::clone(&control.denials),
            leadership: receiver,
            own: control.id.clone(),
            drain: drain.watch(),
            streams: Default::default(),
        };
        let acceptor = Acceptor::new(listen("127.0.0.1:0".parse().unwrap(), ReusePort::No).unwrap());
        let port = acceptor.local_addr().unwrap().port();
        tokio::spawn(control.listener(Services::replicas(service), &drain).serve(acceptor));
        let known = watch::Sender::new(led_by_a());
        Self { control, fleet, leadership, known, port, drain, _folder: folder }
    }

    /// Another replica, by the certificate of an identity.
    fn teller(&self, credentials: &Arc<CredentialStore>, fleet: &Arc<Fleet>) -> Teller<Loopback> {
        Teller {
            find: Loopback,
            port: self.port,
            me: Arc::from("b"),
            own: self.control.id.clone(),
            tls: Arc::new(ClientTls::control(Arc::clone(credentials), Arc::clone(&self.control.trust))),
            fleet: Arc::clone(fleet),
            denials: Arc::new(Denials::default()),
            leadership: self.known.subscribe(),
        }
    }

    /// Waits for what is known of the one sidecar.
    async fn hears(&self, what: impl Fn(&Origin, bool, Option<SnapshotId>) -> bool) {
        let mut changes = self.fleet.subscribe();
        let heard = async {
            loop {
                let known = self.fleet.sidecars();
                let is =
                    |(_, origin, connection, _): &(_, Origin, crate::cluster::fleet::Connection, bool)| {
                        what(origin, connection.ended.is_none(), connection.progress.acknowledged)
                    };
                if known.iter().any(is) {
                    return;
                }
                changes.changed().await.unwrap();
            }
        };
        timeout(SOON, heard).await.expect("the leader hears of it");
    }
}

fn sidecar() -> SidecarKey {
    SidecarKey { workload: workload("shop/a"), instance: "uid".into() }
}

fn facts() -> SidecarFacts {
    SidecarFacts {
        version: "0.1.0".into(),
        schema_level: 1,
        identity: identity("shop/a"),
        certificate_serial: "01".into(),
        certificate_not_after: 7,
        held: None,
    }
}

#[tokio::test]
async fn the_leader_hears_of_every_sidecar_of_another_replica_and_of_its_end() {
    let leader = Leader::start(leads());
    let fleet = Arc::new(Fleet::new());
    fleet.sidecar(&sidecar(), 1, Happened::Connected(&facts()));
    let drain = Drain::new();
    let teller = leader.teller(&leader.control.credentials, &fleet);
    let task = tokio::spawn(teller.run(drain.watch()));
    let from_b = |origin: &Origin| *origin == Origin::Replica(Arc::from("b"));
    leader.hears(|origin, open, acknowledged| from_b(origin) && open && acknowledged.is_none()).await;
    let id = SnapshotId([3; 32]);
    fleet.sidecar(&sidecar(), 1, Happened::Acknowledged { id, version: 1 });
    leader.hears(|_, open, acknowledged| open && acknowledged == Some(id)).await;
    task.abort();
    leader.hears(|origin, open, acknowledged| from_b(origin) && !open && acknowledged == Some(id)).await;
    leader.drain.signal();
}

#[tokio::test]
async fn nobody_but_a_replica_is_let_in_and_nobody_but_the_leader_listens() {
    let leader = Leader::start(leads());
    let fleet = Arc::new(Fleet::new());
    fleet.sidecar(&sidecar(), 1, Happened::Connected(&facts()));
    let stranger = Arc::new(CredentialStore::default());
    own_certificate::renew(&leader.control.authority, &identity("shop/a"), &stranger).unwrap();
    let refused = |ended: Result<(), TellError>| match ended {
        Err(TellError::Ended(status)) => status.code(),
        other => panic!("{other:?}"),
    };
    let a: Arc<str> = Arc::from("a");
    let told = leader.teller(&stranger, &fleet).tell(&a).await;
    assert_eq!(refused(told), tonic::Code::PermissionDenied);
    leader.leadership.send_replace(led_by_a());
    let told = leader.teller(&leader.control.credentials, &fleet).tell(&a).await;
    assert_eq!(refused(told), tonic::Code::FailedPrecondition);
    assert!(leader.fleet.sidecars().is_empty());
    let nobody = Arc::new(CredentialStore::default());
    assert!(leader.teller(&nobody, &fleet).tell(&a).await.is_err(), "no certificate");
}

#[tokio::test]
async fn a_leader_that_is_deposed_listens_no_more() {
    let leader = Leader::start(leads());
    let fleet = Arc::new(Fleet::new());
    fleet.sidecar(&sidecar(), 1, Happened::Connected(&facts()));
    let teller = leader.teller(&leader.control.credentials, &fleet);
    let a: Arc<str> = Arc::from("a");
    let told = tokio::spawn(async move { teller.tell(&a).await });
    leader.hears(|_, open, _| open).await;
    leader.leadership.send_replace(Leadership::for_test(Some("c"), None));
    let ended = timeout(SOON, told).await.unwrap().unwrap();
    assert!(
        matches!(ended, Err(TellError::Ended(status)) if status.code() == tonic::Code::FailedPrecondition)
    );
    leader.hears(|_, open, _| !open).await;
}
