use bailiwick_policy::PortProtocol;

use crate::testing::*;
use crate::{Compiled, ServicePort, TargetPort, codes, compile};

fn service(name: Option<&str>, app_protocol: Option<&str>) -> ServicePort {
    ServicePort {
        name: name.map(str::to_owned),
        app_protocol: app_protocol.map(str::to_owned),
        ..service_port(80, TargetPort::Number(port(8080)))
    }
}

fn protocol(container: Option<&str>, services: &[(Option<&str>, Option<&str>)]) -> (PortProtocol, Compiled) {
    let mut world = world();
    add_workload(&mut world, "shop/orders", &[(container, 8080)]);
    for (index, (name, app_protocol)) in services.iter().enumerate() {
        let port = service(*name, *app_protocol);
        add_service(&mut world, &format!("shop/s{index}"), Some("orders"), vec![port]);
    }
    let compiled = compile(&world);
    let found = compiled.workloads[&workload_key("shop/orders")].protocols[&port(8080)];
    (found, compiled)
}

#[test]
fn app_protocol_then_container_name_then_service_port_name() {
    use PortProtocol::{Http, Tcp, Undeclared};
    let of = |container, name, app_protocol| protocol(container, &[(name, app_protocol)]).0;
    assert_eq!(of(Some("mysql"), Some("tcp-x"), Some("http")), Http);
    assert_eq!(of(Some("mysql"), Some("http"), None), Tcp);
    assert_eq!(of(Some("main"), Some("http-main"), None), Http);
    assert_eq!(of(None, Some("main"), None), Undeclared);
    assert_eq!(of(Some("grpc"), Some("tcp"), Some("example.com/own")), Http, "an unknown word says nothing");
    assert_eq!(protocol(None, &[]).0, Undeclared);
}

#[test]
fn words_are_whole() {
    use PortProtocol::{Http, Tcp, Undeclared};
    for (name, expected) in [
        ("http", Http),
        ("http2", Http),
        ("grpc-web", Http),
        ("ws", Http),
        ("h2c", Http),
        ("https", Tcp),
        ("tls-x", Tcp),
        ("postgresql", Tcp),
        ("redis-0", Tcp),
        ("httpx", Undeclared),
        ("my-http", Undeclared),
        ("mysqlx", Undeclared),
    ] {
        assert_eq!(protocol(Some(name), &[]).0, expected, "{name}");
    }
    for (text, expected) in
        [("kubernetes.io/h2c", Http), ("kubernetes.io/ws", Http), ("kubernetes.io/wss", Tcp), ("HTTP", Http)]
    {
        assert_eq!(protocol(None, &[(None, Some(text))]).0, expected, "{text}");
    }
}

#[test]
fn services_that_disagree_leave_a_port_undeclared() {
    let (found, compiled) = protocol(Some("http"), &[(None, Some("http")), (None, Some("tcp"))]);
    assert_eq!(found, PortProtocol::Undeclared);
    assert_eq!(codes_of(&compiled), [codes::PROTOCOLS_DISAGREE]);
    let message = &compiled.diagnostics[0].message;
    assert_eq!(
        message,
        "Services `s0` and `s1` disagree on the protocol of port 8080 of workload `shop/orders`, so it is undeclared"
    );
    assert_eq!(protocol(None, &[(Some("http"), None), (Some("grpc"), None)]).0, PortProtocol::Http);
    assert_eq!(protocol(None, &[(Some("http"), None), (Some("tcp"), None)]).0, PortProtocol::Undeclared);
}

#[test]
fn routes_lead_to_workloads_with_port_protocol_and_identity() {
    let (_, compiled) = protocol(Some("http"), &[(None, None)]);
    let routes = &compiled.routes[&("shop".parse().unwrap(), "s0".to_owned())];
    let [route] = routes.as_slice() else { panic!("{routes:?}") };
    let [backend] = route.backends.as_slice() else { panic!("{routes:?}") };
    assert_eq!((route.port, backend.port), (port(80), port(8080)));
    assert_eq!(backend.workload, workload_key("shop/orders"));
    assert_eq!(backend.protocol, PortProtocol::Http);
    assert_eq!(backend.identity.as_str(), "spiffe://cluster.local/ns/shop/sa/orders");
}

#[test]
fn an_opaque_port_is_tcp_whatever_is_said_of_it_and_declared_or_not() {
    let mut world = world();
    add_workload(&mut world, "shop/orders", &[(Some("http"), 8080), (Some("grpc"), 9090)]);
    add_service(&mut world, "shop/orders", Some("orders"), vec![service(Some("http"), Some("http"))]);
    let workload = world.workloads.get_mut(&workload_key("shop/orders")).unwrap();
    workload.opaque_ports = [port(8080), port(3306)].into();
    let found = compile(&world).workloads[&workload_key("shop/orders")].protocols.clone();
    let expected = [(3306, PortProtocol::Tcp), (8080, PortProtocol::Tcp), (9090, PortProtocol::Http)];
    assert_eq!(found, expected.map(|(number, protocol)| (port(number), protocol)).into());
}
