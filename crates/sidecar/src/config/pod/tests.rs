use clap::Parser as _;

use super::*;

#[derive(Debug, clap::Parser)]
struct Command {
    #[command(flatten)]
    pod: PodArguments,
}

const OPERATOR_ID: &str = "spiffe://cluster.local/ns/bailiwick-system/sa/bailiwick-operator";

const COMPLETE: &[(&str, &str)] = &[
    ("BAILIWICK_POD_NAMESPACE", "shop"),
    ("BAILIWICK_POD_NAME", "orders-7d9c-x2x4q"),
    ("BAILIWICK_POD_UID", "2ab2b6cf-7e7c-4b5e-8f43-7f6a9f1f0c11"),
    ("BAILIWICK_POD_IPS", "10.244.1.7,fd00:10:244:1::7"),
    ("BAILIWICK_NODE_IPS", "172.18.0.2"),
    ("PATH", "/bin"),
];

fn load(operator: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let arguments =
        Command::try_parse_from(["pod", "--operator", operator, "--operator-id", OPERATOR_ID]).unwrap();
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::of_pod(arguments.pod, environment).map_err(|errors| errors.to_string())
}

#[test]
fn a_pods_own_values_come_from_its_environment() {
    let mut environment = COMPLETE.to_vec();
    environment.push((
        "BAILIWICK_PROBES",
        r#"[{"container":"app","purpose":"readiness","action":{"http":{"port":8080,"path":"/healthz?full=1"}},"timeoutSeconds":1}]"#,
    ));
    let config = load("bailiwick-operator.bailiwick-system.svc", &environment).unwrap();
    assert_eq!(config.workload.to_string(), "shop/orders-7d9c-x2x4q");
    assert_eq!(config.instance.as_deref(), Some("2ab2b6cf-7e7c-4b5e-8f43-7f6a9f1f0c11"));
    assert_eq!(config.control.identity, "bailiwick-operator.bailiwick-system.svc:15010");
    assert_eq!(config.control.configuration, "bailiwick-operator.bailiwick-system.svc:15012");
    assert_eq!(config.control.operator.as_str(), OPERATOR_ID);
    assert_eq!(config.control.token_file, PathBuf::from("/run/bailiwick/token"));
    assert_eq!(config.control.bundle_file, PathBuf::from("/run/bailiwick/bundle.pem"));
    assert_eq!(config.admin.listen().to_string(), "127.0.0.1:15000");
    let DataPlane::Captured(captured) = config.data_plane else { panic!("it is a pod") };
    assert!(captured.has_v4() && captured.has_v6());
    assert_eq!(captured.node, ["172.18.0.2".parse::<IpAddr>().unwrap()]);
    assert_eq!(captured.probes.len(), 1);
}

#[test]
fn the_operators_address_may_be_of_either_family() {
    assert_eq!(load("10.96.0.9", COMPLETE).unwrap().control.identity, "10.96.0.9:15010");
    assert_eq!(load("fd00::9", COMPLETE).unwrap().control.identity, "[fd00::9]:15010");
}

#[test]
fn every_mistake_is_told() {
    let message = load(
        "operator",
        &[
            ("BAILIWICK_POD_NAMESPACE", "Shop"),
            ("BAILIWICK_POD_NAME", "orders"),
            ("BAILIWICK_POD_IPS", "10.244.1.7,ten"),
            ("BAILIWICK_PROBES", "[{}]"),
            ("BAILIWICK_LOG", "inof"),
        ],
    )
    .unwrap_err();
    for expected in [
        "BAILIWICK_POD_NAME: ",
        "BAILIWICK_POD_UID: is required",
        "BAILIWICK_POD_IPS: `ten` is not an IP address",
        "BAILIWICK_PROBES: missing field",
        "BAILIWICK_LOG.filter: `inof` is not a log level",
    ] {
        assert!(message.contains(expected), "{expected} is missing in:\n{message}");
    }
    let mut environment = COMPLETE.to_vec();
    environment[3].1 = "";
    assert!(load("operator", &environment).unwrap_err().contains("the pod has no address yet"));
}
