//! Tests of binding and accepting.

use std::{collections::VecDeque, io::Read, io::Write};

use tokio::time::Instant;

use super::*;

const EMFILE: i32 = 24;

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn a_taken_port_is_named() {
    let first = bind(loopback(0), ReusePort::No).unwrap();
    let address = first.local_addr().unwrap();
    let message = bind(address, ReusePort::No).unwrap_err().to_string();
    assert_eq!(message, format!("port {} of 127.0.0.1 is taken by another process", address.port()));
    drop(first);
    bind(address, ReusePort::No).unwrap();
}

#[test]
fn a_foreign_address_is_named() {
    let address = SocketAddr::from(([203, 0, 113, 1], 0));
    let message = bind(address, ReusePort::No).unwrap_err().to_string();
    assert_eq!(message, "203.0.113.1 is not an address of this machine");
}

#[test]
fn a_group_shares_one_port_and_refuses_one_that_another_group_shares() {
    let count = NonZeroUsize::new(3).unwrap();
    let group = bind_group(loopback(0), count).unwrap();
    let ports: Vec<u16> = group.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    assert_eq!(ports, [ports[0]; 3]);
    let second = bind_group(loopback(ports[0]), count);
    assert!(matches!(second, Err(BindError::PortTaken(_))), "{second:?}");
    drop(group);
    assert_eq!(bind_group(loopback(ports[0]), count).unwrap().len(), 3);
}

#[test]
fn a_group_of_one_does_not_share() {
    let group = bind_group(loopback(0), NonZeroUsize::MIN).unwrap();
    let address = group[0].local_addr().unwrap();
    assert!(matches!(bind(address, ReusePort::Yes), Err(BindError::PortTaken(_))));
}

#[tokio::test]
async fn every_listener_of_a_group_serves() {
    let group = bind_group(loopback(0), NonZeroUsize::new(2).unwrap()).unwrap();
    let address = group[0].local_addr().unwrap();
    let (served, mut count) = tokio::sync::mpsc::unbounded_channel();
    for listener in group {
        let served = served.clone();
        let mut acceptor = Acceptor::new(TcpListener::from_std(listener).unwrap());
        tokio::spawn(async move {
            loop {
                acceptor.accept().await;
                served.send(()).unwrap();
            }
        });
    }
    for _ in 0..20 {
        TcpStream::connect(address).await.unwrap();
        count.recv().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn running_out_of_descriptors_pauses_and_never_ends_the_loop() {
    let mut results: VecDeque<io::Result<&str>> =
        (0..8).map(|_| Err(io::Error::from_raw_os_error(EMFILE))).collect();
    results.push_back(Ok("served"));
    let mut pause = Pause::default();
    let began = Instant::now();
    let accepted = until_accepted(&mut pause, || std::future::ready(results.pop_front().unwrap())).await;
    assert_eq!(accepted, "served");
    let pauses = [50, 100, 200, 400, 800, 1_000, 1_000, 1_000];
    assert_eq!(began.elapsed().as_millis(), pauses.iter().sum::<u128>());
    assert_eq!(pause.0, FIRST_PAUSE, "a success starts the pauses afresh");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_left_costs_no_pause() {
    let mut results = VecDeque::from([
        Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
        Ok(()),
    ]);
    let began = Instant::now();
    until_accepted(&mut Pause::default(), || std::future::ready(results.pop_front().unwrap())).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn run_serves_until_the_shutdown_and_closes_the_port() {
    let acceptor = Acceptor::new(listen(loopback(0), ReusePort::No).unwrap());
    let address = acceptor.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(acceptor.run(async move { drop(stopped.await) }, |stream, peer| {
        assert!(stream.nodelay().unwrap() && peer.ip().is_loopback());
        let mut stream = stream.into_std().unwrap();
        stream.write_all(b"hello").unwrap();
    }));
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        net::TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(text.await.unwrap(), "hello");
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
