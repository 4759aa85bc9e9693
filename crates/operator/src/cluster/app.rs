//! The operator of a cluster: reflectors, the thread that compiles, and the same listeners as of a folder.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bailiwick_ca::bundle_pem;
use bailiwick_compile::Compiler;
use bailiwick_runtime::accept::{Acceptor, ReusePort, listen};
use bailiwick_runtime::admin::Admin;
use bailiwick_runtime::drain::Drain;
use bailiwick_runtime::metrics::Metrics;
use bailiwick_runtime::ready::{Blocker, Readiness};
use bailiwick_wire::Digest;
use kube::Client;

use super::bundles::Leads;
use super::context::ClusterContext;
use super::destinations::ClusterDirectory;
use super::events::Events;
use super::facts::Keep;
use super::identity::Reviewer;
use super::injection::Injection;
use super::marks::ClusterMarks;
use super::reporting::Reporting;
use super::source::ClusterSource;
use super::stores::{Store, Stores};
use super::{authority, bundles, catch_up, epoch, uninjected, watch, webhook};
use crate::app::{Running, serve_admin};
use crate::config::{ClusterSettings, Config};
use crate::control::{Control, Places, Worker};
use crate::destinations::Directory;
use crate::identity::Prover;
use crate::marks::Marks;
use crate::pipeline::Pipeline;

/// Between two lines about what is still waited for.
const WAITING: Duration = Duration::from_secs(10);

/// Connects, reads everything, publishes for the first time, and serves. It waits for the cluster for as long as it
/// takes, not ready and saying why.
pub(crate) async fn start(config: &Config, settings: &ClusterSettings) -> anyhow::Result<Running> {
    let (readiness, starting) = Readiness::starting();
    let metrics = Metrics::new("bailiwick_operator");
    metrics.build_info(env!("CARGO_PKG_VERSION"));
    let drain = Drain::new();
    let probes = Admin::new(readiness.clone(), metrics.clone()).bind(&settings.probes)?;
    // Until the process ends: the kubelet asks while it drains, too.
    let probes = serve_admin(probes, ());
    let context = context(settings, &readiness, &drain).await?;
    follow(&context);
    let root = authority::open(&context, settings.ca_secret.as_str()).await?;
    let control = Control::open(root, context.namespace.as_str(), metrics, readiness.clone())?;
    let injection = Injection::follow(&context);
    let reporting = Reporting::new(&context, &control, injection.clone());
    let view = reporting.view(&control);
    let bound = control.bind(config, move || view.to_json())?;
    let events = admission(settings, &context, &control, (&injection, reporting.leads()))?;
    let places = bound.places()?;
    let admin = serve_admin(bound.admin, probes);
    synced(&context).await;
    let directory = Arc::new(ClusterDirectory::new(&context));
    let worker = compile(&context, &control, Arc::clone(&directory)).await?;
    reporting.start(settings, (&control, &events), &drain)?;
    let reviewer = Reviewer::new(&context, injection, events, settings.check_pod_address);
    let reviewer = Prover::Cluster(Arc::new(reviewer));
    let proofs = (reviewer, Directory::Cluster(directory));
    control.serve(bound.identity, bound.configuration, proofs, &drain);
    tokio::spawn(catch_up::run(context, Arc::clone(&control.outlets.publisher)));
    starting.done();
    let Places { identity, configuration, admin: address } = places;
    tracing::info!(%identity, %configuration, admin = %address, "serving");
    Ok(Running::new(drain, readiness, worker, admin, places))
}

