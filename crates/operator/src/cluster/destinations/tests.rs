use std::collections::BTreeSet;
use std::time::Duration;

use bailiwick_policy::PortProtocol;
use bailiwick_runtime::drain::Drain;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::cluster::testing::FakeApi;

/// A cluster's stores, its API server, and what answers from both.
struct Ground {
    api: FakeApi,
    context: ClusterContext,
    directory: Arc<ClusterDirectory>,
    asker: Asker,
    _drain: Drain,
}

fn pod(name: &str, ips: &[&str], meshed: bool) -> Value {
    let sidecar = json!([{"name": "bailiwick-sidecar", "restartPolicy": "Always", "image": "x"}]);
    json!({
        "metadata": {"namespace": "shop", "name": name, "labels": {"app": name}},
        "spec": {
            "serviceAccountName": name, "nodeName": "node-1",
            "containers": [{"name": "app", "ports": [{"containerPort": 8080, "name": "http"}]}],
            "initContainers": if meshed { sidecar } else { json!([]) },
        },
        "status": {
            "phase": "Running", "podIP": ips[0], "hostIP": "172.16.0.1",
            "podIPs": ips.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>(),
        },
    })
}

fn service(name: &str, spec: Value) -> Value {
    json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec})
}

fn slice(name: &str, service: &str, family: &str, endpoints: Value) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": family, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    })
}

impl Ground {
    fn new() -> Self {
        let (api, drain) = (FakeApi::default(), Drain::new());
        let context = api.context(&drain);
        let directory = Arc::new(ClusterDirectory::new(&context));
        let asker = directory.asker("10.0.0.1".parse().unwrap());
        Self { api, context, directory, asker, _drain: drain }
    }

    /// Puts an object into the API server only.
    fn create(&self, plural: &str, object: Value) -> Value {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let path = match plural {
            "endpointslices" => {
                format!("/apis/discovery.k8s.io/v1/namespaces/shop/{plural}/{}", text("name"))
            }
            "nodes" => format!("/api/v1/nodes/{}", text("name")),
            _ => format!("/api/v1/namespaces/{}/{plural}/{}", text("namespace"), text("name")),
        };
        self.api.put(&path, object)
    }

    /// …and into the stores.
    fn see(&self, plural: &str, object: Value) {
        let object = self.create(plural, object);
        let stores = &self.context.stores;
        match plural {
            "pods" => stores.pods.apply(object),
            "services" => stores.services.apply(object),
            "nodes" => stores.nodes.apply(object),
            _ => stores.slices.apply(object),
        }
        self.directory.refresh(&Configs::new());
    }

    fn ask(&self, text: &str) -> Answer {
        self.ask_again(text, None)
    }

    fn ask_again(&self, text: &str, previous: Option<&Destination>) -> Answer {
        let address: SocketAddr = text.parse().unwrap();
        let port = address.port().try_into().unwrap();
        self.asker.answer(&Query::Address { ip: address.ip(), port }, previous)
    }

    /// What is answered at last.
    async fn answer(&self, text: &str) -> Option<Destination> {
        for _ in 0..10 {
            let answer = self.ask(text);
            if answer.destination.is_some() || answer.pending.is_empty() {
                return answer.destination;
            }
            for Pending(mut done) in answer.pending {
                timeout(Duration::from_secs(5), done.wait_for(|done| *done)).await.unwrap().unwrap();
            }
        }
        None
    }

