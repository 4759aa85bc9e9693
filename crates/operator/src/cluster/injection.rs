//! What is injected and permitted: the ConfigMap `bailiwick-injection`, as it is now.

use std::sync::Arc;

use bailiwick_injector::Settings;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use tokio::sync::watch;

use super::context::ClusterContext;
use super::single;

/// The ConfigMap in the operator's namespace. The admission policies in the API server read it, too.
pub(crate) const CONFIG_MAP: &str = "bailiwick-injection";

/// The settings in force, or why there are none.
#[derive(Debug, Clone)]
pub(crate) struct Injection(watch::Receiver<Result<Arc<Settings>, Arc<str>>>);

impl Injection {
    /// Follows the ConfigMap until the drain begins.
    pub(crate) fn follow(context: &ClusterContext) -> Self {
        let (sender, receiver) = watch::channel(Err(Arc::from("its settings are not read yet")));
        let api = Api::<ConfigMap>::namespaced(context.client.clone(), context.namespace.as_str());
        let drain = context.drain.clone();
        tokio::spawn(async move {
            single::follow(api, CONFIG_MAP, &drain, |map| {
                let read = read(map);
                if let Err(problem) = &read {
                    tracing::error!("nothing is injected, and enrolled namespaces admit no pod: {problem}");
                }
                drop(sender.send_replace(read));
            })
            .await;
        });
        Self(receiver)
    }

    #[cfg(test)]
    pub(crate) fn fixed(settings: Result<Settings, &str>) -> Self {
        let (_, receiver) = watch::channel(settings.map(Arc::new).map_err(Arc::from));
        Self(receiver)
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> Result<Arc<Settings>, Arc<str>> {
        self.0.borrow().clone()
    }

    /// True if pods of this service account are left without a sidecar. Where that is not known nobody is: a pod that
    /// has a sidecar is none of them.
    pub(crate) fn is_exempt(&self, namespace: &str, service_account: &str) -> bool {
        self.0.borrow().as_ref().is_ok_and(|settings| settings.is_exempt(namespace, service_account))
    }
}

/// FAIL-CLOSED: the last good settings are not kept. The policies in the API server go by what stands there now, and
/// two truths would admit pods that nobody meant.
fn read(map: Option<ConfigMap>) -> Result<Arc<Settings>, Arc<str>> {
    let map =
        map.ok_or_else(|| Arc::from(format!("ConfigMap `{CONFIG_MAP}` is missing; run `helm upgrade`")))?;
    let settings = Settings::read(&map.data.unwrap_or_default());
    settings.map(Arc::new).map_err(|error| Arc::from(error.to_string()))
}
