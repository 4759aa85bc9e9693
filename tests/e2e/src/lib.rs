//! End-to-end tests on a real cluster: helm, kubectl and the API as a user has them.
//!
//! ```text
//!  tests/calm     side by side, each in a namespace of its own
//!  tests/hostile  whoever tries to get around the mesh, side by side
//!  tests/storms   one at a time: they stop the operator, the API server, a kubelet
//!        \___ Scene: namespace, servers, clients ___ command: kubectl ___/
//! ```
//!
//! A test states what a user would see. Nothing here asks the operator or a sidecar for its opinion where the
//! application's answer, `kubectl` or the API server can be asked. `KUBECONFIG` names the cluster; Bailiwick is
//! installed there (`make e2e` does both).

#![expect(clippy::indexing_slicing, reason = "an index into a JSON value gives null where there is nothing")]

mod answer;
mod client;
mod command;
mod faults;
mod load;
mod manifests;
mod scene;
mod wait;

pub use answer::Answer;
pub use client::Client;
pub use command::{Run, apply_text, bailiwick, helm, kubectl, kubectl_text, shell};
pub use faults::{Fault, FaultProxy};
pub use load::{Load, Tally};
pub use manifests::{Server, client_manifest};
pub use scene::{Audit, Scene, pods_of};
pub use wait::{eventually, holds_for, settled};

/// The namespace of the installation under test.
#[must_use]
pub fn system_namespace() -> String {
    std::env::var("BAILIWICK_E2E_NAMESPACE").unwrap_or_else(|_| "bailiwick-system".to_owned())
}

/// The image of the demonstration's service.
#[must_use]
pub fn demo_image() -> String {
    std::env::var("BAILIWICK_E2E_DEMO_IMAGE")
        .unwrap_or_else(|_| concat!("localhost/bailiwick-demo:", env!("CARGO_PKG_VERSION")).to_owned())
}

/// The image with the clients and servers of other projects.
#[must_use]
pub fn tools_image() -> String {
    std::env::var("BAILIWICK_E2E_TOOLS_IMAGE")
        .unwrap_or_else(|_| "localhost/bailiwick-test-tools:dev".to_owned())
}
