use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bailiwick_authn::AdmissionTls;
use bailiwick_runtime::accept::{Acceptor, ReusePort, listen};
use bailiwick_runtime::drain::Drain;
use bailiwick_runtime::metrics::Metrics;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::answer::{Answerer, Webhook, WebhookMetrics};
use super::certificate::{Parts, names};
use super::{LARGEST_BODY, Server, review};
use crate::cluster::fake_api::{Fake, settings};
use crate::cluster::injection::Injection;

const NAMESPACE: &str = "/api/v1/namespaces/shop";

fn answerer(fake: &Fake, injection: Injection) -> Answerer {
    Answerer::new(&fake.context(), injection, WebhookMetrics::register(&Metrics::new("test")))
}

fn ready(exempt: &str) -> Injection {
    Injection::fixed(Ok(settings(exempt)))
}

fn enrolled() -> Fake {
    let fake = Fake::default();
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"bailiwick.dev/inject": "enabled"}},
    });
    fake.put(NAMESPACE, namespace);
    fake
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"serviceAccountName": "web", "containers": [{"name": "app", "image": "app:1"}]},
    })
}

fn of_pod(object: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop", "operation": "CREATE", "dryRun": true, "object": object, "oldObject": null,
        },
    })
}

fn of_role(operation: &str, object: Value, old: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "resource": {"group": "bailiwick.dev", "version": "v1alpha1", "resource": "bwroles"},
            "namespace": "shop", "operation": operation, "object": object, "oldObject": old,
        },
    })
}

fn role(permission: Value) -> Value {
    json!({
        "apiVersion": "bailiwick.dev/v1alpha1", "kind": "Role",
        "metadata": {"name": "reader", "namespace": "shop"},
        "spec": {"permissions": [permission]},
    })
}

async fn ask(answerer: &Answerer, webhook: Webhook, review: &Value) -> Value {
    let review = review::read(review.to_string().as_bytes()).unwrap();
    let uid = review.uid.clone();
    let answer: Value = serde_json::from_slice(&answerer.answer(webhook, review).await).unwrap();
    assert_eq!(
        (&answer["apiVersion"], &answer["kind"]),
        (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
    );
    assert_eq!(answer["response"]["uid"], uid);
    answer["response"].clone()
}

#[tokio::test]
async fn a_new_pod_is_answered_with_its_patch() {
    let fake = enrolled();
    let response = ask(&answerer(&fake, ready("")), Webhook::Inject, &of_pod(pod())).await;
    assert_eq!((&response["allowed"], &response["patchType"]), (&json!(true), &json!("JSONPatch")));
    let patch: k8s_openapi::ByteString = serde_json::from_value(response["patch"].clone()).unwrap();
    let patch: Value = serde_json::from_slice(&patch.0).unwrap();
    assert!(patch.to_string().contains("bailiwick-capture") && patch.is_array());
}

#[tokio::test]
async fn what_is_not_to_be_injected_is_let_through_untouched() {
    let fake = enrolled();
    let mut update = of_pod(pod());
    update["request"]["operation"] = "UPDATE".into();
    let mut other = of_pod(pod());
    other["request"]["resource"]["resource"] = "configmaps".into();
    let mut subresource = of_pod(pod());
    subresource["request"]["subResource"] = "ephemeralcontainers".into();
    for (review, exempt) in [(update, ""), (other, ""), (subresource, ""), (of_pod(pod()), "shop/web")] {
        let response = ask(&answerer(&fake, ready(exempt)), Webhook::Inject, &review).await;
        assert_eq!(response["allowed"], true, "{response}");
        assert!(response.get("patch").is_none());
    }
}

#[tokio::test]
async fn without_settings_or_an_answer_nothing_is_admitted() {
    let fake = enrolled();
    let missing = Injection::fixed(Err("ConfigMap `bailiwick-injection` is missing"));
    let response = ask(&answerer(&fake, missing), Webhook::Inject, &of_pod(pod())).await;
    assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(503)));
    assert!(response["status"]["message"].as_str().unwrap().contains("bailiwick-injection"));

    fake.lock().broken.push((NAMESPACE.to_owned(), 500));
    let response = ask(&answerer(&fake, ready("")), Webhook::Inject, &of_pod(pod())).await;
    assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(503)));

    let fake = enrolled();
    for object in
        [Value::Null, json!({}), json!([]), json!({"spec": 1}), json!({"spec": {"containers": "x"}})]
    {
        let response = ask(&answerer(&fake, ready("")), Webhook::Inject, &of_pod(object.clone())).await;
        if object.pointer("/spec/containers").is_none() {
            assert_eq!(response["allowed"], false, "{object}");
        }
    }
}

#[tokio::test]
async fn an_object_of_ours_is_judged_as_the_operator_will() {
    let answerer = answerer(&enrolled(), ready(""));
    let good = role(json!({"http": {"methods": ["GET"], "paths": ["/a"]}}));
    let response = ask(&answerer, Webhook::Validate, &of_role("CREATE", good.clone(), Value::Null)).await;
    assert_eq!(response["allowed"], true, "{response}");

    let misspelt = role(json!({"http": {"methods": ["GET"], "paths": ["/a"], "hots": ["x"]}}));
    let response = ask(&answerer, Webhook::Validate, &of_role("CREATE", misspelt.clone(), Value::Null)).await;
    assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(422)));
    let message = response["status"]["message"].as_str().unwrap();
    for part in ["BW0", "spec.permissions[0].http", "hots", "did you mean `hosts`"] {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    // What was there before can still lose its finalizers.
    let review = of_role("UPDATE", misspelt.clone(), misspelt.clone());
    let response = ask(&answerer, Webhook::Validate, &review).await;
    assert_eq!(response["allowed"], true);
    assert!(response["warnings"][0].as_str().unwrap().contains("hots"), "{response}");
    let deletion = of_role("DELETE", Value::Null, misspelt);
    assert_eq!(ask(&answerer, Webhook::Validate, &deletion).await["allowed"], true);
}

