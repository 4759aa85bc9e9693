//! Objects of `bailiwick.dev`.

use crate::judge;
use serde_json::{Value, json};

fn policy(spec: Value) -> Value {
    json!({
        "apiVersion": "bailiwick.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "1", "managedFields": []},
        "spec": spec,
    })
}

fn rules() -> Value {
    json!([{
        "name": "web",
        "effect": "Allow",
        "subjects": [{"serviceAccount": {"name": "web"}}],
        "roles": [{"name": "applied-later"}],
    }])
}

#[test]
fn a_sound_object_is_accepted_though_its_role_comes_later() {
    let judgement = judge(&policy(json!({"rules": rules()})), None);
    assert_eq!((judgement.errors, judgement.warnings), (vec![], vec![]));
}

/// Written with field validation turned off, nothing else would see it.
#[test]
fn a_misspelt_field_is_refused_with_its_place_and_a_suggestion() {
    let object = policy(json!({"tragets": [{"kind": "Pod"}], "rules": rules()}));
    let judgement = judge(&object, None);
    assert_eq!(judgement.errors.len(), 1, "{judgement:?}");
    let error = &judgement.errors[0];
    assert_eq!(error.code.to_string(), "BW0020");
    assert_eq!(error.field.as_str(), "spec.tragets");
    assert!(error.help.as_deref().unwrap_or_default().contains("`targets`"), "{error:?}");
}

#[test]
fn what_only_the_compiler_sees_is_refused() {
    let object = json!({
        "apiVersion": "bailiwick.dev/v1alpha1",
        "kind": "TrustDomain",
        "metadata": {"name": "not a name"},
        "spec": {"own": {"issuer": {"builtIn": {}}}},
    });
    assert!(!judge(&object, None).errors.is_empty());
    let unsupported = json!({
        "apiVersion": "bailiwick.dev/v1alpha1",
        "kind": "Relationship",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {"tuples": ["order:17#owner@user:alice"]},
    });
    assert!(!judge(&unsupported, None).errors.is_empty());
}

/// A finalizer of an object that an earlier version accepted must be removable.
#[test]
fn an_update_that_leaves_the_spec_is_accepted_with_warnings() {
    let old = policy(json!({"tragets": [], "rules": rules()}));
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"a": "b"});
    let judgement = judge(&new, Some(&old));
    assert!(judgement.errors.is_empty());
    assert!(!judgement.warnings.is_empty());
    new["spec"]["mode"] = json!("Audit");
    assert!(!judge(&new, Some(&old)).errors.is_empty());
}

#[test]
fn other_kinds_are_not_judged() {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}});
    assert_eq!(judge(&object, None), crate::Judgement::default());
}
