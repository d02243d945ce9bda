//! Frames on a stream of octets, with limits on size and time.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use popnet_wire::control::{Ask, Reply};
use popnet_wire::frame::{Conversation, FrameError, decode, encode_stream, take_frame};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Buffers start so large and grow as octets really come.
const FIRST_BUFFER: usize = 8 << 10;

/// An ask out of a frame's content. Takes any octets.
///
/// # Errors
/// They are no ask.
pub fn decode_ask(octets: &[u8]) -> Result<Ask, FrameError> {
    decode(Conversation::Control, octets)
}

/// A reply out of a frame's content. Takes any octets.
///
/// # Errors
/// They are no reply.
pub fn decode_reply(octets: &[u8]) -> Result<Reply, FrameError> {
    decode(Conversation::Control, octets)
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// Why no message came or went.
#[derive(Debug)]
pub(super) enum PipeError {
    Io(io::Error),
    Frame(FrameError),
    /// The other side ended the connection between two messages or inside one.
    Closed,
    Silent(Duration),
}

/// One connection.
pub(super) struct Pipe {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").finish_non_exhaustive()
    }
}

impl Pipe {
    pub(super) fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: BytesMut::with_capacity(FIRST_BUFFER) }
    }

    pub(super) async fn send<T: Serialize>(
        &mut self,
        message: &T,
        patience: Duration,
    ) -> Result<(), PipeError> {
        let octets = encode_stream(Conversation::Control, message);
        let write = async {
            self.stream.write_all(&octets).await?;
            self.stream.flush().await
        };
        match timeout(patience, write).await {
            Ok(written) => written.map_err(PipeError::Io),
            Err(_) => Err(PipeError::Silent(patience)),
        }
    }

    pub(super) async fn receive<T: DeserializeOwned>(
        &mut self,
        patience: Duration,
    ) -> Result<T, PipeError> {
        match timeout(patience, self.read_message()).await {
            Ok(message) => message,
            Err(_) => Err(PipeError::Silent(patience)),
        }
    }

    async fn read_message<T: DeserializeOwned>(&mut self) -> Result<T, PipeError> {
        loop {
            if let Some(frame) = take_frame(&mut self.buffer).map_err(PipeError::Frame)? {
                return decode(Conversation::Control, &frame).map_err(PipeError::Frame);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(PipeError::Closed),
                Ok(_) => {}
                Err(error) if is_end(&error) => return Err(PipeError::Closed),
                Err(error) => return Err(PipeError::Io(error)),
            }
        }
    }
}

/// A peer that ends without saying so in TLS has still only ended.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}
