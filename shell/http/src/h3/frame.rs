//! Frames, and what may be on the streams of one direction (RFC 9114 6.2, 7.2; RFC 9204 4.2).

use super::code::Code;

pub(super) const DATA: u64 = 0x0;
pub(super) const HEADERS: u64 = 0x1;
const CANCEL_PUSH: u64 = 0x3;
pub(super) const SETTINGS: u64 = 0x4;
const PUSH_PROMISE: u64 = 0x5;
pub(super) const GOAWAY: u64 = 0x7;
const MAX_PUSH_ID: u64 = 0xd;
/// Frames of HTTP/2 without a counterpart (RFC 9114 7.2.8).
const OF_HTTP2: [u64; 4] = [0x2, 0x6, 0x8, 0x9];

/// Settings of HTTP/2 without a counterpart (RFC 9114 7.2.4.1, 11.2.2).
const SETTINGS_OF_HTTP2: [u64; 5] = [0x0, 0x2, 0x3, 0x4, 0x5];
/// The longest field section that is taken (RFC 9114 7.2.4.1).
pub(super) const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
/// Octets of a SETTINGS frame: many times what anybody has to set.
const SETTINGS_MAX: u64 = 4 << 10;
/// The longest frame with one number in it.
const NUMBER_MAX: u64 = 8;

/// Octets of a number by its first octet (RFC 9000 16).
pub(super) fn length_of(first: u8) -> usize {
    1 << (first >> 6)
}

/// The number that `octets` are, all of them.
pub(super) fn number(octets: &[u8]) -> Option<u64> {
    let (first, rest) = octets.split_first()?;
    if octets.len() != length_of(*first) {
        return None;
    }
    Some(rest.iter().fold(u64::from(first & 0x3f), |sum, octet| (sum << 8) | u64::from(*octet)))
}

/// Takes a number off the front of `octets`.
fn take_number(octets: &mut &[u8]) -> Option<u64> {
    let (front, rest) = octets.split_at_checked(length_of(*octets.first()?))?;
    *octets = rest;
    number(front)
}

/// Adds a number in its shortest form.
pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    let octets = number.to_be_bytes();
    let (bits, length) = match number {
        0..0x40 => (0x00, 1),
        0x40..0x4000 => (0x40, 2),
        0x4000..0x4000_0000 => (0x80, 4),
        _ => (0xc0, 8),
    };
    let start = out.len();
    out.extend(octets.iter().skip(octets.len() - length));
    if let Some(first) = out.get_mut(start) {
        *first |= bits;
    }
}

/// Whether a frame that is none of ours may stand on a request stream: those that nobody knows may.
pub(super) fn on_request(kind: u64) -> Result<(), Code> {
    match kind {
        CANCEL_PUSH | SETTINGS | PUSH_PROMISE | GOAWAY | MAX_PUSH_ID => Err(Code::FrameUnexpected),
        _ if OF_HTTP2.contains(&kind) => Err(Code::FrameUnexpected),
        _ => Ok(()),
    }
}

/// What to do with a frame's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Read it and hand it to [`Control::frame`].
    Read,
    /// Leave it out.
    Skip,
}

/// A client's control stream (RFC 9114 6.2.1).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Control {
    settled: bool,
    /// The most pushes that the client has allowed; there are none.
    pushes: Option<u64>,
    /// What the client's GOAWAY said last.
    leaving: Option<u64>,
}

impl Control {
    /// A frame begins.
    ///
    /// # Errors
    /// It may not stand here, or is longer than it can be.
    pub(super) fn begins(&mut self, kind: u64, length: u64) -> Result<Content, Code> {
        match kind {
            SETTINGS if self.settled => Err(Code::FrameUnexpected),
            SETTINGS if length > SETTINGS_MAX => Err(Code::ExcessiveLoad),
            SETTINGS => Ok(Content::Read),
            _ if !self.settled => Err(Code::MissingSettings),
            DATA | HEADERS | PUSH_PROMISE => Err(Code::FrameUnexpected),
            _ if OF_HTTP2.contains(&kind) => Err(Code::FrameUnexpected),
            CANCEL_PUSH | GOAWAY | MAX_PUSH_ID if length > NUMBER_MAX => Err(Code::Frame),
            CANCEL_PUSH | GOAWAY | MAX_PUSH_ID => Ok(Content::Read),
            _ => Ok(Content::Skip),
        }
    }

    /// A frame's content is here.
    ///
    /// # Errors
    /// It cannot be read, or says what it may not.
    pub(super) fn frame(&mut self, kind: u64, content: &[u8]) -> Result<(), Code> {
        if kind == SETTINGS {
            self.settled = true;
            return settings(content);
        }
        let number = number(content).ok_or(Code::Frame)?;
        match kind {
            MAX_PUSH_ID if self.pushes.is_some_and(|before| number < before) => Err(Code::Id),
            MAX_PUSH_ID => {
                self.pushes = Some(number);
                Ok(())
            }
            GOAWAY if self.leaving.is_some_and(|before| number > before) => Err(Code::Id),
            GOAWAY => {
                self.leaving = Some(number);
                Ok(())
            }
            // Nothing was ever promised.
            CANCEL_PUSH => Err(Code::Id),
            _ => Ok(()),
        }
    }
}

