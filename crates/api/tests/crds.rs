//! The committed files under `crds/` are what the types say, and what the API server will accept.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "test code: a failure is the report"
)]

mod cases;
mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;

use bailiwick_api::{API_VERSION, crd_file_name, crd_yaml, crds, field_names};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use support::{schema, spec_node};

const UPDATE: &str = "BAILIWICK_UPDATE_GOLDEN";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../crds")
}

/// A node of a schema with its path, `spec.rules[].name`.
struct Node {
    path: String,
    value: Value,
}

impl Node {
    fn kind(&self) -> Option<&str> {
        self.value.get("type").and_then(Value::as_str)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.value.get(key).and_then(Value::as_u64)
    }

    fn has(&self, key: &str) -> bool {
        self.value.get(key).is_some()
    }
}

/// Every node that describes a value: properties, items and values of maps, not the rules of `oneOf` and its like.
fn walk(path: &str, value: &Value, nodes: &mut Vec<Node>) {
    nodes.push(Node { path: path.to_owned(), value: value.clone() });
    if let Some(items) = value.get("items") {
        walk(&format!("{path}[]"), items, nodes);
    }
    if let Some(values) = value.get("additionalProperties") {
        walk(&format!("{path}{{}}"), values, nodes);
    }
    for (name, child) in value.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(&format!("{path}.{name}"), child, nodes);
    }
}

fn nodes_of(crd: &CustomResourceDefinition, part: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    let value = schema(crd).pointer(&format!("/properties/{part}")).cloned().expect("the part is there");
    walk(&format!("{} {part}", crd.spec.names.kind), &value, &mut nodes);
    nodes
}

fn all_nodes() -> Vec<Node> {
    crds()
        .iter()
        .flat_map(|crd| [nodes_of(crd, "spec"), nodes_of(crd, "status")].into_iter().flatten())
        .collect()
}

#[test]
fn committed_files_are_the_generated_ones() {
    let mut expected = BTreeSet::new();
    for crd in crds() {
        let (name, text) = (crd_file_name(&crd), crd_yaml(&crd).expect("yaml"));
        let file = folder().join(&name);
        if std::env::var_os(UPDATE).is_some() {
            std::fs::create_dir_all(folder()).expect("the folder can be made");
            std::fs::write(&file, &text).expect("the file can be written");
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == text,
            "crds/{name} differs from the types: run `bailiwick crds --write crds/`, \
             or `{UPDATE}=1 cargo test -p bailiwick-api --test crds`"
        );
        expected.insert(name);
    }
    let found: BTreeSet<String> = std::fs::read_dir(folder())
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(found, expected, "crds/ holds exactly one file a kind");
}

#[test]
fn text_is_deterministic_and_reads_back_as_the_same_definition() {
    for crd in crds() {
        let text = crd_yaml(&crd).expect("yaml");
        assert_eq!(text, crd_yaml(&crd).expect("yaml"));
        let back: CustomResourceDefinition = serde_saphyr::from_str(&text).expect("it reads back");
        assert_eq!(back, crd);
    }
}

#[test]
fn names_are_those_of_the_contract() {
    let table = [
        ("Role", "bwroles", "bwrole", "bwr", "Namespaced"),
        ("Policy", "bwpolicies", "bwpolicy", "bwp", "Namespaced"),
        ("ClusterPolicy", "bwclusterpolicies", "bwclusterpolicy", "bwcp", "Cluster"),
        ("Authentication", "bwauthentications", "bwauthentication", "bwan", "Namespaced"),
        ("RelationSchema", "bwrelationschemas", "bwrelationschema", "bwrs", "Namespaced"),
        ("Relationship", "bwrelationships", "bwrelationship", "bwrel", "Namespaced"),
        ("TrustDomain", "bwtrustdomains", "bwtrustdomain", "bwtd", "Cluster"),
    ];
    let crds = crds();
    assert_eq!(crds.len(), table.len());
    for (crd, (kind, plural, singular, short, scope)) in crds.iter().zip(table) {
        let names = &crd.spec.names;
        assert_eq!((names.kind.as_str(), names.plural.as_str()), (kind, plural));
        assert_eq!(names.singular.as_deref(), Some(singular));
        assert_eq!(names.short_names.as_deref(), Some(&[short.to_owned()][..]));
        assert_eq!(names.categories.as_deref(), Some(&["bailiwick".to_owned()][..]));
        assert_eq!(crd.spec.scope, scope, "{kind}");
        assert_eq!(crd.metadata.name.as_deref(), Some(format!("{plural}.bailiwick.dev").as_str()));
        assert_eq!(crd_file_name(crd), format!("bailiwick.dev_{plural}.yaml"));
        assert_eq!(crd.spec.versions.len(), 1);
        assert_eq!(format!("{}/{}", crd.spec.group, crd.spec.versions[0].name), API_VERSION);
        assert!(crd.spec.versions[0].subresources.as_ref().is_some_and(|of| of.status.is_some()), "{kind}");
    }
}

