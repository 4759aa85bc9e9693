use std::fs;

use bailiwick_compile::{Decoded, Selection};

use proptest::prelude::*;

use super::*;
use crate::codes;

fn role(name: &str) -> String {
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Role\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{permissions: [{{any: {{}}}}]}}\n"
    )
}

fn names(reading: &Reading) -> Vec<String> {
    reading.world.roles.iter().map(|role| role.key.name.clone()).collect()
}

fn codes_of(reading: &Reading) -> Vec<u16> {
    reading.diagnostics.iter().map(|diagnostic| diagnostic.code.0).collect()
}

fn source(folder: &tempfile::TempDir) -> FolderSource {
    FolderSource::new(vec![folder.path().to_path_buf()])
}

#[test]
fn a_folder_is_read_in_order_without_hidden_and_unrelated_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("sub/.git")).unwrap();
    fs::write(folder.path().join("b.yaml"), role("b")).unwrap();
    fs::write(folder.path().join("a.yml"), role("a")).unwrap();
    fs::write(
        folder.path().join("sub/c.json"),
        r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"x","labels":{"a":"b"}}}"#,
    )
    .unwrap();
    fs::write(folder.path().join("sub/.git/d.yaml"), "broken: [").unwrap();
    fs::write(folder.path().join(".hidden.yaml"), "broken: [").unwrap();
    fs::write(folder.path().join("README.md"), "broken: [").unwrap();
    fs::write(folder.path().join("kustomization.yaml"), "resources: [a.yml]\n").unwrap();
    let reading = Folder::read(folder.path());
    assert_eq!(reading.diagnostics, []);
    assert_eq!(names(&reading), ["a", "b"]);
    assert_eq!(reading.skipped.get("Kustomization"), Some(&1));
    assert_eq!(
        reading.sources.keys().map(AsRef::as_ref).collect::<Vec<&str>>(),
        ["a.yml", "b.yaml", "kustomization.yaml", "sub/c.json"]
    );
    let facts = reading.world.namespaces.get(&"x".parse().unwrap()).unwrap();
    assert!(facts.always_enrolled);
    assert_eq!(facts.labels.get("kubernetes.io/metadata.name").map(String::as_str), Some("x"));
    // A namespace that only objects mention is known too.
    assert!(reading.world.namespaces.contains_key(&"shop".parse().unwrap()));
}

#[cfg(unix)]
#[test]
fn a_mounted_config_map_is_read_once_and_links_never_loop() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("..2026_11_23");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("a.yaml"), role("a")).unwrap();
    symlink("..2026_11_23", folder.path().join("..data")).unwrap();
    symlink("..data/a.yaml", folder.path().join("a.yaml")).unwrap();
    symlink(".", folder.path().join("loop")).unwrap();
    symlink("a.yaml", folder.path().join("again.yaml")).unwrap();
    let reading = Folder::read(folder.path());
    assert_eq!((names(&reading), codes_of(&reading)), (vec!["a".to_owned()], vec![]));
    // An update swaps the link, as kubelet does.
    let mut source = source(&folder);
    source.refresh().unwrap();
    let next = folder.path().join("..2026_11_24");
    fs::create_dir(&next).unwrap();
    fs::write(next.join("a.yaml"), role("b")).unwrap();
    fs::remove_file(folder.path().join("..data")).unwrap();
    symlink("..2026_11_24", folder.path().join("..data")).unwrap();
    assert_eq!(names(&source.refresh().unwrap()), ["b"]);
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_denies_at_start() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("a.yaml")).unwrap();
    let reading = Folder::read(folder.path());
    assert_eq!((codes_of(&reading), reading.world.unreadable.len()), (vec![codes::UNREADABLE_FILE.0], 1));
    assert_eq!(Folder::read(&folder.path().join("nothing")).world.unreadable.len(), 1);
}

#[test]
fn a_broken_document_at_start_denies_until_it_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), format!("{}---\nb: [\n", role("a"))).unwrap();
    let mut source = source(&folder);
    let reading = source.refresh().unwrap();
    assert_eq!((names(&reading), reading.world.unreadable.len()), (vec!["a".to_owned()], 1));
    assert!(source.refresh().is_none());
    // Still broken, otherwise: no last good content can stay.
    fs::write(folder.path().join("a.yaml"), "c: [\n").unwrap();
    assert_eq!(source.refresh().unwrap().world.unreadable.len(), 1);
    fs::write(folder.path().join("a.yaml"), role("b")).unwrap();
    let reading = source.refresh().unwrap();
    assert_eq!((names(&reading), reading.world.unreadable.len()), (vec!["b".to_owned()], 0));
}

