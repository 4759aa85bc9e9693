//! Watching the folder and the addresses file, by polling: it works the same on every file system and for mounted
//! ConfigMaps, and a missed event cannot exist.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bailiwick_compile::Diagnostic;
use bailiwick_identity::SpiffeId;
use bailiwick_inputs::{FolderSource, Reading, Sources, codes};
use bailiwick_policy::WorkloadKey;

use crate::addresses::Addresses;
use crate::pipeline::{Input, Outlets, Pipeline};
use crate::publish::Published;
use crate::rate::IssueLimits;
use crate::tell::Teller;
use crate::tokens::{Moment, Tokens};

/// Between two looks.
const POLL: Duration = Duration::from_millis(200);
/// A folder that takes long to read is looked at less often: reading costs a tenth of the time at most…
const REST: u32 = 9;
/// …but this often at least.
const LONGEST_REST: Duration = Duration::from_secs(5);
/// Writers touch several files; a folder is read again until it has been quiet for this long.
const QUIET: Duration = Duration::from_millis(50);
/// A folder that never gets quiet is taken as it is.
const MOST_REREADS: usize = 10;
/// Between two looks at the age of the tokens.
const TOKEN_CHECK: Duration = Duration::from_secs(5);

/// What is watched.
#[derive(Debug)]
pub(crate) struct Source {
    folder: FolderSource,
    addresses: Option<AddressesFile>,
    texts: Sources,
    input: Input,
}

#[derive(Debug)]
struct AddressesFile {
    path: PathBuf,
    /// What was read last; `None` before the first time, `Err` if it could not be read.
    last: Option<Result<Vec<u8>, String>>,
}

/// What follows the world beside sidecars.
#[derive(Debug)]
pub(crate) struct Followers {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) limits: Arc<IssueLimits>,
    /// Never issued to a workload.
    pub(crate) operator: SpiffeId,
}

/// The thread that reads, compiles and publishes.
#[derive(Debug)]
pub(crate) struct Watcher {
    source: Source,
    pipeline: Pipeline,
    outlets: Outlets,
    followers: Followers,
    teller: Teller,
    /// Workloads whose token file cannot be written, which is told once.
    without_token: BTreeSet<WorkloadKey>,
    retry: bool,
    tokens_checked: Instant,
}

impl Source {
    /// Reads everything for the first time.
    pub(crate) fn open(folder: PathBuf, addresses: Option<PathBuf>) -> Self {
        let mut source = Self {
            folder: FolderSource::new(vec![folder]),
            addresses: addresses.map(|path| AddressesFile { path, last: None }),
            texts: Sources::new(),
            input: Input::default(),
        };
        if let Some(reading) = source.folder.refresh() {
            source.take(reading);
        }
        source
    }

    pub(crate) const fn input(&self) -> &Input {
        &self.input
    }

    fn take(&mut self, reading: Reading) {
        self.input.world = reading.world;
        self.input.diagnostics = reading.diagnostics;
        self.texts = reading.sources;
    }

    /// Looks at the folder; true if something has changed. A folder that is being written to is read until it is
    /// quiet.
    fn refresh_folder(&mut self) -> bool {
        let Some(mut reading) = self.folder.refresh() else { return false };
        for _ in 0..MOST_REREADS {
            std::thread::sleep(QUIET);
            let Some(newer) = self.folder.refresh() else { break };
            reading = newer;
        }
        self.take(reading);
        true
    }

    /// Looks at the addresses file; true if something has changed. One that cannot be used leaves the last good one.
    fn refresh_addresses(&mut self, outlets: &Outlets) -> bool {
        let Some(file) = &mut self.addresses else { return false };
        let now = std::fs::read(&file.path).map_err(|error| error.to_string());
        if file.last.as_ref() == Some(&now) {
            return false;
        }
        file.last = Some(now);
        match Addresses::read(&file.path) {
            Ok(addresses) => {
                outlets.status.source_problem("addresses", None);
                let changed = addresses != self.input.addresses;
                self.input.addresses = addresses;
                changed
            }
            Err(error) => {
                tracing::error!(%error, "the addresses file is not used; the last good one stays");
                outlets.status.source_problem("addresses", Some(error.to_string()));
                false
            }
        }
    }
}