    /// The endpoints, as text; a meshed one has its account before it.
    async fn endpoints(&self, text: &str) -> BTreeSet<String> {
        let Some(Destination::Endpoints(endpoints)) = self.answer(text).await else { panic!("{text}") };
        let name = |endpoint: &Endpoint| match &endpoint.transport {
            Transport::Mesh(id) => {
                format!("{}@{}", id.to_string().rsplit('/').next().unwrap(), endpoint.address)
            }
            Transport::AsSent => endpoint.address.to_string(),
        };
        endpoints.ready.iter().map(name).collect()
    }
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test]
async fn a_pod_s_address_leads_to_it_and_whether_it_is_meshed_is_its_own_spec_s_word() {
    let ground = Ground::new();
    ground.see("pods", pod("web", &["10.0.0.2", "fd00::2"], true));
    let mut liar = pod("liar", &["10.0.0.3"], false);
    liar["metadata"]["annotations"] = json!({"bailiwick.dev/injected": "1"});
    liar["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "bailiwick-sidecar"}));
    ground.see("pods", liar);
    assert_eq!(ground.endpoints("10.0.0.2:9999").await, set(["web@10.0.0.2:9999"]), "whichever port");
    assert_eq!(ground.endpoints("[fd00::2]:80").await, set(["web@[fd00::2]:80"]));
    assert_eq!(ground.endpoints("10.0.0.3:80").await, set(["10.0.0.3:80"]));
    assert_eq!(ground.answer("172.16.0.1:6443").await, Some(Destination::Outside), "a node");
    assert!(ground.api.requests().is_empty(), "nothing had to be asked");
    let mut gone = pod("web", &["10.0.0.2", "fd00::2"], true);
    gone["status"]["phase"] = json!("Succeeded");
    ground.see("pods", gone);
    assert_eq!(
        ground.answer("10.0.0.2:80").await,
        Some(Destination::Outside),
        "a pod that ended has no address"
    );
}

#[tokio::test]
async fn a_port_that_no_sidecar_answers_is_called_as_sent() {
    let ground = Ground::new();
    let mut skipping = pod("db", &["10.0.0.2"], true);
    let capture = json!({
        "name": "bailiwick-capture",
        "env": [{"name": "BAILIWICK_SKIP_INBOUND_PORTS", "value": "3306,9000-9100,x-1,"}, {"name": "OTHER", "value": "1-65535"}],
    });
    skipping["spec"]["initContainers"].as_array_mut().unwrap().insert(0, capture);
    skipping["spec"]["containers"][0]["env"] =
        json!([{"name": "BAILIWICK_SKIP_INBOUND_PORTS", "value": "8080"}]);
    ground.see("pods", skipping);
    for (port, meshed) in
        [(3306, false), (9000, false), (9100, false), (9101, true), (8080, true), (15_020, false)]
    {
        let found = ground.endpoints(&format!("10.0.0.2:{port}")).await;
        let expected = if meshed { format!("db@10.0.0.2:{port}") } else { format!("10.0.0.2:{port}") };
        assert_eq!(found, BTreeSet::from([expected]), "{port}");
    }
}

#[tokio::test]
async fn a_service_leads_to_the_ready_endpoints_of_the_family_that_was_called() {
    let ground = Ground::new();
    for (name, v4, v6) in [("a", "10.0.0.2", "fd00::2"), ("b", "10.0.0.3", "fd00::3")] {
        ground.see("pods", pod(name, &[v4, v6], true));
    }
    let spec = json!({
        "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd96::1"], "sessionAffinity": "ClientIP",
        "externalIPs": ["198.51.100.7", "10.0.0.3"],
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "none", "port": 81}],
    });
    ground.see("services", service("orders", spec));
    let endpoint = |ip: &str, ready: bool, serving: bool| json!({"addresses": [ip], "conditions": {"ready": ready, "serving": serving, "terminating": !ready}});
    let v4 = json!([endpoint("10.0.0.2", true, true), endpoint("10.0.0.3", false, true)]);
    ground.see("endpointslices", slice("orders-4", "orders", "IPv4", v4));
    ground
        .see("endpointslices", slice("orders-6", "orders", "IPv6", json!([endpoint("fd00::3", true, true)])));
    assert_eq!(ground.endpoints("10.96.0.1:80").await, set(["a@10.0.0.2:8080"]));
    assert_eq!(ground.endpoints("[fd96::1]:80").await, set(["b@[fd00::3]:8080"]));
    assert_eq!(ground.endpoints("198.51.100.7:80").await, set(["a@10.0.0.2:8080"]));
    assert_eq!(ground.answer("198.51.100.7:82").await, Some(Destination::Outside), "the balancer's own");
    assert_eq!(
        ground.endpoints("10.0.0.3:80").await,
        set(["b@10.0.0.3:80"]),
        "a Service takes no pod's address"
    );
    let Some(Destination::Endpoints(found)) = ground.answer("10.96.0.1:80").await else { panic!() };
    assert!(found.sticky);
    assert_eq!(ground.endpoints("10.96.0.1:81").await, set([]), "no endpoint");
    assert_eq!(ground.endpoints("10.96.0.1:82").await, set([]), "no such port");
    let ending = json!([endpoint("10.0.0.2", false, false), endpoint("10.0.0.3", false, true)]);
    ground.see("endpointslices", slice("orders-4", "orders", "IPv4", ending));
    assert_eq!(ground.endpoints("10.96.0.1:80").await, set(["b@10.0.0.3:8080"]), "ending and still serving");
}

