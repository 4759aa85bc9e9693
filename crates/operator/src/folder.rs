//! The operator of a folder: a state on disk, one thread that reads and compiles, token files.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow};
use bailiwick_ca::{Authority, RootError, write_bundle_pem};
use bailiwick_compile::{Compiler, MeshSettings};
use bailiwick_identity::TrustDomain;
use bailiwick_runtime::drain::Drain;
use bailiwick_runtime::metrics::Metrics;
use bailiwick_runtime::ready::Readiness;
use bailiwick_wire::Digest;

use crate::app::{Running, serve_admin};
use crate::config::{Config, FolderSettings};
use crate::control::{Control, Places, Worker};
use crate::destinations::Directory;
use crate::identity::Prover;
use crate::marks::Marks;
use crate::own_certificate;
use crate::pipeline::Pipeline;
use crate::ready_file::ReadyFile;
use crate::source::{Followers, Source, Watcher};
use crate::state::StateFolder;
use crate::tokens::Tokens;

/// Opens everything, publishes for the first time, and serves.
pub(crate) fn start(config: &Config, settings: &FolderSettings) -> anyhow::Result<Running> {
    let (readiness, starting) = Readiness::starting();
    let Opened { state, control, tokens, mut watcher } = open(settings, readiness.clone())?;
    if !watcher.first() {
        return Err(anyhow!("the state folder `{}` cannot be written; see the log", state.path().display()));
    }
    let worker = Worker::spawn(move |stopped| watcher.run(stopped))?;
    let drain = Drain::new();
    let status = Arc::clone(&control.outlets.status);
    let bound = control.bind(config, move || status.to_json())?;
    let places = bound.places()?;
    let directory = Directory::Folder(Arc::clone(&control.outlets.publisher));
    control.serve(bound.identity, bound.configuration, (Prover::Files(tokens), directory), &drain);
    starting.done();
    announce(config, &state, &control, places)?;
    // The lock of the state folder is held until the very end, too.
    let admin = serve_admin(bound.admin, state);
    let Places { identity, configuration, admin: address } = places;
    tracing::info!(%identity, %configuration, admin = %address, "serving");
    Ok(Running::new(drain, readiness, worker, admin, places))
}

struct Opened {
    state: StateFolder,
    control: Control,
    tokens: Arc<Tokens>,
    watcher: Watcher,
}

fn open(settings: &FolderSettings, readiness: Readiness) -> anyhow::Result<Opened> {
    let state = StateFolder::open(&settings.state)?;
    let source = Source::open(settings.source.clone(), settings.addresses.clone());
    let mut compiler = Compiler::default();
    let mesh = compiler.compile(&source.input().world).mesh;
    let authority = Arc::new(open_root(&state, &mesh)?);
    let marks = state.marks(&Digest::of(authority.root_der()), SystemTime::now())?;
    let metrics = Metrics::new("bailiwick_operator");
    metrics.build_info(env!("CARGO_PKG_VERSION"));
    write_bundle_pem(&state.bundle_file(), &authority.bundle())?;
    let domain = authority.trust_domain().clone();
    let control = Control::open(authority, own_certificate::NAMESPACE, metrics, readiness)?;
    let tokens = Arc::new(Tokens::open(state.tokens_folder())?);
    let outlets = control.outlets.clone();
    let pipeline = Pipeline::new(compiler, Marks::Folder(marks), domain, outlets.clone());
    let followers = Followers {
        tokens: Arc::clone(&tokens),
        limits: Arc::clone(&control.limits),
        operator: control.id.clone(),
    };
    let watcher = Watcher::new(source, pipeline, outlets, followers);
    Ok(Opened { state, control, tokens, watcher })
}

/// Says where everything listens, in the ready file.
fn announce(config: &Config, state: &StateFolder, control: &Control, places: Places) -> anyhow::Result<()> {
    let Some(path) = &config.ready_file else { return Ok(()) };
    let bundle_file = std::path::absolute(state.bundle_file())?;
    let tokens_folder = std::path::absolute(state.tokens_folder())?;
    let ready = ReadyFile {
        identity: places.identity,
        configuration: places.configuration,
        admin: places.admin,
        operator: control.id.to_string(),
        trust_domain: control.authority.trust_domain().to_string(),
        bundle_file: &bundle_file,
        tokens_folder: &tokens_folder,
        pid: std::process::id(),
    };
    ready.write(path).with_context(|| format!("`{}` cannot be written", path.display()))
}

/// Opens the root of the mesh's own trust domain. Where the folder's TrustDomain objects are broken, nobody knows
/// what the domain should be: then the root's own one is kept, and nothing is issued.
fn open_root(state: &StateFolder, mesh: &MeshSettings) -> anyhow::Result<Authority> {
    let open = |domain: &TrustDomain| Authority::open(state.path(), domain, SystemTime::now());
    match open(&mesh.trust_domain) {
        Err(RootError::TrustDomain { found, .. }) if !mesh.issues => Ok(open(&found.parse()?)?),
        opened => Ok(opened?),
    }
}
