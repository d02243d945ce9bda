//! A request's content on its way from the connection to whoever answers: one piece at a time, and
//! none before it is asked for.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::PollSender;

use super::head::Length;
use crate::failure::Failure;

type Piece = Result<Bytes, Failure>;

/// The end that is read.
pub(crate) struct Arriving {
    pieces: mpsc::Receiver<Piece>,
    asked: Option<oneshot::Sender<()>>,
    left: Option<u64>,
}

/// The end that is filled.
pub(crate) struct Intake {
    pub(crate) pieces: PollSender<Piece>,
    asked: Option<oneshot::Receiver<()>>,
}

/// Both ends for content of `length`.
pub(crate) fn content(length: Length) -> (Arriving, Intake) {
    let (sender, pieces) = mpsc::channel(1);
    let (ask, asked) = oneshot::channel();
    let left = match length {
        Length::Known(left) => Some(left),
        Length::Chunked => None,
    };
    let arriving = Arriving { pieces, asked: Some(ask), left };
    (arriving, Intake { pieces: PollSender::new(sender), asked: Some(asked) })
}

impl Intake {
    /// Whether anybody has asked for content, or never will.
    pub(crate) fn poll_asked(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(asked) = &mut self.asked else { return Poll::Ready(()) };
        Pin::new(asked).poll(context).map(|_| self.asked = None)
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Some(asked) = self.asked.take() {
            let _ = asked.send(());
        }
        self.pieces.poll_recv(context).map(|piece| {
            let piece = piece?;
            if let (Ok(octets), Some(left)) = (&piece, &mut self.left) {
                *left = left.saturating_sub(octets.len() as u64);
            }
            Some(piece.map(Frame::data))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
