//! Text cut into entries and words, each with its place.

use std::borrow::Cow;

use bytes::Bytes;
use domain::base::iana::Rtype;
use domain::base::name::Name as WireName;
use domain::base::rdata::ComposeRecordData;
use domain::zonefile::inplace::{Entry, Zonefile};

use super::{ALIAS, Wrong, forms};
use crate::name::{Name, QName};
use crate::ttl::parse_ttl;

/// A word of a zone file and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) text: &'a [u8],
    pub(super) line: u32,
    pub(super) column: u32,
    /// Where the text after it begins, in the entry.
    pub(super) end: usize,
    /// Parentheses open after it.
    pub(super) depth: usize,
}

impl Token<'_> {
    /// The column of its last octet.
    pub(super) fn after(&self) -> u32 {
        self.column.saturating_add(u32::try_from(self.text.len()).unwrap_or(0)).saturating_sub(1)
    }

    pub(super) fn name(&self, origin: &QName) -> Result<QName, Wrong> {
        if self.text == b"@" {
            return Ok(*origin);
        }
        let wrong = || self.wrong("is no domain name");
        let mut text = String::from_utf8(self.text.to_vec()).map_err(|_| wrong())?;
        // A final dot counts unless it is escaped.
        if !text.ends_with('.') || text.ends_with("\\.") {
            text.push('.');
            text.push_str(origin.to_string().trim_start_matches('.'));
        }
        let name: Name = text.parse().map_err(|_| wrong())?;
        QName::read(name.as_wire()).ok_or_else(wrong)
    }

    pub(super) fn wrong(&self, what: &str) -> Wrong {
        (self.line, self.column, format!("{:?} {what}", String::from_utf8_lossy(self.text)))
    }
}

/// One entry: a line, or several held together by parentheses.
pub(super) struct LogicalLine<'a> {
    pub(super) text: &'a [u8],
    pub(super) line: u32,
    /// The entry begins with a blank: its owner is that of the entry before.
    pub(super) indented: bool,
    /// Its first words: an entry's head has at most four.
    pub(super) head: Vec<Token<'a>>,
}

impl LogicalLine<'_> {
    /// Puts the data after the type's `token`, in wire form, into `rdata`.
    pub(super) fn rdata(
        &self,
        rtype: Rtype,
        token: &Token<'_>,
        origin: &QName,
        rdata: &mut Vec<u8>,
    ) -> Result<(), Wrong> {
        let (rtype, shown) = match rtype {
            ALIAS => (Rtype::CNAME, "ALIAS".to_owned()),
            _ => (rtype, rtype.to_string()),
        };
        let mut text = format!(". 0 IN {rtype}{}", "(".repeat(token.depth)).into_bytes();
        let rest = self.text.get(token.end..).unwrap_or_default();
        if let Some(wrong) = empty_label(rest, rtype, token) {
            return Err(wrong);
        }
        if let Some(read) = forms::read(rtype, rest, token, origin, rdata) {
            return read;
        }
        let plain = with_origin(rest, rtype, token, origin);
        if rtype == Rtype::SOA {
            text.extend_from_slice(&plain_times(&plain));
        } else {
            text.extend_from_slice(&plain);
        }
        text.push(b'\n');
        let mut file = Zonefile::from(text.as_slice());
        if let Ok(origin) = WireName::from_octets(Bytes::copy_from_slice(origin.as_wire())) {
            file.set_origin(origin);
        }
        let record = match file.next_entry() {
            Ok(Some(Entry::Record(record))) => record,
            Ok(_) => return Err(token.wrong("has no data")),
            Err(error) => return Err(locate(&text, rest, token, &shown, &error.to_string())),
        };
        rdata.clear();
        let composed = record.data().compose_rdata(rdata);
        if composed.is_err() || u16::try_from(rdata.len()).is_err() {
            return Err(token.wrong("has more data than a record can hold"));
        }
        Ok(())
    }
}

