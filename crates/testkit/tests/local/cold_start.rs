//! Callers that are there before the sidecar is (security case I1).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::application::Application;
use crate::member::Member;
use crate::process::Process;
use crate::world::{WEB, World, is_ready, state, until};

const DEFAULT_STARTS: usize = 25;
const CALLERS: usize = 3;
/// How long a start is watched while it cannot become ready.
const WATCHED: Duration = Duration::from_millis(120);

fn starts() -> usize {
    std::env::var("BAILIWICK_COLD_STARTS").ok().map_or(DEFAULT_STARTS, |text| text.parse().unwrap())
}

/// Connects again and again until somebody takes the connection.
async fn reach(address: SocketAddr) -> TcpStream {
    loop {
        if let Ok(stream) = TcpStream::connect(address).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A plaintext request, sent at once; what came back until the end.
async fn plaintext(address: SocketAddr) -> io::Result<String> {
    let mut stream = reach(address).await;
    stream.write_all(b"GET /orders/1 HTTP/1.1\r\nhost: orders\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A proven and permitted call; its status.
async fn proven(address: SocketAddr, member: Member) -> Result<u16, String> {
    drop(reach(address).await);
    let mut mesh = member.connect(address, "orders").await.map_err(|error| error.to_string())?;
    mesh.call("GET", "/orders/1").await.map(|answer| answer.status).map_err(|error| error.to_string())
}

struct Early {
    plain: Vec<JoinHandle<io::Result<String>>>,
    proven: Vec<JoinHandle<Result<u16, String>>>,
}

impl Early {
    fn callers(address: SocketAddr, member: &Member) -> Self {
        Self {
            plain: (0..CALLERS).map(|_| tokio::spawn(plaintext(address))).collect(),
            proven: (0..CALLERS).map(|_| tokio::spawn(proven(address, member.clone()))).collect(),
        }
    }

    fn leave(self) {
        self.plain.iter().for_each(JoinHandle::abort);
        self.proven.iter().for_each(JoinHandle::abort);
    }
}

/// Watches a start that has nothing to decide with: no byte passes.
async fn nothing_passes(world: &World, sidecar: &Process, application: &Application, start: usize) {
    let admin = world.place("orders").admin;
    until("the admin server answers", async || TcpStream::connect(admin).await.is_ok()).await;
    let before = application.bytes();
    tokio::time::sleep(WATCHED).await;
    let passed = application.bytes();
    assert_eq!(passed, before, "start {start}: bytes reached the service");
    assert!(!is_ready(admin).await, "start {start}: ready without an operator\n{}", sidecar.log());
    assert!(state(admin).await["snapshot"].is_null());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_no_byte_passes_before_the_first_snapshot_and_then_the_first_permitted_call_succeeds() {
    let world = World::new();
    let operator = world.operator().await;
    let application = world.application("orders").await;
    let member = Member::enrol(&world, "web").await;
    let address = world.place("orders").inbound;
    operator.kill();

    let without = starts() / 2;
    for start in 0..without {
        let sidecar = world.start_sidecar("orders");
        let early = Early::callers(address, &member);
        nothing_passes(&world, &sidecar, &application, start).await;
        early.leave();
        sidecar.kill();
    }
    assert_eq!(application.bytes(), 0, "0 bytes in {without} starts without an operator");

    let operator = world.operator().await;
    for start in without..starts() {
        // One that takes connections and does not answer.
        operator.signal("STOP");
        let sidecar = world.start_sidecar("orders");
        let early = Early::callers(address, &member);
        nothing_passes(&world, &sidecar, &application, start).await;
        let before = application.seen().len();
        operator.signal("CONT");
        for caller in early.proven {
            assert_eq!(
                caller.await.unwrap(),
                Ok(200),
                "start {start}: whoever waited is served\n{}",
                sidecar.log()
            );
        }
        for caller in early.plain {
            let answer = caller.await.unwrap().unwrap_or_default();
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 401 "), "start {start}: {answer:?}");
        }
        let seen = application.seen().split_off(before);
        assert_eq!(seen.len(), CALLERS, "start {start}: {seen:?}");
        assert!(
            seen.iter().all(|seen| seen.caller == WEB && seen.path == "/orders/1"),
            "start {start}: {seen:?}"
        );
        sidecar.kill();
    }
}
