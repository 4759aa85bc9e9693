//! Nanoseconds and allocations of a decision, by number of rules; `cargo bench -p bailiwick-policy`.
//!
//! ```text
//! exact      one caller, each rule another literal path
//! template   one caller, each rule another path with a variable
//! caller     one path, each rule another caller
//! ```
//!
//! Each rule stands in a Policy of its own. Calls take turns over 1,024 paths, so that caches see something like
//! traffic. Times are of the thread's CPU clock: the median of 31 batches.

#[path = "../tests/reference/subject.rs"]
mod subject;

use std::error::Error;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use bailiwick_identity::{Port, Subject};
use bailiwick_policy::{
    Binding, Body, BoundObject, Call, CanonicalPath, Effect, HttpCall, HttpPermission, Layer, Methods, Mode,
    Origin, PathTemplate, Permission, PolicyObject, PortSelection, RequestAttributes, RequestTarget, Rule,
    Snapshot, SnapshotId, SnapshotParts, SubjectEntry, Timestamp, WorkloadKey, authorize,
};
use rustix::time::{ClockId, clock_gettime};

type Done<T> = Result<T, Box<dyn Error>>;

const SIZES: [u32; 3] = [10, 1_000, 10_000];
const BATCHES: usize = 31;
const PATHS: u32 = 1_024;

#[derive(Clone, Copy)]
enum Workload {
    Exact,
    Template,
    Caller,
}

impl Workload {
    const ALL: [Self; 3] = [Self::Exact, Self::Template, Self::Caller];

    const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Template => "template",
            Self::Caller => "caller",
        }
    }

    fn template(self, number: u32) -> String {
        match self {
            Self::Exact => format!("/api/v1/resource-{number}/items"),
            Self::Template => format!("/api/v1/resource-{number}/{{id}}"),
            Self::Caller => "/api/v1/resource/items".to_owned(),
        }
    }

    fn account(self, number: u32) -> String {
        match self {
            Self::Exact | Self::Template => "web".to_owned(),
            Self::Caller => format!("caller-{number}"),
        }
    }

    /// A path that a rule matches, or that none does.
    fn path(self, rules: u32, turn: u32, allowed: bool) -> String {
        // A step that has no factor in common with the sizes visits rules far apart.
        let number = turn.wrapping_mul(7_919) % rules;
        let tail = if allowed { "" } else { "/none" };
        match self {
            Self::Exact => format!("/api/v1/resource-{number}/items{tail}"),
            Self::Template => format!("/api/v1/resource-{number}/id-{turn}{tail}"),
            Self::Caller => format!("/api/v1/resource/items{tail}"),
        }
    }

    fn parts(self, rules: u32) -> Done<SnapshotParts> {
        let objects = (0..rules).map(|number| self.object(number)).collect::<Done<Vec<_>>>()?;
        Ok(SnapshotParts {
            workload: WorkloadKey { namespace: "shop".parse()?, name: "orders".parse()? },
            trust_domain: "cluster.local".parse()?,
            authorization_audit: false,
            objects,
        })
    }

    fn object(self, number: u32) -> Done<BoundObject> {
        let subject = SubjectEntry {
            service_account: Some(("shop".parse()?, self.account(number).parse()?)),
            ..SubjectEntry::default()
        };
        let permission = Permission::Http(HttpPermission {
            methods: Methods::Of(vec![Arc::from("GET"), Arc::from("HEAD")]),
            paths: vec![PathTemplate::parse(&self.template(number))?],
            hosts: None,
        });
        let rule = Rule {
            name: Arc::from("rule"),
            effect: Effect::Allow,
            subjects: vec![subject],
            except_subjects: Vec::new(),
            permissions: vec![permission],
            not_before: None,
            not_after: None,
            message: None,
        };
        let name = Arc::from(format!("policy-{number}"));
        let origin = Origin { layer: Layer::Namespace, namespace: Arc::from("shop"), name };
        let object =
            PolicyObject { origin, generation: 1, mode: Mode::Enforce, body: Body::Rules(vec![rule]) };
        Ok(BoundObject { object: Arc::new(object), ports: PortSelection::All })
    }
}

/// Nanoseconds of CPU that this thread has used.
fn cpu() -> i64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// The median of the nanoseconds that one run took, in tenths; about two milliseconds to a batch.
fn median(mut run: impl FnMut()) -> i64 {
    let mut batch = |count: i64| {
        let start = cpu();
        for _ in 0..count {
            run();
        }
        cpu() - start
    };
    let count = (2_000_000 / batch(1).max(1)).clamp(1, 20_000);
    let mut batches: Vec<i64> = (0..BATCHES).map(|_| batch(count) * 10 / count).collect();
    batches.sort_unstable();
    batches.get(BATCHES / 2).copied().unwrap_or_default()
}

