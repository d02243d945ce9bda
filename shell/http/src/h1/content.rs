//! A request's content as it arrives: taken out of its framing, octet for octet (RFC 9112 6 and 7).

use bytes::{Buf as _, Bytes, BytesMut};

use super::head::Length;

/// Octets of a chunk's line with its extensions, and of all trailers together.
const LINE_MAX: usize = 4 << 10;
const TRAILERS_MAX: usize = 16 << 10;

/// Most octets handed on at once.
const PIECE: usize = 64 << 10;

/// What is left of a request's content.
#[derive(Debug)]
pub(crate) struct Content(State);

#[derive(Debug)]
enum State {
    /// So many octets.
    Octets(u64),
    /// The line of a chunk's size.
    Size,
    /// So many octets of a chunk.
    Chunk(u64),
    /// The end of a chunk's line.
    ChunkEnd,
    /// Trailers, of which so many octets came.
    Trailers(usize),
    Over,
}

/// The next of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Octets(Bytes),
    /// More has to arrive first.
    Wanting,
    Over,
}

/// The framing is broken; in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) &'static str);

impl Content {
    pub(crate) fn new(length: Length) -> Self {
        Self(match length {
            Length::Known(octets) => State::Octets(octets),
            Length::Chunked => State::Size,
        })
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.0, State::Over | State::Octets(0))
    }

    /// Takes the next from `input`. Trailers are left out (RFC 9110 6.5.1).
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Next, Broken> {
        loop {
            match &mut self.0 {
                State::Octets(0) | State::Over => return Ok(Next::Over),
                State::Octets(left) | State::Chunk(left) if *left > 0 => {
                    return Ok(take(left, input));
                }
                State::Octets(_) | State::Chunk(_) => self.0 = State::ChunkEnd,
                State::ChunkEnd => match input.get(..2) {
                    Some(b"\r\n") => {
                        input.advance(2);
                        self.0 = State::Size;
                    }
                    Some(_) => return Err(Broken("a chunk is longer than it says")),
                    None if input.first().is_some_and(|octet| *octet != b'\r') => {
                        return Err(Broken("a chunk is longer than it says"));
                    }
                    None => return Ok(Next::Wanting),
                },
                State::Size => {
                    let Some(line) = line(input, LINE_MAX)? else { return Ok(Next::Wanting) };
                    self.0 = match size(&line)? {
                        0 => State::Trailers(0),
                        size => State::Chunk(size),
                    };
                }
                State::Trailers(seen) => {
                    let Some(line) = line(input, LINE_MAX)? else { return Ok(Next::Wanting) };
                    *seen += line.len() + 2;
                    if line.is_empty() {
                        self.0 = State::Over;
                    } else if *seen > TRAILERS_MAX {
                        return Err(Broken("the trailers are too long"));
                    } else if !is_field(&line) {
                        return Err(Broken("a trailer is no field"));
                    }
                }
            }
        }
    }
}

fn take(left: &mut u64, input: &mut BytesMut) -> Next {
    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(PIECE).min(input.len());
    if most == 0 {
        return Next::Wanting;
    }
    *left -= most as u64;
    Next::Octets(input.split_to(most).freeze())
}

/// The next line without its end.
fn line(input: &mut BytesMut, most: usize) -> Result<Option<BytesMut>, Broken> {
    let Some(at) = memchr::memchr(b'\n', input) else {
        return if input.len() > most { Err(Broken("a line is too long")) } else { Ok(None) };
    };
    if at > most {
        return Err(Broken("a line is too long"));
    }
    let mut line = input.split_to(at + 1);
    line.truncate(at);
    if line.last() != Some(&b'\r') {
        return Err(Broken("a line does not end with CR LF"));
    }
    line.truncate(at.saturating_sub(1));
    if line.contains(&b'\r') {
        return Err(Broken("a line has a CR in it"));
    }
    Ok(Some(line))
}

