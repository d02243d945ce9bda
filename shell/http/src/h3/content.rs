//! A request's content: read by the stream's own task, handed on one piece at a time.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use super::code::{Broken, Code};
use super::frame::{DATA, HEADERS, on_request};
use super::head::may_trail;
use super::qpack::{self, Most};
use super::reader::{CUT, Reader};
use crate::body::Body;
use crate::failure::{Failure, FailureKind};

/// Octets; `None` is the end. Content that stops without it was broken off.
type Piece = Option<Bytes>;

/// The end that the service reads.
struct Content {
    pieces: mpsc::Receiver<Piece>,
    left: Option<u64>,
    ended: bool,
}

impl HttpBody for Content {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(piece) = self.pieces.poll_recv(context) else { return Poll::Pending };
        Poll::Ready(match piece {
            Some(Some(piece)) => {
                let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                self.left = self.left.map(|left| left.saturating_sub(length));
                Some(Ok(Frame::data(piece)))
            }
            Some(None) => {
                self.ended = true;
                None
            }
            None => {
                self.ended = true;
                let what = "the client broke its request off";
                Some(Err(Failure::new(FailureKind::Request, "client", what)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The end that is fed from the stream.
pub(super) struct Pump {
    reader: Reader,
    most: Most,
    /// What Content-Length says.
    length: Option<u64>,
    /// A DATA frame that has begun, and the octets of it that are still to come.
    begun: Option<u64>,
    pieces: mpsc::Sender<Piece>,
}

impl Pump {
    /// Both ends of content that begins with a DATA frame of `begun` octets, if it has begun.
    pub(super) fn new(
        reader: Reader,
        most: Most,
        length: Option<u64>,
        begun: Option<u64>,
    ) -> (Self, Body) {
        // One piece waits: the stream's window does the rest.
        let (pieces, taken) = mpsc::channel(1);
        let body = Body::stream(Content { pieces: taken, left: length, ended: false });
        (Self { reader, most, length, begun, pieces }, body)
    }

    /// Hands on everything that comes; `Ok` when all has come or nobody wants more.
    pub(super) async fn run(mut self) -> Result<(), Broken> {
        match self.read().await {
            Ok(true) => {
                // Nobody is there to hear it when the service has its answer already.
                let _ = self.pieces.send(None).await;
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(broken) => {
                self.reader.stop(broken.code());
                Err(broken)
            }
        }
    }

    /// `false`: nobody wants more.
    async fn read(&mut self) -> Result<bool, Broken> {
        let mut total = 0_u64;
        if let Some(length) = self.begun.take()
            && !self.data(length, &mut total).await?
        {
            return Ok(false);
        }
        while let Some((kind, length)) = self.reader.frame().await? {
            match kind {
                DATA => {
                    if !self.data(length, &mut total).await? {
                        return Ok(false);
                    }
                }
                HEADERS => {
                    self.trailers(length).await?;
                    break;
                }
                _ => {
                    on_request(kind).map_err(Broken::Connection)?;
                    self.reader.skip(length).await?;
                }
            }
        }
        if self.length.is_some_and(|length| length != total) {
            return Err(Broken::Stream(Code::Message));
        }
        Ok(true)
    }

    /// `false`: nobody wants more.
    async fn data(&mut self, mut length: u64, total: &mut u64) -> Result<bool, Broken> {
        *total = total.saturating_add(length);
        if self.length.is_some_and(|most| *total > most) {
            return Err(Broken::Stream(Code::Message));
        }
        while length > 0 {
            let piece = self.reader.some(length).await?.ok_or(CUT)?;
            length -= u64::try_from(piece.len()).unwrap_or(length);
            if self.pieces.send(Some(piece)).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checked and left out (RFC 9110 6.5.1), with what may still come after them.
    async fn trailers(&mut self, length: u64) -> Result<(), Broken> {
        if length > u64::try_from(self.most.octets).unwrap_or(u64::MAX) {
            return Err(Broken::Stream(Code::ExcessiveLoad));
        }
        let section = self.reader.all(length).await?;
        let fields = match qpack::read(&section, self.most) {
            Ok(fields) => fields,
            Err(qpack::Refused::TooLong) => return Err(Broken::Stream(Code::ExcessiveLoad)),
            Err(qpack::Refused::Unreadable) => {
                return Err(Broken::Connection(Code::Decompression));
            }
        };
        if !may_trail(fields) {
            return Err(Broken::Stream(Code::Message));
        }
        while let Some((kind, length)) = self.reader.frame().await? {
            if matches!(kind, DATA | HEADERS) {
                return Err(Broken::Connection(Code::FrameUnexpected));
            }
            on_request(kind).map_err(Broken::Connection)?;
            self.reader.skip(length).await?;
        }
        Ok(())
    }
}
