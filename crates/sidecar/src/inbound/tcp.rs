//! Opaque bytes between a caller and the application, while the connection stays permitted.

use std::io;

use bailiwick_authn::{FirstBytes, classify};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::sessions::{Cut, Waiter};

const BUFFER: usize = 16 * 1024;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both sides finished.
    Finished,
    /// It is no longer permitted.
    Cut,
    /// The client's first bytes begin an HTTP request, and an `http` or `grpc` Deny selects this TCP port.
    HttpOnTcp,
}

/// Copies both ways until both sides have finished, the connection is cut, or its first bytes are refused.
///
/// # Errors
/// When either side breaks.
pub(crate) async fn relay<C, A>(client: C, application: A, cut: &Cut, refuse_http: bool) -> io::Result<Ended>
where
    C: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_application, mut to_application) = tokio::io::split(application);
    let inward = async {
        if refuse_http && !first_bytes_pass(&mut from_client, &mut to_application).await? {
            return Ok(Ended::HttpOnTcp);
        }
        copy(&mut from_client, &mut to_application).await?;
        Ok::<_, io::Error>(Ended::Finished)
    };
    let outward = copy(&mut from_application, &mut to_client);
    let both = async {
        tokio::pin!(inward, outward);
        tokio::select! {
            ended = &mut inward => match ended? {
                Ended::Finished => outward.await.map(|()| Ended::Finished),
                refused @ (Ended::HttpOnTcp | Ended::Cut) => Ok(refused),
            },
            copied = &mut outward => {
                copied?;
                inward.await
            }
        }
    };
    tokio::select! {
        biased;
        () = cut.wait(Waiter::Handler) => Ok(Ended::Cut),
        ended = both => ended,
    }
}

/// Forwards the first bytes once it is clear that they begin no HTTP request. The other direction runs meanwhile, so
/// protocols in which the server speaks first are not held up.
async fn first_bytes_pass<R, W>(from: &mut R, to: &mut W) -> io::Result<bool>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut held = Vec::new();
    loop {
        let read = from.read_buf(&mut held).await?;
        let begins_http = match classify(&held) {
            Some(FirstBytes::Http1 | FirstBytes::Http2) => true,
            None if read > 0 => continue,
            // The client finished before it was clear, or these bytes are no HTTP.
            None
            | Some(
                FirstBytes::MeshTls
                | FirstBytes::OtherTls
                | FirstBytes::Other
                | FirstBytes::Unfinished
                | FirstBytes::Nothing
                | FirstBytes::Closed,
            ) => false,
        };
        if begins_http {
            return Ok(false);
        }
        to.write_all(&held).await?;
        to.flush().await?;
        return Ok(true);
    }
}

async fn copy<R, W>(from: &mut R, to: &mut W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0_u8; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return to.shutdown().await;
        };
        to.write_all(bytes).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn bytes_pass_both_ways_and_half_closed() {
        let (client, inner_client) = duplex(64);
        let (inner_application, mut application) = duplex(64);
        let relayed =
            tokio::spawn(async move { relay(inner_client, inner_application, &Cut::default(), true).await });
        let (mut read, mut write) = tokio::io::split(client);
        application.write_all(b"server first").await.unwrap();
        let mut greeting = [0; 12];
        read.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"server first");
        write.write_all(b"\x01ping").await.unwrap();
        write.shutdown().await.unwrap();
        let mut got = Vec::new();
        application.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"\x01ping");
        drop(application);
        assert_eq!(relayed.await.unwrap().unwrap(), Ended::Finished);
    }

    #[tokio::test]
    async fn http_on_a_tcp_port_does_not_reach_the_application_where_a_deny_speaks_of_http() {
        let (mut client, inner_client) = duplex(64);
        let (inner_application, mut application) = duplex(64);
        let relayed =
            tokio::spawn(async move { relay(inner_client, inner_application, &Cut::default(), true).await });
        client.write_all(b"GE").await.unwrap();
        client.write_all(b"T /").await.unwrap();
        assert_eq!(relayed.await.unwrap().unwrap(), Ended::HttpOnTcp);
        let mut got = Vec::new();
        application.read_to_end(&mut got).await.unwrap();
        assert!(got.is_empty());
    }

    #[tokio::test]
    async fn a_cut_ends_an_idle_connection() {
        let (_client, inner_client) = duplex(64);
        let (inner_application, _application) = duplex(64);
        let cut = Cut::default();
        let theirs = cut.clone();
        let relayed =
            tokio::spawn(async move { relay(inner_client, inner_application, &theirs, false).await });
        tokio::task::yield_now().await;
        cut.cut();
        assert_eq!(relayed.await.unwrap().unwrap(), Ended::Cut);
    }
}
