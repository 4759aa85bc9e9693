//! What Helm runs around the removal of a release (chart, templates/uninstall): first whether it may be removed, at the
//! end what the operator itself has made.
//!
//! It must never remove the mesh's root or its epoch: an installation that comes again goes on where this one ended.

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, Error};
use thiserror::Error;

use bailiwick_pod::names::{BUNDLE_OBJECT, INJECT_ENABLED, INJECT_LABEL, SIGNER};

const INJECTOR: &str = "bailiwick-injector";
const OBJECTS: &str = "bailiwick-objects";
const WEBHOOK_SECRET: &str = "bailiwick-webhook";
const LEASE: &str = "bailiwick-operator";

/// What is done around the removal of a release.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum Uninstall {
    /// Before a release is removed: refuses while namespaces are enrolled, then removes the webhooks
    BeforeUninstall {
        /// Goes on though namespaces are enrolled
        #[arg(long)]
        force: bool,
    },
    /// After it: removes what the operator made, except the mesh's root and its epoch
    AfterUninstall {
        /// The namespace of the release
        #[arg(long, env = "POD_NAMESPACE")]
        namespace: String,
    },
}

/// Why a release is not removed.
#[derive(Debug, Error)]
pub(crate) enum UninstallError {
    /// Namespaces are enrolled.
    #[error(
        "namespaces are enrolled: {}. Without the operator their pods get no new certificates and lose each other within a day, and new pods are not protected. Take the label `{INJECT_LABEL}` from each and restart its Deployments, then uninstall again. `helm rollback bailiwick REVISION`, with the last revision of `helm history bailiwick`, puts the release back; `helm uninstall --no-hooks` goes on all the same",
        .0.join(", ")
    )]
    Enrolled(Vec<String>),
    /// The API server did not do it.
    #[error("{0} cannot be done: {1}")]
    Api(&'static str, #[source] Box<Error>),
    /// There is no way to the API server.
    #[error("the API server cannot be reached: {0}")]
    Client(#[source] Box<Error>),
    /// The runtime cannot start.
    #[error("the runtime cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

impl Uninstall {
    /// Does it.
    ///
    /// # Errors
    /// Where namespaces are enrolled, or the API server cannot be reached or refuses.
    pub(crate) fn run(self) -> Result<(), UninstallError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client =
                Client::try_default().await.map_err(|error| UninstallError::Client(Box::new(error)))?;
            match self {
                Self::BeforeUninstall { force } => before(client, force).await,
                Self::AfterUninstall { namespace } => after(client, &namespace).await,
            }
        })
    }
}

async fn before(client: Client, force: bool) -> Result<(), UninstallError> {
    let enrolled = enrolled(&client).await?;
    if !enrolled.is_empty() && !force {
        return Err(UninstallError::Enrolled(enrolled));
    }
    // Before the operator ends: a webhook that nobody answers would keep every pod of an enrolled namespace from starting.
    delete(Api::<MutatingWebhookConfiguration>::all(client.clone()), INJECTOR, "removing the injector")
        .await?;
    delete(Api::<ValidatingWebhookConfiguration>::all(client), OBJECTS, "removing the validating webhook")
        .await
}

async fn after(client: Client, namespace: &str) -> Result<(), UninstallError> {
    let bundles = Api::<ConfigMap>::all(client.clone())
        .list_metadata(&ListParams::default().fields(&format!("metadata.name={BUNDLE_OBJECT}")))
        .await
        .map_err(|error| UninstallError::Api("listing the trust bundles", Box::new(error)))?;
    for found in bundles.items.into_iter().filter_map(|bundle| bundle.metadata.namespace) {
        let api = Api::<ConfigMap>::namespaced(client.clone(), &found);
        delete(api, BUNDLE_OBJECT, "removing a trust bundle").await?;
    }
    let bundle = format!("{}:{BUNDLE_OBJECT}", SIGNER.replace('/', ":"));
    delete(Api::<ClusterTrustBundle>::all(client.clone()), &bundle, "removing the ClusterTrustBundle")
        .await?;
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    delete(secrets, WEBHOOK_SECRET, "removing the webhooks' Secret").await?;
    delete(Api::<Lease>::namespaced(client, namespace), LEASE, "removing the Lease").await
}

/// The names of the enrolled namespaces.
async fn enrolled(client: &Client) -> Result<Vec<String>, UninstallError> {
    let labelled = ListParams::default().labels(&format!("{INJECT_LABEL}={INJECT_ENABLED}"));
    let listed = Api::<Namespace>::all(client.clone())
        .list_metadata(&labelled)
        .await
        .map_err(|error| UninstallError::Api("listing the namespaces", Box::new(error)))?;
    Ok(listed.items.into_iter().filter_map(|namespace| namespace.metadata.name).collect())
}

/// Deletes one object; that it, or its kind, is not there is as good.
async fn delete<K>(api: Api<K>, name: &str, what: &'static str) -> Result<(), UninstallError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => {
            println!("{what}: done");
            Ok(())
        }
        Err(Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(UninstallError::Api(what, Box::new(error))),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    /// An API server with one enrolled namespace, and what it was asked.
    fn server() -> (Client, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            heard.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
            let (status, text) = if request.uri().path() == "/api/v1/namespaces" {
                (
                    200,
                    r#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{},"items":[{"metadata":{"name":"shop"}}]}"#,
                )
            } else {
                (
                    404,
                    r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}"#,
                )
            };
            let answer =
                Response::builder().status(status).body(Body::from(text.as_bytes().to_vec())).unwrap();
            async move { Ok::<_, Infallible>(answer) }
        });
        (Client::new(service, "bailiwick-system"), asked)
    }

    #[tokio::test]
    async fn an_enrolled_namespace_keeps_the_release_and_its_webhooks() {
        let (client, asked) = server();
        let refused = before(client, false).await.unwrap_err().to_string();
        assert!(refused.contains("enrolled: shop") && refused.contains("--no-hooks"), "{refused}");
        assert_eq!(asked.lock().unwrap().len(), 1, "nothing was removed");
    }

    #[tokio::test]
    async fn forced_it_leaves_no_webhook_and_what_is_gone_already_is_no_error() {
        let (client, asked) = server();
        before(client, true).await.unwrap();
        let asked = asked.lock().unwrap().join("\n");
        for name in [INJECTOR, OBJECTS] {
            assert!(asked.contains("DELETE") && asked.contains(&format!("configurations/{name}")), "{asked}");
        }
    }
}