#[tokio::test]
async fn callers_are_led_to_their_own_zone_or_node_where_the_service_wants_that() {
    let ground = Ground::new();
    ground.see(
        "nodes",
        json!({"metadata": {"name": "node-1", "labels": {"topology.kubernetes.io/zone": "z1"}}}),
    );
    ground.see("pods", pod("caller", &["10.0.0.1"], true));
    ground.see("pods", pod("a", &["10.0.0.2"], true));
    ground.see("pods", pod("b", &["10.0.0.3"], true));
    let spec = |policy: &str| {
        service(
            "s",
            json!({"clusterIPs": ["10.96.0.1"], "internalTrafficPolicy": policy, "ports": [{"name": "http", "port": 80}]}),
        )
    };
    let endpoints = |zones: [Value; 2]| {
        let [one, other] = zones;
        json!([
            {"addresses": ["10.0.0.2"], "nodeName": "node-1", "hints": {"forZones": one}},
            {"addresses": ["10.0.0.3"], "nodeName": "node-2", "hints": {"forZones": other}},
        ])
    };
    ground.see("services", spec("Cluster"));
    let hinted = [json!([{"name": "z1"}]), json!([{"name": "z2"}])];
    ground.see("endpointslices", slice("s", "s", "IPv4", endpoints(hinted)));
    assert_eq!(ground.endpoints("10.96.0.1:80").await, set(["a@10.0.0.2:8080"]));
    ground.see("endpointslices", slice("s", "s", "IPv4", endpoints([json!([{"name": "z1"}]), json!([])])));
    let both = set(["a@10.0.0.2:8080", "b@10.0.0.3:8080"]);
    assert_eq!(ground.endpoints("10.96.0.1:80").await, both, "hints that are not complete count for nothing");
    ground.see("services", spec("Local"));
    assert_eq!(
        ground.endpoints("10.96.0.1:80").await,
        set(["a@10.0.0.2:8080"]),
        "internalTrafficPolicy: Local"
    );
}

#[tokio::test]
async fn a_miss_is_asked_and_only_a_definite_no_is_outside() {
    let ground = Ground::new();
    ground.create("pods", pod("new", &["10.0.0.9"], true));
    assert_eq!(
        ground.endpoints("10.0.0.9:80").await,
        set(["new@10.0.0.9:80"]),
        "the watch lags, and it is meshed"
    );
    let outside = ground.answer("203.0.113.5:443").await;
    assert_eq!(outside, Some(Destination::Outside));
    let asked = ground.api.requests().len();
    assert_eq!(ground.answer("203.0.113.5:444").await, Some(Destination::Outside));
    assert_eq!(ground.api.requests().len(), asked, "seen a moment ago");
    ground
        .api
        .put("/apis/networking.k8s.io/v1/ipaddresses/10.96.0.9", json!({"metadata": {"name": "10.96.0.9"}}));
    let service = ground.ask("10.96.0.9:80");
    assert!(service.destination.is_none() && !service.pending.is_empty());
    for status in [StatusCode::FORBIDDEN, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::TOO_MANY_REQUESTS] {
        ground.api.fail(Some(status));
        let address = format!("203.0.113.{}:443", status.as_u16() % 256);
        let answer = ground.ask(&address);
        assert!(answer.destination.is_none());
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(ground.ask(&address).destination.is_none(), "{status}: an error is no answer");
    }
    assert_eq!(ground.answer("10.0.0.9:81").await.map(|_| ()), Some(()), "what was seen a moment ago");
    let again = ground.ask_again("203.0.113.5:443", outside.as_ref());
    assert_eq!(again.destination, Some(Destination::Outside), "an answer that was given stays");
}

