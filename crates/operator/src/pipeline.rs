//! A world becomes a publication: compile, encode, compare by digest, and publish what changed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use bailiwick_compile::{
    Code, Compiled, Compiler, Diagnostic, ObjectKey, ObjectKind, ObjectOutcome, Severity, WorkloadConfig,
    World, codes,
};
use bailiwick_identity::{MtlsMode, Port, SpiffeId, TrustDomain};
use bailiwick_inputs::codes as inputs;
use bailiwick_policy::{Layer, Origin, WorkloadKey};
use bailiwick_wire::{ChunkCache, Configuration, Encoded, Endpoint, Position, Transport, encode};

use crate::addresses::Addresses;
use crate::destinations::DestinationTable;
use crate::marks::Marks;
use crate::metrics::OperatorMetrics;
use crate::publish::{Mesh, Publication, Published, Publisher, changed};

use crate::state::StateFolderError;
use crate::status::{self, ObjectRecord, StatusBoard, Verdict};

/// Messages about what is sound and not built yet.
const NOT_YET_SUPPORTED: [Code; 2] = [inputs::NOT_YET_SUPPORTED, codes::UNSUPPORTED_KIND];

/// Everything that a publication is made of.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) world: World,
    /// What reading the folder came to, beside the compile's own messages.
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) addresses: Addresses,
    /// The revisions that the world was read at, by kind; a folder has none.
    pub(crate) seen: BTreeMap<String, u64>,
    /// Workloads that are there and get no snapshot: their pods have no sidecar and are to have none.
    pub(crate) unserved: BTreeSet<WorkloadKey>,
    /// `metadata.uid` of the objects, where the source has them.
    pub(crate) uids: BTreeMap<ObjectKey, String>,
}

/// Where publications go.
#[derive(Debug, Clone)]
pub(crate) struct Outlets {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) status: Arc<StatusBoard>,
    pub(crate) metrics: OperatorMetrics,
}

/// What a run came to, beside what is published.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Every message, once each.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// What each workload enforces, those without a sidecar too.
    #[cfg(feature = "cluster")]
    pub(crate) workloads: BTreeMap<WorkloadKey, Arc<WorkloadConfig>>,
}

/// The one writer of publications.
#[derive(Debug)]
pub(crate) struct Pipeline {
    compiler: Compiler,
    cache: ChunkCache,
    marks: Marks,
    /// The domain that our root vouches for.
    root_domain: TrustDomain,
    outlets: Outlets,
}

impl Pipeline {
    pub(crate) fn new(compiler: Compiler, marks: Marks, root_domain: TrustDomain, outlets: Outlets) -> Self {
        Self { compiler, cache: ChunkCache::default(), marks, root_domain, outlets }
    }

    /// Publishes what an input comes to. `started` is when the change was seen.
    ///
    /// Nothing is published when the mark cannot be written: the caller tries again, and the last good state stays.
    pub(crate) fn run(&mut self, input: &Input, started: Instant) -> Result<Outcome, StateFolderError> {
        let compiling = Instant::now();
        let compiled = self.compiler.compile(&input.world);
        let before = self.outlets.publisher.current();
        let mut encoded = self.encode(&compiled, &input.unserved);
        self.cache.sweep();
        self.outlets.metrics.compile_seconds.observe(compiling.elapsed().as_secs_f64());
        let replaced: BTreeSet<Origin> =
            encoded.values().flat_map(|(_, encoded)| encoded.replaced().iter().cloned()).collect();
        let mut workloads = BTreeMap::new();
        for (key, published) in &before.workloads {
            let same = |(config, encoded): &(Arc<WorkloadConfig>, Encoded)| {
                encoded.id() == published.encoded.id() && config.identity == published.identity
            };
            if encoded.get(key).is_some_and(same) {
                encoded.remove(key);
                workloads.insert(key.clone(), Arc::clone(published));
            }
        }
        // INVARIANT: the mark is on disk before anybody sees what carries it.
        let stays = |key| compiled.workloads.contains_key(key) && !input.unserved.contains(key);
        let removed = before.workloads.keys().any(|key| !stays(key));
        let (mut position, mut version) = (self.marks.confirm(&input.seen), None);
        if !encoded.is_empty() || removed {
            let advanced = self.marks.advance(&input.seen)?;
            for (key, (config, encoded)) in encoded {
                let identity = config.identity.clone();
                let published = Published { identity, encoded, position: advanced.clone() };
                workloads.insert(key, Arc::new(published));
            }
            version = Some(advanced.version);
            position = Some(advanced);
        }
        let position = position.unwrap_or_else(|| before.position.clone());
        let diagnostics = all_diagnostics(&input.diagnostics, &compiled.diagnostics);
        self.publish(
            &compiled,
            input,
            Ready {
                workloads,
                version,
                position,
                replaced,
                started,
                before: &before,
                diagnostics: &diagnostics,
            },
        );
        Ok(Outcome {
            diagnostics,
            #[cfg(feature = "cluster")]
            workloads: compiled.workloads,
        })
    }