#[test]
fn columns_show_what_is_enforced() {
    for crd in crds() {
        let kind = crd.spec.names.kind.clone();
        let columns = crd.spec.versions[0].additional_printer_columns.clone().expect("columns");
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let selects = ["Policy", "ClusterPolicy", "Authentication"].contains(&kind.as_str());
        let expected: &[&str] = if selects {
            &["Targets", "Mode", "Accepted", "Enforced", "Age"]
        } else {
            &["Accepted", "Enforced", "Age"]
        };
        assert_eq!(names, expected, "{kind}");
        let status = nodes_of(&crd, "status");
        for column in &columns {
            if let Some(field) = column.json_path.strip_prefix(".status.summary.") {
                let path = format!("{kind} status.summary.{field}");
                assert!(status.iter().any(|node| node.path == path), "{path} is in the schema");
            }
        }
    }
}

#[test]
fn every_object_under_spec_keeps_unknown_fields() {
    for crd in crds() {
        let root = schema(&crd);
        assert_eq!(root["x-kubernetes-preserve-unknown-fields"], true, "a field beside `spec`");
        for node in nodes_of(&crd, "spec") {
            let object = node.kind() == Some("object") || node.has("properties");
            let keeps = node.value.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
            // A node without a type is one that takes several; it must not prune either.
            assert_eq!(keeps, object || node.kind().is_none(), "{}", node.path);
        }
    }
}

#[test]
fn everything_is_bounded() {
    let mut counted = 0;
    for node in all_nodes() {
        counted += 1;
        match node.kind() {
            Some("array") => {
                assert!(node.has("items") && node.number("maxItems").is_some(), "{}", node.path);
                assert!(node.has("x-kubernetes-list-type"), "{}", node.path);
                let of_status = node.path.contains(" status");
                assert!(of_status || node.number("minItems") == Some(1), "{}", node.path);
            }
            Some("string") => {
                let bounded = node.number("maxLength").is_some() || node.has("enum") || node.has("format");
                assert!(bounded, "{}", node.path);
            }
            Some("integer") => {
                let generation = node.path.ends_with("observedGeneration");
                assert!(generation || (node.has("minimum") && node.has("maximum")), "{}", node.path);
            }
            Some("object") => {
                let map = node.has("additionalProperties");
                assert!(!map || node.number("maxProperties").is_some(), "{}", node.path);
            }
            None => assert_eq!(node.number("maxLength"), Some(1024), "{}", node.path),
            Some(other) => panic!("{} has type {other}", node.path),
        }
    }
    assert!(counted > 500, "the walk reaches the whole schema: {counted}");
}

#[test]
fn lists_of_strings_and_ports_are_sets() {
    for node in all_nodes().iter().filter(|node| node.kind() == Some("array")) {
        let scalars = node.value["items"]["type"] != "object";
        let kind = node.value["x-kubernetes-list-type"].as_str().expect("a list type");
        // The order of a claim's path counts. Tuples would be stored twice as a set (see the type).
        let ordered = node.path.ends_with(".claims[].path") || node.path.ends_with(".tuples");
        assert_eq!(kind == "set", scalars && !ordered, "{}", node.path);
        if kind == "map" {
            let item = &node.value["items"];
            for key in node.value["x-kubernetes-list-map-keys"].as_array().expect("keys") {
                let required = item["required"].as_array().expect("required fields");
                assert!(required.contains(key), "{}: {key} is required", node.path);
            }
        }
    }
}

#[test]
fn limits_are_those_of_the_contract() {
    let maximum = |kind: &str, pointer: &str| spec_node(kind, pointer)["maxItems"].clone();
    assert_eq!(maximum("Policy", "/properties/rules"), 64);
    assert_eq!(maximum("Policy", "/properties/rules/items/properties/subjects"), 64);
    assert_eq!(maximum("Policy", "/properties/rules/items/properties/permissions"), 64);
    let paths = "/properties/permissions/items/properties/http/properties/paths";
    assert_eq!(maximum("Role", paths), 64);
    assert_eq!(spec_node("Role", paths)["items"]["maxLength"], 1024);
    assert_eq!(spec_node("Role", paths)["items"]["pattern"], "^/");
    assert_eq!(maximum("Relationship", "/properties/tuples"), 8192);
    let keys = |kind, pointer| spec_node(kind, pointer)["x-kubernetes-list-map-keys"].clone();
    assert_eq!(keys("Policy", "/properties/rules"), serde_json::json!(["name"]));
    assert_eq!(keys("ClusterPolicy", "/properties/rules"), serde_json::json!(["name"]));
    assert_eq!(keys("Authentication", "/properties/mtls/properties/ports"), serde_json::json!(["port"]));
}

