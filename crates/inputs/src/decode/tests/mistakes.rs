//! One case a rule: the code, the field, the marked text and the suggestion.

use bailiwick_compile::Code;

use super::*;

/// Every mistake of a spec: code, field, marked text, help.
fn mistakes(kind: &str, spec: &str) -> Vec<(u16, String, String, String)> {
    let text = document(kind, spec);
    let problems = match object(&text) {
        DecodedObject::Role(object) => problems(object.spec),
        DecodedObject::Policy(object) => problems(object.spec),
        DecodedObject::ClusterPolicy(object) => problems(object.spec),
        DecodedObject::Authentication(object) => problems(object.spec),
        DecodedObject::TrustDomain(object) => problems(object.spec),
        DecodedObject::Unsupported(object) => problems(object.spec),
    };
    let row = |problem: Diagnostic| {
        assert!(!problem.message.is_empty() && problem.object.is_some());
        assert!(
            !problem.message.starts_with(char::is_uppercase) || problem.message.starts_with("RFC"),
            "{}",
            problem.message
        );
        let (start, end) = problem.location.span.unwrap_or((0, 0));
        (
            problem.code.0,
            problem.field.to_string(),
            text.get(start..end).unwrap().to_owned(),
            problem.help.unwrap_or_default(),
        )
    };
    problems.into_iter().map(row).collect()
}

fn problems<S>(spec: Decoded<S>) -> Vec<Diagnostic> {
    match spec {
        Decoded::Valid(_) => Vec::new(),
        Decoded::Invalid(invalid) => invalid.problems,
    }
}

/// Asserts that the spec has exactly this mistake.
fn only(kind: &str, spec: &str, (code, field, marked, help): (Code, &str, &str, &str)) {
    let found = mistakes(kind, spec);
    assert_eq!(found.len(), 1, "{spec}\n{found:#?}");
    let row = &found[0];
    assert_eq!((row.0, row.1.as_str(), row.2.as_str()), (code.0, field, marked), "{spec}\n{found:#?}");
    assert!(row.3.contains(help), "{spec}\n{found:#?}");
}

/// A rule in which `replace` is written instead of what it stands for.
fn rule(from: &str, to: &str) -> String {
    let rule = "rules:\n- name: a\n  effect: Deny\n  subjects: [{anyone: {}}]\n  permissions: [{any: {}}]\n";
    assert!(rule.contains(from), "{from}");
    rule.replace(from, to)
}

fn subject(entry: &str) -> String {
    rule("{anyone: {}}", entry)
}

fn permission(entry: &str) -> String {
    rule("{any: {}}", entry)
}

const SUBJECT: &str = "spec.rules[0].subjects[0]";
const PERMISSION: &str = "spec.rules[0].permissions[0]";

fn in_subject(entry: &str, (code, field, marked, help): (Code, &str, &str, &str)) {
    only("Policy", &subject(entry), (code, &format!("{SUBJECT}{field}"), marked, help));
}

fn in_permission(entry: &str, (code, field, marked, help): (Code, &str, &str, &str)) {
    only("Policy", &permission(entry), (code, &format!("{PERMISSION}{field}"), marked, help));
}

