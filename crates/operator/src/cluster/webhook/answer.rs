//! What the API server is answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_compile::Diagnostic;
use bailiwick_injector::{Outcome, Request, Untouched, judge, mutate};
use bailiwick_pod::names::INJECT_LABEL;
use bailiwick_runtime::metrics::Metrics;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::references::unresolved;
use super::review::Review;
use crate::cluster::context::ClusterContext;
use crate::cluster::injection::Injection;
use crate::cluster::stores::Stores;
use crate::pipeline::one_line;

/// How long the API server may take to tell a namespace's labels.
const LOOK: Duration = Duration::from_secs(2);
/// The API server cuts longer warnings.
const LONGEST_WARNING: usize = 256;
/// Mistakes that are told at once.
const MOST_TOLD: usize = 20;

type Labels = Vec<(&'static str, &'static str)>;

/// Which webhook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Webhook {
    /// Of pods.
    Inject,
    /// Of our own objects.
    Validate,
}

impl Webhook {
    pub(super) fn at(path: &str) -> Option<Self> {
        match path {
            "/inject" => Some(Self::Inject),
            "/validate" => Some(Self::Validate),
            _ => None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Inject => "inject",
            Self::Validate => "validate",
        }
    }
}

/// What the webhooks count.
#[derive(Debug, Clone)]
pub(crate) struct WebhookMetrics {
    answers: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    refused: Counter,
}

impl WebhookMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let histogram: fn() -> Histogram =
            || Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 4.0]);
        Self {
            answers: metrics.register(
                "webhook_answers",
                "Admission requests that were answered, by webhook and outcome",
                Family::default(),
            ),
            seconds: metrics.register(
                "webhook_seconds",
                "Time to answer an admission request, by webhook",
                Family::new_with_constructor(histogram),
            ),
            refused: metrics.counter(
                "webhook_requests_refused",
                "Requests to the webhooks that were no admission review",
            ),
        }
    }

    pub(super) fn observe(&self, webhook: Webhook, took: Duration) {
        self.seconds.get_or_create(&vec![("webhook", webhook.as_str())]).observe(took.as_secs_f64());
    }

    pub(super) fn refused(&self) {
        self.refused.inc();
    }

    fn answered(&self, webhook: Webhook, outcome: &'static str) {
        self.answers.get_or_create(&vec![("webhook", webhook.as_str()), ("outcome", outcome)]).inc();
    }
}

/// Answers reviews.
pub(crate) struct Answerer {
    client: Client,
    stores: Arc<Stores>,
    injection: Injection,
    operator_namespace: String,
    metrics: WebhookMetrics,
}

/// One answer.
struct Answer {
    /// One word, for metrics.
    outcome: &'static str,
    response: Value,
}

impl Answer {
    fn allowed(outcome: &'static str) -> Self {
        Self { outcome, response: json!({"allowed": true}) }
    }

    fn denied(outcome: &'static str, code: u16, reason: &str, message: &str) -> Self {
        let status = json!({"code": code, "reason": reason, "message": message});
        Self { outcome, response: json!({"allowed": false, "status": status}) }
    }

    fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        if !warnings.is_empty()
            && let Some(response) = self.response.as_object_mut()
        {
            response.insert("warnings".to_owned(), warnings.into());
        }
        self
    }
}

impl Answerer {
    pub(crate) fn new(context: &ClusterContext, injection: Injection, metrics: WebhookMetrics) -> Self {
        Self {
            client: context.client.clone(),
            stores: Arc::clone(&context.stores),
            injection,
            operator_namespace: context.namespace.to_string(),
            metrics,
        }
    }

    pub(super) const fn metrics(&self) -> &WebhookMetrics {
        &self.metrics
    }

    /// The whole answer as JSON.
    pub(super) async fn answer(&self, webhook: Webhook, review: Review) -> Vec<u8> {
        let answer = match webhook {
            Webhook::Inject => self.inject(&review).await,
            Webhook::Validate => self.validate(&review),
        };
        self.metrics.answered(webhook, answer.outcome);
        let mut response = answer.response;
        if let Some(response) = response.as_object_mut() {
            response.insert("uid".to_owned(), review.uid.into());
        }
        let whole =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        whole.to_string().into_bytes()
    }