/// The place in the file of a mistake that the scanner found in `text`, which was made of `rest`.
///
/// The scanner tells where it stands, which is behind the word it dislikes unless that word is
/// one too many; words have the same order in both texts, so the word's number leads back.
fn locate(text: &[u8], rest: &[u8], token: &Token<'_>, rtype: &str, error: &str) -> Wrong {
    let (line, column, what) = place(error);
    let too_many = u32::from(what.contains("trailing"));
    let before = |word: &&Token<'_>| (word.line, word.column) < (line, column + too_many);
    let number = cut(text, 1, 0, usize::MAX).words.iter().filter(before).count();
    let words = cut(rest, token.line, token.depth, usize::MAX).words;
    // ". 0 IN TYPE" stands before the data.
    let found = words.get(number.saturating_sub(5)).filter(|_| number > 4);
    let (line, column) = match found {
        Some(word) if word.line == token.line => (word.line, token.after() + word.column),
        Some(word) => (word.line, word.column),
        None => (token.line, token.column),
    };
    (line, column, format!("{rtype}: {what}"))
}

/// Takes a scanner's message `LINE:COLUMN: WORDS` apart.
fn place(message: &str) -> (u32, u32, String) {
    let mut parts = message.splitn(3, ':');
    let mut number = || parts.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let (line, column) = (number(), number());
    (line, column, parts.next().unwrap_or(message).trim().to_owned())
}

/// Types with names in their data that people write.
const NAMING: [Rtype; 12] = [
    Rtype::NS,
    Rtype::CNAME,
    Rtype::SOA,
    Rtype::PTR,
    Rtype::MX,
    Rtype::RP,
    Rtype::AFSDB,
    Rtype::SRV,
    Rtype::NAPTR,
    Rtype::DNAME,
    Rtype::SVCB,
    Rtype::HTTPS,
];

/// A name with two dots in a row, or one in front: the scanner would end it there in silence.
fn empty_label(rest: &[u8], rtype: Rtype, token: &Token<'_>) -> Option<Wrong> {
    if !NAMING.contains(&rtype) {
        return None;
    }
    let is_wrong = |word: &&Token<'_>| {
        let text = word.text;
        let doubled = text.windows(2).position(|pair| pair == b"..");
        let escaped = doubled.and_then(|at| text.get(at.checked_sub(1)?)) == Some(&b'\\');
        (doubled.is_some() && !escaped) || (text.len() > 1 && text.starts_with(b"."))
    };
    let words = cut(rest, token.line, token.depth, usize::MAX).words;
    let word = words.iter().find(is_wrong)?;
    let column = if word.line == token.line { token.after() } else { 0 };
    Some((word.line, column + word.column, word.wrong("has an empty label").2))
}

/// RFC 1035 5.1: `@` by itself is the origin, in data as in front; the scanner knows it in front
/// only.
fn with_origin<'a>(
    rest: &'a [u8],
    rtype: Rtype,
    token: &Token<'_>,
    origin: &QName,
) -> Cow<'a, [u8]> {
    if !rest.contains(&b'@') || !NAMING.contains(&rtype) {
        return Cow::Borrowed(rest);
    }
    let (mut out, mut done) = (Vec::with_capacity(rest.len() + 255), 0);
    for word in cut(rest, token.line, token.depth, usize::MAX).words {
        if word.text == b"@" {
            out.extend_from_slice(rest.get(done..word.end.saturating_sub(1)).unwrap_or_default());
            out.extend_from_slice(origin.to_string().as_bytes());
            done = word.end;
        }
    }
    out.extend_from_slice(rest.get(done..).unwrap_or_default());
    Cow::Owned(out)
}

/// The data of an SOA with every time in plain seconds.
fn plain_times(rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rest.len());
    let mut numbers = 0;
    for line in rest.split_inclusive(|octet| *octet == b'\n') {
        let (content, comment) =
            line.split_at(line.iter().position(|octet| *octet == b';').unwrap_or(line.len()));
        for word in content.split_inclusive(|o| matches!(o, b' ' | b'\t' | b'(' | b')' | b'\n')) {
            let end = word.len() - usize::from(word.ends_with_any());
            let (word, blank) = word.split_at(end);
            // Names and the serial stay as they are: the first three words.
            numbers += usize::from(!word.is_empty());
            match parse_ttl(word).filter(|_| numbers > 3) {
                Some(seconds) => out.extend_from_slice(seconds.to_string().as_bytes()),
                None => out.extend_from_slice(word),
            }
            out.extend_from_slice(blank);
        }
        out.extend_from_slice(comment);
    }
    out
}

