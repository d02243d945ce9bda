//! The one body type of requests and responses: nothing, octets at hand, or a stream.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::failure::{Failure, FailureKind};
use crate::stall::Stall;

/// A body. Trailers are left out (RFC 9110 6.5.1 lets an intermediary discard them).
pub struct Body {
    content: Content,
}

type Stream = Pin<Box<dyn HttpBody<Data = Bytes, Error = Failure> + Send>>;

enum Content {
    Done,
    Whole(Bytes),
    Stream(Stream),
}

impl Body {
    /// No content.
    #[must_use]
    pub fn empty() -> Self {
        Self { content: Content::Done }
    }

    /// Octets at hand.
    #[must_use]
    pub fn whole(octets: impl Into<Bytes>) -> Self {
        let octets = octets.into();
        if octets.is_empty() { Self::empty() } else { Self { content: Content::Whole(octets) } }
    }

    /// Content that comes as it goes. An error breaks the connection off.
    #[must_use]
    pub fn stream(stream: impl HttpBody<Data = Bytes, Error = Failure> + Send + 'static) -> Self {
        if stream.is_end_stream() {
            return Self::empty();
        }
        Self { content: Content::Stream(Box::pin(stream)) }
    }

    /// The same content; `count` is told of its octets as they are taken.
    #[must_use]
    pub fn counted(self, count: impl Fn(u64) + Send + Unpin + 'static) -> Self {
        Self::stream(Counted { content: self, count })
    }

    /// A stream as it is: what carries the content lives as long as the body even if it has no
    /// octets.
    #[must_use]
    pub fn kept(stream: impl HttpBody<Data = Bytes, Error = Failure> + Send + 'static) -> Self {
        Self { content: Content::Stream(Box::pin(stream)) }
    }

    /// Content that comes in over a connection with `next_hop`; nothing for `patience` is a
    /// failure.
    #[must_use]
    pub fn incoming(incoming: Incoming, next_hop: &str, patience: Duration) -> Self {
        if incoming.is_end_stream() {
            return Self::empty();
        }
        Self::stream(Watched {
            incoming,
            next_hop: next_hop.to_owned(),
            stall: Stall::new(patience),
        })
    }

    /// The next octets; `None` at the end.
    ///
    /// # Errors
    /// When the content breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = std::future::poll_fn(|context| Pin::new(&mut *self).poll_frame(context));
            match frame.await {
                None => return Ok(None),
                Some(Err(failure)) => return Err(failure),
                Some(Ok(frame)) => {
                    if let Ok(octets) = frame.into_data()
                        && !octets.is_empty()
                    {
                        return Ok(Some(octets));
                    }
                }
            }
        }
    }

    /// Everything, but at most `most` octets.
    ///
    /// # Errors
    /// When the content breaks off or is longer.
    pub async fn collect(mut self, most: usize) -> Result<Bytes, Failure> {
        let mut whole = bytes::BytesMut::new();
        while let Some(octets) = self.next().await? {
            if whole.len() + octets.len() > most {
                return Err(Failure::new(FailureKind::Internal, "", "content too long"));
            }
            whole.extend_from_slice(&octets);
        }
        Ok(whole.freeze())
    }

    /// The octets that are still to come, when that is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.size_hint().exact()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match &mut self.content {
            Content::Done => Poll::Ready(None),
            Content::Whole(octets) => {
                let octets = std::mem::take(octets);
                self.content = Content::Done;
                Poll::Ready(Some(Ok(Frame::data(octets))))
            }
            Content::Stream(stream) => stream.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Done => true,
            Content::Whole(_) => false,
            Content::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Done => SizeHint::with_exact(0),
            Content::Whole(octets) => {
                SizeHint::with_exact(u64::try_from(octets.len()).unwrap_or(u64::MAX))
            }
            Content::Stream(stream) => stream.size_hint(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("length", &self.length()).finish_non_exhaustive()
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

/// Content that is counted as it is taken.
struct Counted<F> {
    content: Body,
    count: F,
}

impl<F: Fn(u64) + Unpin> HttpBody for Counted<F> {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let polled = Pin::new(&mut self.content).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            (self.count)(frame.data_ref().map_or(0, |octets| octets.len() as u64));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

/// Incoming content with a limit on silence.
struct Watched {
    incoming: Incoming,
    next_hop: String,
    stall: Stall,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.incoming).poll_frame(context) {
            Poll::Ready(frame) => {
                this.stall.moved();
                Poll::Ready(frame.map(|frame| {
                    frame.map_err(|error| Failure::of_content(&error, &this.next_hop))
                }))
            }
            Poll::Pending if this.stall.poll_over(context) => Poll::Ready(Some(Err(Failure::new(
                FailureKind::ReadTimeout,
                &this.next_hop,
                "stalled in the middle of the content",
            )))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
