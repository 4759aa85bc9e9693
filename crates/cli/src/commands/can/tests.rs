use bailiwick_inputs::read_bytes;

use super::answer::Verdict;
use super::text::render;
use super::*;

const WORLD: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {serviceAccountName: web, containers: [{name: c, image: i}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: shop}
spec:
  template:
    metadata: {labels: {app: orders}}
    spec:
      serviceAccountName: orders
      containers: [{name: c, image: i, ports: [{containerPort: 8080, name: http}, {containerPort: 5432, name: tcp-db}]}]
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec: {selector: {app: orders}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: orders, namespace: shop}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: orders}}}]
  rules:
  - {name: reads, effect: Allow, subjects: [{serviceAccount: {name: web}}], permissions: [{http: {methods: [GET], paths: ["/orders/{id}"]}}]}
  - {name: inside, effect: Allow, subjects: [{ipBlock: {cidr: 10.0.0.0/8}}], permissions: [{http: {methods: [GET], paths: ["/inside"]}}]}
  - {name: glass, effect: Allow, subjects: [{authenticated: {}}], notAfter: "2026-03-01T00:00:00Z", permissions: [{http: {methods: [GET], paths: ["/glass"]}}]}
  - {name: by-host, effect: Allow, subjects: [{authenticated: {}}], permissions: [{http: {methods: [GET], paths: ["/host"], hosts: [orders.example]}}]}
  - {name: no-secrets, effect: Deny, subjects: [{anyone: {}}], permissions: [{http: {methods: ["*"], paths: ["/orders/secret"]}}], message: "secrets are secret"}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Authentication
metadata: {name: partners, namespace: shop}
spec: {trustDomains: [cluster.local, partner.example]}
"#;

fn folder(more: &str) -> Folder {
    Folder::of(read_bytes("world.yaml", format!("{WORLD}{more}").as_bytes()))
}

pub(super) fn given() -> Given {
    Given { files: Vec::new(), live: false, cluster: Options::default() }
}

fn arguments(call: [&str; 4]) -> Arguments {
    let [from, method, to, path] = call.map(str::to_owned);
    Arguments {
        from,
        method,
        to,
        path,
        given: given(),
        headers: Vec::new(),
        ip: None,
        now: None,
        explain: false,
    }
}

fn answered(folder: &Folder, arguments: &Arguments) -> Result<Answer, Mistake> {
    ask(folder, arguments, &Asked::read(arguments)?, false)
}

fn answer(call: [&str; 4]) -> Answer {
    answered(&folder(""), &arguments(call)).unwrap()
}

fn mistake(call: [&str; 4]) -> Mistake {
    answered(&folder(""), &arguments(call)).unwrap_err()
}

