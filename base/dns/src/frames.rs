//! Frame Streams: how dnstap messages follow each other in a file or on a socket
//! (<https://farsightsec.github.io/fstrm/>). Data frames are a length and octets; control frames
//! have a length of 0 in front of their own.
//!
//! Into a file: `Start`, data, `Stop`. On a socket both sides speak: the writer says `Ready`, the
//! reader `Accept`, the writer `Start`, data and `Stop`, and the reader `Finish`.

/// What the data frames hold.
const CONTENT: &[u8] = b"protobuf:dnstap.Dnstap";
/// The field that says so.
const CONTENT_TYPE: u32 = 1;
/// No control frame is longer, says the format.
const CONTROL_MAX: usize = 512;
/// Escape, length, kind.
const HEAD: usize = 12;

/// What a control frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// A reader takes what it was offered.
    Accept,
    /// Data follows.
    Start,
    /// No data follows.
    Stop,
    /// A writer offers a kind of content.
    Ready,
    /// A reader has seen the end.
    Finish,
}

/// Why octets are no control frame that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Data, where only the other side's word can stand.
    #[error("no control frame")]
    Data,
    /// Its length is none that a control frame can have.
    #[error("a control frame of {0} octets")]
    Length(u32),
    /// A kind that nobody knows.
    #[error("a control frame of kind {0}")]
    Kind(u32),
    /// Its fields do not end where it does.
    #[error("a control frame with a broken field")]
    Field,
    /// The other side takes something else than dnstap.
    #[error("a reader that does not take dnstap")]
    Content,
}

impl Control {
    fn number(self) -> u32 {
        match self {
            Self::Accept => 1,
            Self::Start => 2,
            Self::Stop => 3,
            Self::Ready => 4,
            Self::Finish => 5,
        }
    }

    fn of(number: u32) -> Option<Self> {
        let all = [Self::Accept, Self::Start, Self::Stop, Self::Ready, Self::Finish];
        all.into_iter().find(|control| control.number() == number)
    }

    /// Whether it says what the data frames hold.
    fn has_content(self) -> bool {
        matches!(self, Self::Accept | Self::Start | Self::Ready)
    }

    /// Writes the frame, naming dnstap where a kind of content belongs.
    pub fn write(self, into: &mut Vec<u8>) {
        let content = CONTENT.len();
        let length = 4 + if self.has_content() { 8 + content } else { 0 };
        into.extend_from_slice(&0u32.to_be_bytes());
        into.extend_from_slice(&be(length));
        into.extend_from_slice(&self.number().to_be_bytes());
        if self.has_content() {
            into.extend_from_slice(&CONTENT_TYPE.to_be_bytes());
            into.extend_from_slice(&be(content));
            into.extend_from_slice(CONTENT);
        }
    }

    /// The control frame that `octets` begin with, and its length; `None`: its end has not come.
    ///
    /// # Errors
    /// It never will be one, or the other side wants another kind of content.
    pub fn read(octets: &[u8]) -> Result<Option<(Self, usize)>, ControlError> {
        let Some((escape, rest)) = octets.split_first_chunk::<4>() else { return Ok(None) };
        if *escape != [0; 4] {
            return Err(ControlError::Data);
        }
        let Some((length, rest)) = number(rest) else { return Ok(None) };
        let whole = usize::try_from(length).ok().filter(|n| (4..=CONTROL_MAX).contains(n));
        let whole = whole.ok_or(ControlError::Length(length))?;
        let Some(frame) = rest.get(..whole) else { return Ok(None) };
        let (kind, mut fields) = number(frame).ok_or(ControlError::Field)?;
        let control = Self::of(kind).ok_or(ControlError::Kind(kind))?;
        let (mut named, mut is_ours) = (false, false);
        while !fields.is_empty() {
            let (field, rest) = number(fields).ok_or(ControlError::Field)?;
            let (length, rest) = number(rest).ok_or(ControlError::Field)?;
            let length = usize::try_from(length).map_err(|_| ControlError::Field)?;
            let (value, rest) = rest.split_at_checked(length).ok_or(ControlError::Field)?;
            if field == CONTENT_TYPE {
                named = true;
                is_ours |= value == CONTENT;
            }
            fields = rest;
        }
        // Who names no content takes any.
        if control.has_content() && named && !is_ours {
            return Err(ControlError::Content);
        }
        Ok(Some((control, HEAD - 4 + whole)))
    }
}

/// Writes one data frame, whose octets `write` appends.
pub fn write_frame(into: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = into.len();
    into.extend_from_slice(&[0; 4]);
    write(into);
    let length = be(into.len() - at - 4);
    if let Some(place) = into.get_mut(at..at + 4) {
        place.copy_from_slice(&length);
    }
}

/// A length of ours: two DNS messages and some fields.
fn be(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn number(octets: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = octets.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(control: Control) -> Vec<u8> {
        let mut octets = Vec::new();
        control.write(&mut octets);
        octets
    }

    #[test]
    fn control_frames_are_read_as_written() {
        let all = [Control::Accept, Control::Start, Control::Stop, Control::Ready, Control::Finish];
        for control in all {
            let mut octets = written(control);
            for end in 0..octets.len() {
                assert_eq!(Control::read(&octets[..end]), Ok(None), "{control:?} {end}");
            }
            let length = octets.len();
            octets.extend_from_slice(b"more");
            assert_eq!(Control::read(&octets), Ok(Some((control, length))));
        }
        // As the format's own description has it: kind 3, nothing else.
        assert_eq!(written(Control::Stop), [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3]);
        let start = written(Control::Start);
        assert_eq!(start[..20], [0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 22]);
    }

    #[test]
    fn what_a_reader_may_not_say() {
        let frame = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>();
        for (words, error) in [
            (&[5][..], ControlError::Data),
            (&[0, 0], ControlError::Length(0)),
            (&[0, 513], ControlError::Length(513)),
            (&[0, u32::MAX], ControlError::Length(u32::MAX)),
            (&[0, 4, 9], ControlError::Kind(9)),
            (&[0, 8, 1, 1], ControlError::Field),
            (&[0, 12, 1, 1, 1], ControlError::Field),
            (&[0, 12, 1, 1, u32::MAX], ControlError::Field),
            (&[0, 16, 1, 1, 4, 0x666f_6f21], ControlError::Content),
        ] {
            assert_eq!(Control::read(&frame(words)), Err(error), "{words:?}");
        }
        // A reader that takes anything, and one with a field that nobody knows.
        assert_eq!(Control::read(&frame(&[0, 4, 1])), Ok(Some((Control::Accept, 12))));
        assert_eq!(Control::read(&frame(&[0, 12, 5, 7, 0])), Ok(Some((Control::Finish, 20))));
        // Two kinds of content, ours among them.
        let mut two = frame(&[0, 4 + 12 + 8 + 22, 1, 1, 4, 0, 1, 22]);
        two.extend_from_slice(CONTENT);
        assert_eq!(Control::read(&two), Ok(Some((Control::Accept, two.len()))));
    }

    #[test]
    fn data_frames() {
        let mut octets = vec![9];
        write_frame(&mut octets, |into| into.extend_from_slice(b"abc"));
        assert_eq!(octets, [9, 0, 0, 0, 3, b'a', b'b', b'c']);
    }
}