#[test]
fn rules() {
    assert_eq!(mistakes("Policy", &rule("a", "a")), []);
    only("Policy", "mode: Audit\n", (codes::MISSING_FIELD, "spec.rules", "spec", "add `rules`"));
    only("Policy", "rules: []\n", (codes::EMPTY_LIST, "spec.rules", "[]", "add an item"));
    only("Policy", "rules: null\n", (codes::NULL, "spec.rules", "null", "remove"));
    only("Policy", "rules:\n", (codes::NULL, "spec.rules", "rules", "remove"));
    only("Policy", "rules: {}\n", (codes::WRONG_TYPE, "spec.rules", "{}", ""));
    only("Policy", &rule("name: a", "name: A"), (codes::NAME, "spec.rules[0].name", "A", "lower-case"));
    only(
        "Policy",
        &rule("name: a", "nmae: a"),
        (codes::UNKNOWN_FIELD, "spec.rules[0].nmae", "nmae", "did you mean `name`?"),
    );
    only(
        "Policy",
        &rule("Deny", "deny"),
        (codes::UNKNOWN_VALUE, "spec.rules[0].effect", "deny", "did you mean `Deny`?"),
    );
    only("Policy", &rule("Deny", "Ask"), (codes::NOT_YET_SUPPORTED, "spec.rules[0].effect", "Ask", ""));
    only(
        "Policy",
        &rule("  permissions: [{any: {}}]\n", ""),
        (codes::RULE_WITHOUT_PERMISSION, "spec.rules[0]", "a", "any: {}"),
    );
    only(
        "Policy",
        &rule("  subjects: [{anyone: {}}]\n", ""),
        (codes::MISSING_FIELD, "spec.rules[0].subjects", "name", ""),
    );
    only(
        "Policy",
        &rule("Deny", "Allow\n  exceptSubjects: [{anyone: {}}]"),
        (codes::NOT_ALLOWED_HERE, "spec.rules[0].exceptSubjects", "exceptSubjects", ""),
    );
    only(
        "Policy",
        &rule("name: a", "name: a\n  when: 'true'"),
        (codes::NOT_YET_SUPPORTED, "spec.rules[0].when", "when", ""),
    );
    only(
        "Policy",
        &rule("name: a", "name: a\n  message: ''"),
        (codes::TEXT_LENGTH, "spec.rules[0].message", "''", ""),
    );
    let twice = format!(
        "{}- name: a\n  effect: Allow\n  subjects: [{{anyone: {{}}}}]\n  roles: [{{name: r}}]\n",
        rule("a", "a")
    );
    only("Policy", &twice, (codes::DUPLICATE_KEY, "spec.rules[1].name", "a", "rename"));
    let long = "x".repeat(1025);
    only(
        "Policy",
        &rule("name: a", &format!("name: a\n  message: {long}")),
        (codes::TEXT_LENGTH, "spec.rules[0].message", &long, ""),
    );
    let many = format!("rules: [{}]\n", "{},".repeat(65));
    assert_eq!(mistakes("Policy", &many)[0].0, codes::TOO_MANY.0);
}

#[test]
fn times() {
    for (fields, code, field, marked) in [
        ("notAfter: 2026-12-31", codes::TIME, "notAfter", "2026-12-31"),
        ("notAfter: 2026-02-30T00:00:00Z", codes::TIME, "notAfter", "2026-02-30T00:00:00Z"),
        ("notBefore: 7", codes::WRONG_TYPE, "notBefore", "7"),
        (
            "notBefore: 2026-01-02T00:00:00Z\n  notAfter: 2026-01-02T00:00:00Z",
            codes::TIME_WINDOW,
            "notAfter",
            "2026-01-02T00:00:00Z",
        ),
    ] {
        let spec = rule("name: a", &format!("name: a\n  {fields}"));
        only("Policy", &spec, (code, &format!("spec.rules[0].{field}"), marked, ""));
    }
}

