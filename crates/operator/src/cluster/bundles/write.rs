//! The writes: server-side apply under our own field manager, so that nobody else's fields are touched.

use std::time::Duration;

use bailiwick_pod::names::{BUNDLE_FILE, BUNDLE_OBJECT, SIGNER};
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::timeout;

use crate::cluster::context::OPERATOR;

/// Who made an object.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(5);

/// Why a write came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("no answer in time")]
    Timeout,
    #[error(transparent)]
    Api(#[from] Box<kube::Error>),
}

pub(super) struct Writer {
    client: Client,
    bundle: String,
    /// Whether the API server has ClusterTrustBundles; asked again until it says so or that it has none.
    serves_trust_bundles: Option<bool>,
}

impl Writer {
    pub(super) const fn new(client: Client, bundle: String) -> Self {
        Self { client, bundle, serves_trust_bundles: None }
    }

    pub(super) fn bundle(&self) -> &str {
        &self.bundle
    }

    pub(super) async fn write(&self, namespace: &str) -> Result<(), WriteError> {
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": BUNDLE_OBJECT, "labels": {MANAGED_BY: OPERATOR}},
            "data": {BUNDLE_FILE: self.bundle},
        });
        within(api.patch(BUNDLE_OBJECT, &parameters(), &Patch::Apply(&map))).await?;
        tracing::info!(namespace, "the trust bundle was written");
        Ok(())
    }

    pub(super) async fn remove(&self, namespace: &str, version: &str) -> Result<(), WriteError> {
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        let preconditions = Preconditions { resource_version: Some(version.to_owned()), uid: None };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match within(api.delete(BUNDLE_OBJECT, &parameters)).await {
            Ok(_) => {
                tracing::info!(namespace, "the trust bundle was removed: no pod there needs it");
                Ok(())
            }
            // Gone already, or changed since: the next look decides anew.
            Err(WriteError::Api(error)) if is_code(&error, 404) || is_code(&error, 409) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Keeps the one object for the whole cluster, where there is such a kind.
    pub(super) async fn cluster_trust_bundle(&mut self) -> Result<(), WriteError> {
        if self.serves_trust_bundles.is_none() {
            self.serves_trust_bundles = Some(serves_trust_bundles(&self.client).await?);
        }
        if self.serves_trust_bundles == Some(false) {
            return Ok(());
        }
        let name = trust_bundle_name();
        let api = Api::<ClusterTrustBundle>::all(self.client.clone());
        let found = within(api.get_opt(&name)).await?;
        if found.is_some_and(|found| found.spec.trust_bundle == self.bundle) {
            return Ok(());
        }
        let object = json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "ClusterTrustBundle",
            "metadata": {"name": name, "labels": {MANAGED_BY: OPERATOR}},
            "spec": {"signerName": SIGNER, "trustBundle": self.bundle},
        });
        within(api.patch(&name, &parameters(), &Patch::Apply(&object))).await?;
        tracing::info!(name, "the ClusterTrustBundle was written");
        Ok(())
    }
}

/// The signer's name with a colon for the slash, as the API server demands.
pub(super) fn trust_bundle_name() -> String {
    format!("{}:{BUNDLE_OBJECT}", SIGNER.replace('/', ":"))
}

/// True if `certificates.k8s.io/v1` has ClusterTrustBundles here.
pub(super) async fn serves_trust_bundles(client: &Client) -> Result<bool, WriteError> {
    let listed = within(client.list_api_group_resources("certificates.k8s.io/v1")).await?;
    Ok(listed.resources.iter().any(|resource| resource.name == "clustertrustbundles"))
}

/// Ours even where somebody else wrote the same field: who may write roots decides who is believed.
fn parameters() -> PatchParams {
    PatchParams::apply(OPERATOR).force()
}

async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, WriteError> {
    match timeout(REQUEST, request).await {
        Ok(answer) => Ok(answer.map_err(Box::new)?),
        Err(_) => Err(WriteError::Timeout),
    }
}

fn is_code(error: &kube::Error, code: u16) -> bool {
    if let kube::Error::Api(status) = error { status.code == code } else { false }
}
