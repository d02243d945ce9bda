//! Content from a shelf as a body.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body::{Body as HttpBody, Frame, SizeHint};
use popnet_http::body::Body;
use popnet_http::failure::{Failure, FailureKind};

use crate::shelf::{Reader, ShelfError};

/// Most octets that are read at once: enough for few calls, little enough for many clients.
pub(crate) const PIECE: usize = 256 << 10;

/// The octets `range` of what `reader` reads. What fits in one piece is read at once, so that the
/// whole answer goes out in one write.
///
/// # Errors
/// The octets cannot be read.
pub async fn of(reader: impl Reader, range: Range<u64>) -> Result<Body, ShelfError> {
    let length = range.end.saturating_sub(range.start);
    if length == 0 {
        return Ok(Body::empty());
    }
    if length <= PIECE as u64 {
        let most = usize::try_from(length).unwrap_or(PIECE);
        let octets = reader.read(range.start, most).await?;
        if octets.len() == most {
            return Ok(Body::whole(octets));
        }
    }
    let pieces = stream::try_unfold((reader, range), |(reader, range)| async move {
        if range.start >= range.end {
            return Ok(None);
        }
        let most = usize::try_from(range.end - range.start).unwrap_or(PIECE).min(PIECE);
        let octets = reader.read(range.start, most).await.map_err(|error| failure(&error))?;
        if octets.is_empty() {
            return Err(failure(&ShelfError::Gone));
        }
        let next = range.start + octets.len() as u64..range.end;
        Ok(Some((octets, (reader, next))))
    });
    Ok(sized(pieces, Some(length)))
}

/// The octets `range` of `body`.
pub(crate) fn cut(body: Body, range: Range<u64>) -> Body {
    let length = range.end.saturating_sub(range.start);
    let octets = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let pieces = stream::try_unfold((body, range), move |(mut body, mut range)| async move {
        while let Some(mut piece) = body.next().await? {
            let mut wanted = piece.split_off(octets(range.start).min(piece.len()));
            range = range.start - piece.len() as u64..range.end - piece.len() as u64;
            wanted.truncate(octets(range.end - range.start));
            if !wanted.is_empty() {
                range.end -= wanted.len() as u64;
                return Ok(Some((wanted, (body, range))));
            }
        }
        Ok(None)
    });
    sized(pieces, Some(length))
}

/// What a shelf's error is to a client.
pub(crate) fn failure(error: &ShelfError) -> Failure {
    Failure::new(FailureKind::Internal, "shelf", error.to_string())
}

/// A stream of `length` octets as a body.
pub(crate) fn sized(
    stream: impl Stream<Item = Result<Bytes, Failure>> + Send + 'static,
    length: Option<u64>,
) -> Body {
    Body::stream(Counted { stream: Box::pin(stream), left: length })
}

struct Counted<S> {
    stream: Pin<Box<S>>,
    left: Option<u64>,
}

impl<S: Stream<Item = Result<Bytes, Failure>>> HttpBody for Counted<S> {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self.stream.as_mut().poll_next(context) {
            Poll::Ready(Some(Ok(octets))) => {
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(octets.len() as u64);
                }
                Poll::Ready(Some(Ok(Frame::data(octets))))
            }
            Poll::Ready(Some(Err(failure))) => Poll::Ready(Some(Err(failure))),
            Poll::Ready(None) if self.left.is_some_and(|left| left > 0) => {
                let kind = FailureKind::Incomplete;
                Poll::Ready(Some(Err(Failure::new(kind, "", "content ended early"))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the pieces: what is cut out is what lies there, or the whole breaks off.
        #[test]
        fn cut_is_a_slice(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9),
            from in 0_u64..80,
            length in 1_u64..80,
        ) {
            let whole = pieces.concat();
            let came = stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece))));
            let body = cut(sized(came, None), from..from + length);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let got = runtime.block_on(body.collect(1_000)).ok();
            let end = usize::try_from(from + length).unwrap();
            let expected = whole.get(usize::try_from(from).unwrap()..end);
            prop_assert_eq!(got.as_deref(), expected);
        }
    }
}
