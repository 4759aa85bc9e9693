//! Calls that stay open: a WebSocket, a gRPC stream, a TCP connection. Each is watched by a task of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use super::http::{self, WITHIN};

/// How long a cut may take to be seen.
const CUT_WITHIN: Duration = Duration::from_secs(10);
/// A session that goes on must show it this soon.
const BEAT_WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// A call that is open.
#[derive(Debug)]
pub(super) struct Session {
    /// Who opened it.
    pub(super) from: &'static str,
    /// What it is.
    pub(super) what: &'static str,
    state: watch::Receiver<State>,
    task: AbortHandle,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Messages that came back.
    beats: u64,
    ended: Option<Instant>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    /// A WebSocket on which messages go and come back.
    pub(super) async fn websocket(from: &'static str, address: SocketAddr) -> Result<Self> {
        let stream = http::connect(address).await?;
        let opening = timeout(WITHIN, client_async("ws://orders.shop/live/socket", stream)).await;
        let (mut socket, _) =
            opening.context("the WebSocket does not open")?.context("the WebSocket was refused")?;
        Self::watched(from, "WebSocket", |state| async move {
            loop {
                if socket.send(Message::text("ping")).await.is_err() {
                    return;
                }
                match socket.next().await {
                    Some(Ok(message)) if message.is_text() => beat(&state),
                    Some(Ok(_) | Err(_)) | None => return,
                }
                sleep(PAUSE).await;
            }
        })
        .await
    }

    /// A gRPC stream of messages from the server.
    pub(super) async fn grpc_stream(from: &'static str, address: SocketAddr) -> Result<Self> {
        let opening = timeout(WITHIN, http::grpc_stream(address, "shop.v1.Orders/Watch")).await;
        let (mut messages, connection) = opening.context("the gRPC stream does not open")??;
        Self::watched(from, "gRPC stream", |state| async move {
            let _kept = connection;
            while let Some(Ok(frame)) = messages.frame().await {
                if !frame.is_data() {
                    return;
                }
                beat(&state);
            }
        })
        .await
    }

    /// A TCP connection to a server that speaks first.
    pub(super) async fn tcp(from: &'static str, address: SocketAddr) -> Result<Self> {
        let (_, stream) = http::greeting(address).await?.context("the TCP connection was closed")?;
        Self::watched(from, "TCP connection", |state| async move {
            beat(&state);
            http::end_of(stream).await;
        })
        .await
    }

    /// Starts the task, and waits for the first sign of life.
    async fn watched<F, T>(from: &'static str, what: &'static str, start: F) -> Result<Self>
    where
        F: FnOnce(watch::Sender<State>) -> T,
        T: Future<Output = ()> + Send + 'static,
    {
        let (sender, state) = watch::channel(State::default());
        let life = start(sender.clone());
        let task = tokio::spawn(async move {
            life.await;
            sender.send_modify(|state| state.ended = Some(Instant::now()));
        });
        let mut session = Self { from, what, state, task: task.abort_handle() };
        session.beats_after(0).await?;
        Ok(session)
    }

    /// How long after `since` it was cut.
    ///
    /// # Errors
    /// When it was not.
    pub(super) async fn cut_after(&mut self, since: Instant) -> Result<Duration> {
        let Self { from, what, .. } = *self;
        let ended = timeout(CUT_WITHIN, self.state.wait_for(|state| state.ended.is_some())).await;
        let state = *ended.with_context(|| format!("{from}'s {what} was not cut"))??;
        Ok(state.ended.map(|ended| ended.saturating_duration_since(since)).unwrap_or_default())
    }

    /// Sees that it goes on.
    ///
    /// # Errors
    /// When it does not.
    pub(super) async fn goes_on(&mut self) -> Result<()> {
        let beats = self.state.borrow().beats;
        self.beats_after(beats + 1).await
    }

    async fn beats_after(&mut self, beats: u64) -> Result<()> {
        let Self { from, what, .. } = *self;
        let seen = self.state.wait_for(|state| state.beats > beats || state.ended.is_some());
        let state =
            *timeout(BEAT_WITHIN, seen).await.with_context(|| format!("{from}'s {what} stands still"))??;
        if state.ended.is_some() {
            bail!("{from}'s {what} ended");
        }
        Ok(())
    }
}

fn beat(state: &watch::Sender<State>) {
    state.send_modify(|state| state.beats += 1);
}
