//! Bodies on their way out and back: streamed, with the connection that they came over.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::body::{BodyError, ResponseBody};
use crate::inbound::headers::strip_identity;
use crate::outbound::load::InFlight;
use crate::outbound::pool::{Http1Lease, Http2Lease};

/// What the application sends.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// Nothing.
    Empty,
    /// As it comes.
    Streamed(Incoming),
}

/// What the application receives.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// Of the sidecar itself.
    Own(ResponseBody),
    /// Of the endpoint; the connection is held until its end.
    Streamed {
        /// The endpoint's body.
        inner: Incoming,
        /// What ends with it.
        held: Held,
    },
}

/// What a call holds until its response has ended.
#[derive(Debug)]
pub(crate) struct Held {
    /// The call counts as load of its endpoint.
    pub(crate) in_flight: InFlight,
    /// The connection; none where it is the call's alone.
    pub(crate) connection: Option<Leased>,
}

/// A connection, or a place on one.
#[derive(Debug)]
pub(crate) enum Leased {
    /// A whole connection.
    Http1(Http1Lease),
    /// A stream.
    Http2(Http2Lease),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Streamed(inner) = &mut *self else { return Poll::Ready(None) };
        let frame = Pin::new(inner).poll_frame(context);
        frame.map(|frame| frame.map(|frame| frame.map(stripped).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed(inner) => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed(inner) => inner.size_hint(),
        }
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
            Self::Streamed { inner, .. } => {
                Pin::new(inner).poll_frame(context).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
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
