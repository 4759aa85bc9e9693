//! One file a command.

pub(crate) mod can;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod crds;
pub(crate) mod demo;
pub(crate) mod messages;
pub(crate) mod status;
pub(crate) mod validate;
pub(crate) mod version;
pub(crate) mod why;
