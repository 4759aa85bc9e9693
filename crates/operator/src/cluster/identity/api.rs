//! The questions to the API server. Each has a deadline, and no answer is never taken for a no.

use std::future::Future;
use std::time::Duration;

use bailiwick_identity::{Namespace, ServiceAccount};
use bailiwick_pod::names::TOKEN_AUDIENCE;
use bailiwick_policy::WorkloadKey;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::core::v1 as core;
use kube::Client;
use kube::api::PostParams;
use serde_json::Value;
use tokio::time::timeout;

use crate::cluster::facts::{Keep as _, NamespaceFacts, Pod};

/// Less than a sidecar waits for the whole answer.
const DEADLINE: Duration = Duration::from_secs(3);

/// The API server gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("the API server cannot be asked about {what}: {said}; it is tried again")]
pub(super) struct ApiError {
    what: &'static str,
    said: String,
}

#[derive(Clone)]
pub(super) struct Api {
    client: Client,
}

impl Api {
    pub(super) const fn new(client: Client) -> Self {
        Self { client }
    }

    pub(super) async fn review(&self, token: &str) -> Result<TokenReviewStatus, ApiError> {
        let spec =
            TokenReviewSpec { audiences: Some(vec![TOKEN_AUDIENCE.to_owned()]), token: token.to_owned() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let api = kube::Api::<TokenReview>::all(self.client.clone());
        let answer = ask("the token", api.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.unwrap_or_default())
    }

    /// The uid and what is read of a pod, as it is now.
    pub(super) async fn pod(&self, pod: &WorkloadKey) -> Result<Option<(String, Pod)>, ApiError> {
        let path = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name);
        let Some(object) = ask("the pod", self.read(&path)).await? else { return Ok(None) };
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Some((uid, Pod::keep(object))))
    }

    pub(super) async fn is_enrolled(&self, namespace: &Namespace) -> Result<bool, ApiError> {
        let path = format!("/api/v1/namespaces/{namespace}");
        let object = ask("the namespace", self.read(&path)).await?;
        Ok(object.is_some_and(|object| NamespaceFacts::keep(object).is_enrolled()))
    }

    pub(super) async fn service_account_uid(
        &self,
        namespace: &Namespace,
        account: &ServiceAccount,
    ) -> Result<Option<String>, ApiError> {
        let api = kube::Api::<core::ServiceAccount>::namespaced(self.client.clone(), namespace.as_str());
        let found = ask("the service account", api.get_metadata_opt(account.as_str())).await?;
        Ok(found.and_then(|account| account.metadata.uid))
    }

    async fn read(&self, path: &str) -> kube::Result<Option<Value>> {
        let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        match self.client.request(request).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn ask<T>(what: &'static str, answer: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match timeout(DEADLINE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(ApiError { what, said: words(&error) }),
        Err(_) => Err(ApiError { what, said: "no answer in time".to_owned() }),
    }
}

/// Without the request: it holds a token.
fn words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        format!("{} ({})", status.message, status.code)
    } else if let kube::Error::SerdeError(_) = error {
        "its answer cannot be read".to_owned()
    } else {
        "no connection".to_owned()
    }
}
