//! What an invalid object still selects, and what cannot be identified.

use super::*;

fn invalid(kind: &str, spec: &str) -> Invalid {
    let found = object(&document(kind, spec));
    let found = if let DecodedObject::Policy(object) = found {
        broken(object.spec)
    } else if let DecodedObject::ClusterPolicy(object) = found {
        broken(object.spec)
    } else if let DecodedObject::Authentication(object) = found {
        broken(object.spec)
    } else {
        None
    };
    found.unwrap_or_else(|| panic!("valid, or of another kind: {spec}"))
}

fn broken<S>(spec: Decoded<S>) -> Option<Invalid> {
    if let Decoded::Invalid(invalid) = spec { Some(invalid) } else { None }
}

const TARGETS: &str = "targets: [{kind: Pod, selector: {matchLabels: {app: a}}}]\n";
const BROKEN_RULES: &str = "rules: []\n";

#[test]
fn sound_targets_survive_mistakes_elsewhere() {
    for more in [BROKEN_RULES, "rules: 1\n", "rulez: []\n", "when: 1\nrules: []\n"] {
        let found = invalid("Policy", &format!("{TARGETS}{more}"));
        let Selection::Targets { targets: Some(targets), .. } = found.selection else { panic!("{more}") };
        assert_eq!(targets.len(), 1);
    }
    let found = invalid("Policy", BROKEN_RULES);
    assert_eq!(found.selection, Selection::Targets { namespace_selector: None, targets: None });
}

#[test]
fn broken_targets_select_everything() {
    for spec in [
        "targets: []\n",
        "targets: null\n",
        "targets: [{kind: Pod, selector: {}}]\n",
        "targets: [{kind: Pod, selector: {matchLabels: {app: yes}}}]\n",
        "targets: [{kind: Pod, selector: {matchLabels: {app: a}}, port: [80]}]\n",
        "targets: [{kind: Pod, selector: {matchLabels: {app: a, app: b}}}]\n",
        "targets: [{kind: Pod, selector: {matchLabels: {app: !!str a}}}]\n",
        "targets: [{kind: Service, name: a}]\ntargets: [{kind: Service, name: b}]\n",
        "tragets: [{kind: Service, name: a}]\n",
        "anything: 1\n",
    ] {
        let found = invalid("Policy", &format!("{spec}{BROKEN_RULES}"));
        assert_eq!(found.selection, Selection::Everything, "{spec}");
        let found = invalid("Authentication", &format!("{spec}mtls: {{}}\n"));
        assert_eq!(found.selection, Selection::Everything, "{spec}");
    }
}

#[test]
fn a_cluster_policy_keeps_its_sound_namespaces() {
    let namespaces = "namespaceSelector: {matchLabels: {tier: core}}\n";
    let found = invalid("ClusterPolicy", &format!("{namespaces}targets: []\n{BROKEN_RULES}"));
    assert!(matches!(found.selection, Selection::Targets { namespace_selector: Some(_), targets: None }));
    let found = invalid("ClusterPolicy", &format!("namespaceSelector: {{}}\n{TARGETS}{BROKEN_RULES}"));
    assert_eq!(found.selection, Selection::Everything);
}

#[test]
fn the_mode_counts_only_if_it_decodes() {
    for (mode, expected) in [
        ("mode: Audit\n", Mode::Audit),
        ("mode: Enforce\n", Mode::Enforce),
        ("mode: audit\n", Mode::Enforce),
        ("mode: Audit\nmode: Audit\n", Mode::Enforce),
        ("mode: null\n", Mode::Enforce),
        ("", Mode::Enforce),
    ] {
        assert_eq!(invalid("Policy", &format!("{mode}{BROKEN_RULES}")).mode, expected, "{mode}");
        assert_eq!(invalid("ClusterPolicy", &format!("{mode}{BROKEN_RULES}")).mode, expected, "{mode}");
    }
}

#[test]
fn what_cannot_be_identified_is_unreadable() {
    let good = document("Policy", "rules: []\n");
    for (text, code) in [
        ("a: 1\n".to_owned(), codes::UNIDENTIFIED),
        ("- a\n".to_owned(), codes::UNIDENTIFIED),
        ("text\n".to_owned(), codes::UNIDENTIFIED),
        ("apiVersion: v1\nkind: 7\n".to_owned(), codes::UNIDENTIFIED),
        (good.replace("kind: Policy", "kind: Polcy"), codes::UNKNOWN_KIND),
        (good.replace("v1alpha1", "v1"), codes::UNKNOWN_VERSION),
        (good.replace("bailiwick.dev", "bailwick.dev"), codes::UNIDENTIFIED),
        (good.replace("bailiwick.dev/", ""), codes::UNIDENTIFIED),
        (good.replace("name: x, ", ""), codes::OBJECT_NAME),
        (good.replace("name: x, ", "name: X_y, "), codes::OBJECT_NAME),
        (good.replace(", namespace: shop", ""), codes::NAMESPACE_MISSING),
        (good.replace("namespace: shop", "namespace: \"\""), codes::TEXT_LENGTH),
        (good.replace("namespace: shop", "namespace: no"), codes::AMBIGUOUS),
        (good.replace("namespace: shop", "namespace: a, namespace: b"), codes::REPEATED_FIELD),
        (format!("{good}kind: Role\n"), codes::REPEATED_FIELD),
        (good.replace("metadata: {name: x, namespace: shop}", "metadata: 1"), codes::WRONG_TYPE),
        ("a: [\n".to_owned(), codes::MALFORMED),
        ("apiVersion: v1\nkind: ConfigMap\nkind: Policy\n".to_owned(), codes::REPEATED_FIELD),
        ("apiVersion: v1\nkind: List\nitmes: []\n".to_owned(), codes::UNIDENTIFIED),
        (good.replace("bailiwick.dev", "bailiwick.io"), codes::UNIDENTIFIED),
        ("apiVersion: v1\nkind: List\nitems: {}\n".to_owned(), codes::UNIDENTIFIED),
    ] {
        let contents = contents(&text);
        assert!(contents.objects.is_empty(), "{text}");
        let found: Vec<_> = contents.unreadable.iter().map(|problem| problem.code).collect();
        assert!(found.contains(&code), "{text}: {:#?}", contents.unreadable);
        assert!(contents.unreadable[0].location.span.is_some(), "{text}");
    }
}

#[test]
fn a_broken_document_does_not_hide_the_others() {
    let good = document("Policy", "rules: []\n");
    let contents =
        contents(&format!("{good}---\na: [\n---\n{}", document("Role", "permissions: [{any: {}}]\n")));
    assert_eq!((contents.objects.len(), contents.unreadable.len()), (2, 1));
}

#[test]
fn files_that_are_no_text_or_too_large_are_unreadable() {
    let file: Arc<str> = Arc::from("a.yaml");
    let found = Contents::of_bytes(&file, b"a: 1\n\xff\n").unreadable;
    assert_eq!((found[0].code, found[0].location.span), (codes::NOT_UTF8, Some((5, 6))));
    let found = Contents::of_bytes(&file, &vec![b' '; 16 * 1024 * 1024 + 1]).unreadable;
    assert_eq!(found[0].code, codes::FILE_TOO_LARGE);
}
