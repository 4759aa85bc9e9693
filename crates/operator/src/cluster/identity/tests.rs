//! Every kind of wrong token, and what keeps a good one from being refused.

use std::net::IpAddr;

use bailiwick_pod::names::TOKEN_AUDIENCE;
use serde_json::{Value, json};
use tonic::Code;

use super::Reviewer;
use super::token::peek;
use crate::cluster::events::Events;
use crate::cluster::fake_api::{Fake, settings};
use crate::cluster::injection::Injection;
use crate::identity::{Proven, Unproven};
use crate::testing::{identity, workload};

const PEER: &str = "10.1.0.7";
const POD: &str = "/api/v1/namespaces/shop/pods/web-1";
const NAMESPACE: &str = "/api/v1/namespaces/shop";
const ACCOUNT: &str = "/api/v1/namespaces/shop/serviceaccounts/web";

/// A token and the cluster around it, all good.
struct Setup {
    payload: Value,
    /// Instead of a token made of the payload.
    token: Option<Vec<u8>>,
    review: Value,
    pod: Value,
    namespace: Value,
    account: Value,
    peer: IpAddr,
    exempt: &'static str,
    broken: Option<(&'static str, u16)>,
    check_pod_address: bool,
}

impl Setup {
    fn good() -> Self {
        Self {
            payload: json!({
                "aud": [TOKEN_AUDIENCE],
                "kubernetes.io": {"namespace": "shop", "pod": {"name": "web-1", "uid": "pod-uid"}},
            }),
            token: None,
            review: json!({
                "authenticated": true,
                "audiences": [TOKEN_AUDIENCE],
                "user": {
                    "username": "system:serviceaccount:shop:web",
                    "uid": "account-uid",
                    "groups": ["system:serviceaccounts"],
                    "extra": {
                        "authentication.kubernetes.io/pod-name": ["web-1"],
                        "authentication.kubernetes.io/pod-uid": ["pod-uid"],
                        "authentication.kubernetes.io/node-name": ["node-a"],
                    },
                },
            }),
            pod: json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "web-1", "namespace": "shop", "uid": "pod-uid", "resourceVersion": "5"},
                "spec": {
                    "serviceAccountName": "web", "nodeName": "node-a",
                    "initContainers": [
                        {"name": "bailiwick-capture"},
                        {"name": "bailiwick-sidecar", "restartPolicy": "Always"},
                    ],
                    "containers": [{"name": "app"}],
                },
                "status": {"phase": "Pending", "podIP": PEER, "podIPs": [{"ip": PEER}, {"ip": "fd00::7"}]},
            }),
            namespace: json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": "shop", "uid": "u", "resourceVersion": "3", "labels": {"bailiwick.dev/inject": "enabled"}},
            }),
            account: json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": "web", "namespace": "shop", "uid": "account-uid", "resourceVersion": "2"},
            }),
            peer: PEER.parse().unwrap(),
            exempt: "",
            broken: None,
            check_pod_address: true,
        }
    }

    fn fake(&self) -> Fake {
        let fake = Fake::default();
        for (path, object) in [(POD, &self.pod), (NAMESPACE, &self.namespace), (ACCOUNT, &self.account)] {
            if !object.is_null() {
                fake.put(path, object.clone());
            }
        }
        fake.lock().review = self.review.clone();
        fake.lock().broken = self.broken.iter().map(|(path, code)| ((*path).to_owned(), *code)).collect();
        fake
    }

    /// `held`: whether the reflectors hold the same as the API server, or nothing.
    async fn prove(&self, held: bool) -> Result<Proven, Unproven> {
        let fake = self.fake();
        let context = fake.context();
        if held {
            for object in [&self.namespace].into_iter().filter(|object| !object.is_null()) {
                context.stores.namespaces.apply(object.clone());
            }
            for object in [&self.pod].into_iter().filter(|object| !object.is_null()) {
                context.stores.pods.apply(object.clone());
            }
        }
        let reviewer = self.reviewer(&context);
        reviewer.prove(&self.token(), self.peer).await
    }

    fn reviewer(&self, context: &crate::cluster::context::ClusterContext) -> Reviewer {
        let injection = Injection::fixed(Ok(settings(self.exempt)));
        Reviewer::new(context, injection, Events::silent(), self.check_pod_address)
    }

    fn token(&self) -> Vec<u8> {
        self.token.clone().unwrap_or_else(|| jwt(&self.payload.to_string()))
    }
}

