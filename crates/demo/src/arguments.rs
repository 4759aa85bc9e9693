//! The command line.

use std::net::SocketAddr;

use crate::client::Plan;

/// A small service that answers what it was asked, and by whom; and a client that calls such services.
#[derive(Debug, clap::Parser)]
#[command(name = "bailiwick-demo", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// What to serve.
    #[command(flatten)]
    pub service: Service,
}

/// What to do instead of serving.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Calls one or more services and prints what came of it; ends with 1 if anything was not as expected
    Call(Plan),
    /// Does nothing until it is told to end: a pod to call from
    Pause,
}

/// What to serve.
#[derive(Debug, clap::Args)]
pub struct Service {
    /// The name that it answers with
    #[arg(long, default_value = "demo")]
    pub name: String,
    /// Serves HTTP/1.1, HTTP/2, gRPC and WebSocket here
    #[arg(long)]
    pub http: Option<SocketAddr>,
    /// Serves a protocol in which the server speaks first here
    #[arg(long)]
    pub tcp: Option<SocketAddr>,
    /// Goes on serving for so many seconds when told to end, so that what is in flight is answered
    #[arg(long, default_value_t = 0)]
    pub grace: u64,
    /// Prints a line for each HTTP request
    #[arg(long)]
    pub log: bool,
}
