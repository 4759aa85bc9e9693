//! Bodies that stream through the sidecar: never collected, ended when their call is cut.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::inbound::headers::strip_trailers;
use crate::inbound::upstream::Lease;
use crate::sessions::{Registration, Waiter};

/// The error type of bodies inside the sidecar.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The call was decided again and is denied now.
#[derive(Debug, thiserror::Error)]
#[error("the call was cut: it is no longer permitted")]
pub(crate) struct WasCut;

/// A request's body on its way to the application. While it lives its call is in flight, even if the answer has ended.
#[derive(Debug)]
pub(crate) struct RequestBody {
    inner: Incoming,
    registration: Arc<Registration>,
}

impl RequestBody {
    /// A body that ends with an error when its call is cut.
    pub(crate) const fn inbound(inner: Incoming, registration: Arc<Registration>) -> Self {
        Self { inner, registration }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.registration.cut().poll(Waiter::RequestBody, context) {
            return Poll::Ready(Some(Err(Box::new(WasCut))));
        }
        poll_stripped(Pin::new(&mut self.inner), context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn poll_stripped(
    inner: Pin<&mut Incoming>,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    inner.poll_frame(context).map(|frame| {
        frame.map(|frame| match frame {
            Ok(frame) => Ok(match frame.into_trailers() {
                Ok(mut trailers) => {
                    strip_trailers(&mut trailers);
                    Frame::trailers(trailers)
                }
                Err(frame) => frame,
            }),
            Err(error) => Err(error.into()),
        })
    })
}

/// A response's body on its way to the caller.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// Nothing.
    Empty,
    /// A short text of our own.
    Text(Option<Bytes>),
    /// What the other side sends, while the call lives.
    Streamed(Streamed),
}

/// A body that is relayed.
#[derive(Debug)]
pub(crate) struct Streamed {
    inner: Option<Incoming>,
    registration: Option<Arc<Registration>>,
    grpc: bool,
    lease: Option<Lease>,
    finished: bool,
}

impl Streamed {
    /// A response of the application. `grpc`: a cut ends with trailers that say `PERMISSION_DENIED`. The lease is given
    /// back when the body was read to its end.
    pub(crate) const fn inbound(
        inner: Incoming,
        registration: Arc<Registration>,
        grpc: bool,
        lease: Option<Lease>,
    ) -> Self {
        Self { inner: Some(inner), registration: Some(registration), grpc, lease, finished: false }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let registration = self.registration.as_ref();
        let cut =
            registration.is_some_and(|registration| registration.cut().poll(Waiter::ResponseBody, context));
        if cut {
            // Dropping the body closes the connection to the application, or resets the stream on it.
            self.inner = None;
            self.lease = None;
            self.registration = None;
            return Poll::Ready(Some(if self.grpc {
                Ok(Frame::trailers(permission_denied()))
            } else {
                Err(Box::new(WasCut))
            }));
        }
        let frame = match &mut self.inner {
            Some(inner) => poll_stripped(Pin::new(inner), context),
            None => Poll::Ready(None),
        };
        self.finished |= matches!(frame, Poll::Ready(None));
        frame
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        let at_its_end = |inner: &Incoming| self.finished || inner.is_end_stream();
        if self.inner.as_ref().is_some_and(at_its_end)
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }
}

impl ResponseBody {
    /// A short text.
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Streamed(streamed) => streamed.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(text) => text.is_none(),
            Self::Streamed(streamed) => streamed.inner.as_ref().is_none_or(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Streamed(streamed) => streamed.inner.as_ref().map(Body::size_hint).unwrap_or_default(),
        }
    }
}

/// Trailers that end a gRPC call whose permission went away.
fn permission_denied() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert("grpc-status", HeaderValue::from_static("7"));
    trailers.insert("grpc-message", HeaderValue::from_static("the call is no longer permitted"));
    trailers
}
