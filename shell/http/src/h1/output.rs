//! What is on its way to a client: small pieces gathered, large ones passed on as they are.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::io::AsyncWrite;

/// Pieces up to this are copied behind the head: a system call with one buffer is cheaper than one
/// with several.
const COPIED: usize = 4 << 10;

/// Octets gathered by copying before they are written.
const GATHERED: usize = 16 << 10;

/// Pieces and octets that wait at most: enough for few calls, little enough for many clients.
const PIECES: usize = 15;
const WAITING: usize = 128 << 10;

/// Octets to be written.
#[derive(Debug, Default)]
pub struct Output {
    /// First these.
    pub(crate) front: BytesMut,
    /// Then these.
    pieces: VecDeque<Bytes>,
    waiting: usize,
}

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.pieces.is_empty()
    }

    /// Whether the next piece has to wait until what is here has been written.
    pub(crate) fn is_full(&self) -> bool {
        self.front.len() >= GATHERED || self.waiting >= WAITING || self.pieces.len() >= PIECES
    }

    /// Adds the first lines of a response's head; what else belongs to it, with the empty line at
    /// its end, is [added](Self::add) after them.
    pub fn begin(&mut self, status: StatusCode, fields: &HeaderMap) {
        self.add(b"HTTP/1.1 ");
        self.add(status.as_str().as_bytes());
        self.add(b" ");
        self.add(status.canonical_reason().unwrap_or("").as_bytes());
        self.add(b"\r\n");
        for (name, value) in fields {
            self.add(name.as_str().as_bytes());
            self.add(b": ");
            self.add(value.as_bytes());
            self.add(b"\r\n");
        }
    }

    /// Adds a copy of `octets`.
    pub fn add(&mut self, octets: &[u8]) {
        if self.pieces.is_empty() {
            self.front.extend_from_slice(octets);
        } else {
            self.queue(Bytes::copy_from_slice(octets));
        }
    }

    /// Adds `octets` as they are, unless they are few.
    pub fn push(&mut self, octets: Bytes) {
        if self.pieces.is_empty() && octets.len() <= COPIED {
            self.front.extend_from_slice(&octets);
        } else if !octets.is_empty() {
            self.queue(octets);
        }
    }

    fn queue(&mut self, octets: Bytes) {
        self.waiting += octets.len();
        self.pieces.push_back(octets);
    }

    /// Everything gathered so far, for use again.
    #[must_use]
    pub fn into_octets(self) -> Bytes {
        self.pieces
            .into_iter()
            .fold(self.front, |mut all, piece| {
                all.extend_from_slice(&piece);
                all
            })
            .freeze()
    }

    /// Writes all of it.
    pub(crate) fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut T,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let stream = Pin::new(&mut *stream);
            let written = if self.pieces.is_empty() {
                ready!(stream.poll_write(context, &self.front))?
            } else {
                let mut slices = [IoSlice::new(&[]); PIECES + 1];
                let all =
                    std::iter::once(&self.front[..]).chain(self.pieces.iter().map(|p| &p[..]));
                for (slice, octets) in slices.iter_mut().zip(all) {
                    *slice = IoSlice::new(octets);
                }
                ready!(stream.poll_write_vectored(context, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        // What a rare large head took is not held for as long as the connection lasts.
        if self.front.capacity() > 2 * GATHERED {
            self.front = BytesMut::new();
        }
        self.front.clear();
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        let of_front = written.min(self.front.len());
        self.front.advance(of_front);
        written -= of_front;
        self.waiting = self.waiting.saturating_sub(written);
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn in_order_through_a_narrow_pipe() {
        let (mut near, mut far) = tokio::io::duplex(1_000);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut far, &mut all).await.unwrap();
            all
        });
        let mut output = Output::default();
        output.begin(StatusCode::OK, &HeaderMap::new());
        output.push(Bytes::from_static(b"small"));
        output.push(Bytes::from(vec![b'x'; 40_000]));
        output.add(b"and");
        output.push(Bytes::from(vec![b'y'; 40_000]));
        output.push(Bytes::from_static(b"end"));
        assert!(!output.is_full());
        output.push(Bytes::from(vec![b'z'; WAITING]));
        assert!(output.is_full());
        std::future::poll_fn(|context| output.poll_write(&mut near, context)).await.unwrap();
        assert!(output.is_empty() && !output.is_full());
        drop(near);
        let (x, y, z) = ([b'x'; 40_000], [b'y'; 40_000], vec![b'z'; WAITING]);
        let expected = [&b"HTTP/1.1 200 OK\r\nsmall"[..], &x, b"and", &y, b"end", &z].concat();
        assert!(reading.await.unwrap() == expected);
    }
}