#[test]
fn while_running_a_broken_file_keeps_its_last_good_content() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), role("a")).unwrap();
    fs::write(folder.path().join("b.yaml"), role("b")).unwrap();
    let mut source = source(&folder);
    source.refresh().unwrap();
    fs::write(folder.path().join("a.yaml"), format!("{}---\nx: [\n", role("c"))).unwrap();
    fs::write(folder.path().join("new.yaml"), "x: [\n").unwrap();
    let reading = source.refresh().unwrap();
    assert_eq!(names(&reading), ["a", "b"]);
    assert!(reading.world.unreadable.is_empty());
    let count = |code: u16| codes_of(&reading).iter().filter(|found| **found == code).count();
    assert_eq!((count(codes::MALFORMED.0), count(codes::LAST_GOOD.0)), (2, 2));
    let kept = &reading.world.roles[0].location;
    let (start, end) = kept.span.unwrap();
    assert_eq!(reading.sources[&kept.file].get(start..end).unwrap(), "a");
    // An invalid object is identified: it takes effect, as a denial.
    fs::write(folder.path().join("a.yaml"), role("a").replace("any", "anny")).unwrap();
    let reading = source.refresh().unwrap();
    assert!(matches!(reading.world.roles[0].spec, Decoded::Invalid(_)));
    // A deleted file is gone.
    fs::remove_file(folder.path().join("a.yaml")).unwrap();
    assert_eq!(names(&source.refresh().unwrap()), ["b"]);
}

#[test]
fn a_deleted_folder_keeps_the_last_good_state_and_says_so() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("policies");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), role("a")).unwrap();
    let mut source = FolderSource::new(vec![folder.clone()]);
    source.refresh().unwrap();
    fs::remove_dir_all(&folder).unwrap();
    let reading = source.refresh().unwrap();
    assert_eq!(names(&reading), ["a"]);
    assert!(reading.world.unreadable.is_empty());
    assert!(codes_of(&reading).contains(&codes::LAST_GOOD.0));
    assert!(source.refresh().is_none());
    fs::create_dir(&folder).unwrap();
    assert_eq!(names(&source.refresh().unwrap()), Vec::<String>::new());
}

#[test]
fn duplicates_are_uncompilable_both_and_keep_what_they_select() {
    let folder = tempfile::tempdir().unwrap();
    let policy = "apiVersion: bailiwick.dev/v1alpha1\nkind: Policy\nmetadata: {name: p, namespace: shop}\nspec:\n  targets: [{kind: Service, name: a}]\n  rules: [{name: a, effect: Allow, subjects: [{anyone: {}}], permissions: [{any: {}}]}]\n";
    fs::write(folder.path().join("a.yaml"), policy).unwrap();
    fs::write(folder.path().join("b.yaml"), policy).unwrap();
    let reading = Folder::read(folder.path());
    assert_eq!(codes_of(&reading), [codes::DUPLICATE_OBJECT.0; 2]);
    for policy in &reading.world.policies {
        let Decoded::Invalid(invalid) = &policy.spec else { panic!() };
        assert!(
            matches!(&invalid.selection, Selection::Targets { targets: Some(targets), .. } if targets.len() == 1)
        );
    }
    assert!(reading.diagnostics[0].help.as_ref().unwrap().contains("b.yaml"));
    assert!(reading.diagnostics[1].help.as_ref().unwrap().contains("a.yaml"));
}

#[test]
fn several_paths_are_named_with_their_path() {
    let one = tempfile::tempdir().unwrap();
    let two = tempfile::tempdir().unwrap();
    fs::write(one.path().join("a.yaml"), role("a")).unwrap();
    fs::write(two.path().join("a.yaml"), role("b")).unwrap();
    let reading = read_paths(&[one.path().to_path_buf(), two.path().join("a.yaml")]);
    assert_eq!(reading.sources.len(), 2);
    assert_eq!(reading.world.roles.len(), 2);
}

#[test]
fn manifests_that_occur_twice_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\nspec: {}\n";
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec: {}\n";
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n";
    fs::write(folder.path().join("a.yaml"), [pod, pod, namespace, namespace].join("---\n")).unwrap();
    let reading = Folder::read(folder.path());
    assert!(reading.world.workloads.is_empty() && reading.world.unreadable.is_empty());
    assert_eq!(codes_of(&reading), [codes::DUPLICATE_MANIFEST.0; 2]);
    fs::write(folder.path().join("b.yaml"), [service, service].join("---\n")).unwrap();
    assert_eq!(Folder::read(folder.path()).world.unreadable.len(), 2);
}

