//! Reads a stream piece by piece, with a limit on silence.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use quinn::RecvStream;
use tokio::time::timeout;

use super::code::{Broken, Code};
use super::frame;

/// Octets that are taken from the connection at once.
const PIECE: usize = 16 << 10;

/// One direction of a stream.
pub(super) struct Reader {
    stream: RecvStream,
    held: Bytes,
    /// Longest silence; `None` where a stream may be silent for as long as the connection is there.
    patience: Option<Duration>,
}

impl Reader {
    pub(super) fn new(stream: RecvStream, patience: Option<Duration>) -> Self {
        Self { stream, held: Bytes::new(), patience }
    }

    /// Says that nothing more is wanted.
    pub(super) fn stop(&mut self, code: Code) {
        // Its error is that the stream has ended.
        let _ = self.stream.stop(code.into());
    }

    /// What comes next, at most `most` octets; `None` at the end.
    pub(super) async fn some(&mut self, most: u64) -> Result<Option<Bytes>, Broken> {
        if self.held.is_empty() {
            let reading = self.stream.read_chunk(PIECE, true);
            let read = match self.patience {
                Some(patience) => timeout(patience, reading).await.map_err(|_| Broken::Gone)?,
                None => reading.await,
            };
            match read.map_err(|_| Broken::Gone)? {
                Some(chunk) => self.held = chunk.bytes,
                None => return Ok(None),
            }
        }
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.held.len());
        Ok(Some(self.held.split_to(length)))
    }

    /// A number; `None` when the stream ends in place of it.
    pub(super) async fn number(&mut self) -> Result<Option<u64>, Broken> {
        let Some(first) = self.some(1).await? else { return Ok(None) };
        let length = first.first().map_or(1, |octet| frame::length_of(*octet));
        let mut octets = BytesMut::from(&first[..]);
        let more = u64::try_from(length - 1).unwrap_or(0);
        octets.extend_from_slice(&self.all(more).await?);
        Ok(frame::number(&octets))
    }

    /// A frame's kind and length; `None` when the stream ends in place of it.
    pub(super) async fn frame(&mut self) -> Result<Option<(u64, u64)>, Broken> {
        let Some(kind) = self.number().await? else { return Ok(None) };
        let length = self.number().await?.ok_or(CUT)?;
        Ok(Some((kind, length)))
    }

    /// Exactly `length` octets, for which there is room.
    pub(super) async fn all(&mut self, length: u64) -> Result<Bytes, Broken> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length <= self.held.len() {
            return Ok(self.held.split_to(length));
        }
        let mut octets = BytesMut::new();
        while octets.len() < length {
            let missing = u64::try_from(length - octets.len()).unwrap_or(u64::MAX);
            octets.extend_from_slice(&self.some(missing).await?.ok_or(CUT)?);
        }
        Ok(octets.freeze())
    }

    /// Leaves `length` octets out.
    pub(super) async fn skip(&mut self, mut length: u64) -> Result<(), Broken> {
        while length > 0 {
            let piece = self.some(length).await?.ok_or(CUT)?;
            length -= u64::try_from(piece.remaining()).unwrap_or(length);
        }
        Ok(())
    }
}

/// Whoever leaves before the end says so, in HTTP's words instead of QUIC's (RFC 9114 4.1).
impl Drop for Reader {
    fn drop(&mut self) {
        self.stop(Code::None);
    }
}

/// A stream that ends within a frame (RFC 9114 7.1).
pub(super) const CUT: Broken = Broken::Connection(Code::Frame);