impl Watcher {
    pub(crate) fn new(source: Source, pipeline: Pipeline, outlets: Outlets, followers: Followers) -> Self {
        Self {
            source,
            pipeline,
            outlets,
            followers,
            teller: Teller::default(),
            without_token: BTreeSet::new(),
            retry: false,
            tokens_checked: Instant::now(),
        }
    }

    /// Publishes what was read at the start. Returns whether it could be published.
    pub(crate) fn first(&mut self) -> bool {
        self.source.refresh_addresses(&self.outlets);
        self.publish(Instant::now());
        !self.retry
    }

    /// Runs until the other end of `stop` is dropped.
    pub(crate) fn run(mut self, stop: &Receiver<()>) {
        let mut rest = POLL;
        loop {
            match stop.recv_timeout(rest) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let started = Instant::now();
            let folder = self.source.refresh_folder();
            if !folder {
                rest = started.elapsed().saturating_mul(REST).clamp(POLL, LONGEST_REST);
            }
            let addresses = self.source.refresh_addresses(&self.outlets);
            if folder || addresses || self.retry {
                self.publish(started);
            } else if self.tokens_checked.elapsed() >= TOKEN_CHECK {
                self.sync_tokens();
            }
        }
    }

    fn publish(&mut self, started: Instant) {
        match self.pipeline.run(&self.source.input, started) {
            Ok(outcome) => {
                if self.retry {
                    self.outlets.status.source_problem("state", None);
                }
                self.retry = false;
                self.tell(&outcome.diagnostics);
            }
            Err(error) => {
                if !self.retry {
                    tracing::error!(%error, "nothing is published until the state folder can be written again");
                    self.outlets.status.source_problem("state", Some(error.to_string()));
                }
                self.retry = true;
            }
        }
        self.sync_tokens();
    }

    /// Every workload that may be issued a certificate has a token, and nobody else.
    fn sync_tokens(&mut self) {
        self.tokens_checked = Instant::now();
        let publication = self.outlets.publisher.current();
        let issued =
            |(_, published): &(&WorkloadKey, &Arc<Published>)| published.identity != self.followers.operator;
        let workloads: BTreeSet<_> =
            publication.workloads.iter().filter(issued).map(|(workload, _)| workload.clone()).collect();
        let failed = self.followers.tokens.sync(&workloads, Moment::now());
        let problem = failed.first().map(|(workload, error)| {
            format!("{} token files cannot be written; `{workload}`: {error}", failed.len())
        });
        self.outlets.status.source_problem("tokens", problem);
        for (workload, error) in failed.iter().filter(|(workload, _)| !self.without_token.contains(workload))
        {
            tracing::error!(%workload, %error, "the token file cannot be written; it is tried again");
        }
        self.without_token = failed.into_iter().map(|(workload, _)| workload).collect();
        self.followers.limits.retain(|workload| workloads.contains(workload));
    }

    fn tell(&mut self, diagnostics: &[Diagnostic]) {
        let texts = &self.source.texts;
        self.teller.tell(diagnostics, |diagnostic| place(diagnostic, texts));
        let kept: Vec<_> = diagnostics
            .iter()
            .filter(|one| one.code == codes::LAST_GOOD)
            .map(|one| one.message.clone())
            .collect();
        let problem = if kept.is_empty() { None } else { Some(kept.join("; ")) };
        self.outlets.status.source_problem("folder", problem);
    }
}

/// `file:line:column`, as editors understand it.
fn place(diagnostic: &Diagnostic, texts: &Sources) -> String {
    let location = &diagnostic.location;
    let start = location.span.map(|(start, _)| start);
    let before = start.and_then(|start| texts.get(&location.file).and_then(|text| text.get(..start)));
    let Some(before) = before else { return location.file.to_string() };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{}:{line}:{column}", location.file)
}
