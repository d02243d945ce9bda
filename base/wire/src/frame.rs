//! Frames: `popnet` conversation, version, then postcard. Over TCP a length goes before.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

/// First octet of every message: which conversation it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Conversation {
    /// [`crate::control`], over TCP with TLS or a Unix socket.
    Control = 0xC1,
    /// [`crate::probing`], QUIC datagrams.
    Probing = 0xC2,
    /// [`crate::logging`], QUIC streams.
    Logging = 0xC3,
}

/// The version of every conversation that this program speaks.
pub const VERSION: u8 = 1;

/// The largest frame over a stream, in octets: a configuration of some ten thousand sites.
pub const FRAME_MAX: usize = 32 << 20;

/// Why octets are not a message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first octet belongs to no conversation, or to another.
    #[error("not a message of this conversation")]
    Foreign,
    /// A version that this program does not speak.
    #[error("message of version {0}; this program speaks version {VERSION}")]
    Version(u8),
    /// The content does not decode, or has more after its end.
    #[error("damaged message")]
    Damaged,
    /// Longer than [`FRAME_MAX`].
    #[error("message of {0} octets; the limit is {FRAME_MAX}")]
    TooLong(usize),
}

/// The octets of `message`, without a length in front.
///
/// # Panics
/// Never for our own types: postcard only refuses sequences of unknown length.
#[must_use]
pub fn encode<T: Serialize>(conversation: Conversation, message: &T) -> Vec<u8> {
    let head = vec![conversation as u8, VERSION];
    postcard::to_extend(message, head).expect("our messages have known lengths")
}

/// The message in `octets`; everything must be used up.
///
/// # Errors
/// Says why `octets` are not a message of `conversation`.
pub fn decode<T: DeserializeOwned>(
    conversation: Conversation,
    octets: &[u8],
) -> Result<T, FrameError> {
    let [first, version, content @ ..] = octets else { return Err(FrameError::Foreign) };
    if *first != conversation as u8 {
        return Err(FrameError::Foreign);
    }
    if *version != VERSION {
        return Err(FrameError::Version(*version));
    }
    match postcard::take_from_bytes(content) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(FrameError::Damaged),
    }
}

/// `message` with its length as four octets in network order, for a stream.
#[must_use]
pub fn encode_stream<T: Serialize>(conversation: Conversation, message: &T) -> Bytes {
    let content = encode(conversation, message);
    let mut framed = BytesMut::with_capacity(4 + content.len());
    framed.put_u32(u32::try_from(content.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(&content);
    framed.freeze()
}

/// Takes the first whole frame off `buffer`, or `None` until more octets have come.
///
/// # Errors
/// [`FrameError::TooLong`] before anything of that size is buffered.
pub fn take_frame(buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length > FRAME_MAX {
        return Err(FrameError::TooLong(length));
    }
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        let octets = encode(Conversation::Control, &("hello", 7u32));
        assert_eq!(decode(Conversation::Control, &octets), Ok(("hello".to_owned(), 7u32)));
        assert_eq!(decode::<String>(Conversation::Probing, &octets), Err(FrameError::Foreign));
        let mut longer = octets.clone();
        longer.push(0);
        assert_eq!(
            decode::<(String, u32)>(Conversation::Control, &longer),
            Err(FrameError::Damaged)
        );
        for cut in 0..octets.len() {
            assert!(decode::<(String, u32)>(Conversation::Control, &octets[..cut]).is_err());
        }
    }

    #[test]
    fn frames_come_off_a_stream_one_by_one() {
        let mut buffer = BytesMut::new();
        buffer.extend_from_slice(&encode_stream(Conversation::Control, &1u8));
        buffer.extend_from_slice(&encode_stream(Conversation::Control, &2u8)[..5]);
        let first = take_frame(&mut buffer).unwrap().unwrap();
        assert_eq!(decode(Conversation::Control, &first), Ok(1u8));
        assert_eq!(take_frame(&mut buffer), Ok(None));
        let mut huge = BytesMut::from(&[0xff, 0xff, 0xff, 0xff][..]);
        assert!(matches!(take_frame(&mut huge), Err(FrameError::TooLong(_))));
    }
}