    /// The world is as it was, at later revisions: so is every snapshot.
    #[cfg(feature = "cluster")]
    pub(crate) fn confirm(&self, seen: &BTreeMap<String, u64>) {
        let publisher = &self.outlets.publisher;
        if let Some(position) = self.marks.confirm(seen) {
            publisher.confirm(position);
        }
    }

    fn encode(
        &mut self,
        compiled: &Compiled,
        unserved: &BTreeSet<WorkloadKey>,
    ) -> BTreeMap<WorkloadKey, (Arc<WorkloadConfig>, Encoded)> {
        let mut all = BTreeMap::new();
        for (key, config) in compiled.workloads.iter().filter(|(key, _)| !unserved.contains(key)) {
            let configuration = Configuration {
                snapshot: config.snapshot.clone(),
                trust: config.trust.clone(),
                protocols: config.protocols.clone(),
            };
            all.insert(key.clone(), (Arc::clone(config), encode(&configuration, &mut self.cache)));
        }
        all
    }

    fn publish(&self, compiled: &Compiled, input: &Input, ready: Ready<'_>) {
        let concerned = changed(&ready.before.workloads, &ready.workloads);
        let mesh = self.mesh(compiled);
        let Outlets { publisher, status, metrics } = &self.outlets;
        let errors =
            ready.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
        metrics.source_problems.set(i64::try_from(errors).unwrap_or(i64::MAX));
        metrics.snapshots_published.inc_by(u64::try_from(concerned.len()).unwrap_or(u64::MAX));
        // Before the sidecars hear of it, so that no acknowledgement comes too early to be counted.
        let report = status::Compiled {
            mesh: mesh.clone(),
            objects: compiled
                .objects
                .iter()
                .map(|(key, outcome)| record(key, outcome, (&ready.replaced, &input.uids)))
                .collect(),
            workloads: ready.workloads.clone(),
            diagnostics: ready.diagnostics.iter().map(one_line).collect(),
        };
        status.compiled(report, ready.version, &concerned, ready.started);
        let destinations = Arc::new(destinations(compiled, &input.addresses));
        publisher.publish(Publication {
            mesh,
            position: ready.position,
            workloads: ready.workloads,
            destinations,
        });
        if let Some(version) = ready.version {
            tracing::info!(version, workloads = concerned.len(), "published");
        }
    }

    fn mesh(&self, compiled: &Compiled) -> Mesh {
        let settings = &compiled.mesh;
        // FAIL-CLOSED: our root vouches for one domain; a certificate of another would be believed by nobody.
        let issues_nothing = if !settings.issues {
            Some("the mesh's own TrustDomain is invalid, or there is more than one".to_owned())
        } else if settings.trust_domain != self.root_domain {
            Some(format!(
                "the own trust domain is now `{}`, but the root is of `{}`; give the operator a root of that domain and restart it",
                settings.trust_domain, self.root_domain
            ))
        } else {
            None
        };
        Mesh {
            trust_domain: settings.trust_domain.clone(),
            issues_nothing,
            leaf_lifetime: settings.leaf_lifetime,
        }
    }
}

/// What is about to be published.
struct Ready<'a> {
    workloads: BTreeMap<WorkloadKey, Arc<Published>>,
    version: Option<u64>,
    position: Position,
    replaced: BTreeSet<Origin>,
    started: Instant,
    before: &'a Publication,
    diagnostics: &'a [Diagnostic],
}

fn all_diagnostics(read: &[Diagnostic], compiled: &[Diagnostic]) -> Vec<Diagnostic> {
    let mut all = compiled.to_vec();
    // A cluster's pods can have thousands of messages: whether one is there already is looked up.
    let key = |one: &Diagnostic| (one_line(one), one.location.span, Arc::clone(&one.location.file));
    let mut known: HashSet<_> = compiled.iter().map(key).collect();
    all.extend(read.iter().filter(|one| known.insert(key(one))).cloned());
    all
}

