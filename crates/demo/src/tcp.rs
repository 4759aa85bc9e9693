//! A protocol in which the server speaks first.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Greets every client, then echoes what it says.
pub async fn serve_tcp(listener: TcpListener, name: String) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let name = name.clone();
            tokio::spawn(async move {
                // A client that leaves is no news.
                drop(greet_and_echo(stream, &name).await);
            });
        }
    }
}

async fn greet_and_echo(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    stream.write_all(format!("220 {name} ready\n").as_bytes()).await?;
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await?;
        match buffer.get(..read) {
            Some(bytes) if !bytes.is_empty() => stream.write_all(bytes).await?,
            Some(_) | None => return Ok(()),
        }
    }
}
