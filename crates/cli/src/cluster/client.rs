//! Reading the API server.

use std::time::Duration;

use http::Request;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::Options;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Objects of one page.
const PAGE: usize = 500;

/// Why the cluster gives no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    #[error("the kubeconfig leads to no cluster: {0}")]
    Kubeconfig(String),
    #[error("the API server does not answer: {0}")]
    Unreachable(String),
    #[error("the API server did not answer within {} s: GET {path}", ANSWER_WITHIN.as_secs())]
    Silent { path: String },
    #[error("you may not read it: {message}")]
    Forbidden { message: String },
    #[error("the API server does not serve `{path}`")]
    NotServed { path: String },
    #[error("{path}: {message}")]
    Refused { path: String, message: String },
}

/// A cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(super) client: Client,
    /// The operator's namespace.
    pub(crate) operator_namespace: String,
    /// Where the API server is.
    pub(crate) address: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cluster").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Cluster {
    /// A client by the kubeconfig. Nothing is asked yet.
    pub(crate) async fn connect(options: &Options) -> Result<Self, ClusterError> {
        let said = |error: &dyn std::error::Error| ClusterError::Kubeconfig(causes(error));
        let chosen = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match (&options.kubeconfig, &options.context) {
            (None, None) => Config::infer().await.map_err(|error| said(&error))?,
            (None, Some(_)) => Config::from_kubeconfig(&chosen).await.map_err(|error| said(&error))?,
            (Some(file), _) => {
                let file = Kubeconfig::read_from(file).map_err(|error| said(&error))?;
                Config::from_custom_kubeconfig(file, &chosen).await.map_err(|error| said(&error))?
            }
        };
        config.connect_timeout = Some(CONNECT_WITHIN);
        let address = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| said(&error))?;
        Ok(Self { client, operator_namespace: options.operator_namespace.clone(), address })
    }

    /// One object, or `None` if there is none of that path.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>, ClusterError> {
        let request = Request::get(path).body(Vec::new());
        match self.send(path, request).await {
            Ok(object) => Ok(Some(object)),
            Err(ClusterError::NotServed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every object of a collection, each with `apiVersion` and `kind`. `path` may have a query.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, ClusterError> {
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let page = format!("{path}{joint}limit={PAGE}{next}");
            let mut list = self.send(path, Request::get(&page).body(Vec::new())).await?;
            let version = list.get("apiVersion").cloned().unwrap_or_default();
            let kind = super::text(&list, "/kind").trim_end_matches("List").to_owned();
            let items = list.get_mut("items").map(Value::take).unwrap_or_default();
            let Value::Array(items) = items else { return Ok(all) };
            for mut item in items {
                if let Some(fields) = item.as_object_mut() {
                    fields.entry("apiVersion").or_insert_with(|| version.clone());
                    fields.entry("kind").or_insert_with(|| json!(kind));
                }
                all.push(item);
            }
            match super::text(&list, "/metadata/continue") {
                "" => return Ok(all),
                token => next = format!("&continue={token}"),
            }
        }
    }

    /// True if the caller may do something. The group is empty for core kinds.
    pub(crate) async fn may(&self, verb: &str, resource: &Resource<'_>) -> Result<bool, ClusterError> {
        const PATH: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let attributes = json!({
            "verb": verb, "group": resource.group, "resource": resource.name,
            "subresource": resource.subresource, "namespace": resource.namespace,
        });
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        });
        let request = Request::post(PATH)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(review.to_string().into_bytes());
        Ok(super::flag(&self.send(PATH, request).await?, "/status/allowed"))
    }

    async fn send(&self, path: &str, request: http::Result<Request<Vec<u8>>>) -> Result<Value, ClusterError> {
        let refused = |message: String| ClusterError::Refused { path: path.to_owned(), message };
        let request = request.map_err(|error| refused(error.to_string()))?;
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.client.request::<Value>(request)).await;
        let answer = answer.map_err(|_| ClusterError::Silent { path: path.to_owned() })?;
        match answer {
            Ok(value) => Ok(value),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                Err(ClusterError::NotServed { path: path.to_owned() })
            }
            Err(kube::Error::Api(status)) if status.code == 403 => {
                Err(ClusterError::Forbidden { message: status.message.clone() })
            }
            Err(kube::Error::Api(status)) => Err(refused(status.message.clone())),
            Err(error) => Err(ClusterError::Unreachable(causes(&error))),
        }
    }
}

/// What somebody may do something with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Resource<'a> {
    pub(crate) group: &'a str,
    pub(crate) name: &'a str,
    pub(crate) subresource: &'a str,
    /// Empty for all namespaces.
    pub(crate) namespace: &'a str,
}

/// An error and what caused it: `kube` and `hyper` say the useful part last.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut all = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !all.contains(&text) {
            all.push_str(": ");
            all.push_str(&text);
        }
        next = cause.source();
    }
    all
}
