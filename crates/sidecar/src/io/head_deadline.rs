//! Two deadlines for an HTTP/1 connection where the library has one: a long one for the wait between requests, and a
//! short one from the first byte of a request's head to its last (security case F14).
//!
//! The library starts its one timer when it begins to wait for a head. The timer here is given the long time, and
//! moves to the short one as soon as the stream has delivered a byte.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// No byte since the wait began.
const NONE: u64 = 0;

/// When the first byte of the head came, in microseconds after the connection's start, plus one.
#[derive(Debug)]
struct HeadState {
    start: Instant,
    first_byte: AtomicU64,
}

/// The timer to give to the library, whose `header_read_timeout` must be the time between requests.
#[derive(Debug, Clone)]
pub(crate) struct HeadTimer {
    state: Arc<HeadState>,
    header: Duration,
}

/// The stream to give to the library with its timer.
#[derive(Debug)]
pub(crate) struct HeadStream<S> {
    inner: S,
    state: Arc<HeadState>,
}

struct HeadSleep {
    state: Arc<HeadState>,
    header: Duration,
    moved: bool,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

/// A stream and the timer that belongs to it; `header` is the time that a head may take.
pub(crate) fn with_head_deadline<S>(inner: S, header: Duration) -> (HeadStream<S>, HeadTimer) {
    let state = Arc::new(HeadState { start: tokio_now(), first_byte: AtomicU64::new(NONE) });
    (HeadStream { inner, state: Arc::clone(&state) }, HeadTimer { state, header })
}

fn tokio_now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl HeadState {
    fn note_byte(&self) {
        if self.first_byte.load(Ordering::Relaxed) == NONE {
            let micros = tokio_now().saturating_duration_since(self.start).as_micros();
            self.first_byte.store(u64::try_from(micros).unwrap_or(u64::MAX - 1) + 1, Ordering::Relaxed);
        }
    }

    fn first_byte(&self) -> Option<Instant> {
        let micros = self.first_byte.load(Ordering::Relaxed).checked_sub(1)?;
        self.start.checked_add(Duration::from_micros(micros))
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(tokio_now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        // The library begins to wait for a head; what was read before belongs to the last request.
        self.state.first_byte.store(NONE, Ordering::Relaxed);
        Box::pin(HeadSleep {
            state: Arc::clone(&self.state),
            header: self.header,
            moved: false,
            sleep: Box::pin(tokio::time::sleep_until(deadline.into())),
        })
    }

    fn now(&self) -> Instant {
        tokio_now()
    }
}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !self.moved
            && let Some(first) = self.state.first_byte()
        {
            let deadline = first + self.header;
            self.moved = true;
            if deadline < self.sleep.deadline().into_std() {
                self.sleep.as_mut().reset(deadline.into());
            }
        }
        self.sleep.as_mut().poll(context)
    }
}

impl Sleep for HeadSleep {}

impl<S: AsyncRead + Unpin> AsyncRead for HeadStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.state.note_byte();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn f14_the_short_deadline_runs_from_the_first_byte() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut stream, timer) = with_head_deadline(near, Duration::from_secs(10));
        let start = tokio::time::Instant::now();
        let sleep = timer.sleep(Duration::from_secs(300));
        let reading = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            far.write_all(b"G").await.unwrap();
            stream.read_u8().await.unwrap();
            // The library polls its timer after each read.
            sleep.await;
        };
        reading.await;
        assert_eq!(start.elapsed().as_secs(), 70);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_byte_the_long_deadline_holds_and_a_new_wait_forgets() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut stream, timer) = with_head_deadline(near, Duration::from_secs(10));
        far.write_all(b"body").await.unwrap();
        let mut body = [0; 4];
        stream.read_exact(&mut body).await.unwrap();
        let start = tokio::time::Instant::now();
        timer.sleep(Duration::from_secs(300)).await;
        assert_eq!(start.elapsed().as_secs(), 300);
    }
}