trait EndsBlank {
    fn ends_with_any(&self) -> bool;
}

impl EndsBlank for [u8] {
    fn ends_with_any(&self) -> bool {
        self.last().is_some_and(|octet| matches!(octet, b' ' | b'\t' | b'(' | b')' | b'\n'))
    }
}

/// The first entry of `text`, which begins on `line`; its octets, and its lines.
pub(super) fn first(text: &[u8], line: u32) -> (Result<LogicalLine<'_>, Wrong>, usize, u32) {
    let piece = cut(text, line, 0, HEAD);
    let (octets, lines) = (piece.octets.min(text.len()), piece.lines);
    let text = text.get(..octets).unwrap_or(text);
    let indented = text.first().is_some_and(|octet| matches!(octet, b' ' | b'\t'));
    let entry = LogicalLine { text, line, indented, head: piece.words };
    (piece.wrong.map_or(Ok(entry), Err), octets, lines)
}

/// Owner, TTL, class and type: nobody looks at more words than these.
const HEAD: usize = 4;

/// A piece of text up to the line end that ends an entry.
pub(super) struct Piece<'a> {
    /// Its first words.
    pub(super) words: Vec<Token<'a>>,
    /// Lines it spans.
    lines: u32,
    /// Octets it spans, the line end included.
    octets: usize,
    wrong: Option<Wrong>,
}

/// The first entry of `text`, which begins on `line` inside `depth` parentheses; keeps its first
/// `keep` words.
pub(super) fn cut(text: &[u8], line: u32, depth: usize, keep: usize) -> Piece<'_> {
    let mut scan = Scan { at: 0, line, line_start: 0, depth, token: None, keep, words: Vec::new() };
    let mut quoted = false;
    let mut wrong = None;
    while let Some(&octet) = text.get(scan.at) {
        match octet {
            b'\n' if quoted => {
                wrong = Some(scan.here("the quotes do not end on their line"));
                scan.close(text);
                break;
            }
            b'"' => {
                quoted = !quoted;
                scan.open();
            }
            b'\\' => {
                scan.open();
                // Whatever follows belongs to the word, unless the line ends.
                scan.at += usize::from(text.get(scan.at + 1).is_some_and(|next| *next != b'\n'));
            }
            _ if quoted => {}
            b';' => {
                scan.close(text);
                let comment = text.get(scan.at..).unwrap_or_default();
                scan.at += comment.iter().position(|o| *o == b'\n').unwrap_or(comment.len());
                continue;
            }
            b'(' | b')' => {
                scan.close(text);
                if octet == b'(' {
                    scan.depth += 1;
                } else if scan.depth == 0 {
                    wrong = wrong.or(Some(scan.here("no parenthesis is open here")));
                } else {
                    scan.depth -= 1;
                }
            }
            b'\n' => {
                scan.close(text);
                if scan.depth == 0 {
                    break;
                }
                scan.line += 1;
                scan.line_start = scan.at + 1;
            }
            b' ' | b'\t' | b'\r' => scan.close(text),
            _ => scan.open(),
        }
        scan.at += 1;
    }
    scan.close(text);
    if scan.depth > 0 {
        wrong = wrong.or_else(|| Some((line, 1, "a parenthesis is never closed".to_owned())));
    }
    Piece { words: scan.words, lines: scan.line - line + 1, octets: scan.at + 1, wrong }
}

/// Where [`cut`] stands.
struct Scan<'a> {
    at: usize,
    line: u32,
    line_start: usize,
    depth: usize,
    token: Option<usize>,
    keep: usize,
    words: Vec<Token<'a>>,
}

impl<'a> Scan<'a> {
    fn open(&mut self) {
        self.token.get_or_insert(self.at);
    }

    /// Ends the word before the current octet, if there is one.
    fn close(&mut self, text: &'a [u8]) {
        if let (Some(start), true) = (self.token.take(), self.words.len() < self.keep) {
            self.words.push(Token {
                text: text.get(start..self.at).unwrap_or_default(),
                line: self.line,
                column: column(start.saturating_sub(self.line_start)),
                end: self.at,
                depth: self.depth,
            });
        }
    }

    fn here(&self, what: &str) -> Wrong {
        (self.line, column(self.at - self.line_start), what.to_owned())
    }
}

fn column(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX).saturating_add(1)
}
