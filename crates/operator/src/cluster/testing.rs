//! An API server of a few lines for tests: objects by path, revisions, conflicts, lists.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bailiwick_runtime::drain::Drain;
use bailiwick_runtime::ready::Readiness;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::context::ClusterContext;
use super::stores::Stores;

#[derive(Debug, Default)]
struct Data {
    revision: u64,
    /// By path, such as `/api/v1/namespaces/shop/pods/web`.
    objects: BTreeMap<String, Value>,
    requests: Vec<String>,
    fail: Option<StatusCode>,
}

/// What the API server holds; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeApi(Arc<Mutex<Data>>);

impl FakeApi {
    /// Puts an object there, and gives it as it is stored.
    pub(crate) fn put(&self, path: &str, mut object: Value) -> Value {
        let mut data = self.0.lock().unwrap();
        data.revision += 1;
        object["metadata"]["resourceVersion"] = json!(data.revision.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-of-{path}"));
        }
        data.objects.insert(path.to_owned(), object.clone());
        object
    }

    pub(crate) fn remove(&self, path: &str) {
        let mut data = self.0.lock().unwrap();
        data.revision += 1;
        data.objects.remove(path);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    /// The objects of a kind, by its path.
    pub(crate) fn list(&self, path: &str) -> Vec<Value> {
        let data = self.0.lock().unwrap();
        let (root, plural) = path.rsplit_once('/').unwrap();
        let of_kind = data.objects.iter().filter(|(known, _)| belongs(known, root, plural));
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    /// The latest revision.
    pub(crate) fn revision(&self) -> u64 {
        self.0.lock().unwrap().revision
    }

    /// Something changes that nobody here reads.
    pub(crate) fn pass(&self, revisions: u64) {
        self.0.lock().unwrap().revision += revisions;
    }

    /// From now on every request fails with this, or none does.
    pub(crate) fn fail(&self, status: Option<StatusCode>) {
        self.0.lock().unwrap().fail = status;
    }

    /// Method and path with query of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().requests.clone()
    }

    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (head, body) = request.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                let (status, answer) = api.answer(&head.method, &head.uri, body);
                let body = Body::from(serde_json::to_vec(&answer).unwrap());
                Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
            }
        });
        Client::new(service, "default")
    }

    /// A context whose client asks this API server, with empty stores.
    pub(crate) fn context(&self, drain: &Drain) -> ClusterContext {
        ClusterContext {
            client: self.client(),
            namespace: "bailiwick-system".parse().unwrap(),
            pod_name: Arc::from("operator-0"),
            pod_ip: [10, 0, 0, 9].into(),
            trust_domain: "cluster.local".parse().unwrap(),
            stores: Arc::new(Stores::new()),
            readiness: Readiness::starting().0,
            drain: drain.watch(),
        }
    }

    fn answer(&self, method: &Method, uri: &http::Uri, body: Value) -> (StatusCode, Value) {
        let path = uri.path();
        let failing = {
            let mut data = self.0.lock().unwrap();
            data.requests.push(format!("{method} {}", uri.path_and_query().unwrap()));
            data.fail
        };
        if let Some(status) = failing {
            return refusal(status);
        }
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        match *method {
            Method::GET => self.read(path, uri.query().unwrap_or_default()),
            Method::POST if self.get(&format!("{path}/{name}")).is_some() => refusal(StatusCode::CONFLICT),
            Method::POST => (StatusCode::CREATED, self.put(&format!("{path}/{name}"), body)),
            Method::PUT => match self.get(path) {
                None => refusal(StatusCode::NOT_FOUND),
                Some(found)
                    if found["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] =>
                {
                    refusal(StatusCode::CONFLICT)
                }
                Some(_) => (StatusCode::OK, self.put(path, body)),
            },
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    /// An object, or the list of what lies under a kind's path; the one field selector of a query is looked at.
    fn read(&self, path: &str, query: &str) -> (StatusCode, Value) {
        if let Some(found) = self.get(path) {
            return (StatusCode::OK, found);
        }
        let data = self.0.lock().unwrap();
        let (root, plural) = path.rsplit_once('/').unwrap();
        let is_kind = data.objects.keys().any(|known| belongs(known, root, plural)) || plural.ends_with('s');
        if !is_kind || path.matches('/').count() > 4 {
            return refusal(StatusCode::NOT_FOUND);
        }
        let wanted = query.split('&').find_map(|pair| pair.strip_prefix("fieldSelector=")).map(|text| {
            let text = text.replace("%3D", "=").replace("%3A", ":").replace("%2E", ".");
            let (field, value) = text.split_once('=').unwrap();
            (format!("/{}", field.replace('.', "/")), value.to_owned())
        });
        let items: Vec<&Value> = data
            .objects
            .iter()
            .filter(|(known, _)| belongs(known, root, plural))
            .map(|(_, object)| object)
            .filter(|object| {
                wanted.as_ref().is_none_or(|(field, value)| object.pointer(field) == Some(&json!(value)))
            })
            .collect();
        let list = json!({
            "apiVersion": "v1", "kind": "List",
            "metadata": {"resourceVersion": data.revision.to_string()},
            "items": items,
        });
        (StatusCode::OK, list)
    }
}

/// True if a path is one of a kind's objects, in any namespace.
fn belongs(path: &str, root: &str, plural: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| {
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        matches!(parts.as_slice(), [kind, _] if *kind == plural)
            || matches!(parts.as_slice(), ["namespaces", _, kind, _] if *kind == plural)
    })
}

fn refusal(status: StatusCode) -> (StatusCode, Value) {
    let reason = match status {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        _ => "Failure",
    };
    let answer = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "metadata": {},
        "code": status.as_u16(), "reason": reason, "message": reason,
    });
    (status, answer)
}
