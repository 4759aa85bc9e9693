//! Redirected connections, as if the kernel had redirected them: any port, one's own pod, and what must not be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_pod::ports;
use bailiwick_policy::{Effect, Permission, PortProtocol};
use bailiwick_wire::{Destination, Endpoint, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::stand::{ORDERS, Setup, Stand, WEB, http, policy, read_for, rule, status, usual};
use crate::inbound::captured::to_application;
use crate::outbound::{Route, from_application};

const POD: &str = "127.0.0.2";
const CALLER: &str = "10.0.0.9:40000";

async fn stand(objects: Vec<bailiwick_policy::PolicyObject>) -> Stand {
    let pod_addresses = vec![POD.parse().unwrap(), "fd00::2".parse().unwrap()];
    let stand = Stand::with(Setup { pod_addresses, ..Setup::default() }, objects).await;
    stand.shared.started.set(()).unwrap();
    stand
}

/// Two ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (ours, listener.accept().await.unwrap().0)
}

/// A caller who had connected to `destination` and was redirected.
async fn called(stand: &Stand, destination: SocketAddr) -> TcpStream {
    let (ours, theirs) = pair().await;
    let worker = Arc::clone(&stand.worker);
    tokio::spawn(async move {
        to_application(&worker, theirs, CALLER.parse().unwrap(), destination).await;
    });
    ours
}

/// The application's connection to `destination`, which leads there.
async fn calls(stand: &Stand, destination: &str, leads: Destination) -> TcpStream {
    let (ours, theirs) = pair().await;
    let destination: SocketAddr = destination.parse().unwrap();
    stand.worker.routes.put(destination, Route::to_address(destination).unwrap().answered(leads));
    tokio::spawn(from_application(Arc::clone(&stand.worker), theirs, destination));
    ours
}

fn itself(address: SocketAddr, transport: Transport) -> Destination {
    let endpoint = Endpoint { address, transport, protocol: PortProtocol::Http, workload: None };
    Destination::Endpoints(vec![endpoint].into())
}

fn meshed() -> Transport {
    Transport::Mesh(ORDERS.parse().unwrap())
}

async fn get(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin), path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_for(stream, Duration::from_millis(500)).await
}

#[tokio::test]
async fn any_port_of_the_pod_is_served_at_its_own_address() {
    let stand = stand(usual()).await;
    let (first, second) = (stand.application(POD).await, stand.application(POD).await);
    for application in [first, second, first] {
        let mut stream = stand.prove(WEB, called(&stand, application).await).await.unwrap();
        assert_eq!(status(&get(&mut stream, "/orders/1").await), "200", "{application}");
        let mut stream = stand.prove(WEB, called(&stand, application).await).await.unwrap();
        assert_eq!(status(&get(&mut stream, "/invoices").await), "403", "{application}");
    }
    let seen = stand.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| seen.headers.get("x-forwarded-for").unwrap() == "10.0.0.9"));
}

#[tokio::test]
async fn j4_j9_own_ports_and_foreign_addresses_are_closed() {
    let stand = stand(usual()).await;
    let loopback = stand.application("127.0.0.1").await;
    let mut refused: Vec<SocketAddr> = ports::RESERVED
        .iter()
        .filter(|port| **port != ports::INBOUND_PROOF)
        .map(|port| SocketAddr::new(POD.parse().unwrap(), *port))
        .collect();
    refused.extend([loopback, "10.0.0.1:8080".parse().unwrap(), "127.0.0.2:0".parse().unwrap()]);
    for destination in refused {
        let mut stream = called(&stand, destination).await;
        let read = tokio::time::timeout(Duration::from_secs(2), stream.read_u8()).await.unwrap();
        assert!(read.is_err(), "{destination} is closed");
        let proven = stand.prove(WEB, called(&stand, destination).await).await;
        assert!(proven.is_err(), "{destination} takes no handshake");
    }
    assert!(stand.seen().is_empty());
}

#[tokio::test]
async fn i1_nothing_is_served_before_the_first_snapshot() {
    let pod_addresses = vec![POD.parse().unwrap()];
    let stand = Stand::with(Setup { pod_addresses, ..Setup::default() }, usual()).await;
    let application = stand.application(POD).await;
    let early = called(&stand, application).await;
    let proving = stand.prove(WEB, early);
    tokio::pin!(proving);
    let waited = tokio::time::timeout(Duration::from_millis(300), proving.as_mut()).await;
    assert!(waited.is_err(), "it waits");
    stand.shared.started.set(()).unwrap();
    let mut stream = proving.await.unwrap();
    assert_eq!(status(&get(&mut stream, "/orders/1").await), "200");
}

#[tokio::test]
async fn j11_a_call_to_oneself_is_decided_like_any_other() {
    let stand =
        stand(vec![policy(vec![rule("self", Effect::Allow, ORDERS, vec![http("GET", &["/own/{id}"])])])])
            .await;
    let application = stand.application(POD).await;
    for (path, expected) in [("/own/1", "200"), ("/other", "403"), ("/own/2", "200")] {
        // By the Service's address, and by the pod's own.
        for called in ["10.96.0.7:80", &application.to_string()] {
            let mut stream = calls(&stand, called, itself(application, meshed())).await;
            assert_eq!(status(&get(&mut stream, path).await), expected, "{called}{path}");
        }
    }
    let seen = stand.seen();
    assert_eq!(seen.len(), 4);
    for call in seen {
        assert_eq!(call.headers.get("x-bailiwick-client-id").unwrap(), ORDERS);
        assert_eq!(call.headers.get("x-forwarded-for").unwrap(), POD, "the source is the pod's own address");
    }
}

#[tokio::test]
async fn j11_what_says_that_the_pod_is_outside_or_unmeshed_does_not_lead_past_its_own_policy() {
    let stand = stand(usual()).await;
    let application = stand.application(POD).await;
    for leads in [Destination::Outside, itself(application, Transport::AsSent)] {
        let mut stream = calls(&stand, &application.to_string(), leads).await;
        assert_ne!(status(&get(&mut stream, "/orders/1").await), "200", "plaintext on a Strict port");
    }
    assert!(stand.seen().is_empty());
}

#[tokio::test]
async fn j4_j9_no_service_leads_to_loopback_link_local_or_the_sidecar() {
    let stand = stand(vec![policy(vec![rule("all", Effect::Allow, "anyone", vec![Permission::Any])])]).await;
    let loopback = stand.application("127.0.0.1").await;
    let mut endpoints = vec![loopback];
    endpoints.extend(
        ["169.254.169.254:80", "[fe80::1]:80", "[::1]:80", "0.0.0.0:80"]
            .map(|text| text.parse::<SocketAddr>().unwrap()),
    );
    endpoints.extend(ports::RESERVED.map(|port| SocketAddr::new(POD.parse().unwrap(), port)));
    for endpoint in endpoints {
        for transport in [Transport::AsSent, meshed()] {
            let mut stream = calls(&stand, "10.96.0.7:80", itself(endpoint, transport)).await;
            let begun = std::time::Instant::now();
            assert_eq!(status(&get(&mut stream, "/").await), "503", "{endpoint}");
            assert!(begun.elapsed() < Duration::from_secs(2), "it is not even tried");
        }
    }
    assert!(stand.seen().is_empty());
    // A call to our own port, which is not redirected but accepted.
    let mut direct = calls(&stand, "127.0.0.1:15001", Destination::Outside).await;
    assert!(direct.read_u8().await.is_err());
}
