//! What is on its way to a client: small pieces gathered, large ones passed on as they are.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite;

/// Pieces up to this are copied behind the head: a system call with one buffer is cheaper than one
/// with several.
const COPIED: usize = 4 << 10;

/// Octets gathered before they are written.
const GATHERED: usize = 16 << 10;

/// Octets to be written: `front`, then `large`, then `tail`.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) front: BytesMut,
    large: Bytes,
    tail: &'static [u8],
}

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.large.is_empty() && self.tail.is_empty()
    }

    /// Whether the next piece has to wait until what is here has been written.
    pub(crate) fn is_full(&self) -> bool {
        !self.large.is_empty() || !self.tail.is_empty() || self.front.len() >= GATHERED
    }

    /// Adds `octets` and what follows them. Only while it is not full.
    pub(crate) fn push(&mut self, octets: Bytes, tail: &'static [u8]) {
        if octets.len() <= COPIED {
            self.front.extend_from_slice(&octets);
            self.front.extend_from_slice(tail);
        } else {
            (self.large, self.tail) = (octets, tail);
        }
    }

    /// Writes all of it.
    pub(crate) fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut T,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let stream = Pin::new(&mut *stream);
            let mut written = if self.large.is_empty() && self.tail.is_empty() {
                ready!(stream.poll_write(context, &self.front))?
            } else {
                let pieces =
                    [IoSlice::new(&self.front), IoSlice::new(&self.large), IoSlice::new(self.tail)];
                ready!(stream.poll_write_vectored(context, &pieces))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_front = written.min(self.front.len());
            self.front.advance(of_front);
            written -= of_front;
            let of_large = written.min(self.large.len());
            self.large.advance(of_large);
            written -= of_large;
            self.tail = self.tail.get(written..).unwrap_or_default();
        }
        // What a rare large head took is not held for as long as the connection lasts.
        if self.front.capacity() > 2 * GATHERED {
            self.front = BytesMut::new();
        }
        self.front.clear();
        Poll::Ready(Ok(()))
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
        output.front.extend_from_slice(b"head");
        output.push(Bytes::from_static(b"small"), b"\r\n");
        assert!(!output.is_full());
        output.push(Bytes::from(vec![b'x'; 40_000]), b"end");
        assert!(output.is_full());
        std::future::poll_fn(|context| output.poll_write(&mut near, context)).await.unwrap();
        assert!(output.is_empty());
        drop(near);
        let expected = [&b"headsmall\r\n"[..], &[b'x'; 40_000], b"end"].concat();
        assert!(reading.await.unwrap() == expected);
    }
}
