//! The table in a network namespace of its own, before a real kernel: what `nft` reads in it, and what it does to
//! connections. Needs root, `ip` and `nft`.
#![expect(clippy::unwrap_used, reason = "test code: a failure is the report")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bailiwick_capture::{CaptureError, Exclusions, PortSet, original_destination, program};
use bailiwick_pod::ports;
use rustix::thread::{CapabilitySet, CapabilitySets};

mod pod;

use pod::Pod;

/// Root runs the tests, so a table that leaves root out leaves the tests' own connections out.
const TESTER: u32 = 0;

fn excluding(user: u32, inbound: &str, outbound: &str) -> Exclusions {
    Exclusions { user, inbound: inbound.parse().unwrap(), outbound: outbound.parse().unwrap() }
}

/// Accepts one connection: where it was going, and who made it. Says so to the client too.
fn one_call(listener: TcpListener) -> std::thread::JoinHandle<SocketAddr> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let destination = original_destination(&stream).unwrap();
        stream.write_all(destination.to_string().as_bytes()).unwrap();
        destination
    })
}

fn call(address: SocketAddr) -> Result<String, ErrorKind> {
    let mut stream =
        TcpStream::connect_timeout(&address, Duration::from_secs(2)).map_err(|error| error.kind())?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.kind())?;
    Ok(answer)
}