    async fn inject(&self, review: &Review) -> Answer {
        let resource = (review.resource.group.as_str(), review.resource.resource.as_str());
        let subresource = review.sub_resource.as_deref().unwrap_or_default();
        if resource != ("", "pods") || !subresource.is_empty() || review.operation != "CREATE" {
            return Answer::allowed("not-asked-for");
        }
        let (Some(pod), Some(namespace)) = (&review.object, &review.namespace) else {
            return Answer::denied("malformed", 400, "BadRequest", "the review holds no pod of a namespace");
        };
        // FAIL-CLOSED: without settings or labels nobody knows what to inject, and nothing is admitted half.
        let settings = match self.injection.settings() {
            Ok(settings) => settings,
            Err(problem) => {
                let message = format!("not injected by bailiwick: {problem}");
                return Answer::denied("no-settings", 503, "ServiceUnavailable", &message);
            }
        };
        let labels = match self.labels(namespace).await {
            Ok(labels) => labels,
            Err(problem) => {
                let message = format!("not injected by bailiwick: {problem}; it is worth another try");
                return Answer::denied("unavailable", 503, "ServiceUnavailable", &message);
            }
        };
        let request =
            Request { namespace, namespace_labels: &labels, operator_namespace: &self.operator_namespace };
        match mutate(pod, &request, &settings) {
            Ok(Outcome::Patch(operations)) => patch(&operations),
            Ok(Outcome::Untouched(Untouched::AlreadyInjected)) => Answer::allowed("already-injected"),
            Ok(Outcome::Untouched(Untouched::Exempt)) => Answer::allowed("exempt"),
            Ok(Outcome::Untouched(Untouched::SystemNamespace)) => Answer::allowed("system-namespace"),
            Err(error) => Answer::denied("denied", 422, "Invalid", &error.to_string()),
        }
    }

    /// The same strict decode and compile as in the operator: what is accepted here is what will be enforced.
    fn validate(&self, review: &Review) -> Answer {
        let asked = review.resource.group == bailiwick_api::GROUP
            && matches!(review.operation.as_str(), "CREATE" | "UPDATE")
            && review.sub_resource.as_deref().unwrap_or_default().is_empty();
        let Some(object) = review.object.as_ref().filter(|_| asked) else {
            return Answer::allowed("not-asked-for");
        };
        let mut judgement = judge(object, review.old_object.as_ref());
        if judgement.errors.is_empty() && judgement.warnings.is_empty() {
            judgement.warnings = unresolved(&self.stores, object);
        }
        let warnings = judgement.warnings.iter().take(MOST_TOLD).map(warning).collect();
        if judgement.errors.is_empty() {
            return Answer::allowed("accepted").with_warnings(warnings);
        }
        let mut told: Vec<String> = judgement.errors.iter().take(MOST_TOLD).map(mistake).collect();
        if judgement.errors.len() > MOST_TOLD {
            told.push(format!("and {} more", judgement.errors.len() - MOST_TOLD));
        }
        Answer::denied("denied", 422, "Invalid", &told.join("; ")).with_warnings(warnings)
    }

    /// The API server asked because the namespace is enrolled there. Where the reflector does not say so yet, it lags.
    async fn labels(&self, namespace: &str) -> Result<BTreeMap<String, String>, String> {
        if let Some(item) = self.stores.namespaces.get("", namespace)
            && item.content.labels.contains_key(INJECT_LABEL)
        {
            return Ok(item.content.labels.clone());
        }
        let api = Api::<Namespace>::all(self.client.clone());
        match timeout(LOOK, api.get_metadata(namespace)).await {
            Ok(Ok(found)) => Ok(found.metadata.labels.unwrap_or_default()),
            Ok(Err(error)) => Err(format!("namespace `{namespace}` cannot be read: {error}")),
            Err(_) => Err(format!("namespace `{namespace}` cannot be read in time")),
        }
    }
}

fn patch(operations: &[bailiwick_injector::Operation]) -> Answer {
    match serde_json::to_vec(operations) {
        Ok(patch) => Answer {
            outcome: "patched",
            response: json!({"allowed": true, "patchType": "JSONPatch", "patch": ByteString(patch)}),
        },
        Err(error) => Answer::denied("internal", 500, "InternalError", &error.to_string()),
    }
}

/// Code, field, what is wrong and what to do. The object's own name is on the writer's screen already.
fn mistake(problem: &Diagnostic) -> String {
    let field = problem.field.as_str();
    let joint = if field.is_empty() { "" } else { ": " };
    let help = problem.help.as_deref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{} {field}{joint}{}{help}", problem.code, problem.message)
}

fn warning(problem: &Diagnostic) -> String {
    one_line(problem).chars().take(LONGEST_WARNING).collect()
}