/// The time of one decision over all paths, and the allocations of one round.
fn decisions(paths: &[CanonicalPath<'_>], decide: impl Fn(&RequestAttributes<'_>)) -> Done<(i64, u64)> {
    let source: SocketAddr = "10.0.0.1:40000".parse()?;
    let port = Port::try_from(8080_u16)?;
    let attributes: Vec<RequestAttributes<'_>> = paths
        .iter()
        .map(|path| {
            let target = RequestTarget::Path(path);
            let call = Call::Http(HttpCall { method: "GET", target, host: "orders.shop", grpc: false });
            RequestAttributes { source, port, now: Timestamp(0), call }
        })
        .collect();
    let round = || attributes.iter().for_each(|attributes| decide(black_box(attributes)));
    let allocated = allocation_counter::measure(round).count_total;
    let each = median(round) / i64::try_from(attributes.len())?;
    Ok((each, allocated))
}

fn row(name: &str, rules: u32, (tenths, allocated): (i64, u64)) {
    println!("| {name} | {rules} | {}.{} | {allocated} |", tenths / 10, tenths % 10);
}

fn workload(workload: Workload, rules: u32) -> Done<()> {
    let parts = workload.parts(rules)?;
    let snapshot = Arc::new(Snapshot::build(SnapshotId::LOCAL, parts)?);
    let who = subject::peer(&format!("spiffe://cluster.local/ns/shop/sa/{}", workload.account(rules / 2)))?;
    let source: SocketAddr = "10.0.0.1:40000".parse()?;
    let binding: Binding = snapshot.bind(&who, source.ip());
    for allowed in [true, false] {
        let texts: Vec<String> = (0..PATHS).map(|turn| workload.path(rules, turn, allowed)).collect();
        let paths = texts.iter().map(|text| CanonicalPath::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let word = if allowed { "allow" } else { "default" };
        let measured = decisions(&paths, |attributes| {
            let decision = binding.authorize(attributes);
            assert_eq!(decision.is_permit(), allowed);
        })?;
        row(&format!("{}, {word}", workload.name()), rules, measured);
    }
    let texts: Vec<String> = (0..PATHS).map(|turn| workload.path(rules, turn, true)).collect();
    let paths = texts.iter().map(|text| CanonicalPath::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let measured = decisions(&paths, |attributes| drop(black_box(authorize(&snapshot, &who, attributes))))?;
    row(&format!("{}, allow, not bound", workload.name()), rules, measured);
    let allocated =
        allocation_counter::measure(|| drop(black_box(snapshot.bind(&who, source.ip())))).count_total;
    let bound = median(|| drop(black_box(snapshot.bind(&who, source.ip()))));
    row(&format!("{}, bind a connection", workload.name()), rules, (bound, allocated));
    Ok(())
}

fn other() -> Done<()> {
    let nobody: Subject = subject::anonymous();
    let snapshot = Arc::new(Snapshot::build(SnapshotId::LOCAL, Workload::Template.parts(10_000)?)?);
    let path = CanonicalPath::parse("/api/v1/resource-7/id-7")?;
    let binding = snapshot.bind(&nobody, "10.0.0.1".parse()?);
    let measured = decisions(&[path], |attributes| drop(black_box(binding.authorize(attributes))))?;
    row("template, default, nobody", 10_000, measured);
    let canonical = median(|| drop(black_box(CanonicalPath::parse(black_box("/api/v1/resource-7/id-7")))));
    println!("\ncanonical path of 23 bytes: {}.{} ns", canonical / 10, canonical % 10);
    for workload in Workload::ALL {
        let parts = workload.parts(10_000)?;
        let built = median(|| drop(black_box(Snapshot::build(SnapshotId::LOCAL, parts.clone()))));
        let copied = median(|| drop(black_box(parts.clone())));
        let heap = allocation_counter::measure(|| {
            let built = black_box(Snapshot::build(SnapshotId::LOCAL, parts.clone()));
            std::mem::forget(built);
        });
        println!(
            "Snapshot::build, {}, 10,000 rules: {} us, {} bytes a rule besides the objects",
            workload.name(),
            (built - copied) / 10_000,
            heap.bytes_current / 10_000,
        );
    }
    Ok(())
}

fn main() -> Done<()> {
    println!("| workload | rules | ns | allocations in 1,024 (bind: in one) |\n|---|---|---|---|");
    for kind in Workload::ALL {
        for rules in SIZES {
            workload(kind, rules)?;
        }
    }
    other()
}
