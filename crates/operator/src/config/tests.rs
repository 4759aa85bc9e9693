//! Flags, environment and file together.

use super::*;

const NOTHING: [(&str, &str); 0] = [];

#[test]
fn every_mistake_is_told_at_once() {
    let flags = Flags {
        source: Some("/nowhere".into()),
        trust_domain: Some("x".into()),
        identity_listen: Some("localhost:1".into()),
        admin_listen: Some("0.0.0.0:9".into()),
        log_format: Some("xml".into()),
        ..Flags::default()
    };
    let environment = [("BAILIWICK_OPERATOR_SORCE", "x"), ("BAILIWICK_SIDECAR_STATE", "y")];
    let text = Config::load(flags, environment).unwrap_err().to_string();
    for part in [
        "BAILIWICK_OPERATOR_SORCE",
        "source: `/nowhere` is not a folder",
        "trustDomain: belongs to a cluster",
        "state: is required",
        "identityListen",
        "adminListen: `0.0.0.0:9` is not a loopback",
        "log.format",
    ] {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
    assert!(!text.contains("SIDECAR"), "{text}");
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("operator.yaml");
    let source = folder.path().display();
    let text =
        format!("source: {source}\nstate: of-file\nidentityListen: 127.0.0.1:1\nadminListen: 127.0.0.1:3\n");
    std::fs::write(&file, text).unwrap();
    let flags =
        Flags { config: Some(file.display().to_string()), state: Some("of-flag".into()), ..Flags::default() };
    let environment = [
        ("BAILIWICK_OPERATOR_STATE", "of-environment"),
        ("BAILIWICK_OPERATOR_IDENTITY_LISTEN", "127.0.0.1:2"),
    ];
    let config = Config::load(flags, environment).unwrap();
    let Mode::Folder(settings) = &config.mode else { panic!("{config:?}") };
    assert_eq!(settings.state, Path::new("of-flag"));
    assert_eq!(config.identity_listen.port(), 2);
    assert_eq!(config.admin.listen().port(), 3);
    assert_eq!(config.configuration_listen.port(), 15012);
}

#[test]
fn a_misspelt_field_of_the_file_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("operator.yaml");
    std::fs::write(&file, "sourc: x\n").unwrap();
    let flags = Flags { config: Some(file.display().to_string()), ..Flags::default() };
    let text = Config::load(flags, NOTHING).unwrap_err().to_string();
    assert!(text.contains("operator.yaml:1:") && text.contains("sourc"), "{text}");
}
