//! The service behind a sidecar, in this process, so that what reached it can be counted to the byte.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// How long a path that ends in `/slow` takes.
pub(crate) const SLOW: Duration = Duration::from_millis(700);

/// A request as the service saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) caller: String,
}

/// What the service saw.
#[derive(Clone, Default)]
pub(crate) struct Application {
    bytes: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Application {
    /// Serves every request with 200.
    pub(crate) async fn start(address: SocketAddr) -> Self {
        let application = Self::default();
        let listener = TcpListener::bind(address).await.unwrap();
        let serving = application.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                drop(stream.set_nodelay(true));
                let stream = Counted { stream, bytes: Arc::clone(&serving.bytes) };
                let serving = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| serving.clone().answer(request));
                    let builder = auto::Builder::new(TokioExecutor::new());
                    // A client that leaves is no news.
                    drop(builder.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        application
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let caller = request.headers().get("x-bailiwick-client-id");
        let caller = caller.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let path = request.uri().path().to_owned();
        if path.ends_with("/slow") {
            tokio::time::sleep(SLOW).await;
        }
        self.seen.lock().unwrap().push(Seen { path, caller: caller.unwrap_or_default() });
        Ok(Response::new(Full::from("served\n")))
    }

    /// Bytes that reached it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Requests that reached it.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// A stream whose incoming bytes are counted.
struct Counted {
    stream: TcpStream,
    bytes: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = u64::try_from(buffer.filled().len() - before).unwrap_or_default();
        self.bytes.fetch_add(read, Ordering::SeqCst);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
