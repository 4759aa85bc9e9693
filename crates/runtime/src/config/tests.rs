//! Tests of loading and of collecting mistakes.

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct RawSidecar {
    listen: Option<String>,
    drain_timeout: Option<String>,
    threads: Option<u32>,
    upstream: RawUpstream,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct RawUpstream {
    max_body: Option<String>,
    connect_timeout: Option<String>,
}

#[derive(Debug)]
struct Sidecar {
    listen: SocketAddr,
    drain_timeout: Duration,
    threads: u32,
    upstream: Upstream,
}

#[derive(Debug)]
struct Upstream {
    max_body: u64,
    connect_timeout: Duration,
}

impl TryFrom<RawUpstream> for Upstream {
    type Error = ConfigErrors;

    fn try_from(raw: RawUpstream) -> Result<Self, ConfigErrors> {
        let mut collector = Collector::new();
        let max_body = collector.parsed("maxBody", raw.max_body.as_deref(), parse::byte_size, 1 << 20);
        let timeout = raw.connect_timeout.as_deref();
        let timeout = collector.parsed("connectTimeout", timeout, parse::duration, Duration::from_secs(1));
        collector.finish(|| Some(Self { max_body: max_body?, connect_timeout: timeout? }))
    }
}

impl TryFrom<RawSidecar> for Sidecar {
    type Error = ConfigErrors;

    fn try_from(raw: RawSidecar) -> Result<Self, ConfigErrors> {
        let mut collector = Collector::new();
        let listen = collector.parsed_required("listen", raw.listen.as_deref(), parse::socket_address);
        let drain = raw.drain_timeout.as_deref();
        let drain = collector.parsed("drainTimeout", drain, parse::duration, Duration::from_secs(30));
        let threads = collector.within("threads", Some(raw.threads.unwrap_or(1)), 1..=64);
        let upstream = collector.section("upstream", raw.upstream.try_into());
        collector.finish(|| {
            Some(Self { listen: listen?, drain_timeout: drain?, threads: threads?, upstream: upstream? })
        })
    }
}

#[test]
fn a_good_file_gives_its_values_and_the_defaults() {
    let text = "listen: 127.0.0.1:15001 # here\nupstream: {maxBody: 64KiB}\n";
    let raw: RawSidecar = read_str(text, "sidecar.yaml").unwrap();
    let config = Sidecar::try_from(raw).unwrap();
    assert_eq!(config.listen.port(), 15001);
    assert_eq!(config.drain_timeout, Duration::from_secs(30));
    assert_eq!(config.threads, 1);
    assert_eq!(config.upstream.max_body, 65_536);
    assert_eq!(config.upstream.connect_timeout, Duration::from_secs(1));
}

#[test]
fn all_mistakes_are_told_at_once_with_their_field_paths() {
    let text = "drainTimeout: 5\nthreads: 99\nupstream: {maxBody: 1M, connectTimeout: soon}\n";
    let raw: RawSidecar = read_str(text, "sidecar.yaml").unwrap();
    let errors = Sidecar::try_from(raw).unwrap_err();
    let paths: Vec<&str> = errors.iter().map(ConfigError::path).collect();
    assert_eq!(paths, ["listen", "drainTimeout", "threads", "upstream.maxBody", "upstream.connectTimeout"]);
    let message = errors.to_string();
    assert!(message.starts_with("5 mistakes in the configuration:\n  listen: is required\n"), "{message}");
    assert!(message.contains("\n  threads: `99` is not between 1 and 64\n"), "{message}");
    assert!(message.contains("\n  upstream.maxBody: `1M` is not a size"), "{message}");
}

#[test]
fn an_unknown_field_is_an_error_with_its_place() {
    let text = "listen: 127.0.0.1:1\nupstream:\n  maxBodi: 1Mi\n";
    let message = read_str::<RawSidecar>(text, "sidecar.yaml").unwrap_err().to_string();
    assert!(message.starts_with("sidecar.yaml:3:3: unknown field `maxBodi`"), "{message}");
    assert!(!message.contains('\n') && !message.contains("127.0.0.1"), "no snippet: {message}");
}

#[test]
fn what_is_not_one_document_of_the_form_is_refused() {
    for wrong in [
        "",
        "# only a comment\n---\n",
        "listen: a\nlisten: b\n",
        "listen: a\n---\nthreads: 1\n",
        "- a\n",
        "listen: [",
    ] {
        let result = read_str::<RawSidecar>(wrong, "sidecar.yaml");
        let message = result.expect_err(wrong).to_string();
        assert!(message.starts_with("sidecar.yaml"), "{wrong:?}: {message}");
    }
    let twice = read_str::<RawSidecar>("listen: a\nlisten: b\n", "sidecar.yaml").unwrap_err().to_string();
    assert_eq!(twice, "sidecar.yaml:2:1: duplicate mapping key `listen` is not allowed here");
    let message = read_str::<RawSidecar>("threads: many\n", "sidecar.yaml").unwrap_err().to_string();
    assert!(message.starts_with("sidecar.yaml:1:10: "), "{message}");
}

#[test]
fn a_file_that_is_missing_or_too_large_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.yaml");
    let message = read_file::<RawSidecar>(&missing).unwrap_err().to_string();
    assert!(message.contains("missing.yaml` cannot be read: "), "{message}");
    let large = folder.path().join("large.yaml");
    std::fs::write(&large, "#".repeat(1024 * 1024 + 1)).unwrap();
    assert!(matches!(read_file::<RawSidecar>(&large), Err(LoadError::TooLarge { .. })));
    let good = folder.path().join("good.yaml");
    std::fs::write(&good, "threads: 2\n").unwrap();
    assert_eq!(read_file::<RawSidecar>(&good).unwrap().threads, Some(2));
}

