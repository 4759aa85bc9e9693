//! HTTP/2 frames that no well-behaved client sends, written by hand.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stand::{Setup, Stand, WEB, status, usual};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Header fields as literals without indexing and without Huffman coding (RFC 7541, section 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

fn get(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "orders")];
    fields.extend(more);
    block(&fields)
}

/// Sends frames on a proven connection and gives the kinds of the frames that come back.
async fn answers(stand: &Stand, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = stand.client(WEB).await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frames.concat());
    // The sidecar may close while it is still written to.
    drop(stream.write_all(&bytes).await);
    let mut got = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while let Ok(Ok(read)) = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut buffer)).await
    {
        if read == 0 {
            break;
        }
        got.extend_from_slice(&buffer[..read]);
    }
    let mut kinds = Vec::new();
    let mut rest = got.as_slice();
    while rest.len() >= 9 {
        let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        kinds.push(rest[3]);
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    kinds
}

async fn others_are_served(stand: &Stand) {
    let before = stand.seen().len();
    assert_eq!(status(&stand.get(WEB, "GET", "/orders/1", "").await), "200");
    assert_eq!(stand.seen().len(), before + 1);
}

#[tokio::test]
async fn f1_d9_requests_that_cannot_be_written_in_http1_are_reset() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let cases: [(&str, &[(&str, &str)]); 7] = [
        ("orders/1", &[]),
        ("", &[]),
        ("/orders/1 HTTP/1.1\r\nx: y", &[]),
        ("/orders/1", &[("x-a", "b\r\nx-role: admin")]),
        ("/orders/1", &[("x-a", "b\0c")]),
        ("/orders/1", &[("connection", "close")]),
        ("/orders/1", &[("content-length", "5")]),
    ];
    for (path, more) in cases {
        let kinds = answers(&stand, &[frame(HEADERS, END_STREAM | END_HEADERS, 1, &get(path, more))]).await;
        assert!(kinds.contains(&RST_STREAM) || kinds.contains(&GOAWAY), "{path:?} {more:?}: {kinds:?}");
    }
    assert!(stand.seen().is_empty(), "{:?}", stand.seen());
    others_are_served(&stand).await;
}

#[tokio::test]
async fn f5_rapid_resets_end_the_connection() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let attack: Vec<Vec<u8>> = (0..4000)
        .flat_map(|index| {
            let stream = index * 2 + 1;
            let request = frame(HEADERS, END_STREAM | END_HEADERS, stream, &get("/orders/1", &[]));
            [request, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())]
        })
        .collect();
    assert!(answers(&stand, &attack).await.contains(&GOAWAY));
    others_are_served(&stand).await;
}

#[tokio::test]
async fn f6_streams_that_are_made_to_be_reset_end_the_connection() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let attack: Vec<Vec<u8>> = (0..4000)
        .flat_map(|index| {
            let stream = index * 2 + 1;
            let request = frame(HEADERS, END_HEADERS, stream, &get("/orders/1", &[]));
            [request, frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes())]
        })
        .collect();
    assert!(answers(&stand, &attack).await.contains(&GOAWAY));
    others_are_served(&stand).await;
}

#[tokio::test]
async fn f7_endless_continuations_end_the_connection() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let mut attack = vec![frame(HEADERS, END_STREAM, 1, &get("/orders/1", &[]))];
    attack.extend((0..5000).map(|_| frame(CONTINUATION, 0, 1, &block(&[("x-a", "b")]))));
    assert!(answers(&stand, &attack).await.contains(&GOAWAY));
    assert!(stand.seen().is_empty());
    others_are_served(&stand).await;
}