#[tokio::test]
async fn a_reference_that_leads_nowhere_is_a_warning() {
    let fake = enrolled();
    let context = fake.context();
    let metrics = WebhookMetrics::register(&Metrics::new("test"));
    let answerer = Answerer::new(&context, ready(""), metrics);
    let policy = json!({
        "apiVersion": "bailiwick.dev/v1alpha1", "kind": "Policy",
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"rules": [{"name": "r", "effect": "Allow", "subjects": [{"anyone": {}}], "roles": [{"name": "reader"}]}]},
    });
    let review = of_role("CREATE", policy, Value::Null);
    let response = ask(&answerer, Webhook::Validate, &review).await;
    assert_eq!(response["allowed"], true, "{response}");
    assert!(response["warnings"][0].as_str().unwrap().contains("reader"), "{response}");
    let mut found = role(json!({"http": {"methods": ["GET"], "paths": ["/a"]}}));
    found["metadata"]["uid"] = "u".into();
    found["metadata"]["resourceVersion"] = "1".into();
    context.stores.of_kind(bailiwick_compile::ObjectKind::Role).unwrap().apply(found);
    let response = ask(&answerer, Webhook::Validate, &review).await;
    assert!(response["allowed"] == true && response.get("warnings").is_none(), "{response}");
}

#[test]
fn h7_only_reviews_are_read_and_nothing_panics() {
    let good = of_pod(pod()).to_string();
    assert!(review::read(good.as_bytes()).is_ok());
    let long_uid = of_pod(pod()).to_string().replace("705ab4f5", &"7".repeat(200));
    let no_uid = of_pod(pod()).to_string().replace("705ab4f5-6393-11e8-b7cc-42010a800002", "");
    for bad in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "[".repeat(LARGEST_BODY),
        "{\"a\":".repeat(100_000),
        good.replace("AdmissionReview", "ConversionReview"),
        good.replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1"),
        good.replace("\"request\"", "\"response\""),
        long_uid,
        no_uid,
        good.chars().take(good.len() / 2).collect(),
    ] {
        assert!(review::read(bad.as_bytes()).is_err(), "{}", bad.chars().take(60).collect::<String>());
    }
    use proptest::prelude::*;
    proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..400))| {
        drop(review::read(&bytes));
    });
}

type Caller = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

struct Served {
    address: std::net::SocketAddr,
    bundle: String,
    drain: Drain,
}

async fn serve(fake: &Fake) -> Served {
    let names = names("bailiwick-system");
    let parts = Parts::make(&names, SystemTime::now()).unwrap();
    let tls = Arc::new(AdmissionTls::new(None).unwrap());
    tls.replace(parts.certificate.as_bytes(), parts.key.as_bytes()).unwrap();
    let acceptor = Acceptor::new(listen("127.0.0.1:0".parse().unwrap(), ReusePort::No).unwrap());
    let address = acceptor.local_addr().unwrap();
    let drain = Drain::new();
    let server = Server::new(tls, Arc::new(answerer(fake, ready(""))));
    tokio::spawn(server.serve(acceptor, drain.watch()));
    Served { address, bundle: parts.bundle(), drain }
}

impl Served {
    async fn connect(&self) -> Caller {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.bundle.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("bailiwick-operator.bailiwick-system.svc").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (caller, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        caller
    }
}

async fn send(
    caller: &mut Caller,
    method: Method,
    path: &str,
    content: &str,
    body: Vec<u8>,
) -> (StatusCode, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "x")
        .header("content-type", content)
        .body(Full::from(body))
        .unwrap();
    let response = caller.send_request(request).await.unwrap();
    let status = response.status();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn k6_h7_whoever_reaches_the_port_gets_bounded_answers() {
    let served = serve(&enrolled()).await;
    let mut caller = served.connect().await;
    let good = of_pod(pod()).to_string().into_bytes();
    let json = "application/json";
    let (status, body) = send(&mut caller, Method::POST, "/inject", json, good.clone()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(serde_json::from_slice::<Value>(&body).unwrap()["response"]["patch"].is_string());
    let cases: [(Method, &str, &str, Vec<u8>, u16); 7] = [
        (Method::GET, "/inject", json, Vec::new(), 405),
        (Method::POST, "/", json, good.clone(), 404),
        (Method::POST, "/inject/../validate", json, good.clone(), 404),
        (Method::POST, "/inject", "text/html", good.clone(), 415),
        (Method::POST, "/inject", json, b"{}".to_vec(), 400),
        (Method::POST, "/validate", json, vec![b'['; 100_000], 400),
        (Method::POST, "/inject", json, good.clone(), 200),
    ];
    for (method, path, content, body, expected) in cases {
        let (status, _) = send(&mut caller, method.clone(), path, content, body).await;
        assert_eq!(status.as_u16(), expected, "{method} {path} {content}");
    }
    let (status, _) =
        send(&mut served.connect().await, Method::POST, "/inject", json, vec![b' '; LARGEST_BODY + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    served.drain.signal();
    let ended = tokio::time::timeout(Duration::from_secs(5), async {
        while caller.ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    ended.await.expect("an idle connection ends with the drain");
}