fn jwt(payload: &str) -> Vec<u8> {
    format!(
        "{}.{}.{}",
        base64url(b"{\"alg\":\"RS256\"}"),
        base64url(payload.as_bytes()),
        base64url(&[7; 256])
    )
    .into_bytes()
}

fn base64url(bytes: &[u8]) -> String {
    let text = serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).unwrap();
    text.as_str().unwrap().replace('+', "-").replace('/', "_").replace('=', "")
}

fn username(setup: &mut Setup, name: &str) {
    setup.review["user"]["username"] = name.into();
}

fn extra(setup: &mut Setup, key: &str, value: Value) {
    let extras = setup.review["user"]["extra"].as_object_mut().unwrap();
    let key = format!("authentication.kubernetes.io/{key}");
    if value.is_null() {
        extras.remove(&key);
    } else {
        extras.insert(key, value);
    }
}

type Wrong = (&'static str, &'static str, fn(&mut Setup));

/// What a reflector still holds.
type Stale = (&'static str, fn(&mut Value));

/// What is wrong, the reason that is told, and how it comes about.
const WRONG: &[Wrong] = &[
    ("no token", "token-empty", |s| s.token = Some(Vec::new())),
    ("white space", "token-empty", |s| s.token = Some(b" \n\t ".to_vec())),
    ("a huge token", "token-too-long", |s| s.token = Some(vec![b'a'; 60_000])),
    ("words", "token-malformed", |s| s.token = Some(b"let me in".to_vec())),
    ("not text", "token-malformed", |s| s.token = Some(vec![0xff, 0xfe, b'.', 0, b'.', 1])),
    ("two parts", "token-malformed", |s| s.token = Some(b"eyJh.eyJh".to_vec())),
    ("four parts", "token-malformed", |s| s.token = Some(b"eyJh.eyJh.eyJh.eyJh".to_vec())),
    ("no signature (alg none)", "token-malformed", |s| {
        let token = String::from_utf8(s.token()).unwrap();
        s.token = Some(token.rsplit_once('.').map(|(head, _)| format!("{head}.")).unwrap().into_bytes());
    }),
    ("padded base64", "token-malformed", |s| s.token = Some(b"eyJh=.eyJh=.eyJh=".to_vec())),
    ("a payload that is no JSON", "token-malformed", |s| s.token = Some(jwt("aud"))),
    ("a payload as deep as it is long", "token-malformed", |s| s.token = Some(jwt(&"[".repeat(9_000)))),
    ("no audience claim", "token-malformed", |s| s.payload = json!({"sub": "x"})),
    ("the API server's own audience", "token-audience", |s| {
        s.payload["aud"] = json!(["https://kubernetes.default.svc"]);
    }),
    ("an empty audience", "token-audience", |s| s.payload["aud"] = json!([""])),
    ("no audience in the list", "token-audience", |s| s.payload["aud"] = json!([])),
    ("two audiences", "token-audience", |s| s.payload["aud"] = json!([TOKEN_AUDIENCE, "vault"])),
    ("the audience twice", "token-audience", |s| s.payload["aud"] = json!([TOKEN_AUDIENCE, TOKEN_AUDIENCE])),
    ("the audience in another case", "token-audience", |s| {
        s.payload["aud"] = json!("Bailiwick.dev/identity")
    }),
    ("an audience that begins like ours", "token-audience", |s| {
        s.payload["aud"] = json!("bailiwick.dev/identity/x")
    }),
    ("a token that names no pod", "token-not-pod-bound", |s| {
        s.payload["kubernetes.io"] = json!({"namespace": "shop", "serviceaccount": {"name": "web"}});
    }),
    ("a legacy token of a Secret", "token-not-pod-bound", |s| s.payload = json!({"aud": TOKEN_AUDIENCE})),
    ("forged: the API server does not believe it", "token-not-authenticated", |s| {
        s.review = json!({"authenticated": false, "error": "invalid bearer token"});
    }),
    ("expired", "token-not-authenticated", |s| {
        s.review = json!({"error": "[invalid bearer token, service account token has expired]"});
    }),
    ("an answer without a status", "token-not-authenticated", |s| s.review = json!({})),
    ("an API server that knows no audiences", "token-audience", |s| {
        s.review.as_object_mut().unwrap().remove("audiences");
    }),
    ("reviewed for the API server", "token-audience", |s| {
        s.review["audiences"] = json!(["https://kubernetes.default.svc"]);
    }),
    ("reviewed for no audience", "token-audience", |s| s.review["audiences"] = json!([])),
    ("reviewed for two audiences", "token-audience", |s| {
        s.review["audiences"] = json!([TOKEN_AUDIENCE, "vault"])
    }),
    ("reviewed in another case", "token-audience", |s| {
        s.review["audiences"] = json!(["BAILIWICK.DEV/IDENTITY"])
    }),
    ("no user", "token-user", |s| {
        s.review.as_object_mut().unwrap().remove("user");
    }),
    ("a node", "token-user", |s| username(s, "system:node:node-a")),
    ("a person", "token-user", |s| username(s, "alice@example.com")),
    ("the administrator", "token-user", |s| username(s, "kubernetes-admin")),
    ("an anonymous user", "token-user", |s| username(s, "system:anonymous")),
    ("three parts", "token-user", |s| username(s, "system:serviceaccount:shop")),
    ("five parts", "token-user", |s| username(s, "system:serviceaccount:shop:web:admin")),
    ("an empty namespace", "token-user", |s| username(s, "system:serviceaccount::web")),
    ("an empty account", "token-user", |s| username(s, "system:serviceaccount:shop:")),
    ("a path in the namespace", "token-user", |s| username(s, "system:serviceaccount:shop/sa/admin:web")),
    ("dots and slashes in the account", "token-user", |s| {
        username(s, "system:serviceaccount:shop:../../ns/a")
    }),
    ("a NUL in the account", "token-user", |s| username(s, "system:serviceaccount:shop:web\0")),
    ("upper case", "token-user", |s| username(s, "system:serviceaccount:Shop:web")),
    ("a namespace of 64 bytes", "token-user", |s| {
        username(s, &format!("system:serviceaccount:{}:web", "a".repeat(64)));
    }),
    ("no uid of the account", "token-account-uid", |s| s.review["user"]["uid"] = "".into()),
    ("no pod name", "token-not-pod-bound", |s| extra(s, "pod-name", Value::Null)),
    ("no pod uid", "token-not-pod-bound", |s| extra(s, "pod-uid", Value::Null)),
    ("an empty pod uid", "token-not-pod-bound", |s| extra(s, "pod-uid", json!([""]))),
    ("two pod uids", "token-not-pod-bound", |s| extra(s, "pod-uid", json!(["pod-uid", "other"]))),
    ("a pod name with a path", "token-not-pod-bound", |s| extra(s, "pod-name", json!(["../secrets/x"]))),
    ("another pod's uid", "pod-other-uid", |s| extra(s, "pod-uid", json!(["other-uid"]))),
    ("a pod that was made anew", "pod-other-uid", |s| s.pod["metadata"]["uid"] = "newer".into()),
    ("a deleted pod", "pod-gone", |s| s.pod = Value::Null),
    ("a pod of another namespace", "namespace-not-enrolled", |s| {
        username(s, "system:serviceaccount:other:web")
    }),
    ("a pod that succeeded", "pod-ended", |s| s.pod["status"]["phase"] = "Succeeded".into()),
    ("a pod that failed", "pod-ended", |s| s.pod["status"]["phase"] = "Failed".into()),
    ("a namespace without the label", "namespace-not-enrolled", |s| {
        s.namespace["metadata"]["labels"] = json!({});
    }),
    ("a namespace with another value", "namespace-not-enrolled", |s| {
        s.namespace["metadata"]["labels"]["bailiwick.dev/inject"] = "true".into();
    }),
    ("a namespace that is gone", "namespace-not-enrolled", |s| s.namespace = Value::Null),
    ("no sidecar", "pod-no-sidecar", |s| s.pod["spec"]["initContainers"] = json!([])),
    ("a sidecar without restartPolicy", "pod-no-sidecar", |s| {
        s.pod["spec"]["initContainers"] = json!([{"name": "bailiwick-sidecar"}]);
    }),
    ("a sidecar by label only", "pod-no-sidecar", |s| {
        s.pod["spec"]["initContainers"] = json!([]);
        s.pod["metadata"]["labels"] = json!({"bailiwick-sidecar": "true"});
        s.pod["metadata"]["annotations"] = json!({"bailiwick.dev/injected": "0.1.0"});
    }),
    ("an ordinary container of our name", "pod-no-sidecar", |s| {
        s.pod["spec"]["initContainers"] = json!([]);
        s.pod["spec"]["containers"] = json!([{"name": "bailiwick-sidecar"}]);
    }),
    ("the node's network", "pod-host-network", |s| s.pod["spec"]["hostNetwork"] = true.into()),
    ("an exempt pod", "pod-exempt", |s| s.exempt = "shop/web"),
    ("a pod of another account", "pod-service-account", |s| {
        s.pod["spec"]["serviceAccountName"] = "admin".into()
    }),
    ("an account that was made anew", "account-other-uid", |s| s.account["metadata"]["uid"] = "newer".into()),
    ("an account that is gone", "account-gone", |s| s.account = Value::Null),
    ("a pod on another node", "pod-node", |s| s.pod["spec"]["nodeName"] = "node-b".into()),
    ("a pod on no node", "pod-node", |s| {
        s.pod["spec"].as_object_mut().unwrap().remove("nodeName");
    }),
    ("replayed from another pod", "pod-address", |s| s.peer = "10.1.0.8".parse().unwrap()),
    ("replayed from the node", "pod-address", |s| s.peer = "192.168.0.2".parse().unwrap()),
    ("replayed from loopback", "pod-address", |s| s.peer = "127.0.0.1".parse().unwrap()),
    ("replayed over IPv6", "pod-address", |s| s.peer = "fd00::8".parse().unwrap()),
];

#[tokio::test]
async fn h1_h2_h3_h4_h6_every_wrong_token_is_refused_whatever_the_reflectors_hold() {
    assert!(WRONG.len() >= 40);
    for held in [false, true] {
        for (what, reason, spoil) in WRONG {
            let mut setup = Setup::good();
            spoil(&mut setup);
            let refusal = setup.prove(held).await.expect_err(what);
            assert_eq!(refusal.reason, *reason, "{what} (held: {held}): {}", refusal.message);
            assert!(
                matches!(refusal.code, Code::Unauthenticated | Code::PermissionDenied),
                "{what}: {:?}",
                refusal.code
            );
            assert!(!refusal.message.contains('\n') && refusal.message.len() < 700, "{what}");
        }
    }
}

#[tokio::test]
async fn a_good_token_gives_the_identity_of_its_service_account() {
    for held in [false, true] {
        let expected = Proven { workload: workload("shop/web-1"), identity: Some(identity("shop/web")) };
        assert_eq!(Setup::good().prove(held).await.unwrap(), expected);
        for peer in ["fd00::7", "::ffff:10.1.0.7"] {
            let setup = Setup { peer: peer.parse().unwrap(), ..Setup::good() };
            assert_eq!(setup.prove(held).await.unwrap(), expected);
        }
        // API servers that do not say the node, and tokens with a line feed after them.
        let mut setup = Setup::good();
        extra(&mut setup, "node-name", Value::Null);
        setup.token = Some([setup.token(), b"\n".to_vec()].concat());
        assert_eq!(setup.prove(held).await.unwrap(), expected);
        let hidden = Setup { peer: "10.9.9.9".parse().unwrap(), check_pod_address: false, ..Setup::good() };
        assert_eq!(hidden.prove(held).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_reflector_that_lags_refuses_nobody_and_one_that_agrees_saves_a_question() {
    let stale: [Stale; 4] = [
        ("an earlier pod of the name", |pod| pod["metadata"]["uid"] = "earlier".into()),
        ("no address yet", |pod| pod["status"] = json!({"phase": "Pending"})),
        ("no node yet", |pod| {
            pod["spec"].as_object_mut().unwrap().remove("nodeName");
        }),
        ("ended before", |pod| pod["status"]["phase"] = "Failed".into()),
    ];
    for (what, change) in stale {
        let setup = Setup::good();
        let fake = setup.fake();
        let context = fake.context();
        let mut pod = setup.pod.clone();
        change(&mut pod);
        context.stores.pods.apply(pod);
        setup.reviewer(&context).prove(&setup.token(), setup.peer).await.expect(what);
        assert_eq!((fake.count("GET", "/pods/"), fake.count("GET", NAMESPACE)), (1, 3), "{what}");
    }
    let setup = Setup::good();
    let fake = setup.fake();
    let context = fake.context();
    context.stores.pods.apply(setup.pod.clone());
    context.stores.namespaces.apply(setup.namespace.clone());
    setup.reviewer(&context).prove(&setup.token(), setup.peer).await.unwrap();
    assert_eq!((fake.count("GET", "/pods/"), fake.count("GET", "/serviceaccounts/")), (0, 1));
    assert_eq!(fake.count("POST", "/tokenreviews"), 1);
}

#[tokio::test]
async fn what_is_not_known_is_unavailable_and_never_a_refusal() {
    let mut early = Setup::good();
    early.pod["status"] = json!({"phase": "Pending"});
    let refusal = early.prove(true).await.unwrap_err();
    assert_eq!((refusal.code, refusal.reason), (Code::Unavailable, "pod-no-address-yet"));
    for path in ["/apis/authentication.k8s.io", POD, NAMESPACE, ACCOUNT] {
        for code in [403, 429, 500, 503] {
            let setup = Setup { broken: Some((path, code)), ..Setup::good() };
            let refusal = setup.prove(false).await.expect_err(path);
            assert_eq!(
                (refusal.code, refusal.reason),
                (Code::Unavailable, "api-unavailable"),
                "{path} {code}"
            );
            assert!(!refusal.message.contains("eyJ"), "{}", refusal.message);
        }
    }
}

#[tokio::test]
async fn garbage_costs_the_api_server_nothing_and_a_loop_is_told_to_wait() {
    let setup = Setup::good();
    let fake = setup.fake();
    let reviewer = setup.reviewer(&fake.context());
    for token in [b"".to_vec(), b"a.b.c".to_vec(), jwt("{\"aud\":\"vault\"}"), vec![b'.'; 16_000]] {
        for _ in 0..100 {
            reviewer.prove(&token, setup.peer).await.unwrap_err();
        }
    }
    assert!(fake.lock().requests.is_empty());
    let mut waits = 0;
    for _ in 0..100 {
        if let Err(refusal) = reviewer.prove(&setup.token(), setup.peer).await {
            assert_eq!((refusal.code, refusal.reason), (Code::ResourceExhausted, "rate"));
            assert!(refusal.wait.is_some());
            waits += 1;
        }
    }
    assert!((20..=51).contains(&waits), "{waits}");
}

#[test]
fn h7_random_bytes_never_panic() {
    use proptest::prelude::*;
    proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..600))| {
        drop(peek(&bytes));
    });
    proptest!(|(parts in "[A-Za-z0-9_.-]{0,400}")| {
        drop(peek(parts.as_bytes()));
    });
    proptest!(|(payload in "\\PC{0,200}")| {
        drop(peek(&jwt(&payload)));
    });
}
