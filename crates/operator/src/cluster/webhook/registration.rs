//! Keeps what the API server believes of the webhooks: `caBundle` of both configurations.

use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1 as registration;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::cluster::bundles::Leads;
use crate::cluster::context::{ClusterContext, OPERATOR};
use crate::cluster::single;

/// The configuration of the webhook that injects.
pub(crate) const INJECTOR: &str = "bailiwick-injector";
/// The configuration of the webhook that judges our own objects.
pub(crate) const OBJECTS: &str = "bailiwick-objects";
/// Looks again without being told: a failed write is tried again, and a new leader takes over.
const AGAIN: Duration = Duration::from_secs(3);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(5);

/// Keeps one configuration until the drain begins.
pub(super) async fn keep(
    context: ClusterContext,
    (resource, name): (ApiResource, &'static str),
    mut bundle: watch::Receiver<Option<String>>,
    leads: Leads,
) {
    let api = Api::<DynamicObject>::all_with(context.client.clone(), &resource);
    let (sender, mut versions) = watch::channel(None);
    let follow =
        single::follow(api.clone(), name, &context.drain, |version| drop(sender.send_replace(version)));
    let write = async {
        loop {
            let patch = bundle
                .borrow_and_update()
                .as_deref()
                .zip(versions.borrow_and_update().as_ref())
                .and_then(|(bundle, version)| needed(version, bundle));
            if let Some(patch) = patch.filter(|_| leads()) {
                apply(&api, name, &patch).await;
            }
            tokio::select! {
                told = bundle.changed() => if told.is_err() { return },
                told = versions.changed() => if told.is_err() { return },
                () = sleep(AGAIN) => {}
            }
        }
    };
    tokio::select! {
        () = follow => {}
        () = write => {}
    }
}

/// Both configurations that name our webhooks.
pub(super) fn configurations() -> [(ApiResource, &'static str); 2] {
    [
        (ApiResource::erase::<registration::MutatingWebhookConfiguration>(&()), INJECTOR),
        (ApiResource::erase::<registration::ValidatingWebhookConfiguration>(&()), OBJECTS),
    ]
}

/// The patch that makes every webhook of a configuration believe `bundle`; `None` if all do.
fn needed(object: &DynamicObject, bundle: &str) -> Option<Value> {
    let wanted = serde_json::to_value(ByteString(bundle.as_bytes().to_vec())).ok()?;
    let webhooks = object.data.get("webhooks").and_then(Value::as_array)?;
    let missing: Vec<Value> = webhooks
        .iter()
        .filter(|webhook| webhook.pointer("/clientConfig/caBundle") != Some(&wanted))
        .filter_map(|webhook| webhook.get("name"))
        .map(|name| json!({"name": name, "clientConfig": {"caBundle": wanted}}))
        .collect();
    let version = object.metadata.resource_version.clone();
    // A name that is gone meanwhile must not come back half: the version makes that a conflict.
    (!missing.is_empty()).then(|| json!({"metadata": {"resourceVersion": version}, "webhooks": missing}))
}

/// A strategic merge: by the names of the webhooks, nothing else of them touched, and never creating one.
async fn apply(api: &Api<DynamicObject>, name: &str, patch: &Value) {
    let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    match timeout(REQUEST, api.patch(name, &parameters, &Patch::Strategic(patch))).await {
        Ok(Ok(_)) => tracing::info!(name, "the API server was told whom to believe as the webhook"),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 || status.code == 404 => {}
        Ok(Err(error)) => tracing::warn!(name, %error, "caBundle cannot be written; it is tried again"),
        Err(_) => tracing::warn!(name, "caBundle cannot be written in time; it is tried again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(webhooks: Value) -> DynamicObject {
        let (resource, name) = &configurations()[0];
        let mut object = DynamicObject::new(name, resource).data(json!({"webhooks": webhooks}));
        object.metadata.resource_version = Some("7".to_owned());
        object
    }

    #[test]
    fn only_webhooks_that_believe_something_else_are_patched() {
        let good = json!({"name": "a", "clientConfig": {"caBundle": "UEVN"}});
        assert_eq!(needed(&configuration(json!([good])), "PEM"), None);
        for wrong in [
            json!({"name": "b", "clientConfig": {"caBundle": ""}}),
            json!({"name": "b", "clientConfig": {}}),
            json!({"name": "b", "clientConfig": {"caBundle": "T0xE"}}),
        ] {
            let patch = needed(&configuration(json!([good, wrong])), "PEM").unwrap();
            let expected = json!({
                "metadata": {"resourceVersion": "7"},
                "webhooks": [{"name": "b", "clientConfig": {"caBundle": "UEVN"}}],
            });
            assert_eq!(patch, expected);
        }
        assert_eq!(needed(&configuration(json!([])), "PEM"), None);
    }
}