#[test]
fn subjects() {
    in_subject("{}", (codes::EMPTY_OBJECT, "", "{}", "nothing empty means all"));
    in_subject("{anyon: {}}", (codes::UNKNOWN_FIELD, ".anyon", "anyon", "did you mean `anyone`?"));
    in_subject("{anyone: {x: 1}}", (codes::UNKNOWN_FIELD, ".anyone.x", "x", "no fields"));
    in_subject("{anyone: null}", (codes::NULL, ".anyone", "null", ""));
    in_subject("{anyone: true}", (codes::WRONG_TYPE, ".anyone", "true", ""));
    in_subject(
        "{anyone: {}, ipBlock: {cidr: 10.0.0.0/8}}",
        (codes::ANYONE, ".anyone", "anyone", "of its own"),
    );
    in_subject(
        "{authenticated: {}, unauthenticated: {}}",
        (codes::ANYONE, ".unauthenticated", "unauthenticated", ""),
    );
    in_subject("{principal: {issuer: a}}", (codes::NOT_YET_SUPPORTED, ".principal", "principal", ""));
    in_subject("{serviceAccount: {}}", (codes::EMPTY_OBJECT, ".serviceAccount", "{}", ""));
    in_subject("{serviceAccount: {name: Web}}", (codes::NAME, ".serviceAccount.name", "Web", "lower-case"));
    in_subject(
        "{serviceAccount: {name: a, namespace: '*'}}",
        (codes::NAME, ".serviceAccount.namespace", "'*'", ""),
    );
    in_subject("{serviceAccount: {name: no}}", (codes::AMBIGUOUS, ".serviceAccount.name", "no", "quote it"));
    in_subject("{serviceAccount: {name: 7}}", (codes::WRONG_TYPE, ".serviceAccount.name", "7", "\"7\""));
    in_subject(
        "{namespace: {name: a, selector: {matchLabels: {a: b}}}}",
        (codes::EXACTLY_ONE, ".namespace.selector", "selector", ""),
    );
    in_subject("{namespace: {selector: {}}}", (codes::EMPTY_OBJECT, ".namespace.selector", "{}", ""));
    in_subject(
        "{namespace: {selector: {matchLabels: {}}}}",
        (codes::EMPTY_OBJECT, ".namespace.selector.matchLabels", "{}", ""),
    );
    in_subject("{spiffeID: 'spiffe://*/ns/a'}", (codes::SPIFFE_ID, ".spiffeID", "'spiffe://*/ns/a'", ""));
    in_subject("{spiffeID: 'spiffe://a/ns/x*'}", (codes::SPIFFE_ID, ".spiffeID", "'spiffe://a/ns/x*'", ""));
    in_subject(
        "{ipBlock: {cidr: 10.0.0.1/8}}",
        (codes::CIDR, ".ipBlock.cidr", "10.0.0.1/8", "did you mean `10.0.0.0/8`?"),
    );
    in_subject("{ipBlock: {cidr: 10.0.0.0}}", (codes::CIDR, ".ipBlock.cidr", "10.0.0.0", "prefix length"));
    in_subject(
        "{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}",
        (codes::CIDR_EXCEPTION, ".ipBlock.except[0]", "11.0.0.0/16", ""),
    );
    in_subject("{ipBlock: {cidr: 10.0.0.0/8, except: []}}", (codes::EMPTY_LIST, ".ipBlock.except", "[]", ""));
}

#[test]
fn permissions() {
    in_permission("{}", (codes::EMPTY_OBJECT, "", "{}", ""));
    in_permission("{any: {}, tcp: {ports: [1]}}", (codes::EXACTLY_ONE, ".any", "any", "exactly one"));
    in_permission("{htpp: {}}", (codes::UNKNOWN_FIELD, ".htpp", "htpp", "did you mean `http`?"));
    in_permission("{any: {}, when: 'true'}", (codes::NOT_YET_SUPPORTED, ".when", "when", ""));
    in_permission("{http: {methods: [GET]}}", (codes::MISSING_FIELD, ".http.paths", "http", ""));
    in_permission("{http: {paths: [/]}}", (codes::MISSING_FIELD, ".http.methods", "http", ""));
    in_permission(
        "{http: {methods: [GET], pathRegexes: [a]}}",
        (codes::NOT_YET_SUPPORTED, ".http.pathRegexes", "pathRegexes", ""),
    );
    in_permission("{http: {methods: GET, paths: [/]}}", (codes::WRONG_TYPE, ".http.methods", "GET", "list"));
    in_permission(
        "{http: {methods: [get], paths: [/]}}",
        (codes::METHOD, ".http.methods[0]", "get", "did you mean `GET`?"),
    );
    in_permission(
        "{http: {methods: ['GET POST'], paths: [/]}}",
        (codes::METHOD, ".http.methods[0]", "'GET POST'", ""),
    );
    in_permission(
        "{http: {methods: ['GET*'], paths: [/]}}",
        (codes::METHOD, ".http.methods[0]", "'GET*'", "`GET`"),
    );
    in_permission(
        "{http: {methods: [GET, GET], paths: [/]}}",
        (codes::DUPLICATE_ITEM, ".http.methods[1]", "GET", ""),
    );
    in_permission("{http: {methods: [GET], paths: []}}", (codes::EMPTY_LIST, ".http.paths", "[]", ""));
    in_permission("{http: {methods: [GET], paths: [null]}}", (codes::NULL, ".http.paths[0]", "null", ""));
    for path in ["orders", "/a/**/b", "/a//b", "/{A}", "/a*", "/a;b", "/%2f", "/{id}/{id}"] {
        let marked = format!("'{path}'");
        in_permission(
            &format!("{{http: {{methods: [GET], paths: ['{path}']}}}}"),
            (codes::PATH_TEMPLATE, ".http.paths[0]", &marked, ""),
        );
    }
    for host in ["a:80", "a.*", "http://a", "a b"] {
        let marked = format!("'{host}'");
        in_permission(
            &format!("{{http: {{methods: [GET], paths: [/], hosts: ['{host}']}}}}"),
            (codes::HOST, ".http.hosts[0]", &marked, ""),
        );
    }
    in_permission(
        "{grpc: {service: a/B, methods: [C]}}",
        (codes::GRPC_NAME, ".grpc.service", "a/B", "shop.v1.Orders"),
    );
    in_permission(
        "{grpc: {service: a.B, methods: [a.C]}}",
        (codes::GRPC_NAME, ".grpc.methods[0]", "a.C", ""),
    );
    in_permission("{tcp: {ports: [0]}}", (codes::PORT, ".tcp.ports[0]", "0", "1 to 65535"));
    in_permission("{tcp: {ports: [65536]}}", (codes::PORT, ".tcp.ports[0]", "65536", ""));
    in_permission("{tcp: {ports: ['80']}}", (codes::WRONG_TYPE, ".tcp.ports[0]", "'80'", "quotes"));
    in_permission("{tcp: {ports: [080]}}", (codes::AMBIGUOUS, ".tcp.ports[0]", "080", ""));
    in_permission("{tcp: {ports: [80, 80]}}", (codes::DUPLICATE_ITEM, ".tcp.ports[1]", "80", ""));
}