#[tokio::test]
async fn a_second_family_s_address_is_nobody_s_only_once_the_store_is_seen_to_be_current() {
    let ground = Ground::new();
    ground.see("pods", pod("web", &["10.0.0.2", "fd00::2"], true));
    assert_eq!(ground.answer("[2001:db8::1]:443").await, Some(Destination::Outside));
    // Now the watch lags: nobody can be asked for the second address, and our own list is not the newest.
    let hidden = ground.create("pods", pod("new", &["10.0.0.9", "fd00::9"], true));
    assert!(ground.ask("[fd00::9]:80").destination.is_none());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(ground.ask("[fd00::9]:80").destination.is_none(), "not known to be outside");
    ground.context.stores.pods.apply(hidden);
    assert_eq!(ground.endpoints("[fd00::9]:80").await, set(["new@[fd00::9]:80"]));
}

#[tokio::test]
async fn what_a_slice_names_is_looked_at_before_anything_is_sent_in_plaintext() {
    let ground = Ground::new();
    ground.see(
        "services",
        service("s", json!({"clusterIPs": ["10.96.0.1"], "ports": [{"name": "http", "port": 80}]})),
    );
    ground.create("pods", pod("new", &["10.0.0.9"], true));
    let endpoints = json!([{"addresses": ["10.0.0.9"]}, {"addresses": ["203.0.113.5"]}]);
    ground.see("endpointslices", slice("s", "s", "IPv4", endpoints));
    assert!(ground.ask("10.96.0.1:80").destination.is_none());
    let found = ground.answer("10.96.0.1:80").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let expected = set(["new@10.0.0.9:8080", "203.0.113.5:8080"]);
    assert_eq!(ground.endpoints("10.96.0.1:80").await, expected, "{found:?}");
}

#[tokio::test]
async fn protocols_are_those_of_the_compile_and_unchanged_entries_stay_the_same() {
    let ground = Ground::new();
    ground.see("pods", pod("web", &["10.0.0.2"], true));
    let objects: Vec<_> = ground
        .context
        .stores
        .pods
        .list()
        .iter()
        .map(|(_, item)| item.content.decoded.object.clone())
        .collect();
    let configs = bailiwick_compile::compile(&bailiwick_inputs::world_of(&objects).0).workloads;
    ground.directory.refresh(&configs);
    let first = ground.ask("10.0.0.2:8080");
    let Some(Destination::Endpoints(endpoints)) = &first.destination else { panic!("{first:?}") };
    assert_eq!(endpoints.ready[0].protocol, PortProtocol::Http);
    assert_eq!(endpoints.ready[0].workload.as_ref().unwrap().to_string(), "shop/web");
    let query = Query::Address { ip: "10.0.0.2".parse().unwrap(), port: 8080_u16.try_into().unwrap() };
    ground.directory.refresh(&configs);
    let second = ground.ask("10.0.0.2:8080");
    assert_eq!(first.destination, second.destination);
    assert!(ground.asker.is_still(&query, first.basis().unwrap()), "so it is not computed again");
    ground.directory.refresh(&Configs::new());
    assert!(!ground.asker.is_still(&query, first.basis().unwrap()));
}