/// Checks settings. None of them changes what is sent: the dynamic table of the client's decoder is
/// not used, and a client that takes only short heads has to live with ours (RFC 9114 4.2.2).
fn settings(mut content: &[u8]) -> Result<(), Code> {
    let mut seen = Vec::new();
    while !content.is_empty() {
        let setting = take_number(&mut content).ok_or(Code::Frame)?;
        take_number(&mut content).ok_or(Code::Frame)?;
        if SETTINGS_OF_HTTP2.contains(&setting) {
            return Err(Code::Settings);
        }
        seen.push(setting);
    }
    seen.sort_unstable();
    if seen.is_sorted_by(|one, next| one < next) { Ok(()) } else { Err(Code::Settings) }
}

/// Checks a client's instructions to our decoder (RFC 9204 4.3). It was told that the table has no
/// room, so all that may come is the table's size, 0.
///
/// # Errors
/// Anything else.
pub(super) fn to_decoder(octets: &[u8]) -> Result<(), Code> {
    const NO_ROOM: u8 = 0x20;
    if octets.iter().all(|octet| *octet == NO_ROOM) { Ok(()) } else { Err(Code::EncoderStream) }
}

/// A client's instructions to our encoder (RFC 9204 4.4), which never refers to the dynamic table:
/// all that may come is that a stream was cancelled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ToEncoder {
    /// Octets of a stream's number so far, while it goes on.
    within: Option<u8>,
}

impl ToEncoder {
    /// The next octets.
    ///
    /// # Errors
    /// An acknowledgement of what was never sent, or a number that is too long.
    pub(super) fn take(&mut self, octets: &[u8]) -> Result<(), Code> {
        const STREAM_MAX: u8 = 10;
        for octet in octets {
            self.within = match self.within {
                None if octet & 0xc0 != 0x40 => return Err(Code::DecoderStream),
                None => (*octet == 0x7f).then_some(1),
                Some(STREAM_MAX) => return Err(Code::DecoderStream),
                Some(count) => (octet & 0x80 != 0).then_some(count + 1),
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        // The examples of RFC 9000 A.1.
        let examples: [(u64, &[u8]); 4] = [
            (151_288_809_941_952_652, &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (15_293, &[0x7b, 0xbd]),
            (37, &[0x25]),
        ];
        for (value, octets) in examples {
            assert_eq!(number(octets), Some(value));
            let mut out = Vec::new();
            put_number(&mut out, value);
            assert_eq!(out, octets);
        }
        for bad in [&[][..], &[0x40], &[0x25, 0], &[0xc0; 7]] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn control() {
        let mut control = Control::default();
        assert_eq!(control.begins(MAX_PUSH_ID, 1), Err(Code::MissingSettings));
        assert_eq!(control.begins(0x21, 1), Err(Code::MissingSettings));
        assert_eq!(control.begins(SETTINGS, 1 << 20), Err(Code::ExcessiveLoad));
        assert_eq!(control.begins(SETTINGS, 0), Ok(Content::Read));
        assert_eq!(control.frame(SETTINGS, &[]), Ok(()));
        assert_eq!(control.begins(SETTINGS, 0), Err(Code::FrameUnexpected));
        for kind in [DATA, HEADERS, PUSH_PROMISE, 0x2, 0x6, 0x8, 0x9] {
            assert_eq!(control.begins(kind, 1), Err(Code::FrameUnexpected), "{kind}");
        }
        assert_eq!(control.begins(0x21, 1 << 40), Ok(Content::Skip));
        assert_eq!(control.begins(GOAWAY, 9), Err(Code::Frame));
        assert_eq!(control.frame(GOAWAY, &[4]), Ok(()));
        assert_eq!(control.frame(GOAWAY, &[5]), Err(Code::Id));
        assert_eq!(control.frame(MAX_PUSH_ID, &[7]), Ok(()));
        assert_eq!(control.frame(MAX_PUSH_ID, &[7]), Ok(()));
        assert_eq!(control.frame(MAX_PUSH_ID, &[6]), Err(Code::Id));
        assert_eq!(control.frame(MAX_PUSH_ID, &[7, 0]), Err(Code::Frame));
        assert_eq!(control.frame(CANCEL_PUSH, &[0]), Err(Code::Id));
    }

    #[test]
    fn settings_that_may_not_be() {
        assert_eq!(settings(&[6, 40, 1, 0, 0x21, 7]), Ok(()));
        assert_eq!(settings(&[6, 40, 1, 0, 6, 40]), Err(Code::Settings));
        assert_eq!(settings(&[6]), Err(Code::Frame));
        assert_eq!(settings(&[6, 0x40]), Err(Code::Frame));
        for setting in SETTINGS_OF_HTTP2 {
            assert_eq!(settings(&[u8::try_from(setting).unwrap(), 0]), Err(Code::Settings));
        }
    }

    #[test]
    fn instructions() {
        assert_eq!(to_decoder(&[0x20, 0x20]), Ok(()));
        for bad in [0x21, 0x3f, 0xc0, 0x40, 0x00] {
            assert_eq!(to_decoder(&[0x20, bad]), Err(Code::EncoderStream));
        }
        let mut encoder = ToEncoder::default();
        assert_eq!(encoder.take(&[0x40, 0x44, 0x7f, 0x80]), Ok(()));
        assert_eq!(encoder.take(&[0x01, 0x48]), Ok(()));
        for bad in [&[0x00][..], &[0x01], &[0x80], &[0x7f, 0xff, 0xff]] {
            let endless = [bad, &[0xff; 10]].concat();
            assert_eq!(encoder.take(&endless), Err(Code::DecoderStream), "{bad:?}");
            encoder = ToEncoder::default();
        }
    }
}
