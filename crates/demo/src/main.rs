//! Starts the demonstration's service.

use std::net::SocketAddr;

use anyhow::Result;
use bailiwick_demo::{serve_http, serve_tcp};
use clap::Parser;
use tokio::net::TcpListener;

/// A small service that answers what it was asked, and by whom.
#[derive(Debug, Parser)]
struct Arguments {
    /// The name that it answers with.
    #[arg(long, default_value = "demo")]
    name: String,
    /// Serves HTTP/1.1, HTTP/2, gRPC and WebSocket here.
    #[arg(long)]
    http: Option<SocketAddr>,
    /// Serves a protocol in which the server speaks first here.
    #[arg(long)]
    tcp: Option<SocketAddr>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(address) = arguments.http {
        tokio::spawn(serve_http(TcpListener::bind(address).await?, arguments.name.clone()));
    }
    if let Some(address) = arguments.tcp {
        tokio::spawn(serve_tcp(TcpListener::bind(address).await?, arguments.name));
    }
    Ok(tokio::signal::ctrl_c().await?)
}
