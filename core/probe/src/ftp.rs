//! Replies of an FTP server (RFC 959 4.2), and where it offers a file (RFC 2428).
//!
//! The client is our own: a probe has to bound what a server says, and never follows it to
//! another address.

/// The longest line that is read, in octets.
pub const LINE_MAX: usize = 1_024;

/// Lines of one reply that are read; greetings have been seen with forty.
pub const LINES_MAX: usize = 100;

/// One line of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FtpLine<'a> {
    /// The reply's last line: its code and its text.
    Last(u16, &'a str),
    /// More follows.
    More,
    /// Not a reply.
    Foreign,
}

/// Reads one line, without its end. `open` is the code of a reply whose first line said that more
/// follows.
#[must_use]
pub fn ftp_line(line: &[u8], open: Option<u16>) -> FtpLine<'_> {
    let found = code(line);
    match (found, line.get(3), open) {
        (Some(code), Some(b' ') | None, None) => FtpLine::Last(code, text(line)),
        (Some(code), Some(b' ') | None, Some(open)) if code == open => {
            FtpLine::Last(code, text(line))
        }
        // Between the first and the last line anything may stand.
        (_, _, Some(_)) | (Some(_), Some(b'-'), None) => FtpLine::More,
        (_, _, None) => FtpLine::Foreign,
    }
}

/// The code that a first line has.
#[must_use]
pub fn ftp_code(line: &[u8]) -> Option<u16> {
    code(line)
}

/// The port in a reply to EPSV, `229 … (|||PORT|)`.
#[must_use]
pub fn extended_port(text: &str) -> Option<u16> {
    let (_, inside) = text.split_once('(')?;
    let (inside, _) = inside.split_once(')')?;
    let mark = inside.chars().next()?;
    let mut parts = inside.split(mark);
    let port = parts.nth(3)?.parse().ok()?;
    (port != 0).then_some(port)
}

/// The port in a reply to PASV, `227 … (h1,h2,h3,h4,p1,p2)`. The address is not used: a server may
/// not send us elsewhere.
#[must_use]
pub fn passive_port(text: &str) -> Option<u16> {
    let digits = |sign: char| sign.is_ascii_digit() || sign == ',';
    let list = text.split(|sign| !digits(sign)).find(|part| part.matches(',').count() == 5)?;
    let octets: Vec<u8> = list.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [.., high, low] = octets[..] else { return None };
    let port = u16::from_be_bytes([high, low]);
    (port != 0).then_some(port)
}

fn code(line: &[u8]) -> Option<u16> {
    let [first, second, third, ..] = line else { return None };
    let is_code = (b'1'..=b'5').contains(first);
    let digits = [first, second, third].map(|digit| u16::from(digit.wrapping_sub(b'0')));
    let [hundreds, tens, ones] = digits;
    (is_code && tens <= 9 && ones <= 9).then(|| hundreds * 100 + tens * 10 + ones)
}

fn text(line: &[u8]) -> &str {
    line.get(4..).and_then(|rest| std::str::from_utf8(rest).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn replies() {
        assert_eq!(ftp_line(b"220 hello", None), FtpLine::Last(220, "hello"));
        assert_eq!(ftp_line(b"220", None), FtpLine::Last(220, ""));
        assert_eq!(ftp_line(b"220-hello", None), FtpLine::More);
        assert_eq!(ftp_line(b"anything", Some(220)), FtpLine::More);
        assert_eq!(ftp_line(b"230 other", Some(220)), FtpLine::More);
        assert_eq!(ftp_line(b"220 end", Some(220)), FtpLine::Last(220, "end"));
        for foreign in [&b"HTTP/1.1 400"[..], b"", b"2", b"920 x", b"2x0 y", b"220x"] {
            assert_eq!(ftp_line(foreign, None), FtpLine::Foreign);
        }
    }

    #[test]
    fn ports() {
        assert_eq!(extended_port("Entering Extended Passive Mode (|||6446|)"), Some(6_446));
        assert_eq!(passive_port("Entering Passive Mode (127,0,0,1,200,10)."), Some(51_210));
        assert_eq!(passive_port("=127,0,0,1,0,21"), Some(21));
        for junk in ["", "(", "(|||99999|)", "(|||0|)", "()", "(1,2,3,4,5,256)", "(1,2,3,4,0,0)"] {
            assert_eq!((extended_port(junk), passive_port(junk)), (None, None), "{junk}");
        }
    }

    proptest! {
        #[test]
        fn junk_is_read(line in prop::collection::vec(any::<u8>(), 0..100), open: Option<u16>) {
            let _ = ftp_line(&line, open);
            let text = String::from_utf8_lossy(&line);
            let _ = (extended_port(&text), passive_port(&text));
        }
    }
}