#[test]
fn schemas_are_structural() {
    for node in all_nodes() {
        assert!(!node.has("$ref") && !node.has("nullable") && !node.has("default"), "{}", node.path);
        assert!(!node.has("title") && !node.has("definitions"), "{}", node.path);
        let formats = ["date-time", "int32", "int64"];
        let format = node.value.get("format").and_then(Value::as_str);
        assert!(format.is_none_or(|format| formats.contains(&format)), "{}: {format:?}", node.path);
        for keyword in ["oneOf", "anyOf", "allOf"] {
            for rule in node.value.get(keyword).and_then(Value::as_array).into_iter().flatten() {
                rule_is_structural(&node, rule);
            }
        }
    }
}

/// Inside `oneOf` and its like, Kubernetes allows only rules about fields that the node itself declares.
fn rule_is_structural(node: &Node, rule: &Value) {
    for (keyword, value) in rule.as_object().expect("a rule is an object") {
        let declared = |name: &str| node.value["properties"].get(name).is_some();
        match keyword.as_str() {
            "not" => rule_is_structural(node, value),
            "anyOf" => {
                value.as_array().expect("a list").iter().for_each(|rule| rule_is_structural(node, rule))
            }
            "required" => {
                let names = value.as_array().expect("a list").iter().filter_map(Value::as_str);
                names.for_each(|name| assert!(declared(name), "{}: {name} is no field", node.path));
            }
            "properties" => {
                for (name, child) in value.as_object().expect("an object") {
                    assert!(declared(name), "{}: {name} is no field", node.path);
                    let own: Vec<&Value> =
                        node.value["properties"][name]["enum"].as_array().into_iter().flatten().collect();
                    let tags = child["enum"].as_array().expect("rules only tell tags apart");
                    assert!(tags.iter().all(|tag| own.contains(&tag)), "{}: {name} {tags:?}", node.path);
                }
            }
            "minProperties" => {}
            other => panic!("{}: {other} in a rule", node.path),
        }
    }
}

#[test]
fn cluster_policies_name_every_namespace() {
    let required = |kind: &str, pointer: &str| -> bool {
        let node = spec_node(kind, &format!("/properties/rules/items/properties{pointer}"));
        node["required"].as_array().is_some_and(|names| names.iter().any(|name| name == "namespace"))
    };
    for pointer in [
        "/subjects/items/properties/serviceAccount",
        "/exceptSubjects/items/properties/serviceAccount",
        "/roles/items",
        "/relation",
    ] {
        assert!(required("ClusterPolicy", pointer), "{pointer}");
        assert!(!required("Policy", pointer), "{pointer}");
    }
    let fields = field_names("Policy").expect("a kind");
    assert!(!fields["spec.rules[].relation"].contains("namespace"), "a Policy reads its own namespace");
    let fields = field_names("ClusterPolicy").expect("a kind");
    assert!(fields["spec.rules[].relation"].contains("namespace"));
    assert_eq!(
        spec_node("ClusterPolicy", "/properties/targets/items/properties/kind")["enum"],
        serde_json::json!(["Pod"])
    );
}

#[test]
fn every_field_is_explained_in_sentences() {
    for node in all_nodes().iter().filter(|node| !node.path.ends_with(['}', ']'])) {
        let text = node.value["description"].as_str().unwrap_or_default();
        assert!(text.ends_with('.') && !text.contains('\n'), "{}: {text:?}", node.path);
    }
}

#[test]
fn definitions_fit_a_client_side_apply() {
    for crd in crds() {
        let size = serde_json::to_vec(&crd).expect("json").len();
        assert!(size < 200 * 1024, "{} has {size} bytes; annotations end at 256 KiB", crd.spec.names.kind);
    }
}

#[test]
fn field_names_spell_the_contract() {
    let names = |kind: &str, path: &str| -> Vec<String> {
        let fields = field_names(kind).expect("a kind");
        fields.get(path).unwrap_or_else(|| panic!("{kind} {path}")).iter().cloned().collect()
    };
    assert_eq!(names("Role", "spec"), ["inherits", "permissions"]);
    assert_eq!(names("Role", "spec.permissions[].http"), ["hosts", "methods", "pathRegexes", "paths"]);
    assert_eq!(names("Policy", "spec"), ["connectionLimits", "mode", "rules", "targets"]);
    assert_eq!(
        names("Policy", "spec.rules[].subjects[]"),
        [
            "anyone",
            "authenticated",
            "ipBlock",
            "namespace",
            "principal",
            "serviceAccount",
            "spiffeID",
            "unauthenticated"
        ]
    );
    assert!(names("Policy", "spec.rules[].subjects[].anyone").is_empty());
    assert_eq!(
        names("Authentication", "spec.tokens[].keys"),
        ["discovery", "inline", "introspection", "jwksURI"]
    );
    assert_eq!(
        names("TrustDomain", "spec.own.issuer"),
        ["builtIn", "certManager", "podCertificate", "secret", "spire"]
    );
    assert_eq!(field_names("ConfigMap"), None);
}