/// `BW0123 error: Policy shop/orders: spec.rules[0]: message`.
pub(crate) fn one_line(diagnostic: &Diagnostic) -> String {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let object = diagnostic.object.as_ref().map(|object| format!("{object}: ")).unwrap_or_default();
    let field = diagnostic.field.as_str();
    let joint = if field.is_empty() { "" } else { ": " };
    format!("{} {severity}: {object}{field}{joint}{}", diagnostic.code, diagnostic.message)
}

fn record(
    key: &ObjectKey,
    outcome: &ObjectOutcome,
    (replaced, uids): (&BTreeSet<Origin>, &BTreeMap<ObjectKey, String>),
) -> ObjectRecord {
    let too_large = replaced.iter().any(|origin| {
        let kind = match origin.layer {
            Layer::Cluster => ObjectKind::ClusterPolicy,
            Layer::Namespace => ObjectKind::Policy,
        };
        kind == key.kind && *origin.namespace == *key.namespace && *origin.name == *key.name
    });
    let accepted = if too_large {
        let message =
            "the compiled object is too large to be sent, so it denies all that it selects; split it"
                .to_owned();
        Verdict::Fails { reason: "TooLarge".to_owned(), message }
    } else {
        verdict(&outcome.accepted, "Invalid")
    };
    ObjectRecord {
        key: key.clone(),
        uid: uids.get(key).cloned().unwrap_or_default(),
        generation: outcome.generation,
        accepted,
        resolved: verdict(&outcome.resolved_refs, "RefNotFound"),
        audit: outcome.audit,
        workloads: outcome.targeted.iter().cloned().collect(),
        depends_on: outcome.depends_on.clone(),
    }
}

fn verdict(outcome: &Result<(), Vec<Diagnostic>>, reason: &str) -> Verdict {
    match outcome {
        Ok(()) => Verdict::Holds,
        Err(problems) => {
            let code = problems.first().map(|problem| problem.code);
            let reason = if code.is_some_and(|code| NOT_YET_SUPPORTED.contains(&code)) {
                "NotYetSupported"
            } else {
                reason
            };
            let sentence = |problem: &Diagnostic| match &problem.help {
                Some(help) => format!("{} ({help})", one_line(problem)),
                None => one_line(problem),
            };
            let message = problems.iter().map(sentence).collect::<Vec<_>>().join("; ");
            Verdict::Fails { reason: reason.to_owned(), message }
        }
    }
}

/// How a port of a workload is called: by mesh mTLS, save where its own Authentication turned that off.
fn transport(compiled: &Compiled, workload: &WorkloadKey, port: Port, identity: &SpiffeId) -> Transport {
    let config = compiled.workloads.get(workload);
    if config.is_some_and(|config| config.trust.port(port).mode == MtlsMode::Disabled) {
        Transport::AsSent
    } else {
        Transport::Mesh(identity.clone())
    }
}

/// Where Services lead on this machine: through the sidecar of each workload behind them.
fn destinations(compiled: &Compiled, addresses: &Addresses) -> DestinationTable {
    let mut table = DestinationTable::default();
    for ((namespace, name), routes) in &compiled.routes {
        for route in routes {
            let mut endpoints = Vec::new();
            for backend in &route.backends {
                let transport = transport(compiled, &backend.workload, backend.port, &backend.identity);
                for address in addresses.of(&backend.workload, backend.port) {
                    endpoints.push(Endpoint {
                        address: *address,
                        transport: transport.clone(),
                        protocol: backend.protocol,
                        workload: Some(backend.workload.clone()),
                    });
                }
            }
            table.services.insert((namespace.clone(), name.clone(), route.port), endpoints);
        }
    }
    for (workload, port, address) in addresses.iter() {
        let Some(config) = compiled.workloads.get(workload) else { continue };
        let protocol = config.protocols.get(&port).copied();
        let endpoint = Endpoint {
            address,
            transport: transport(compiled, workload, port, &config.identity),
            protocol: protocol.unwrap_or(bailiwick_policy::PortProtocol::Undeclared),
            workload: Some(workload.clone()),
        };
        table.addresses.insert(address, endpoint);
    }
    table
}
