//! A scripted API server for tests: objects by path, races and failures as told. The real one is used end to end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use bailiwick_injector::Settings;
use bailiwick_runtime::drain::Drain;
use bailiwick_runtime::ready::Readiness;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::context::ClusterContext;
use super::stores::Stores;

/// What the API server holds and does.
#[derive(Debug, Default)]
pub(crate) struct FakeApi {
    /// By path, such as `/api/v1/namespaces/shop/pods/web`.
    pub(crate) objects: BTreeMap<String, Value>,
    /// The status of every TokenReview.
    pub(crate) review: Value,
    /// Paths that begin so are answered with this code.
    pub(crate) broken: Vec<(String, u16)>,
    /// Method and path of every request.
    pub(crate) requests: Vec<(String, String)>,
    /// Bodies of patches, by path.
    pub(crate) patches: Vec<(String, Value)>,
    revision: u64,
}

/// Shared with the client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<FakeApi>>);

impl Fake {
    pub(crate) fn lock(&self) -> MutexGuard<'_, FakeApi> {
        self.0.lock().unwrap()
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        self.lock().objects.insert(path.to_owned(), object);
    }

    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        self.lock().requests.iter().filter(|(m, path)| m == method && path.contains(part)).count()
    }

    pub(crate) fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let path = parts.uri.path().to_owned();
                // Others get their turn between any two requests: races are real ones.
                tokio::task::yield_now().await;
                let (code, answer) = fake.lock().answer(&parts.method, path, body);
                let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
                *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        Client::new(service, "default")
    }

    pub(crate) fn context(&self) -> ClusterContext {
        ClusterContext {
            client: self.client(),
            namespace: "bailiwick-system".parse().unwrap(),
            pod_name: Arc::from("bailiwick-operator-1"),
            pod_ip: "10.0.0.9".parse().unwrap(),
            trust_domain: "cluster.local".parse().unwrap(),
            stores: Arc::new(Stores::new()),
            readiness: Readiness::starting().0,
            drain: Drain::new().watch(),
        }
    }
}

impl FakeApi {
    fn answer(&mut self, method: &Method, path: String, body: Value) -> (u16, Value) {
        self.requests.push((method.to_string(), path.clone()));
        let broken = self.broken.iter().find(|(prefix, _)| path.starts_with(prefix));
        if let Some((_, code)) = broken {
            return failure(*code, "Broken");
        }
        if path.ends_with("/tokenreviews") {
            let mut answer = body;
            answer["status"] = self.review.clone();
            return (201, answer);
        }
        self.revision += 1;
        let version = self.revision.to_string();
        match method.as_str() {
            "GET" => {
                self.objects.get(&path).map_or_else(|| failure(404, "NotFound"), |found| (200, found.clone()))
            }
            "POST" => {
                let at = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&at) {
                    return failure(409, "AlreadyExists");
                }
                self.write(at, body, version)
            }
            "PUT" => {
                let same = self.objects.get(&path).map(|old| &old["metadata"]["resourceVersion"])
                    == Some(&body["metadata"]["resourceVersion"]);
                if same { self.write(path, body, version) } else { failure(409, "Conflict") }
            }
            "PATCH" => {
                self.patches.push((path.clone(), body.clone()));
                self.write(path, body, version)
            }
            "DELETE" => {
                self.objects.remove(&path);
                (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
            }
            other => panic!("{other}"),
        }
    }

    fn write(&mut self, at: String, mut object: Value, version: String) -> (u16, Value) {
        object["metadata"]["resourceVersion"] = version.into();
        self.objects.insert(at, object.clone());
        (200, object)
    }
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason,
    });
    (code, status)
}

/// Settings as the chart renders them.
pub(crate) fn settings(exempt: &str) -> Settings {
    let image = "localhost/bailiwick-sidecar:0.1.0";
    let data = [
        ("version", "0.1.0"),
        ("image", image),
        ("allowedImages", image),
        ("imagePullPolicy", "IfNotPresent"),
        ("user", "42137"),
        ("sidecarArguments", "pod\n--operator\nbailiwick-operator.bailiwick-system.svc"),
        ("bundle", "ConfigMap"),
        ("cpuRequest", "10m"),
        ("memoryRequest", "32Mi"),
        ("memoryLimit", "256Mi"),
        ("skipPortsNamespaces", ""),
        ("exempt", exempt),
    ];
    Settings::read(&data.map(|(key, value)| (key.to_owned(), value.to_owned())).into()).unwrap()
}
