//! Why a connection or a stream ends (RFC 9114 8.1, RFC 9204 6).

use quinn::VarInt;

/// An error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// Nothing is wrong.
    None = 0x100,
    /// Trouble here.
    Internal = 0x102,
    /// A stream that may not be opened.
    StreamCreation = 0x103,
    /// A stream that has to stay open ended.
    ClosedCritical = 0x104,
    /// A frame where it may not be.
    FrameUnexpected = 0x105,
    /// A frame that is cut, too long or too short.
    Frame = 0x106,
    /// The peer costs too much.
    ExcessiveLoad = 0x107,
    /// A push or stream number that may not be.
    Id = 0x108,
    /// Settings that may not be.
    Settings = 0x109,
    /// The control stream does not begin with settings.
    MissingSettings = 0x10a,
    /// Not looked at: may be sent again on another connection.
    RequestRejected = 0x10b,
    /// Nobody wants the answer any more.
    RequestCancelled = 0x10c,
    /// The request ended too early.
    RequestIncomplete = 0x10d,
    /// The request is malformed.
    Message = 0x10e,
    /// A field section that cannot be read.
    Decompression = 0x200,
    /// An instruction to our decoder that may not be.
    EncoderStream = 0x201,
    /// An instruction to our encoder that may not be.
    DecoderStream = 0x202,
}

impl From<Code> for VarInt {
    fn from(code: Code) -> Self {
        Self::from_u32(code as u32)
    }
}

/// What ends with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection.
    Connection(Code),
    /// One stream; the others go on.
    Stream(Code),
    /// The stream or connection has ended already, or nothing came for too long.
    Gone,
}

impl Broken {
    /// What the peer is told on the stream.
    pub(super) fn code(self) -> Code {
        match self {
            Self::Connection(code) | Self::Stream(code) => code,
            Self::Gone => Code::RequestCancelled,
        }
    }
}
