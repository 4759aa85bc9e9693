//! The output half: the sidecar calls a reserved address and expects to be answered by itself.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bailiwick_pod::ports;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What the caller says before its nonce, and the answerer before the same nonce.
const QUESTION: [u8; 4] = *b"bwk?";
const ANSWER: [u8; 4] = *b"bwk!";
/// Bytes of the nonce.
const NONCE: usize = 16;
/// How long each side waits; both ends are in this process.
const DEADLINE: Duration = Duration::from_secs(2);

/// True if a redirected connection was going to one of the reserved addresses.
pub(crate) fn is_proof(destination: SocketAddr) -> bool {
    destination.port() == ports::OUTBOUND_PROOF
        && match destination.ip().to_canonical() {
            IpAddr::V4(address) => address == ports::OUTBOUND_PROOF_V4,
            IpAddr::V6(address) => address == ports::OUTBOUND_PROOF_V6,
        }
}

/// Answers one proof, for the outbound listener: gives the nonce back. Whatever else is said is not answered.
pub(crate) async fn answer(mut stream: TcpStream) {
    let exchange = async {
        let mut question = [0; QUESTION.len() + NONCE];
        stream.read_exact(&mut question).await?;
        let Some(nonce) = question.strip_prefix(&QUESTION) else {
            return Ok(());
        };
        let mut reply = ANSWER.to_vec();
        reply.extend_from_slice(nonce);
        stream.write_all(&reply).await?;
        stream.shutdown().await
    };
    // Who asked sees by itself whether it was answered.
    drop::<Result<std::io::Result<()>, _>>(timeout(DEADLINE, exchange).await);
}
