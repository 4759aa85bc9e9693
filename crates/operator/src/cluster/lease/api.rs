//! The lease in the API server.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};

use super::{DURATION, LeaseApi, LeaseError, Record};

/// One Lease of one namespace.
#[derive(Debug, Clone)]
pub(crate) struct KubeLease {
    api: Api<Lease>,
    name: &'static str,
}

impl KubeLease {
    pub(crate) fn new(client: Client, namespace: &str, name: &'static str) -> Self {
        Self { api: Api::namespaced(client, namespace), name }
    }

    fn lease(&self, record: Record) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.to_owned()),
                resource_version: Some(record.resource_version).filter(|version| !version.is_empty()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(record.holder),
                lease_duration_seconds: Some(i32::try_from(record.duration.as_secs()).unwrap_or(i32::MAX)),
                acquire_time: Some(MicroTime(record.acquired)),
                renew_time: Some(MicroTime(record.renewed)),
                lease_transitions: Some(record.transitions),
                ..LeaseSpec::default()
            }),
        }
    }
}

impl LeaseApi for KubeLease {
    async fn get(&self) -> Result<Record, LeaseError> {
        Ok(record(self.api.get(self.name).await.map_err(error)?))
    }

    async fn create(&self, record: Record) -> Result<Record, LeaseError> {
        let created = self.api.create(&PostParams::default(), &self.lease(record)).await;
        Ok(self::record(created.map_err(error)?))
    }

    /// A merge patch, so that labels of the chart stay; the resourceVersion in it makes the API server refuse it if
    /// somebody else wrote meanwhile.
    async fn replace(&self, record: Record) -> Result<Record, LeaseError> {
        let patch = Patch::Merge(self.lease(record));
        let replaced = self.api.patch(self.name, &PatchParams::default(), &patch).await;
        Ok(self::record(replaced.map_err(error)?))
    }
}

/// FAIL-CLOSED: what a record leaves out reads as the longest hold: a missing duration is ours.
fn record(lease: Lease) -> Record {
    let spec = lease.spec.unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: seconds.map_or(DURATION, Duration::from_secs),
        acquired: spec.acquire_time.map(|time| time.0).unwrap_or_default(),
        renewed: spec.renew_time.map(|time| time.0).unwrap_or_default(),
        transitions: spec.lease_transitions.unwrap_or_default(),
        resource_version: lease.metadata.resource_version.unwrap_or_default(),
    }
}

fn error(error: kube::Error) -> LeaseError {
    let kube::Error::Api(status) = error else { return LeaseError::Failed(error.to_string()) };
    match status.code {
        404 => LeaseError::NotFound,
        409 => LeaseError::Conflict,
        _ => LeaseError::Failed(status.message),
    }
}
