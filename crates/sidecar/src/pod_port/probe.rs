//! One declared probe or hook: run as the kubelet would, against the pod's own address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ::http::StatusCode;
use bailiwick_pod::{Action, Declared};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{grpc, http};

/// How long an outcome is given again instead of running the probe: whoever asks, the application is asked at most
/// four times a second. No kubelet asks more than once a second.
const FRESH: Duration = Duration::from_millis(250);
/// The longest that a hook may be told to take.
const LONGEST: u32 = 3600;

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As it should.
    Success,
    /// The application answered, and its answer is no success.
    Answered(StatusCode),
    /// The application's answer could not be understood, or says that it does not serve.
    Refused,
    /// Nobody listens, or the connection broke.
    Unreachable,
    /// It took too long.
    TooSlow,
}

/// A declared probe or hook.
#[derive(Debug)]
pub(crate) struct Probe {
    declared: Declared,
    target: SocketAddr,
    last: Mutex<Option<(Instant, Outcome)>>,
}

impl Outcome {
    /// What the kubelet is answered: it takes 200 to 399 for success.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Success => StatusCode::OK,
            // Its own word where the kubelet would show it as a failure of the server.
            Self::Answered(status) if status.is_server_error() => status,
            Self::Answered(_) | Self::Refused => StatusCode::BAD_GATEWAY,
            Self::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooSlow => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

impl Probe {
    /// For what a pod declared, and the address at which it is reached.
    pub(crate) fn new(declared: Declared, address: IpAddr) -> Self {
        let port = match declared.action {
            Action::Http { port, .. } | Action::Tcp { port } | Action::Grpc { port, .. } => port,
        };
        Self { declared, target: SocketAddr::new(address, port), last: Mutex::default() }
    }

    /// True for hooks, which change something.
    pub(crate) const fn is_hook(&self) -> bool {
        self.declared.purpose.is_hook()
    }

    /// How long one run may take.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_secs(self.declared.timeout_seconds.clamp(1, LONGEST).into())
    }

    /// Runs it, or gives the outcome of a moment ago. Who asks while it runs waits for that outcome.
    pub(crate) async fn fresh(&self) -> Outcome {
        let mut last = self.last.lock().await;
        if let Some((at, outcome)) = *last
            && at.elapsed() < FRESH
        {
            return outcome;
        }
        let outcome = self.run().await;
        *last = Some((Instant::now(), outcome));
        outcome
    }

    /// Runs it now.
    pub(crate) async fn run(&self) -> Outcome {
        let outcome = timeout(self.longest(), self.act()).await.unwrap_or(Outcome::TooSlow);
        if outcome != Outcome::Success {
            let Declared { container, purpose, .. } = &self.declared;
            tracing::info!(%container, ?purpose, target = %self.target, ?outcome, "a probe or hook of the pod failed");
        }
        outcome
    }

    async fn act(&self) -> Outcome {
        match &self.declared.action {
            Action::Tcp { .. } => match TcpStream::connect(self.target).await {
                Ok(_) => Outcome::Success,
                Err(_) => Outcome::Unreachable,
            },
            Action::Grpc { service, .. } => grpc::check(self.target, service).await,
            Action::Http { path, tls, headers, .. } => {
                let first = http::Get { target: self.target, path, tls: *tls, headers };
                http::get(first, self.is_hook()).await
            }
        }
    }
}
