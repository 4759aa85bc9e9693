//! The service: its listeners, and its end.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Service;
use crate::http::serve_logged;
use crate::tcp::serve_tcp;

/// Serves until told to end.
///
/// # Errors
/// When an address cannot be had, or signals cannot be caught.
pub async fn serve(service: Service) -> std::io::Result<()> {
    let Service { name, http, tcp, grace, log } = service;
    if let Some(address) = http {
        tokio::spawn(serve_logged(TcpListener::bind(address).await?, name.clone(), log));
    }
    if let Some(address) = tcp {
        tokio::spawn(serve_tcp(TcpListener::bind(address).await?, name));
    }
    pause().await?;
    tokio::time::sleep(Duration::from_secs(grace)).await;
    Ok(())
}

/// Waits for SIGTERM or SIGINT. As the first process of a container it gets neither unless it asks for it.
///
/// # Errors
/// When signals cannot be caught.
pub async fn pause() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}
