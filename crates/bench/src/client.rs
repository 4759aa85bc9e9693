//! One connection to a proxy, and calls over it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::{BenchError, Tried as _};

const HOST: &str = "orders.shop";

/// The HTTP version of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum HttpVersion {
    /// HTTP/1.1 with kept-alive connections
    #[value(name = "1")]
    Http1,
    /// HTTP/2
    #[value(name = "2")]
    Http2,
}

impl HttpVersion {
    pub(crate) const BOTH: [Self; 2] = [Self::Http1, Self::Http2];

    /// As a value of `--http`.
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::Http1 => "1",
            Self::Http2 => "2",
        }
    }

    /// The name that ordinary servers know it by (RFC 7301).
    pub(crate) const fn protocol(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }
}

/// Sends calls over one connection; on HTTP/2, one of its streams.
#[derive(Debug)]
pub(crate) enum Caller {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Caller {
    /// Connects, proves who calls, and is ready for calls.
    pub(crate) async fn connect(
        address: SocketAddr,
        settings: &Arc<ClientConfig>,
        version: HttpVersion,
    ) -> Result<Self, BenchError> {
        let socket = TcpStream::connect(address).await.tried(format!("connecting to {address}"))?;
        socket.set_nodelay(true).tried("the socket's settings")?;
        // The library wants a name; an address is never sent.
        let name = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let stream = TlsConnector::from(Arc::clone(settings)).connect(name, socket).await;
        let stream = TokioIo::new(stream.tried("the TLS handshake")?);
        match version {
            HttpVersion::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                // How a connection ends is seen by its calls.
                tokio::spawn(async move { drop(connection.await) });
                Ok(Self::Http1(sender))
            }
            HttpVersion::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(async move { drop(connection.await) });
                Ok(Self::Http2(sender))
            }
        }
    }

    /// As many callers as there are to be streams on the connection.
    pub(crate) fn streams(self, count: usize) -> Result<Vec<Self>, BenchError> {
        match self {
            Self::Http1(sender) if count == 1 => Ok(vec![Self::Http1(sender)]),
            Self::Http1(_) => Err(BenchError::Streams { streams: count }),
            Self::Http2(sender) => Ok((0..count).map(|_| Self::Http2(sender.clone())).collect()),
        }
    }

    /// One call, its response read to the end.
    pub(crate) async fn get(&mut self, path: &str) -> Result<StatusCode, BenchError> {
        let request = match self {
            Self::Http1(_) => Request::get(path).header(header::HOST, HOST),
            Self::Http2(_) => Request::get(format!("https://{HOST}{path}")),
        };
        let request = request.body(Empty::new())?;
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let status = response.status();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(status)
    }
}
