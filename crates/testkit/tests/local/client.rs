//! HTTP/1.1 by hand, so that a test knows exactly what was sent and how each connection ended.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long any answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// An answer with a Content-Length.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// True if the server says that the connection ends here.
    pub(crate) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A kept-alive connection.
pub(crate) struct Http<S> {
    pub(crate) stream: S,
    held: Vec<u8>,
}

impl Http<TcpStream> {
    /// A plain connection.
    pub(crate) async fn plain(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::on(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http<S> {
    pub(crate) const fn on(stream: S) -> Self {
        Self { stream, held: Vec::new() }
    }

    /// One request without a body, and its answer. `UnexpectedEof`: the connection ended without an answer.
    pub(crate) async fn call(&mut self, method: &str, path: &str) -> io::Result<Answer> {
        self.call_with(method, path, "").await
    }

    /// With further header lines, each ended by CRLF.
    pub(crate) async fn call_with(&mut self, method: &str, path: &str, headers: &str) -> io::Result<Answer> {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: orders.shop\r\n{headers}\r\n");
        self.send(request.as_bytes()).await
    }

    /// These bytes, and the answer.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        let answer = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await?;
            self.answer().await
        };
        timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.held.drain(..end).collect::<Vec<_>>()).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no answer: {head:?}")))?;
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        if length.is_none() && answer.header("transfer-encoding").is_some() {
            return Err(io::Error::other("this client reads no chunks"));
        }
        match length {
            Some(length) => {
                while self.held.len() < length {
                    self.more().await?;
                }
                answer.body = String::from_utf8_lossy(&self.held.drain(..length).collect::<Vec<_>>()).into();
            }
            None => {
                while self.more().await.is_ok() {}
                answer.body = String::from_utf8_lossy(&std::mem::take(&mut self.held)).into();
            }
        }
        Ok(answer)
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.held).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// One call on a connection of its own.
pub(crate) async fn once(address: SocketAddr, method: &str, path: &str) -> io::Result<Answer> {
    Http::plain(address).await?.call_with(method, path, "connection: close\r\n").await
}