#[test]
fn targets() {
    for (target, code, field, marked) in [
        ("{kind: Pod}", codes::MISSING_FIELD, ".selector", "kind"),
        ("{kind: pod, selector: {matchLabels: {a: b}}}", codes::UNKNOWN_VALUE, ".kind", "pod"),
        ("{kind: Pod, selector: {matchLabels: {a: b}}, name: a}", codes::NOT_ALLOWED_HERE, ".name", "name"),
        (
            "{kind: Service, name: a, selector: {matchLabels: {a: b}}}",
            codes::NOT_ALLOWED_HERE,
            ".selector",
            "selector",
        ),
        ("{kind: Service}", codes::MISSING_FIELD, ".name", "kind"),
        ("{kind: Service, name: a, ports: []}", codes::EMPTY_LIST, ".ports", "[]"),
        (
            "{kind: Pod, selector: {matchLabel: {a: b}}}",
            codes::UNKNOWN_FIELD,
            ".selector.matchLabel",
            "matchLabel",
        ),
        (
            "{kind: Pod, selector: {matchLabels: {a: 'b c'}}}",
            codes::LABEL,
            ".selector.matchLabels.a",
            "'b c'",
        ),
        ("{kind: Pod, selector: {matchLabels: {-a: b}}}", codes::LABEL, ".selector.matchLabels.-a", "-a"),
        (
            "{kind: Pod, selector: {matchExpressions: [{key: a, operator: In}]}}",
            codes::MISSING_FIELD,
            ".selector.matchExpressions[0].values",
            "key",
        ),
        (
            "{kind: Pod, selector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}",
            codes::NOT_ALLOWED_HERE,
            ".selector.matchExpressions[0].values",
            "values",
        ),
        (
            "{kind: Pod, selector: {matchExpressions: [{key: a, operator: in, values: [b]}]}}",
            codes::UNKNOWN_VALUE,
            ".selector.matchExpressions[0].operator",
            "in",
        ),
    ] {
        let spec = format!("targets: [{target}]\n{}", rule("a", "a"));
        only("Policy", &spec, (code, &format!("spec.targets[0]{field}"), marked, ""));
    }
    let spec = format!("targets: [{{kind: Service, name: a}}]\n{}", rule("anyone: {}", "authenticated: {}"));
    let found = mistakes("ClusterPolicy", &spec);
    assert!(found.iter().any(|row| row.0 == codes::NOT_ALLOWED_HERE.0), "{found:#?}");
}