/// Capabilities are a thread's too.
fn without_net_admin<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let dropped = || {
        let sets = rustix::thread::capabilities(None).unwrap();
        let effective = sets.effective - CapabilitySet::NET_ADMIN;
        rustix::thread::set_capabilities(None, CapabilitySets { effective, ..sets }).unwrap();
        work()
    };
    std::thread::scope(|scope| match scope.spawn(dropped).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

#[test]
fn nft_reads_what_was_meant_and_twice_is_as_once() {
    let Some(pod) = Pod::start("golden") else { return };
    let exclusions = excluding(ports::DEFAULT_USER, "3306,9000-9100", "5432");
    pod.inside(|| {
        program(&excluding(1, "", "")).unwrap();
        program(&exclusions).unwrap();
        let once = pod::command("nft", &["list", "ruleset"]);
        program(&exclusions).unwrap();
        assert_eq!(pod::command("nft", &["list", "ruleset"]), once);
        assert_eq!(once, include_str!("table.nft"));
    });
}

#[test]
fn a_table_of_another_is_left_alone() {
    let Some(pod) = Pod::start("other") else { return };
    pod.inside(|| {
        pod::command("nft", &["add", "table", "ip", "filter"]);
        program(&excluding(1, "", "")).unwrap();
        assert!(pod::command("nft", &["list", "tables"]).contains("table ip filter"));
    });
}

#[test]
fn calls_of_the_application_are_redirected_and_know_where_they_went() {
    let Some(pod) = Pod::start("output") else { return };
    pod.inside(|| {
        program(&excluding(ports::DEFAULT_USER, "", "7000-7001")).unwrap();
        for (loopback, outside, own, proof) in [
            ("127.0.0.1", pod::NODE_V4, pod::POD_V4, IpAddr::from(ports::OUTBOUND_PROOF_V4)),
            ("::1", pod::NODE_V6, pod::POD_V6, IpAddr::from(ports::OUTBOUND_PROOF_V6)),
        ] {
            let loopback: IpAddr = loopback.parse().unwrap();
            let sidecar = SocketAddr::new(loopback, ports::OUTBOUND);
            let redirected = |to: SocketAddr| {
                let serving = one_call(TcpListener::bind(sidecar).unwrap());
                assert_eq!(call(to).unwrap(), to.to_string());
                assert_eq!(serving.join().unwrap(), to);
            };
            redirected(SocketAddr::new(outside.parse().unwrap(), 80));
            // The pod's own address leaves by the loopback interface, and is captured all the same.
            redirected(SocketAddr::new(own.parse().unwrap(), 8080));
            redirected(SocketAddr::new(proof, ports::OUTBOUND_PROOF));
            // Loopback is the pod's own business.
            let direct = TcpListener::bind((loopback, 8081)).unwrap();
            let address = direct.local_addr().unwrap();
            let serving = one_call(direct);
            assert_eq!(call(address).unwrap(), address.to_string());
            serving.join().unwrap();
            // What is left out goes where it wanted: nobody listens there.
            let excluded = SocketAddr::new(outside.parse().unwrap(), 7001);
            assert_eq!(call(excluded), Err(ErrorKind::ConnectionRefused));
        }
    });
}

#[test]
fn calls_of_the_sidecars_own_user_leave_as_they_are_but_for_the_proof() {
    let Some(pod) = Pod::start("user") else { return };
    pod.inside(|| {
        program(&excluding(TESTER, "", "")).unwrap();
        for (loopback, outside, proof) in [
            ("127.0.0.1", pod::NODE_V4, IpAddr::from(ports::OUTBOUND_PROOF_V4)),
            ("::1", pod::NODE_V6, IpAddr::from(ports::OUTBOUND_PROOF_V6)),
        ] {
            let sidecar = TcpListener::bind((loopback, ports::OUTBOUND)).unwrap();
            let outside = SocketAddr::new(outside.parse().unwrap(), 80);
            assert_eq!(call(outside), Err(ErrorKind::ConnectionRefused));
            let serving = one_call(sidecar);
            let proof = SocketAddr::new(proof, ports::OUTBOUND_PROOF);
            assert_eq!(call(proof).unwrap(), proof.to_string());
            serving.join().unwrap();
        }
    });
}

#[test]
fn callers_of_the_pod_are_redirected_whatever_the_port() {
    let Some(pod) = Pod::start("input") else { return };
    pod.inside(|| program(&excluding(ports::DEFAULT_USER, "3306", "")).unwrap());
    for (any, own) in [("0.0.0.0", pod::POD_V4), ("::", pod::POD_V6)] {
        let own: IpAddr = own.parse().unwrap();
        for (port, served_by) in [
            (8080, ports::INBOUND),
            (ports::INBOUND_PROOF, ports::INBOUND),
            // A direct call to the sidecar's own port shows as such.
            (ports::INBOUND, ports::INBOUND),
            (ports::OUTBOUND, ports::INBOUND),
            (ports::ADMIN, ports::INBOUND),
            (ports::PROBES, ports::PROBES),
            (3306, 3306),
        ] {
            let listener =
                pod.inside(|| TcpListener::bind(SocketAddr::new(any.parse().unwrap(), served_by)).unwrap());
            let serving = one_call(listener);
            let to = SocketAddr::new(own, port);
            assert_eq!(pod.outside(|| call(to)).unwrap(), to.to_string(), "{to}");
            serving.join().unwrap();
        }
    }
}

#[test]
fn without_the_capability_it_says_what_is_missing() {
    let Some(pod) = Pod::start("rights") else { return };
    pod.inside(|| {
        without_net_admin(|| {
            let refused = program(&excluding(1, "", ""));
            assert!(matches!(refused, Err(CaptureError::NotPermitted)), "{refused:?}");
        });
        assert_eq!(pod::command("nft", &["list", "ruleset"]), "");
    });
}

#[test]
fn as_many_ports_as_an_annotation_may_name() {
    let Some(pod) = Pod::start("many") else { return };
    let ports = (0..64).map(|index| format!("{}-{}", 100 * index + 1, 100 * index + 50));
    let set: PortSet = ports.collect::<Vec<_>>().join(",").parse().unwrap();
    pod.inside(|| {
        program(&Exclusions { user: 1, inbound: set.clone(), outbound: set }).unwrap();
        assert_eq!(pod::command("nft", &["list", "ruleset"]).matches("return").count(), 4 + 2 * 64);
    });
}
