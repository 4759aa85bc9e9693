//! Bodies on their way out and back: streamed, with the connection that they came over.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::body::{BodyError, ResponseBody};
use crate::inbound::headers::strip_identity;
use crate::outbound::load::InFlight;
use crate::outbound::pool::{Http1Lease, Http2Lease};

/// What the application sends, as it comes.
#[derive(Debug)]
pub(crate) struct RequestBody(pub(crate) Incoming);

/// What the application receives.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// Of the sidecar itself.
    Own(ResponseBody),
    /// Of the endpoint.
    Streamed {
        /// The endpoint's body.
        inner: Incoming,
        /// What ends with it.
        held: Option<Held>,
    },
}

/// What a call holds until its response has ended.
#[derive(Debug)]
pub(crate) struct Held {
    // The call counts as load of its endpoint.
    _in_flight: InFlight,
    // At most one of the two; none where the connection is the call's alone.
    http1: Option<Http1Lease>,
    _http2: Option<Http2Lease>,
}

impl Held {
    /// A call on an HTTP/1 connection of the pool.
    pub(crate) const fn http1(in_flight: InFlight, lease: Http1Lease) -> Self {
        Self { _in_flight: in_flight, http1: Some(lease), _http2: None }
    }

    /// A call on an HTTP/2 connection of the pool.
    pub(crate) const fn http2(in_flight: InFlight, lease: Http2Lease) -> Self {
        Self { _in_flight: in_flight, http1: None, _http2: Some(lease) }
    }

    /// A call on a connection of its own.
    pub(crate) const fn alone(in_flight: InFlight) -> Self {
        Self { _in_flight: in_flight, http1: None, _http2: None }
    }

    /// The connection must not serve another call.
    pub(crate) fn discard(self) {
        if let Some(lease) = self.http1 {
            lease.discard();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.0).poll_frame(context);
        frame.map(|frame| frame.map(|frame| frame.map(stripped).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Trailers state no identity either (security case C3).
fn stripped(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            strip_identity(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Own(body) => Pin::new(body).poll_frame(context),
            Self::Streamed { inner, held } => {
                let frame = ready!(Pin::new(&mut *inner).poll_frame(context));
                if frame.is_none() || inner.is_end_stream() {
                    // The connection is free now, not when the application has read the last byte.
                    *held = None;
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Streamed { inner, .. } => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Streamed { inner, .. } => inner.size_hint(),
        }
    }
}
