//! A cluster, as the kubeconfig leads to it: its live objects, and the operator's replicas.
//!
//! Everything is read, nothing is written: the one POST asks what the caller may do.

mod client;
mod json;
mod live;
mod pods;
mod replicas;

use std::path::PathBuf;

pub(crate) use client::{Cluster, ClusterError, Resource};
pub(crate) use json::{flag, items, labels, matches, path, text};
pub(crate) use live::read_live;
pub(crate) use pods::{PodFacts, Pods, exempts, is_over};
pub(crate) use replicas::{Answered, Reply, ask_all, operator_pods};

/// Which cluster, and where Bailiwick is in it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// The kubeconfig; otherwise `$KUBECONFIG`, `~/.kube/config`, or the pod's service account
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; otherwise its current one
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    pub(crate) context: Option<String>,
    /// The operator's namespace
    #[arg(long, value_name = "NAMESPACE", default_value = "bailiwick-system", help_heading = "Cluster")]
    pub(crate) operator_namespace: String,
}

#[cfg(test)]
impl Default for Options {
    fn default() -> Self {
        Self { kubeconfig: None, context: None, operator_namespace: "bailiwick-system".to_owned() }
    }
}
