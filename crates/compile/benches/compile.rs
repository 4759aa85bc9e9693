//! Milliseconds of a whole compile, by number of policies; `cargo bench -p bailiwick-compile`.
//!
//! ```text
//! cold   a compiler that knows nothing
//! warm   the same world again: what does not change is shared with the last result
//! edit   one policy of the world is another
//! wide   each policy selects its whole namespace: every workload gets a tenth of all
//! ```
//!
//! 100 workloads in 10 namespaces; each policy has two rules, of which one binds a Role that inherits another. Times
//! are of the thread's CPU clock: the median of 9 runs.

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;

use bailiwick_compile::{
    Compiled, Compiler, ContainerPort, Decoded, FieldSpans, LabelSelector, NamespaceFacts, Object, ObjectKey,
    ObjectKind, PolicySpec, Reference, RoleSpec, RuleSpec, SourceLocation, SubjectSpec, Target, TargetKind,
    Workload, WorkloadKind, World,
};
use bailiwick_identity::{Namespace, Port};
use bailiwick_policy::{Effect, HttpPermission, Methods, Mode, PathTemplate, Permission, WorkloadKey};
use rustix::time::{ClockId, clock_gettime};

type Done<T> = Result<T, Box<dyn Error>>;

const SIZES: [usize; 3] = [100, 1_000, 10_000];
const NAMESPACES: usize = 10;
const WORKLOADS: usize = 100;
const RUNS: usize = 9;

fn main() -> Done<()> {
    println!("{:>9} {:>10} {:>10} {:>10} {:>10}", "policies", "cold ms", "warm ms", "edit ms", "wide ms");
    for policies in SIZES {
        let world = world(policies, true)?;
        let mut edited = world.clone();
        edited.policies.pop();
        edited.policies.push(policy(policies, true)?);
        let cold = median(|| Compiler::default().compile(&world));
        let mut compiler = Compiler::default();
        let warm = median(|| compiler.compile(&world));
        let mut turn = 0;
        let edit = median(|| {
            turn += 1;
            compiler.compile(if turn % 2 == 0 { &world } else { &edited })
        });
        let wide = self::world(policies, false)?;
        let wide = median(|| Compiler::default().compile(&wide));
        println!("{policies:>9} {cold:>10.2} {warm:>10.2} {edit:>10.2} {wide:>10.2}");
    }
    Ok(())
}

/// The median of the milliseconds of CPU that a compile took; its result is dropped outside of the time.
fn median(mut run: impl FnMut() -> Compiled) -> f64 {
    let mut times: Vec<i64> = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = cpu();
        let compiled = black_box(run());
        times.push(cpu() - start);
        drop(compiled);
    }
    times.sort_unstable();
    let middle = times.get(RUNS / 2).copied().unwrap_or_default();
    std::time::Duration::from_nanos(middle.unsigned_abs()).as_secs_f64() * 1_000.0
}

/// Nanoseconds of CPU that this thread has used.
fn cpu() -> i64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

fn world(policies: usize, targeted: bool) -> Done<World> {
    let mut world = World::default();
    for number in 0..NAMESPACES {
        let facts = NamespaceFacts { always_enrolled: true, ..NamespaceFacts::default() };
        world.namespaces.insert(namespace(number)?, facts);
        world.roles.push(role(number, "reader", &["health"], "/read")?);
        world.roles.push(role(number, "health", &[], "/health")?);
    }
    for number in 0..WORKLOADS {
        let key = WorkloadKey { namespace: namespace(number)?, name: format!("app-{number}").parse()? };
        let workload = Workload {
            kind: WorkloadKind::Deployment,
            labels: BTreeMap::from([
                ("app".to_owned(), key.name.to_string()),
                ("tier".to_owned(), "web".to_owned()),
            ]),
            service_account: format!("app-{number}").parse()?,
            ports: vec![ContainerPort { name: Some("http".to_owned()), port: Port::try_from(8080_u16)? }],
            opaque_ports: Default::default(),
            location: SourceLocation::nowhere("bench"),
        };
        world.workloads.insert(key, workload);
    }
    for number in 0..policies {
        world.policies.push(policy(number, targeted)?);
    }
    Ok(world)
}

fn namespace(number: usize) -> Done<Namespace> {
    Ok(format!("namespace-{}", number % NAMESPACES).parse()?)
}

fn object<S>(kind: ObjectKind, number: usize, name: String, spec: S) -> Done<Object<S>> {
    Ok(Object {
        key: ObjectKey { kind, namespace: namespace(number)?.to_string(), name },
        generation: 1,
        location: SourceLocation::nowhere("bench"),
        fields: FieldSpans::default(),
        spec: Decoded::Valid(spec),
    })
}

fn reference(name: &str) -> Reference {
    Reference { namespace: None, name: name.to_owned() }
}

fn get(path: &str) -> Done<Permission> {
    let methods = Methods::Of(vec!["GET".into(), "HEAD".into()]);
    Ok(Permission::Http(HttpPermission { methods, paths: vec![PathTemplate::parse(path)?], hosts: None }))
}

fn role(number: usize, name: &str, inherits: &[&str], path: &str) -> Done<Object<RoleSpec>> {
    let inherits = inherits.iter().map(|name| reference(name)).collect();
    let spec = RoleSpec { inherits, permissions: vec![get(path)?, get(&format!("{path}/{{id}}"))?] };
    object(ObjectKind::Role, number, name.to_owned(), spec)
}

fn policy(number: usize, targeted: bool) -> Done<Object<PolicySpec>> {
    let app = format!("app-{}", number % WORKLOADS);
    let selector =
        LabelSelector { labels: BTreeMap::from([("app".to_owned(), app)]), expressions: Vec::new() };
    let target = Target { kind: TargetKind::Pod(selector), ports: Some(vec![Port::try_from(8080_u16)?]) };
    let rule = |name: &str, roles: Vec<Reference>, permissions| -> Done<RuleSpec> {
        let service_account = Some((None, format!("caller-{number}").parse()?));
        Ok(RuleSpec {
            name: name.to_owned(),
            effect: Effect::Allow,
            subjects: vec![SubjectSpec { service_account, ..SubjectSpec::default() }],
            except_subjects: Vec::new(),
            roles,
            permissions,
            not_before: None,
            not_after: None,
            message: None,
        })
    };
    let rules = vec![
        rule("roles", vec![reference("reader")], Vec::new())?,
        rule("own", Vec::new(), vec![get(&format!("/api/v1/resource-{number}/{{id}}"))?])?,
    ];
    let spec = PolicySpec { targets: targeted.then(|| vec![target]), mode: Mode::Enforce, rules };
    object(ObjectKind::Policy, number, format!("policy-{number}"), spec)
}