/// The issue's "Must show": each mistake of a folder is one message with a code, a place and what to do.
#[test]
fn a_folder_with_different_mistakes_tells_each_once() {
    let policy = |name: &str, spec: &str| {
        format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Policy\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{{spec}}}\n"
        )
    };
    let rule = |subject: &str, permission: &str| {
        format!("rules: [{{name: a, effect: Allow, subjects: [{subject}], permissions: [{permission}]}}]")
    };
    let (anyone, any) = ("{anyone: {}}", "{any: {}}");
    let documents = [
        (policy("field", &format!("tragets: [], {}", rule(anyone, any))), codes::UNKNOWN_FIELD),
        (policy("path", &rule(anyone, "{http: {methods: [GET], paths: ['/a/{id']}}")), codes::PATH_TEMPLATE),
        (policy("cidr", &rule("{ipBlock: {cidr: 10.0.0.7/8}}", any)), codes::CIDR),
        (policy("port", &rule(anyone, "{tcp: {ports: [70000]}}")), codes::PORT),
        (policy("spiffe", &rule("{spiffeID: 'https://a/b'}", any)), codes::SPIFFE_ID),
        (policy("empty", &rule(anyone, "{http: {methods: [], paths: [/]}}")), codes::EMPTY_LIST),
        (policy("method", &rule(anyone, "{http: {methods: [Get], paths: [/]}}")), codes::METHOD),
        (
            policy(
                "twice",
                &rule(anyone, any).replace(
                    "}]}]",
                    "}]}, {name: a, effect: Deny, subjects: [{anyone: {}}], roles: [{name: r}]}]",
                ),
            ),
            codes::DUPLICATE_KEY,
        ),
        (policy("ask", &rule(anyone, any).replace("Allow", "Alow")), codes::UNKNOWN_VALUE),
        (policy("kind", &rule(anyone, any)).replace("kind: Policy", "kind: Polcy"), codes::UNKNOWN_KIND),
        (policy("word", &rule("{serviceAccount: {name: no}}", any)), codes::AMBIGUOUS),
        ("kind: [\n".to_owned(), codes::MALFORMED),
    ];
    let folder = tempfile::tempdir().unwrap();
    let text: Vec<&str> = documents.iter().map(|(text, _)| text.as_str()).collect();
    fs::write(folder.path().join("all.yaml"), text.join("---\n")).unwrap();
    let reading = Folder::read(folder.path());
    let expected: Vec<u16> = documents.iter().map(|(_, code)| code.0).collect();
    assert_eq!(codes_of(&reading), expected, "{:#?}", reading.diagnostics);
    for diagnostic in &reading.diagnostics {
        let (start, end) = diagnostic.location.span.unwrap();
        assert!(start < end && diagnostic.help.is_some(), "{diagnostic:#?}");
    }
    assert_eq!(reading.world.unreadable.len(), 2);
    // The compiler repeats them; people see each once.
    assert_eq!(reading.messages(&reading.diagnostics).len(), 12);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_reading_is_deterministic(
        head in proptest::sample::select(vec!["", "apiVersion: bailiwick.dev/v1alpha1\nkind: Policy\n", "apiVersion: v1\nkind: Service\n"]),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [head.as_bytes(), &bytes].concat();
        let (first, second) = (read_bytes("a.yaml", &bytes), read_bytes("a.yaml", &bytes));
        prop_assert_eq!(&first.diagnostics, &second.diagnostics);
        // What is not understood is told: nothing is skipped silently.
        if !first.world.unreadable.is_empty() {
            prop_assert!(!first.diagnostics.is_empty());
        }
    }
}

#[test]
fn files_replace_live_objects_of_the_same_name_and_add_others() {
    let live = |value: serde_json::Value| ApiObject::decode(&value);
    let policy = |name: &str| {
        live(serde_json::json!({
            "apiVersion": "bailiwick.dev/v1alpha1", "kind": "Policy",
            "metadata": {"name": name, "namespace": "shop", "generation": 7},
            "spec": {"rules": [{"name": "a", "effect": "Deny", "subjects": [{"anyone": {}}],
                "permissions": [{"http": {"methods": ["*"], "paths": ["/**"]}}]}]},
        }))
    };
    let namespace = live(serde_json::json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"bailiwick.dev/inject": "enabled"}},
    }));
    let objects = [policy("kept"), policy("replaced"), namespace];
    let folder = tempfile::tempdir().unwrap();
    let rule = "{name: a, effect: Deny, subjects: [{anyone: {}}], permissions: [{http: {methods: [GET], paths: [/x]}}]}";
    let write = |name: &str| {
        let text = format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Policy\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{rules: [{rule}]}}\n"
        );
        fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
    };
    write("replaced");
    write("added");
    let reading = read_paths_over(&objects, vec![folder.path().to_path_buf()]);
    assert_eq!(reading.diagnostics, []);
    let mut found: Vec<(&str, &str)> = reading
        .world
        .policies
        .iter()
        .map(|policy| (policy.key.name.as_str(), policy.location.file.as_ref()))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [("added", "added.yaml"), ("kept", "cluster"), ("replaced", "replaced.yaml")]);
    assert!(!reading.world.namespaces.values().any(|namespace| namespace.always_enrolled));
    assert_eq!(read_paths_over(&objects, Vec::new()).world.policies.len(), 2);
}
