//! The input half: readiness for whoever was redirected.

use std::convert::Infallible;
use std::time::Duration;

use bailiwick_runtime::admin;
use bailiwick_runtime::ready::Readiness;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a connection may live: one question and its answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// The largest head; hyper's least is 8 KiB.
const MAXIMUM_HEAD: usize = 8 * 1024;

/// Answers `GET /ready` on a connection whose original destination was the proof port, and nothing else.
pub(crate) async fn serve_readiness(stream: TcpStream, readiness: &Readiness) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(admin::readiness_only(readiness, request.method(), request.uri().path()))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(DEADLINE)
        .keep_alive(false)
        .max_buf_size(MAXIMUM_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // Who asked sees by itself whether it was answered.
    drop(timeout(DEADLINE, connection).await);
}
