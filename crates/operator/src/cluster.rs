//! The place of the cluster: reflectors feed the same [`crate::pipeline`] as the folder does.
//!
//! ```text
//!  API server --watch--> stores --world--> pipeline thread --> Publication --> the same listeners as of a folder
//!                          |  \--destinations--> index (and a live look where it misses)
//!                          '--> webhook, identity (read pods and namespaces there)
//! ```
//!
//! Every replica reads and serves; only the holder of the lease writes status.

mod app;
mod authority;
mod bundles;
mod catch_up;
mod context;
mod destinations;
mod epoch;
mod events;
mod facts;
#[cfg(test)]
mod fake_api;
mod fleet;
mod identity;
mod injection;
mod lease;
mod live;
mod marks;
mod notices;
mod replicas;
mod reporting;
mod single;
mod source;
mod status_writer;
mod stores;
mod summary;
mod uninjected;
mod view;
mod watch;
mod webhook;

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;

pub(crate) use app::start;
pub(crate) use destinations::{Asker, ClusterDirectory};
pub(crate) use identity::Reviewer;
pub(crate) use marks::ClusterMarks;
pub(crate) use replicas::ReplicasService;