#[test]
fn environment_values_change_fields_and_a_misspelt_name_is_an_error() {
    let mut raw = RawSidecar { threads: Some(1), ..RawSidecar::default() };
    let pairs = [
        ("BAILIWICK_LISTEN", "127.0.0.1:7"),
        ("BAILIWICK_THREADS", "4"),
        ("PATH", "/bin"),
        ("BAILIWICK_OPERATOR_SERVICE_HOST", "10.0.0.1"),
        ("BAILIWICK_OPERATOR_SERVICE_PORT_GRPC", "15010"),
        ("BAILIWICK_OPERATOR_PORT", "tcp://10.0.0.1:15010"),
        ("BAILIWICK_OPERATOR_PORT_15010_TCP_ADDR", "10.0.0.1"),
    ];
    let mut overrides = Overrides::new("BAILIWICK_", pairs);
    overrides.apply("LISTEN", |value: String| raw.listen = Some(value));
    overrides.apply("THREADS", |value| raw.threads = Some(value));
    overrides.apply("DRAIN_TIMEOUT", |value: String| raw.drain_timeout = Some(value));
    overrides.finish().unwrap();
    assert_eq!((raw.listen.as_deref(), raw.threads), (Some("127.0.0.1:7"), Some(4)));
    assert_eq!(raw.drain_timeout, None);

    let mut overrides =
        Overrides::new("BAILIWICK_", [("BAILIWICK_THREAD", "4"), ("BAILIWICK_THREADS", "secret")]);
    overrides.apply("THREADS", |value: u32| raw.threads = Some(value));
    let message = overrides.finish().unwrap_err().to_string();
    assert!(message.contains("BAILIWICK_THREADS: invalid digit"), "{message}");
    assert!(message.contains("BAILIWICK_THREAD: is not a setting"), "{message}");
    assert!(message.contains("`BAILIWICK_THREADS`") && !message.contains("secret"), "{message}");
    assert_eq!(raw.threads, Some(4));
}

#[test]
fn sections_in_lists_have_readable_paths_and_a_lost_value_is_refused() {
    let mut collector = Collector::new();
    let nothing: Option<()> =
        collector.section("outbound", Err(ConfigErrors::one("[2].service", "is wrong")));
    assert!(nothing.is_none());
    let errors = collector.finish(|| Some(())).unwrap_err();
    assert_eq!(errors.to_string(), "1 mistake in the configuration:\n  outbound[2].service: is wrong");
    assert!(Collector::new().finish(|| None::<()>).is_err());
}
