//! Kubernetes Events: what `kubectl describe` shows of what the operator refused or could not do.
//!
//! They are for people and never for a decision: what does not fit is dropped and counted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bailiwick_policy::WorkloadKey;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::context::{ClusterContext, OPERATOR};
use crate::rate::{Bucket, Rate};

/// Events that may wait.
const QUEUE: usize = 256;
/// What one replica writes.
const WRITES: Rate = Rate { burst: 25, per_second: 5 };
/// The same reason for the same object is told once in this time; the API server shows how often as a series.
const AGAIN: Duration = Duration::from_secs(60);
/// Objects and reasons that are remembered.
const MOST_REMEMBERED: usize = 4096;
/// How long a write may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// The API server takes 1 KiB.
const LONGEST_NOTE: usize = 1000;

/// Why an event is written; the `reason` of `kubectl get events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// A pod's sidecar gets no certificate.
    CertificateRefused,
    /// A pod was not admitted, or is there without a sidecar.
    PodNotInjected,
    /// A namespace has no trust bundle.
    BundleNotWritten,
    /// The Secret of the authority is not what this operator signs with.
    AuthorityChanged,
    /// The webhooks' certificate or its registration cannot be kept.
    WebhookNotReady,
    /// An object does not compile.
    NotAccepted,
    /// Something that an object names is missing or invalid.
    RefsNotResolved,
    /// A sidecar keeps what it enforced before.
    SidecarRefusedSnapshot,
    /// A pod is left without a sidecar by the installation: nothing is wrong.
    Exempt,
}

impl Reason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::CertificateRefused => "CertificateRefused",
            Self::PodNotInjected => "PodNotInjected",
            Self::BundleNotWritten => "BundleNotWritten",
            Self::AuthorityChanged => "AuthorityChanged",
            Self::WebhookNotReady => "WebhookNotReady",
            Self::NotAccepted => "NotAccepted",
            Self::RefsNotResolved => "RefsNotResolved",
            Self::SidecarRefusedSnapshot => "SidecarRefusedSnapshot",
            Self::Exempt => "Exempt",
        }
    }

    /// What was being done.
    const fn action(self) -> &'static str {
        match self {
            Self::CertificateRefused => "IssueCertificate",
            Self::PodNotInjected => "Inject",
            Self::BundleNotWritten => "DistributeBundle",
            Self::AuthorityChanged => "WatchAuthority",
            Self::WebhookNotReady => "ServeWebhooks",
            Self::NotAccepted | Self::RefsNotResolved => "Compile",
            Self::SidecarRefusedSnapshot => "Publish",
            Self::Exempt => "Inject",
        }
    }

    const fn kind(self) -> EventType {
        match self {
            Self::CertificateRefused
            | Self::PodNotInjected
            | Self::BundleNotWritten
            | Self::AuthorityChanged
            | Self::WebhookNotReady
            | Self::NotAccepted
            | Self::RefsNotResolved
            | Self::SidecarRefusedSnapshot => EventType::Warning,
            Self::Exempt => EventType::Normal,
        }
    }
}

#[derive(Debug)]
struct Told {
    about: ObjectReference,
    reason: Reason,
    note: String,
}

/// Writes warnings beside objects; cheap to clone, and never makes a caller wait.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    sender: mpsc::Sender<Told>,
    dropped: Counter,
}

impl Events {
    /// Starts the one writer of this process.
    pub(crate) fn start(context: &ClusterContext, dropped: Counter) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let reporter =
            Reporter { controller: OPERATOR.to_owned(), instance: Some(context.pod_name.to_string()) };
        let recorder = Recorder::new(context.client.clone(), reporter);
        tokio::spawn(write(recorder, receiver, dropped.clone()));
        Self { sender, dropped }
    }

    /// Tells something beside an object; a warning, but for the reasons that are none.
    pub(crate) fn warn(&self, about: ObjectReference, reason: Reason, note: &str) {
        let told = Told { about, reason, note: note.chars().take(LONGEST_NOTE).collect() };
        if self.sender.try_send(told).is_err() {
            self.dropped.inc();
        }
    }

    /// Goes nowhere.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self { sender: mpsc::channel(1).0, dropped: Counter::default() }
    }
}

/// A pod, to write events beside.
pub(crate) fn pod(pod: &WorkloadKey, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.namespace.to_string()),
        name: Some(pod.name.to_string()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

/// An object of the core group in a namespace, to write events beside.
pub(crate) fn core(kind: &str, namespace: &str, name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some(kind.to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

/// Which events are due.
#[derive(Debug, Default)]
struct Due {
    last: HashMap<(Reason, String, String), Instant>,
    bucket: Option<Bucket>,
}

impl Due {
    fn is_due(&mut self, told: &Told, now: Instant) -> bool {
        if self.last.len() >= MOST_REMEMBERED {
            self.last.retain(|_, last| now.saturating_duration_since(*last) < AGAIN);
        }
        let name = |text: &Option<String>| text.clone().unwrap_or_default();
        let key = (told.reason, name(&told.about.namespace), name(&told.about.name));
        let recent = self.last.get(&key).is_some_and(|last| now.saturating_duration_since(*last) < AGAIN);
        if recent || self.last.len() >= MOST_REMEMBERED {
            return false;
        }
        let bucket = self.bucket.get_or_insert_with(|| Bucket::full(WRITES, now));
        bucket.fill(WRITES, now);
        if !bucket.wait(WRITES).is_zero() {
            return false;
        }
        bucket.take();
        self.last.insert(key, now);
        true
    }
}

async fn write(recorder: Recorder, mut receiver: mpsc::Receiver<Told>, dropped: Counter) {
    let mut due = Due::default();
    while let Some(told) = receiver.recv().await {
        if !due.is_due(&told, Instant::now()) {
            continue;
        }
        let event = Event {
            type_: told.reason.kind(),
            reason: told.reason.as_str().to_owned(),
            note: Some(told.note),
            action: told.reason.action().to_owned(),
            secondary: None,
        };
        let written = timeout(DEADLINE, recorder.publish(&event, &told.about)).await;
        if !matches!(written, Ok(Ok(()))) {
            dropped.inc();
            tracing::debug!("an event could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_a_minute_and_a_flood_is_cut() {
        let mut due = Due::default();
        let now = Instant::now();
        let about = |name: &str| Told {
            about: core("Pod", "shop", name),
            reason: Reason::CertificateRefused,
            note: String::new(),
        };
        assert!(due.is_due(&about("web"), now));
        assert!(!due.is_due(&about("web"), now + Duration::from_secs(59)));
        assert!(due.is_due(&about("web"), now + Duration::from_secs(61)));
        let later = now + Duration::from_secs(200);
        let told = (0..10_000).filter(|n| due.is_due(&about(&n.to_string()), later)).count();
        assert_eq!(told, 25);
        assert!(due.last.len() <= MOST_REMEMBERED);
    }
}
