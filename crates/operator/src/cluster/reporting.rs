//! Everything that says how the mesh is: the lease, the writer of statuses, what replicas tell each other, events and
//! `/config`.

use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::ClientTls;
use bailiwick_pod::ports;
use bailiwick_runtime::accept::{Acceptor, ReusePort, listen};
use bailiwick_runtime::drain::Drain;
use kube::api::Api;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::bundles::Leads;
use super::context::{ClusterContext, OPERATOR};
use super::events::Events;
use super::fleet::Fleet;
use super::injection::Injection;
use super::lease::{Elector, KubeLease, Leadership};
use super::live::Live;
use super::notices::Notices;
use super::replicas::{KubeLeader, ReplicasService, Teller};
use super::status_writer::{KubeStatus, StatusWriter};
use super::view::View;
use crate::config::ClusterSettings;
use crate::control::Control;
use crate::metrics::ClusterMetrics;
use crate::serve::Services;

/// Between two looks at what ended a while ago.
const SWEEP: Duration = Duration::from_secs(1);
/// Conditions that fell and are not told yet.
const FALLS: usize = 256;

/// What is reported from.
pub(super) struct Reporting {
    context: ClusterContext,
    fleet: Arc<Fleet>,
    live: Live,
    elector: Elector<KubeLease>,
    leadership: watch::Receiver<Leadership>,
}

impl Reporting {
    /// Follows the board from now on: before the first compile.
    pub(super) fn new(context: &ClusterContext, control: &Control, injection: Injection) -> Self {
        let fleet = Arc::new(Fleet::new());
        let observer: Arc<Fleet> = Arc::clone(&fleet);
        control.outlets.status.observe(observer);
        let lease = KubeLease::new(context.client.clone(), context.namespace.as_str(), OPERATOR);
        let (elector, leadership) = Elector::new(lease, &context.pod_name);
        let live = Live { stores: Arc::clone(&context.stores), injection };
        Self { context: context.clone(), fleet, live, elector, leadership }
    }

    /// Says whether this replica leads now.
    pub(super) fn leads(&self) -> Leads {
        let leadership = self.leadership.clone();
        Arc::new(move || leadership.borrow().leads())
    }

    /// What `/config` answers.
    pub(super) fn view(&self, control: &Control) -> View {
        View {
            status: Arc::clone(&control.outlets.status),
            fleet: Arc::clone(&self.fleet),
            live: self.live.clone(),
            leadership: self.leadership.clone(),
            me: Arc::clone(&self.context.pod_name),
            address: self.context.pod_ip,
        }
    }

    /// Takes part in the election and does everything that follows, until the drain begins.
    pub(super) fn start(
        self,
        settings: &ClusterSettings,
        (control, events): (&Control, &Events),
        drain: &Drain,
    ) -> anyhow::Result<()> {
        let acceptor = Acceptor::new(listen(settings.replicas_listen, ReusePort::No)?);
        let port = match acceptor.local_addr()?.port() {
            0 => ports::OPERATOR_REPLICAS,
            port => port,
        };
        let Self { context, fleet, live, elector, leadership } = self;
        let service = ReplicasService {
            fleet: Arc::clone(&fleet),
            denials: Arc::clone(&control.denials),
            leadership: leadership.clone(),
            own: control.id.clone(),
            drain: drain.watch(),
            streams: Default::default(),
        };
        let listener = control.listener(Services::replicas(service), drain);
        let (fell, falls) = mpsc::channel(FALLS);
        let writer = StatusWriter {
            api: KubeStatus::new(context.client.clone()),
            shelf: live.clone(),
            cluster: live.clone(),
            fleet: Arc::clone(&fleet),
            leadership: leadership.clone(),
            fell,
        };
        let teller = Teller {
            find: KubeLeader(Api::namespaced(context.client.clone(), context.namespace.as_str())),
            port,
            me: Arc::clone(&context.pod_name),
            own: control.id.clone(),
            tls: Arc::new(ClientTls::control(Arc::clone(&control.credentials), Arc::clone(&control.trust))),
            fleet: Arc::clone(&fleet),
            denials: Arc::clone(&control.denials),
            leadership: leadership.clone(),
        };
        let notices = Notices {
            events: events.clone(),
            live,
            fleet: Arc::clone(&fleet),
            leadership,
            metrics: ClusterMetrics::register(&control.metrics),
        };
        tokio::spawn(drain.watch().hold(listener.serve(acceptor)));
        tokio::spawn(drain.watch().hold(writer.run(drain.watch())));
        tokio::spawn(drain.watch().hold(teller.run(drain.watch())));
        tokio::spawn(drain.watch().hold(notices.run(falls, drain.watch())));
        tokio::spawn(drain.watch().hold(sweep(fleet, drain.watch())));
        tokio::spawn(drain.watch().hold(elector.run(drain.watch())));
        Ok(())
    }
}

async fn sweep(fleet: Arc<Fleet>, drain: bailiwick_runtime::drain::Watch) {
    let mut tick = interval(SWEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = drain.signaled() => return,
            _ = tick.tick() => fleet.sweep(),
        }
    }
}
