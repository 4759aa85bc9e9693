//! The bounds of every HTTP connection, in one place (security cases F13, F14).

use std::time::Duration;

use hyper::client::conn::{http1 as client_http1, http2 as client_http2};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::config::Limits;
use crate::io::HeadTimer;

/// The buffer of an HTTP/1 connection; a head must fit in it.
const HTTP1_BUFFER: usize = 32 * 1024;
/// The header fields of a request or response.
const HEADERS: usize = 100;
/// The bytes of all header fields of an HTTP/2 request or response (RFC 9113, section 6.5.2).
const HEADER_LIST: u32 = 16 * 1024;
/// What may be in flight on a whole HTTP/2 connection, and on one stream of it.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const STREAM_WINDOW: u32 = 64 * 1024;
/// What is buffered of one stream towards a slow reader.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that were reset before they were served ("rapid reset", CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// How often a silent HTTP/2 connection is asked whether it lives, and how long it has to answer.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves HTTP/1.1 with the timer of [`crate::io::with_head_deadline`].
pub(crate) fn http1_server(limits: &Limits, timer: HeadTimer) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(timer)
        .header_read_timeout(limits.idle)
        .max_buf_size(HTTP1_BUFFER)
        .max_headers(HEADERS)
        .auto_date_header(false);
    builder
}

/// Serves HTTP/2 with prior knowledge.
pub(crate) fn http2_server(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_LIST)
        .max_concurrent_streams(limits.http2_streams)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .auto_date_header(false);
    builder
}

/// Sends HTTP/1.1.
pub(crate) fn http1_client() -> client_http1::Builder {
    let mut builder = client_http1::Builder::new();
    builder.max_buf_size(HTTP1_BUFFER).max_headers(HEADERS);
    builder
}

/// Sends HTTP/2 with prior knowledge.
pub(crate) fn http2_client() -> client_http2::Builder<TokioExecutor> {
    let mut builder = client_http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_LIST)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
