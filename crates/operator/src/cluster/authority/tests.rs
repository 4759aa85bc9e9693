use std::time::Duration;

use bailiwick_ca::KeyedPem;
use serde_json::{Value, json};

use super::*;
use crate::cluster::fake_api::Fake;

const PATH: &str = "/api/v1/namespaces/bailiwick-system/secrets/bailiwick-ca";

fn secret(domain: &str) -> (Value, KeyedPem) {
    let made = Authority::make_pem(&domain.parse().unwrap(), SystemTime::now()).unwrap();
    let base64 = |text: &str| serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "bailiwick-ca", "namespace": "bailiwick-system", "resourceVersion": "1"},
        "data": {"tls.crt": base64(&made.certificate), "tls.key": base64(&made.key), "ca.crt": base64(&made.certificate)},
    });
    (secret, made)
}

#[tokio::test]
async fn a_thousand_races_end_with_one_root_each() {
    for round in 0..1_000 {
        let fake = Fake::default();
        let context = fake.context();
        let api = || Api::<Secret>::namespaced(context.client.clone(), "bailiwick-system");
        let race = || async {
            match attempt(&api(), OWN_SECRET, &context.trust_domain).await.unwrap() {
                Attempt::Found(authority) => authority.root_der().to_vec(),
                Attempt::NotYet(why) => panic!("{why}"),
            }
        };
        let (one, two) = tokio::join!(race(), race());
        assert_eq!(one, two, "round {round}");
        assert_eq!(fake.lock().objects.len(), 1);
        if round == 0 {
            assert_eq!(fake.count("POST", "/secrets"), 2, "both tried");
        }
    }
}

#[tokio::test]
async fn a_restarted_operator_has_the_same_root_and_never_writes_again() {
    let fake = Fake::default();
    let context = fake.context();
    let first = open(&context, OWN_SECRET).await.unwrap();
    let second = open(&context, OWN_SECRET).await.unwrap();
    assert_eq!(first.root_der(), second.root_der());
    assert_eq!(fake.count("POST", ""), 1);
    let stored = fake.lock().objects[PATH].clone();
    for key in ["tls.crt", "tls.key", "ca.crt"] {
        assert!(stored["data"][key].is_string(), "{key}");
    }
    assert_eq!(stored["type"], "kubernetes.io/tls");
}

#[tokio::test]
async fn the_users_own_secret_is_waited_for_and_never_made() {
    let fake = Fake::default();
    let context = fake.context();
    let waiting = tokio::time::timeout(Duration::from_millis(200), open(&context, "my-root")).await;
    assert!(waiting.is_err());
    assert_eq!(fake.count("POST", ""), 0);
    assert!(context.readiness.reasons().iter().all(|reason| !reason.contains("my-root")));
    let (given, made) = secret("cluster.local");
    fake.put("/api/v1/namespaces/bailiwick-system/secrets/my-root", given);
    let authority = open(&context, "my-root").await.unwrap();
    assert_eq!(bundle_pem(&authority.bundle()).replace('\r', ""), made.certificate.replace('\r', ""));
}

#[tokio::test]
async fn a_wrong_secret_ends_the_start_and_is_never_replaced() {
    let (good, _) = secret("cluster.local");
    let (other, _) = secret("other.example");
    let wrong: [(&str, Value); 5] = [
        ("other.example", other["data"].clone()),
        ("tls.key", json!({"tls.crt": good["data"]["tls.crt"]})),
        ("tls.crt", json!({"tls.key": good["data"]["tls.key"]})),
        ("does not belong", json!({"tls.crt": good["data"]["tls.crt"], "tls.key": other["data"]["tls.key"]})),
        ("tls.crt", Value::Null),
    ];
    for (told, data) in wrong {
        let fake = Fake::default();
        let mut spoiled = good.clone();
        spoiled["data"] = data;
        fake.put(PATH, spoiled.clone());
        let error = open(&fake.context(), OWN_SECRET).await.unwrap_err().to_string();
        assert!(error.contains("bailiwick-ca") && error.contains(told), "{error}");
        assert!(!error.contains("PRIVATE"));
        assert_eq!(fake.lock().objects[PATH], spoiled);
    }
}

#[tokio::test]
async fn what_becomes_of_the_secret_later_is_told() {
    let (good, made) = secret("cluster.local");
    let domain: TrustDomain = "cluster.local".parse().unwrap();
    let given = GivenPem { certificates: made.certificate.as_bytes(), key: made.key.as_bytes(), root: None };
    let authority = Authority::from_pem(given, &domain, SystemTime::now()).unwrap();
    let as_secret = |value: Value| Some(serde_json::from_value::<Secret>(value).unwrap());
    assert_eq!(difference(as_secret(good.clone()), &authority, &domain), None);
    assert!(difference(None, &authority, &domain).unwrap().contains("deleted"));
    let (replaced, _) = secret("cluster.local");
    assert!(difference(as_secret(replaced), &authority, &domain).unwrap().contains("another root"));
    let mut broken = good;
    broken["data"] = json!({});
    assert!(difference(as_secret(broken), &authority, &domain).unwrap().contains("cannot be used"));
}
