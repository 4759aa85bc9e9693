//! The folders that were given, read and compiled as the operator does at its start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bailiwick_compile::{Compiled, Diagnostic, Severity, World, compile};
use bailiwick_inputs::{Reading, Sources, read_paths, read_paths_over};

use crate::cluster::{Cluster, ClusterError, Options, Pods, read_live};
use crate::render;

/// What was read, and what it came to.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) world: World,
    pub(crate) compiled: Compiled,
    /// Every message, by file and place.
    pub(crate) messages: Vec<Diagnostic>,
    /// Documents of unrelated kinds, by kind.
    pub(crate) skipped: BTreeMap<String, usize>,
    /// The live pods; none where only files were read.
    pub(crate) pods: Pods,
    sources: Sources,
}

/// Where the world comes from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Given {
    /// A folder or file of YAML; can be given more than once. Without it: the cluster
    #[arg(short, long = "file", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// Read the files on top of the cluster: an object in a file replaces the live one of its name
    #[arg(long, requires = "files")]
    pub(crate) live: bool,
    #[command(flatten)]
    pub(crate) cluster: Options,
}

impl Given {
    /// True if a cluster is asked.
    pub(crate) const fn is_live(&self) -> bool {
        self.live || self.files.is_empty()
    }
}

impl Folder {
    /// Reads what was given, and compiles it.
    ///
    /// # Errors
    /// When the cluster cannot be read.
    pub(crate) async fn read(given: &Given) -> Result<Self, ClusterError> {
        if !given.is_live() {
            return Ok(Self::of(read_paths(&given.files)));
        }
        let cluster = Cluster::connect(&given.cluster).await?;
        Self::over(&cluster, given.files.clone()).await
    }

    /// Reads files on top of a cluster, and compiles both.
    ///
    /// # Errors
    /// When the cluster cannot be read.
    pub(crate) async fn over(cluster: &Cluster, files: Vec<PathBuf>) -> Result<Self, ClusterError> {
        let live = read_live(cluster).await?;
        let folder = Self::of(read_paths_over(&live.objects, files));
        Ok(Self { pods: live.pods, ..folder })
    }

    /// Compiles what was read.
    pub(crate) fn of(mut reading: Reading) -> Self {
        let compiled = compile(&reading.world);
        let messages = reading.messages(&compiled.diagnostics);
        Self {
            world: std::mem::take(&mut reading.world),
            compiled,
            messages,
            skipped: reading.skipped,
            pods: Pods::default(),
            sources: reading.sources,
        }
    }

    /// Errors and warnings, counted.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let errors = self.messages.iter().filter(|message| message.severity == Severity::Error).count();
        (errors, self.messages.len() - errors)
    }

    /// Every message as a code frame, with a blank line after each.
    pub(crate) fn frames(&self) -> String {
        let frames = self.messages.iter().map(|message| {
            let text = self.sources.get(&message.location.file).map(AsRef::as_ref);
            render::frame(message, text) + "\n"
        });
        frames.collect()
    }

    /// Every message for programs.
    pub(crate) fn records(&self) -> Vec<render::Record> {
        let record = |message| {
            let message: &Diagnostic = message;
            let text = self.sources.get(&message.location.file).map(AsRef::as_ref);
            render::Record::new(message, text)
        };
        self.messages.iter().map(record).collect()
    }
}
