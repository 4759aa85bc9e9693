//! The status of an object in the API server.

use std::time::Duration;

use bailiwick_compile::{ObjectKey, ObjectKind};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::{FIELD_MANAGER, StatusApi, WriteError};
use crate::cluster::stores::{number, own};

/// Statuses of every kind of ours.
#[derive(Clone)]
pub(crate) struct KubeStatus {
    client: Client,
}

impl KubeStatus {
    pub(crate) const fn new(client: Client) -> Self {
        Self { client }
    }

    fn api(&self, kind: ObjectKind, namespace: &str) -> Api<DynamicObject> {
        let resource = own(kind);
        let resource = ApiResource {
            group: resource.group.to_owned(),
            version: resource.version.to_owned(),
            api_version: format!("{}/{}", resource.group, resource.version),
            kind: resource.kind.to_owned(),
            plural: resource.plural.to_owned(),
        };
        if kind.namespaced() {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }
}

impl StatusApi for KubeStatus {
    /// Server-side apply: what others wrote is taken over, since nobody else writes a status. The uid makes the API
    /// server refuse it for an object of the same name that was made later.
    async fn apply(&self, key: &ObjectKey, uid: &str, status: &Value) -> Result<u64, WriteError> {
        let resource = own(key.kind);
        let patch = json!({
            "apiVersion": format!("{}/{}", resource.group, resource.version),
            "kind": resource.kind,
            "metadata": {"name": *key.name, "uid": uid},
            "status": status,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let api = self.api(key.kind, &key.namespace);
        let written = api.patch_status(&key.name, &parameters, &Patch::Apply(&patch)).await.map_err(error)?;
        Ok(written.metadata.resource_version.as_deref().map_or(0, number))
    }
}

fn error(error: kube::Error) -> WriteError {
    let kube::Error::Api(status) = error else { return WriteError::Failed(error.to_string()) };
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    let retry_after = (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)));
    match status.code {
        404 => WriteError::Gone,
        409 => WriteError::Conflict(status.message),
        429 => WriteError::Busy { retry_after },
        400 | 401 | 403 | 405 | 413 | 415 | 422 => WriteError::Refused(status.message),
        _ if retry_after.is_some() => WriteError::Busy { retry_after },
        _ => WriteError::Failed(status.message),
    }
}
