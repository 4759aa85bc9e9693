//! The configuration stream: what the operator pushes, checked, built, enforced, and only then acknowledged.

mod session;

use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::{CredentialStore, TrustStore};
use bailiwick_policy::WorkloadKey;
use bailiwick_wire::MAXIMUM_MESSAGE_BYTES;
use bailiwick_wire::proto::configuration_client::ConfigurationClient;
use bailiwick_wire::proto::{ClientMessage, ServerMessage};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::backoff::Backoff;
use crate::{ConfigStore, DialError, Dialer, clock};
use session::Session;

/// How long the operator may take to open the stream.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);
/// Messages to the operator that may wait; the session stops reading while they do.
const OUTBOUND: usize = 16;

/// Who asks for a configuration.
#[derive(Debug, Clone)]
pub struct StreamSettings {
    /// The workload that this process stands before.
    pub workload: WorkloadKey,
    /// Names this process among those of the workload: the pod's name, or a random id.
    pub instance: String,
    /// The program's version, for people.
    pub version: String,
}

/// Keeps the configuration current.
#[derive(Debug)]
pub struct ConfigStream {
    dialer: Dialer,
    credentials: Arc<CredentialStore>,
    session: Session,
}

/// Why the stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the operator refused or ended the configuration stream: {0}")]
    Status(Box<tonic::Status>),
    #[error("the operator ended the configuration stream")]
    Ended,
}

impl ConfigStream {
    /// Joins what the stream needs. `store` and `trust` are what it fills.
    #[must_use]
    pub fn new(
        dialer: Dialer,
        settings: StreamSettings,
        credentials: Arc<CredentialStore>,
        store: Arc<ConfigStore>,
        trust: Arc<TrustStore>,
    ) -> Self {
        Self { dialer, credentials, session: Session::new(settings, store, trust) }
    }

    /// Runs until dropped. After a lost or refused stream it connects again after a random time of up to 0.5 s,
    /// doubling to 30 s; what was enforced before stays enforced.
    pub async fn run(mut self) {
        let mut backoff = Backoff::reconnect();
        let mut renewed = self.credentials.subscribe();
        loop {
            wait_for_certificate(&self.credentials).await;
            renewed.mark_unchanged();
            let mut heard = false;
            let Err(error) = self.connect(&mut heard).await;
            self.session.disconnected();
            if heard {
                backoff.reset();
            }
            let delay = backoff.next_delay();
            tracing::warn!(%error, ?delay, "no configuration stream; the last good configuration stays");
            // A new certificate may be what was missing.
            drop(timeout(delay, renewed.changed()).await);
        }
    }

    async fn connect(&mut self, heard: &mut bool) -> Result<std::convert::Infallible, StreamError> {
        let status = |status| StreamError::Status(Box::new(status));
        let channel = self.dialer.dial().await?;
        let mut client = ConfigurationClient::new(channel)
            .max_decoding_message_size(MAXIMUM_MESSAGE_BYTES)
            .max_encoding_message_size(MAXIMUM_MESSAGE_BYTES);
        let (outbound, messages) = mpsc::channel::<ClientMessage>(OUTBOUND);
        self.session.connected(outbound).await;
        let response = timeout(OPEN_DEADLINE, client.stream(ReceiverStream::new(messages)))
            .await
            .map_err(|_| status(tonic::Status::deadline_exceeded("the stream was not opened in time")))?
            .map_err(status)?;
        let mut inbound: Streaming<ServerMessage> = response.into_inner();
        while let Some(message) = inbound.next().await {
            *heard = true;
            self.session.receive(message.map_err(status)?).await;
        }
        Err(StreamError::Ended)
    }
}

/// The operator would refuse us without one.
pub(crate) async fn wait_for_certificate(credentials: &CredentialStore) {
    let mut changed = credentials.subscribe();
    loop {
        let valid = credentials.current().is_some_and(|current| clock::now() < current.leaf().not_after());
        if valid {
            return;
        }
        if changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