/// Whether `line` would be a field of a head.
fn is_field(line: &[u8]) -> bool {
    let head = [line, b"\r\n\r\n"].concat();
    let mut room = [httparse::EMPTY_HEADER; 1];
    matches!(httparse::parse_headers(&head, &mut room), Ok(httparse::Status::Complete((_, [_]))))
}

/// A chunk's size; extensions are passed over (RFC 9112 7.1.1).
fn size(line: &[u8]) -> Result<u64, Broken> {
    const NONE: Broken = Broken("a chunk's size is no number");
    let digits = line.iter().take_while(|octet| octet.is_ascii_hexdigit()).count();
    // Sixteen digits fill 64 bits; a chunk of an exabyte is none.
    let (size, rest) = line.split_at_checked(digits).ok_or(NONE)?;
    if !(1..=15).contains(&size.len()) {
        return Err(NONE);
    }
    let size = std::str::from_utf8(size).map_err(|_| NONE)?;
    match rest.trim_ascii_start().first() {
        None if rest.is_empty() => {}
        Some(b';') => {}
        None | Some(_) => return Err(NONE),
    }
    u64::from_str_radix(size, 16).map_err(|_| NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of `text`, and what is left of it, whole and octet by octet.
    fn check(length: Length, text: &str, expected: Result<(&str, &str), &str>) {
        let mut found = Vec::new();
        for step in [text.len().max(1), 1] {
            let (mut content, mut input) = (Content::new(length), BytesMut::new());
            let (mut out, mut end) = (Vec::new(), None);
            for piece in text.as_bytes().chunks(step) {
                input.extend_from_slice(piece);
                while end.is_none() {
                    match content.next(&mut input) {
                        Ok(Next::Octets(octets)) => out.extend_from_slice(&octets),
                        Ok(Next::Wanting) => break,
                        Ok(Next::Over) => end = Some(Ok(())),
                        Err(broken) => end = Some(Err(broken.0)),
                    }
                }
            }
            let out = String::from_utf8(out).unwrap();
            let rest = String::from_utf8(input.to_vec()).unwrap();
            found.push(match end {
                Some(Ok(())) => Ok((out, rest)),
                Some(Err(broken)) => Err(broken),
                None => Err("wanting"),
            });
        }
        assert_eq!(found[0], found[1], "{text:?}");
        let expected = expected.map(|(out, rest)| (out.to_owned(), rest.to_owned()));
        assert_eq!(found[0], expected, "{text:?}");
    }

    #[test]
    fn by_length() {
        check(Length::Known(4), "four", Ok(("four", "")));
        check(Length::Known(4), "fourGET", Ok(("four", "GET")));
        check(Length::Known(4), "fou", Err("wanting"));
    }

    #[test]
    fn by_chunks() {
        fn check(text: &str, expected: Result<(&str, &str), &str>) {
            tests::check(Length::Chunked, text, expected);
        }
        check("4\r\nfour\r\n0\r\n\r\nGET", Ok(("four", "GET")));
        check("1\r\na\r\nA;x=y\r\n0123456789\r\n00 ;z\r\nt: u\r\n\r\n", Ok(("a0123456789", "")));
        check("4\r\nfour\r\n0\r\n", Err("wanting"));
        for line in ["no field", "a : b", " a: b", "a: \0"] {
            assert!(!is_field(line.as_bytes()), "{line:?}");
        }
        check("0\r\nno field\r\n\r\n", Err("a trailer is no field"));
        check("4\r\nfour5\r\n", Err("a chunk is longer than it says"));
        check("4\nfour\r\n0\r\n\r\n", Err("a line does not end with CR LF"));
        check("4;a\rb\r\nfour\r\n0\r\n\r\n", Err("a line has a CR in it"));
        for size in ["", "x", "-1", "+1", "0x4", " 4", "4 x", "1234567890123456", "4,4"] {
            let text = format!("{size}\r\nfour\r\n");
            check(&text, Err("a chunk's size is no number"));
        }
        let long = format!("4;{}\r\n", "x".repeat(5_000));
        check(&long, Err("a line is too long"));
    }
}