/// Starts what gives pods their sidecar and its first trust: the webhooks and the bundles. They wait for no reflector:
/// whoever has just started the cluster again needs them first.
fn admission(
    settings: &ClusterSettings,
    context: &ClusterContext,
    control: &Control,
    (injection, leader): (&Injection, Leads),
) -> anyhow::Result<Events> {
    let dropped = control.metrics.counter("events_dropped", "Kubernetes Events that were not written");
    let events = Events::start(context, dropped);
    // Each write is idempotent and made only where something differs.
    let leads: Leads = Arc::new(|| true);
    let roots = settings.webhook_client_roots.as_ref().map(std::fs::read).transpose();
    let roots = roots.context("the roots of the webhooks' callers cannot be read")?;
    let acceptor = Acceptor::new(listen(settings.webhook_listen, ReusePort::No)?);
    let endpoint = (acceptor, roots.as_deref());
    webhook::start(context, endpoint, injection.clone(), &control.metrics, (&leads, &events))?;
    let secret = settings.ca_secret.to_string();
    let root = Arc::clone(&control.authority);
    let bundle = bundle_pem(&root.bundle());
    tokio::spawn(authority::watch(context.clone(), secret, root, events.clone()));
    tokio::spawn(bundles::keep(context.clone(), bundle, leads, events.clone()));
    let gauge =
        control.metrics.gauge("pods_not_injected", "Pods of enrolled namespaces that have no sidecar");
    let told = (events.clone(), gauge);
    tokio::spawn(uninjected::watch(context.clone(), injection.clone(), leader, told));
    Ok(events)
}

async fn context(
    settings: &ClusterSettings,
    readiness: &Readiness,
    drain: &Drain,
) -> anyhow::Result<ClusterContext> {
    let client =
        Client::try_default().await.context("the API server's address and credentials are not known")?;
    Ok(ClusterContext {
        client,
        namespace: settings.namespace.clone(),
        pod_name: Arc::from(settings.pod_name.as_str()),
        pod_ip: settings.pod_ip,
        trust_domain: settings.trust_domain.clone(),
        stores: Arc::new(Stores::new()),
        readiness: readiness.clone(),
        drain: drain.watch(),
    })
}

/// Starts every reflector.
fn follow(context: &ClusterContext) {
    fn one<T: Keep>(context: &ClusterContext, store: &Arc<Store<T>>) {
        tokio::spawn(watch::follow(context.client.clone(), Arc::clone(store), context.drain.clone()));
    }
    let stores = &context.stores;
    one(context, &stores.pods);
    one(context, &stores.namespaces);
    one(context, &stores.services);
    one(context, &stores.slices);
    one(context, &stores.nodes);
    stores.objects().for_each(|(_, store)| one(context, store));
}

/// Waits until every kind was listed. Readiness says what is missing.
async fn synced(context: &ClusterContext) {
    let mut changes = context.stores.subscribe();
    let mut waiting: Option<Blocker> = None;
    let mut told = Instant::now();
    loop {
        let missing = context.stores.unsynced();
        if missing.is_empty() {
            return;
        }
        let problems = context.stores.problems();
        let why = if problems.is_empty() { String::new() } else { format!(" ({})", problems.join("; ")) };
        let reason = format!("not read yet: {}{why}", missing.join(", "));
        if told.elapsed() >= WAITING {
            tracing::warn!("{reason}");
            told = Instant::now();
        }
        // The new reason first: there is no moment without one.
        let blocker = context.readiness.block(reason);
        drop(waiting.replace(blocker));
        drop(tokio::time::timeout(WAITING, changes.changed()).await);
    }
}

/// Publishes for the first time, and starts the thread that does it again whenever something changes.
async fn compile(
    context: &ClusterContext,
    control: &Control,
    directory: Arc<ClusterDirectory>,
) -> anyhow::Result<Worker> {
    let outlets = control.outlets.clone();
    let root = Digest::of(control.authority.root_der()).to_string();
    let marks = Marks::Cluster(ClusterMarks::new(epoch::settle(context, &root).await?));
    let domain = control.authority.trust_domain().clone();
    let pipeline = Pipeline::new(Compiler::default(), marks, domain, outlets.clone());
    let stores = Arc::clone(&context.stores);
    let limits = Arc::clone(&control.limits);
    let mut source = ClusterSource::new(stores, (pipeline, outlets), limits, directory);
    let first = tokio::task::spawn_blocking(move || {
        source.publish(Instant::now());
        source
    });
    let source = first.await.context("the first compile did not end")?;
    let runtime = tokio::runtime::Handle::current();
    Ok(Worker::spawn(move |stopped| source.run(stopped, &runtime))?)
}