#[test]
fn a_cluster_policy_names_namespaces() {
    let spec = rule("{anyone: {}}", "{serviceAccount: {name: a}}");
    only(
        "ClusterPolicy",
        &spec,
        (codes::NAMESPACE_REQUIRED, "spec.rules[0].subjects[0].serviceAccount.namespace", "a", "add"),
    );
    let spec = rule("permissions: [{any: {}}]", "roles: [{name: r}]");
    only("ClusterPolicy", &spec, (codes::NAMESPACE_REQUIRED, "spec.rules[0].roles[0].namespace", "r", "add"));
    let text = document("ClusterPolicy", &rule("a", "a")).replace("{name: x}", "{name: x, namespace: y}");
    let DecodedObject::ClusterPolicy(found) = object(&text) else { panic!() };
    assert_eq!(problems(found.spec)[0].code, codes::NAMESPACE_UNEXPECTED);
}

#[test]
fn the_other_kinds() {
    only("Role", "permissions: []\n", (codes::EMPTY_LIST, "spec.permissions", "[]", ""));
    only(
        "Role",
        "inherits: [{name: a, namespce: b}]\n",
        (codes::UNKNOWN_FIELD, "spec.inherits[0].namespce", "namespce", "did you mean `namespace`?"),
    );
    only("Role", "{}\n", (codes::EMPTY_OBJECT, "spec", "{}", ""));
    only(
        "Authentication",
        "mtls: {mode: strict}\n",
        (codes::UNKNOWN_VALUE, "spec.mtls.mode", "strict", "`Strict`"),
    );
    only(
        "Authentication",
        "mtls: {ports: [{port: 1, mode: Strict}, {port: 1, mode: Disabled}]}\n",
        (codes::DUPLICATE_KEY, "spec.mtls.ports[1].port", "1", ""),
    );
    only(
        "Authentication",
        "trustDomains: [Cluster.local]\n",
        (codes::TRUST_DOMAIN, "spec.trustDomains[0]", "Cluster.local", ""),
    );
    only(
        "Authentication",
        "tokens: [{issuer: a}]\n",
        (codes::NOT_YET_SUPPORTED, "spec.tokens", "tokens", ""),
    );
    only("Authentication", "sessions: []\n", (codes::NOT_YET_SUPPORTED, "spec.sessions", "sessions", ""));
    only(
        "TrustDomain",
        "own: {issuer: {spire: {}}}\n",
        (codes::NOT_YET_SUPPORTED, "spec.own.issuer.spire", "spire", ""),
    );
    only(
        "TrustDomain",
        "federated: {bundle: {inline: x}}\n",
        (codes::NOT_YET_SUPPORTED, "spec.federated", "federated", ""),
    );
    for lifetime in ["9m", "721h", "600500ms", "1d"] {
        let spec = format!("own: {{issuer: {{builtIn: {{}}}}, leaf: {{lifetime: {lifetime}}}}}\n");
        only("TrustDomain", &spec, (codes::DURATION, "spec.own.leaf.lifetime", lifetime, ""));
    }
    only("RelationSchema", "schema: x\n", (codes::NOT_YET_SUPPORTED, "kind", "x", ""));
    only("Relationship", "tuples: [x]\n", (codes::NOT_YET_SUPPORTED, "kind", "x", ""));
    only(
        "Policy",
        "connectionLimits: [{subjects: [{anyone: {}}], connections: 1, per: 1s}]\n",
        (codes::NOT_YET_SUPPORTED, "spec.connectionLimits", "connectionLimits", ""),
    );
}

#[test]
fn faults_of_the_document() {
    only(
        "Policy",
        &format!("{}mode: Audit\nmode: Audit\n", rule("a", "a")),
        (codes::REPEATED_FIELD, "spec.mode", "mode", "keep one"),
    );
    only(
        "Policy",
        &rule("name: a", "name: !!str a"),
        (codes::TAG, "spec.rules[0].name", "a", "remove the tag"),
    );
}

#[test]
fn all_mistakes_of_an_object_are_told_in_their_order() {
    let spec = "mod: Audit\ntargets: [{kind: Pod, selector: {}}]\nrules:\n- {name: A, effect: allow, subjects: [{ipBlock: {cidr: x}}], permissions: [{http: {methods: [get], paths: [a]}}]}\n";
    let codes: Vec<u16> = mistakes("Policy", spec).into_iter().map(|row| row.0).collect();
    assert_eq!(codes, [20, 25, 40, 32, 43, 48, 41]);
}