#[test]
fn an_answer_reads_from_the_verdict_to_what_would_allow_it() {
    let text = render(&answer(["shop/web", "GET", "shop/orders", "/orders/1"]));
    assert_eq!(
        text,
        "ALLOW  shop/web GET shop/orders:8080 /orders/1\n  \
         caller   spiffe://cluster.local/ns/shop/sa/web\n  \
           rule     Policy shop/orders reads\n  \
           reason   allowed by Policy shop/orders rule reads\n"
    );
    let text = render(&answer(["shop/web", "POST", "shop/orders", "/orders/1"]));
    assert!(text.starts_with("DENY (403)  shop/web POST shop/orders:8080"), "{text}");
    assert!(text.contains("  rule     default\n  reason   denied by default: no rule allows it\n"), "{text}");
    assert!(
        text.contains("Policy shop/orders reads comes closest, but the method is POST, not GET\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "  to allow add to spec.rules of Policy shop/orders (world.yaml):\n           - {name:"
        ),
        "{text}"
    );
}

#[test]
fn what_was_not_given_is_asked_for() {
    let call = ["shop/web", "GET", "shop/orders", "/inside"];
    let open = answer(call);
    assert_eq!(
        (open.verdict, open.depends.as_slice()),
        (Verdict::Depends, &["the caller's address".to_owned()][..])
    );
    let given = Arguments { ip: Some("10.0.0.1".parse().unwrap()), ..arguments(call) };
    assert_eq!(answered(&folder(""), &given).unwrap().verdict, Verdict::Allow);

    let call = ["shop/web", "GET", "shop/orders", "/glass"];
    assert!(render(&answer(call)).contains("  depends  on the time (--now)\n"));
    let given = Arguments { now: Some(instant("2026-03-01T00:00:00Z").unwrap()), ..arguments(call) };
    assert_eq!(answered(&folder(""), &given).unwrap().verdict, Verdict::Deny);
}

#[test]
fn a_host_that_was_assumed_is_said_where_it_matters() {
    let call = ["shop/web", "GET", "shop/orders", "/host"];
    let assumed = answer(call);
    assert_eq!(assumed.verdict, Verdict::Deny);
    let given = Arguments { headers: vec!["host:orders.example".to_owned()], ..arguments(call) };
    assert_eq!(answered(&folder(""), &given).unwrap().verdict, Verdict::Allow);
    assert!(answer(["shop/web", "GET", "shop/orders", "/orders/1"]).notes.is_empty());
}

#[test]
fn names_that_are_nobodys_get_a_suggestion() {
    let unknown = mistake(["shop/web", "GET", "shop/ordres", "/"]);
    assert_eq!(unknown.to_string(), "unknown workload `shop/ordres`");
    assert_eq!(unknown.help().as_deref(), Some("did you mean `shop/orders`?"));
    let bare = mistake(["web", "GET", "shop/orders", "/"]);
    assert_eq!(bare.help().as_deref(), Some("did you mean `shop/web`?"));
    let service = mistake(["shop/web", "GET", "shop/front", "/"]);
    assert_eq!(service.help().as_deref(), Some("did you mean `shop/orders:8080`?"));
    assert!(matches!(mistake(["spiffe://Bad/x", "GET", "shop/orders", "/"]), Mistake::SpiffeId(_)));
}

#[test]
fn a_port_is_named_once() {
    assert!(matches!(mistake(["shop/orders", "GET", "shop/web", "/"]), Mistake::NoPort { .. }));
    assert!(matches!(mistake(["shop/web", "tcp", "shop/orders:8080", "5432"]), Mistake::TwoPorts { .. }));
    assert!(matches!(mistake(["shop/web", "tcp", "shop/orders", "db"]), Mistake::NotAPort { .. }));
    assert!(matches!(mistake(["shop/web", "GET", "shop/orders:", "/"]), Mistake::NotAPort { .. }));
    let unknown = mistake(["shop/web", "GET", "shop/orders:grpc", "/"]);
    assert_eq!(unknown.help().as_deref(), Some("it has `http` (8080), `tcp-db` (5432)"));
    assert_eq!(answer(["shop/web", "GET", "shop/orders:http", "/orders/1"]).verdict, Verdict::Allow);
    assert_eq!(answer(["shop/web", "tcp", "shop/orders:5432", "5432"]).to, "shop/orders:5432");
}

#[test]
fn a_grpc_method_is_one_service_and_one_method() {
    for text in ["shop.v1.Orders", "a/b/c", "/", "a/", ""] {
        assert!(
            matches!(mistake(["shop/web", "grpc", "shop/orders", text]), Mistake::NotGrpc { .. }),
            "{text}"
        );
    }
    let answer = answer(["shop/web", "grpc", "shop/orders", "shop.v1.Orders/Get"]);
    assert_eq!((answer.verdict, answer.status.as_str()), (Verdict::Deny, "PERMISSION_DENIED"));
}

#[test]
fn refusals_before_policy_say_what_the_caller_sees() {
    let anonymous = answer(["anonymous", "GET", "shop/orders", "/orders/1"]);
    assert_eq!((anonymous.verdict, anonymous.status.as_str()), (Verdict::Unauthenticated, "401"));
    let foreign = answer(["spiffe://other.example/x", "GET", "shop/orders", "/"]);
    assert_eq!((foreign.verdict, foreign.status.as_str()), (Verdict::Unauthenticated, "TLS alert"));
    let partner = answer(["spiffe://partner.example/x", "GET", "shop/orders", "/"]);
    assert!(partner.reason.contains("nobody knows its roots"), "{}", partner.reason);
    let bad = answer(["shop/web", "GET", "shop/orders", "/a/../b"]);
    assert_eq!((bad.verdict, bad.status.as_str()), (Verdict::Invalid, "400"));
    assert_eq!(answer(["shop/web", "CONNECT", "shop/orders", "/"]).status, "405");
    let two = Arguments {
        headers: vec!["host:a".to_owned(), "host:b".to_owned()],
        ..arguments(["shop/web", "GET", "shop/orders", "/orders/1"])
    };
    assert_eq!(answered(&folder(""), &two).unwrap().verdict, Verdict::Invalid);
    let framing = Arguments { headers: vec!["content-length: 007".to_owned()], ..two };
    assert_eq!(answered(&folder(""), &framing).unwrap().verdict, Verdict::Invalid);
}

#[test]
fn a_document_that_cannot_be_read_denies_even_who_is_not_known() {
    let folder =
        folder("---\napiVersion: bailiwick.dev/v1alpha1\nkind: Polcy\nmetadata: {name: x, namespace: y}\n");
    let known = answered(&folder, &arguments(["shop/web", "GET", "shop/orders", "/orders/1"])).unwrap();
    assert_eq!(known.verdict, Verdict::Deny);
    let unknown = answered(&folder, &arguments(["shop/web", "GET", "shop/gone", "/"])).unwrap();
    assert_eq!(unknown.verdict, Verdict::Deny);
    assert!(
        unknown.notes.iter().any(|note| note.contains("unknown workload `shop/gone`")),
        "{:?}",
        unknown.notes
    );
}

/// What is printed is worth something only if it works: it is written where it says, and the call is asked again.
#[test]
fn a_suggested_object_allows_the_call() {
    for call in [
        ["shop/orders", "DELETE", "shop/orders:8080", "/orders/1"],
        ["shop/web", "tcp", "shop/orders", "5432"],
        ["shop/web", "grpc", "shop/orders", "shop.v1.Orders/Get"],
        ["spiffe://cluster.local/x", "GET", "shop/orders", "/y/{z}"],
    ] {
        let before = answer(call);
        assert_eq!(before.verdict, Verdict::Deny, "{call:?}");
        let change = before.allow.expect("a suggestion");
        let added = match &change.document {
            Some(document) => format!("---\n{document}"),
            None => {
                let document = WORLD.replace("  rules:\n", &format!("  rules:\n  {}\n", change.line));
                format!("---\n{document}")
            }
        };
        let world = if change.document.is_some() { format!("{WORLD}{added}") } else { added };
        let folder = Folder::of(read_bytes("world.yaml", world.as_bytes()));
        assert_eq!(folder.counts().0, 0, "{call:?}\n{}", folder.frames());
        let after = answered(&folder, &arguments(call)).unwrap();
        assert_eq!(after.verdict, Verdict::Allow, "{call:?} {change:?}\n{}", render(&after));
    }
}

#[test]
fn explain_says_how_every_rule_sees_the_call() {
    let asked =
        Arguments { explain: true, ..arguments(["shop/web", "POST", "shop/orders", "/orders/secret"]) };
    let text = render(&answered(&folder(""), &asked).unwrap());
    assert!(text.contains("explain  Policy shop/orders no-secrets (Deny) matches\n"), "{text}");
    assert!(text.contains("explain  Policy shop/orders reads (Allow) does not match: method\n"), "{text}");
    assert!(text.contains("secrets are secret"), "{text}");
}

/// The exception makes the rule wait for the handshake, and the call is then decided by the rest.
#[test]
fn a_deny_before_the_handshake_names_its_exception() {
    let deny = |more: &str| {
        format!(
            "---\napiVersion: bailiwick.dev/v1alpha1\nkind: Policy\nmetadata: {{name: closed, namespace: shop}}\nspec:\n  rules:\n  - name: all\n    effect: Deny\n    subjects: [{{anyone: {{}}}}]\n    permissions: [{{any: {{}}}}]\n{more}"
        )
    };
    let call = arguments(["shop/web", "GET", "shop/orders", "/orders/1"]);
    let before = answered(&folder(&deny("")), &call).unwrap();
    assert_eq!((before.verdict, before.status.as_str()), (Verdict::Deny, "connection closed"));
    assert_eq!(before.rule.as_deref(), Some("Policy shop/closed all"));
    let line = before.allow.expect("a suggestion").line;
    let after = answered(&folder(&deny(&format!("    {line}\n"))), &call).unwrap();
    assert_eq!(after.verdict, Verdict::Allow, "{line}");
}

/// A port in mesh mode Permissive: who proves nothing is told that proving itself could help.
#[test]
fn an_unproven_caller_is_not_sent_away_for_good() {
    let permissive = "---\napiVersion: bailiwick.dev/v1alpha1\nkind: Authentication\nmetadata: {name: soft, namespace: shop}\nspec: {mtls: {mode: Permissive}}\n";
    let call = arguments(["anonymous", "GET", "shop/orders", "/orders/1"]);
    let answer = answered(&folder(permissive), &call).unwrap();
    assert_eq!((answer.verdict, answer.status.as_str()), (Verdict::Unauthenticated, "401"));
    assert!(answer.notes.iter().any(|note| note.contains("proves who it is")), "{:?}", answer.notes);
}

#[test]
fn in_a_cluster_a_pod_is_asked_about_by_what_made_it() {
    let pod = |name: &str, created: &str, app: &str, sidecar: bool| {
        let init = if sidecar {
            r#"{"name": "bailiwick-sidecar", "image": "i", "restartPolicy": "Always"}"#
        } else {
            ""
        };
        let text = format!(
            r#"{{"apiVersion": "v1", "kind": "Pod",
            "metadata": {{"name": "{name}", "namespace": "shop", "creationTimestamp": "{created}",
                "labels": {{"app": "{app}", "pod-template-hash": "h"}},
                "ownerReferences": [{{"kind": "ReplicaSet", "name": "{app}-h", "controller": true}}]}},
            "spec": {{"serviceAccountName": "{app}", "initContainers": [{init}],
                "containers": [{{"name": "c", "image": "i", "ports": [{{"containerPort": 8080}}]}}]}},
            "status": {{"phase": "Running"}}}}"#
        );
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let pods = [
        pod("web-h-1", "2026-01-01T00:00:00Z", "web", true),
        pod("orders-h-1", "2026-01-01T00:00:00Z", "orders", true),
        pod("orders-h-2", "2026-01-02T00:00:00Z", "orders", false),
    ];
    let mut objects: Vec<_> = pods.iter().map(bailiwick_inputs::ApiObject::decode).collect();
    let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"bailiwick.dev/inject": "enabled"}}});
    objects.push(bailiwick_inputs::ApiObject::decode(&namespace));
    let mut folder = Folder::of(bailiwick_inputs::read_paths_over(&objects, Vec::new()));
    folder.pods = crate::cluster::Pods::of(&pods);
    let answer = answered(&folder, &arguments(["shop/web", "GET", "shop/orders", "/x"])).unwrap();
    assert_eq!((answer.verdict, answer.to.as_str()), (Verdict::Deny, "shop/orders-h-2:8080"));
    assert_eq!(answer.identity.as_deref(), Some("spiffe://cluster.local/ns/shop/sa/web"));
    let notes = answer.notes.join("\n");
    assert!(notes.contains("shop/orders-h-2 nothing decides there: the pod has no sidecar"), "{notes}");
    assert!(notes.contains("the same at all 2 pods of Deployment shop/orders"), "{notes}");
    assert_eq!(answer.allow.unwrap().object, "Policy shop/allow-web-to-orders");
    let mistake = answered(&folder, &arguments(["shop/wbe", "GET", "shop/orders", "/x"])).unwrap_err();
    assert_eq!(mistake.help().as_deref(), Some("did you mean `shop/web`?"));
}
