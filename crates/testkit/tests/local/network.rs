//! A node and its pods as network namespaces: what runs in a pod has an address of its own, and its TCP can be captured.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::time::Duration;

use rustix::thread::LinkNameSpaceType;

pub(crate) const NODE: &str = "10.98.0.1";

/// How long an answer that must come may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The namespaces; they go with it.
pub(crate) struct Network {
    prefix: String,
    pods: Vec<String>,
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Network {
    /// Pods with these names, the first at 10.98.0.2 and fd00:98::2; `None` where this cannot be tested.
    pub(crate) fn of(pods: &[&str]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI these tests must run: as root");
            eprintln!("skipped: it takes root to make a network namespace");
            return None;
        }
        let prefix = format!("bwk-pods-{}", std::process::id());
        let mut network = Self { prefix, pods: Vec::new() };
        let node = network.namespace("node");
        ip(&format!("netns add {node}"));
        network.pods.push("node".to_owned());
        ip(&format!("-n {node} link set lo up"));
        ip(&format!("-n {node} link add bridge type bridge"));
        ip(&format!("-n {node} address add {NODE}/24 dev bridge"));
        ip(&format!("-n {node} address add fd00:98::1/64 dev bridge nodad"));
        ip(&format!("-n {node} link set bridge up"));
        for (number, pod) in (2..).zip(pods) {
            let inside = network.namespace(pod);
            ip(&format!("netns add {inside}"));
            network.pods.push((*pod).to_owned());
            ip(&format!("-n {inside} link set lo up"));
            ip(&format!("-n {node} link add pod{number} type veth peer name eth0 netns {inside}"));
            ip(&format!("-n {node} link set pod{number} master bridge up"));
            ip(&format!("-n {inside} address add 10.98.0.{number}/24 dev eth0"));
            ip(&format!("-n {inside} address add fd00:98::{number}/64 dev eth0 nodad"));
            ip(&format!("-n {inside} link set eth0 up"));
            ip(&format!("-n {inside} route add default via {NODE}"));
            ip(&format!("-n {inside} -6 route add default via fd00:98::1"));
        }
        Some(network)
    }

    fn namespace(&self, pod: &str) -> String {
        format!("{}-{pod}", self.prefix)
    }

    /// Does it in a pod, or in the `node`. A namespace is a thread's: sockets and processes made there stay there.
    pub(crate) fn within<T: Send>(&self, pod: &str, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.namespace(pod))).unwrap();
        let entered = || {
            rustix::thread::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .unwrap();
            work()
        };
        std::thread::scope(|scope| match scope.spawn(entered).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// A connection from a pod; the error's name if there is none.
    pub(crate) fn connect(&self, pod: &str, to: &str) -> Result<TcpStream, String> {
        let address: SocketAddr = to.parse().unwrap();
        let stream = self.within(pod, || TcpStream::connect_timeout(&address, PATIENCE));
        let stream = stream.map_err(|error| error.kind().to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Ok(stream)
    }

    /// Sends bytes from a pod and reads to the end.
    pub(crate) fn exchange(&self, pod: &str, to: &str, bytes: &[u8]) -> String {
        let mut stream = match self.connect(pod, to) {
            Ok(stream) => stream,
            Err(error) => return error,
        };
        let mut answer = Vec::new();
        let exchanged = stream.write_all(bytes).and_then(|()| stream.read_to_end(&mut answer));
        let ending = exchanged.map_or_else(|error| format!("({})", error.kind()), |_| String::new());
        format!("{}{ending}", String::from_utf8_lossy(&answer))
    }

    /// One HTTP call from a pod: the status, or how it ended, and all of the answer.
    pub(crate) fn get(&self, pod: &str, to: &str, path: &str) -> (String, String) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n");
        let answer = self.exchange(pod, to, request.as_bytes());
        let status = match answer.strip_prefix("HTTP/1.1 ") {
            Some(rest) => rest.chars().take(3).collect(),
            None => answer.clone(),
        };
        (status, answer)
    }

    /// An application in a pod, on every address, with a thread for each connection.
    pub(crate) fn application(&self, pod: &str, port: u16, serve: fn(TcpStream) -> std::io::Result<()>) {
        let listener = self.within(pod, || TcpListener::bind(("::", port)).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A caller that breaks off is none of the test's business.
                std::thread::spawn(move || drop(stream.and_then(serve)));
            }
        });
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for pod in &self.pods {
            drop(Command::new("ip").args(["netns", "delete", &self.namespace(pod)]).output());
        }
    }
}

/// Answers one HTTP request with its own head.
pub(crate) fn echo_head(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    let length = head.len();
    write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n")?;
    stream.write_all(&head)
}

/// Speaks first, then gives one line back.
pub(crate) fn greet(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"220 ready\n")?;
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        stream.read_exact(&mut byte)?;
        line.extend_from_slice(&byte);
    }
    stream.write_all(&line)
}
