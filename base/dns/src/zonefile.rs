//! Zone files (RFC 1035 5), with the place of each mistake.
//!
//! This module cuts the text into entries and understands their heads: directives, owners, TTLs
//! with units, classes. Record data is the `domain` crate's work, one entry at a time, so a
//! mistake costs its entry only and all of them are told at once. `$GENERATE` is refused in words.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytes::Bytes;
use domain::base::iana::{Class, Rtype};
use domain::base::name::{Name as WireName, ParsedName};
use domain::base::rdata::{ComposeRecordData, ParseAnyRecordData};
use domain::dep::octseq::Parser;
use domain::rdata::AllRecordData;
use domain::zonefile::inplace::{Entry, Zonefile};

use crate::name::Name;
use crate::response::text_of;
use crate::ttl::parse_ttl;

/// Files that include each other in a ring are stopped here.
const INCLUDE_DEPTH: usize = 8;

/// Mistakes told at once: more would scroll the first away.
const MISTAKES: usize = 20;

/// A zone as it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneFile {
    /// The zone's name.
    pub apex: Name,
    /// Its records, in the file's order.
    pub records: Vec<ZoneRecord>,
}

/// One record of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneRecord {
    /// Who owns it.
    pub owner: Name,
    /// Its type.
    pub rtype: Rtype,
    /// Seconds to keep it.
    pub ttl: u32,
    /// Its data, names uncompressed.
    pub rdata: Box<[u8]>,
    /// The line of its file that it begins on.
    pub line: u32,
}

/// Where a record comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The number of its file, in the order in which they were opened; 0 is the zone's own.
    pub file: u16,
    /// Its line, from 1; 0 where there is none.
    pub line: u32,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: u32,
    /// Its column, from 1.
    pub column: u32,
    /// In words.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.what)
    }
}

/// Reads the zone `apex` from `text`, which came from `file`. `open` gives the content of an
/// included file; a relative `$INCLUDE` is taken from the folder of the file that has it.
///
/// # Errors
/// Every mistake found, at most twenty; never an empty list.
pub fn read_zone(
    apex: &Name,
    file: &Path,
    text: &[u8],
    open: &mut dyn FnMut(&Path) -> Result<Vec<u8>, String>,
) -> Result<ZoneFile, Vec<Mistake>> {
    let mut reader = Reader { records: Vec::new(), mistakes: Vec::new(), open };
    reader.file(file, text, &mut Context::new(apex), 0);
    if reader.mistakes.is_empty() {
        check_apex(apex, file, &mut reader);
    }
    if reader.mistakes.is_empty() {
        Ok(ZoneFile { apex: apex.clone(), records: reader.records })
    } else {
        reader.mistakes.truncate(MISTAKES);
        Err(reader.mistakes)
    }
}

/// The data of a record as a zone file would write it.
#[must_use]
pub fn rdata_text(rtype: Rtype, rdata: &[u8]) -> String {
    let mut parser = Parser::from_ref(rdata);
    AllRecordData::<&[u8], ParsedName<&[u8]>>::parse_any_rdata(rtype, &mut parser)
        .map_or_else(|_| "?".to_owned(), |data| text_of(&data))
}

/// RFC 1035 5.2 and RFC 2181 10.1: one SOA, at the apex; an NS record there; nothing beside
/// a CNAME.
fn check_apex(apex: &Name, file: &Path, reader: &mut Reader<'_>) {
    let at_apex =
        |rtype| reader.records.iter().filter(move |r| r.rtype == rtype && r.owner == *apex).count();
    let (soas, servers) = (at_apex(Rtype::SOA), at_apex(Rtype::NS));
    let place = |what: String| Mistake { file: file.to_owned(), line: 1, column: 1, what };
    let soa = place(format!("zone {apex} needs exactly one SOA record at its top, it has {soas}"));
    let ns = place(format!("zone {apex} has no NS record at its top"));
    if soas != 1 {
        reader.mistakes.push(soa);
    }
    if servers == 0 {
        reader.mistakes.push(ns);
    }
    check_aliases(file, reader);
}

/// RFC 2181 10.1: a CNAME stands alone, save for what DNSSEC adds to it.
fn check_aliases(file: &Path, reader: &mut Reader<'_>) {
    let mut aliases = std::collections::BTreeMap::new();
    for record in reader.records.iter().filter(|record| record.rtype == Rtype::CNAME) {
        let first = aliases.entry(&record.owner).or_insert(record);
        if first.rdata != record.rdata {
            let what = format!("{} has two CNAME records", record.owner);
            reader.mistakes.push(Mistake {
                file: file.to_owned(),
                line: record.line,
                column: 1,
                what,
            });
        }
    }
    for record in &reader.records {
        let beside = matches!(record.rtype, Rtype::CNAME | Rtype::RRSIG | Rtype::NSEC);
        if let Some(alias) = aliases.get(&record.owner).filter(|_| !beside) {
            let what = format!("{} has a CNAME record and this {}", alias.owner, record.rtype);
            reader.mistakes.push(Mistake {
                file: file.to_owned(),
                line: record.line,
                column: 1,
                what,
            });
        }
    }
}

struct Reader<'a> {
    records: Vec<ZoneRecord>,
    mistakes: Vec<Mistake>,
    open: &'a mut dyn FnMut(&Path) -> Result<Vec<u8>, String>,
}

/// What earlier lines of a file mean for later ones.
#[derive(Clone)]
struct Context {
    apex: Name,
    origin: Name,
    owner: Option<Name>,
    /// From `$TTL`.
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
}

impl Context {
    fn new(apex: &Name) -> Self {
        Self {
            apex: apex.clone(),
            origin: apex.clone(),
            owner: None,
            default_ttl: None,
            last_ttl: None,
        }
    }
}

/// Words, and the column they are about.
type Wrong = (u32, u32, String);

impl Reader<'_> {
    fn file(&mut self, file: &Path, text: &[u8], context: &mut Context, depth: usize) {
        for entry in entries(text) {
            if self.mistakes.len() >= MISTAKES {
                return;
            }
            let done = match entry {
                Ok(entry) if entry.head.first().is_some_and(|t| t.text.starts_with(b"$")) => {
                    self.directive(file, &entry, context, depth)
                }
                Ok(entry) => self.record(&entry, context),
                Err(wrong) => Err(wrong),
            };
            if let Err((line, column, what)) = done {
                self.mistakes.push(Mistake { file: file.to_owned(), line, column, what });
            }
        }
    }

    fn directive(
        &mut self,
        file: &Path,
        entry: &LogicalLine<'_>,
        context: &mut Context,
        depth: usize,
    ) -> Result<(), Wrong> {
        let [directive, arguments @ ..] = entry.head.as_slice() else { return Ok(()) };
        let wrong = |what: &str| Err((directive.line, directive.column, what.to_owned()));
        let name = directive.text.to_ascii_uppercase();
        match (name.as_slice(), arguments) {
            (b"$ORIGIN", [origin]) => {
                context.origin = origin.name(&context.origin)?;
                Ok(())
            }
            (b"$TTL", [ttl]) => {
                let Some(seconds) = parse_ttl(ttl.text) else {
                    return Err(ttl.wrong("is no time to live"));
                };
                context.default_ttl = Some(seconds);
                Ok(())
            }
            (b"$INCLUDE", [path, rest @ ..]) if rest.len() <= 1 => {
                if depth >= INCLUDE_DEPTH {
                    return wrong("files include each other more than eight deep");
                }
                let path = String::from_utf8_lossy(path.text.trim_ascii()).replace('"', "");
                let path = file.parent().unwrap_or(Path::new("")).join(path);
                let mut inner = context.clone();
                if let [origin] = rest {
                    inner.origin = origin.name(&context.origin)?;
                }
                match (self.open)(&path) {
                    Ok(text) => self.file(&path, &text, &mut inner, depth + 1),
                    Err(why) => return wrong(&format!("cannot read {}: {why}", path.display())),
                }
                // RFC 1035 5.1: the origin of the including file stays.
                context.owner = inner.owner;
                Ok(())
            }
            (b"$GENERATE", _) => wrong("$GENERATE is not supported: write the records out"),
            (b"$ORIGIN" | b"$TTL" | b"$INCLUDE", _) => wrong("wrong number of arguments"),
            _ => wrong("unknown directive; known: $ORIGIN $TTL $INCLUDE"),
        }
    }

    fn record(&mut self, entry: &LogicalLine<'_>, context: &mut Context) -> Result<(), Wrong> {
        let mut tokens = entry.head.iter();
        if !entry.indented {
            let Some(token) = tokens.next() else { return Ok(()) };
            context.owner = Some(token.name(&context.origin)?);
        }
        let (ttl, rtype, token) = head(&mut tokens, entry)?;
        let Some(owner) = context.owner.clone() else {
            return Err(token.wrong("stands before the first owner name"));
        };
        if !owner.is_within(&context.apex) {
            let what = format!("{owner} does not belong to zone {}", context.apex);
            return Err((entry.line, 1, what));
        }
        let rdata = entry.rdata(rtype, token, &context.origin)?;
        // RFC 2308 4: without $TTL the SOA's last number is the zone's default.
        let minimum = || rdata.last_chunk::<4>().filter(|_| rtype == Rtype::SOA);
        let ttl = ttl
            .or(context.default_ttl)
            .or(context.last_ttl)
            .or_else(|| minimum().map(|octets| u32::from_be_bytes(*octets)))
            .ok_or_else(|| token.wrong("has no time to live, and there is no $TTL before it"))?;
        context.last_ttl = Some(ttl);
        self.records.push(ZoneRecord { owner, rtype, ttl, rdata, line: entry.line });
        Ok(())
    }
}

/// TTL and class in either order, then the type.
fn head<'e, 'a>(
    tokens: &mut impl Iterator<Item = &'e Token<'a>>,
    entry: &LogicalLine<'_>,
) -> Result<(Option<u32>, Rtype, &'e Token<'a>), Wrong> {
    let mut ttl = None;
    for token in tokens {
        let text = str::from_utf8(token.text).unwrap_or("?");
        if let Some(seconds) = parse_ttl(token.text).filter(|_| ttl.is_none()) {
            ttl = Some(seconds);
        } else if let Ok(class) = Class::from_str(text) {
            if class != Class::IN {
                return Err(token.wrong("is not class IN, the only one served"));
            }
        } else if let Ok(rtype) = Rtype::from_str(text) {
            if matches!(rtype, Rtype::OPT | Rtype::ANY | Rtype::AXFR | Rtype::IXFR) {
                return Err(token.wrong("is a type that no zone can hold"));
            }
            return Ok((ttl, rtype, token));
        } else {
            return Err(token.wrong("is neither a time to live, nor a class, nor a record type"));
        }
    }
    Err((entry.line, 1, "the record has no type".to_owned()))
}

/// A word of a zone file and its place.
#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    text: &'a [u8],
    line: u32,
    column: u32,
    /// Where the text after it begins, in the entry.
    end: usize,
    /// Parentheses open after it.
    depth: usize,
}

impl Token<'_> {
    /// The column of its last octet.
    fn after(&self) -> u32 {
        self.column.saturating_add(u32::try_from(self.text.len()).unwrap_or(0)).saturating_sub(1)
    }

    fn name(&self, origin: &Name) -> Result<Name, Wrong> {
        if self.text == b"@" {
            return Ok(origin.clone());
        }
        let wrong = || self.wrong("is no domain name");
        let mut text = String::from_utf8(self.text.to_vec()).map_err(|_| wrong())?;
        // A final dot counts unless it is escaped.
        if !text.ends_with('.') || text.ends_with("\\.") {
            text.push('.');
            text.push_str(origin.to_string().trim_start_matches('.'));
        }
        text.parse().map_err(|_| wrong())
    }

    fn wrong(&self, what: &str) -> Wrong {
        (self.line, self.column, format!("{:?} {what}", String::from_utf8_lossy(self.text)))
    }
}

/// One entry: a line, or several held together by parentheses.
struct LogicalLine<'a> {
    text: &'a [u8],
    line: u32,
    /// The entry begins with a blank: its owner is that of the entry before.
    indented: bool,
    /// Its first words: an entry's head has at most four.
    head: Vec<Token<'a>>,
}

impl LogicalLine<'_> {
    /// The data after the type's `token`, in wire form.
    fn rdata(&self, rtype: Rtype, token: &Token<'_>, origin: &Name) -> Result<Box<[u8]>, Wrong> {
        let mut text = format!(". 0 IN {rtype}{}", "(".repeat(token.depth)).into_bytes();
        let rest = self.text.get(token.end..).unwrap_or_default();
        if rtype == Rtype::SOA {
            text.extend_from_slice(&plain_times(rest));
        } else {
            text.extend_from_slice(rest);
        }
        text.push(b'\n');
        let mut file = Zonefile::from(text.as_slice());
        if let Ok(origin) = WireName::from_octets(Bytes::copy_from_slice(origin.as_wire())) {
            file.set_origin(origin);
        }
        let record = match file.next_entry() {
            Ok(Some(Entry::Record(record))) => record,
            Ok(_) => return Err(token.wrong("has no data")),
            Err(error) => return Err(locate(&text, rest, token, rtype, &error.to_string())),
        };
        let mut rdata = Vec::new();
        let composed = record.data().compose_rdata(&mut rdata);
        if composed.is_err() || u16::try_from(rdata.len()).is_err() {
            return Err(token.wrong("has more data than a record can hold"));
        }
        Ok(rdata.into())
    }
}

/// The place in the file of a mistake that the scanner found in `text`, which was made of `rest`.
///
/// The scanner tells where it stands, which is behind the word it dislikes unless that word is
/// one too many; words have the same order in both texts, so the word's number leads back.
fn locate(text: &[u8], rest: &[u8], token: &Token<'_>, rtype: Rtype, error: &str) -> Wrong {
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

/// The entries of a text, empty ones left out.
fn entries(text: &[u8]) -> impl Iterator<Item = Result<LogicalLine<'_>, Wrong>> {
    let mut rest = text;
    let mut line = 1u32;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let piece = cut(rest, line, 0, HEAD);
            let text = rest.get(..piece.octets).unwrap_or(rest);
            rest = rest.get(piece.octets..).unwrap_or_default();
            let indented = text.first().is_some_and(|octet| matches!(octet, b' ' | b'\t'));
            let entry = LogicalLine { text, line, indented, head: piece.words };
            line = line.saturating_add(piece.lines);
            match piece.wrong {
                Some(wrong) => return Some(Err(wrong)),
                None if entry.head.is_empty() => {}
                None => return Some(Ok(entry)),
            }
        }
    })
}

/// Owner, TTL, class and type: nobody looks at more words than these.
const HEAD: usize = 4;

/// A piece of text up to the line end that ends an entry.
struct Piece<'a> {
    /// Its first words.
    words: Vec<Token<'a>>,
    /// Lines it spans.
    lines: u32,
    /// Octets it spans, the line end included.
    octets: usize,
    wrong: Option<Wrong>,
}

/// The first entry of `text`, which begins on `line` inside `depth` parentheses; keeps its first
/// `keep` words.
fn cut(text: &[u8], line: u32, depth: usize, keep: usize) -> Piece<'_> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Vec<String>> {
        let apex = "example.test".parse().unwrap();
        let mut open = |path: &Path| match path.to_str() {
            Some("zones/more") => Ok(b"more A 192.0.2.9\nbad A x\n".to_vec()),
            Some("zones/ring") => Ok(b"$INCLUDE ring\n".to_vec()),
            Some("zones/good") => Ok(b"good A 192.0.2.8\n".to_vec()),
            _ => Err("no such file".to_owned()),
        };
        match read_zone(&apex, Path::new("zones/z"), text.as_bytes(), &mut open) {
            Ok(zone) => Ok(zone
                .records
                .iter()
                .map(|r| {
                    let text = rdata_text(r.rtype, &r.rdata);
                    format!("{}:{} {} {} {text}", r.line, r.owner, r.ttl, r.rtype)
                })
                .collect()),
            Err(mistakes) => Err(mistakes.iter().map(Mistake::to_string).collect()),
        }
    }

    const TOP: &str = "$TTL 1h\n@ IN SOA ns hostmaster ( 1 ; serial\n 2h 15m\n 1w 5m )\n NS ns\n";

    #[test]
    fn a_whole_zone() {
        let text = format!(
            "{TOP}ns 300 A 192.0.2.1\n  IN 60 AAAA 2001:db8::1\nWWW CNAME ns.other.test.\n\
             t TXT \"a;b\" ( \"c (d\"\n e ) ; comment\n* MX 10 mail\n$ORIGIN sub\nx A 192.0.2.7\n\
             $INCLUDE good\nu TYPE65280 \\# 2 abcd\n"
        );
        let expected = [
            "2:example.test. 3600 SOA ns.example.test. hostmaster.example.test. 1 7200 900 604800 300",
            "5:example.test. 3600 NS ns.example.test.",
            "6:ns.example.test. 300 A 192.0.2.1",
            "7:ns.example.test. 60 AAAA 2001:db8::1",
            "8:www.example.test. 3600 CNAME ns.other.test.",
            "9:t.example.test. 3600 TXT \"a;b\" \"c (d\" \"e\"",
            "11:*.example.test. 3600 MX 10 mail.example.test.",
            "13:x.sub.example.test. 3600 A 192.0.2.7",
            "1:good.sub.example.test. 3600 A 192.0.2.8",
            "15:u.sub.example.test. 3600 TYPE65280 \\# 2 ab cd",
        ];
        assert_eq!(read(&text).unwrap(), expected);
    }

    #[test]
    fn mistakes_have_places() {
        let cases = [
            ("www A 1.2.3\n", "zones/z:6:7: A: expected IPv4 address"),
            ("www AB 1.2.3.4\n", "zones/z:6:5: \"AB\" is neither"),
            ("www A 1.2.3.4 5\n", "zones/z:6:15: A: trailing"),
            ("www CH A 1.2.3.4\n", "zones/z:6:5: \"CH\" is not class IN"),
            ("www\n", "zones/z:6:1: the record has no type"),
            ("a.b. A 1.2.3.4\n", "zones/z:6:1: a.b. does not belong to zone"),
            ("www TXT \"open\n", "zones/z:6:14: the quotes do not end"),
            ("www TXT ( a\n", "zones/z:6:1: a parenthesis is never closed"),
            ("www A 1.2.3.4 )\n", "zones/z:6:15: no parenthesis is open"),
            ("$GENERATE 1-3 a A 1.2.3.4\n", "zones/z:6:1: $GENERATE is not supported"),
            ("$INCLUDE none\n", "zones/z:6:1: cannot read zones/none: no such file"),
            ("$INCLUDE more\n", "zones/more:2:7: A: expected"),
            ("$INCLUDE ring\n", "zones/ring:1:1: files include each other"),
            ("a..b A 1.2.3.4\n", "zones/z:6:1: \"a..b\" is no domain name"),
            (
                "www CNAME a\nwww A 1.2.3.4\n",
                "zones/z:7:1: www.example.test. has a CNAME record and",
            ),
            ("www CNAME a\nwww CNAME b\n", "zones/z:7:1: www.example.test. has two CNAME"),
            ("www OPT x\n", "zones/z:6:5: \"OPT\" is a type that no zone can hold"),
        ];
        for (line, expected) in cases {
            let mistakes = read(&format!("{TOP}{line}")).unwrap_err();
            assert!(mistakes[0].starts_with(expected), "{line:?}: {mistakes:?}");
        }
    }

    #[test]
    fn apex_and_ttl_rules() {
        assert!(read("").unwrap_err()[0].contains("exactly one SOA record at its top, it has 0"));
        assert!(read("@ SOA ns h 1 2 3 4 5\n").unwrap_err()[0].contains("no NS record"));
        assert!(read("@ NS ns\n").unwrap_err()[0].contains("has no time to live"));
        let records = read("@ SOA ns h 1 2 3 4 5\n NS ns\n").unwrap();
        assert!(records[1].contains(" 5 NS "), "{records:?}");
        assert_eq!(read("a A x\nb A y\n").unwrap_err().len(), 2);
    }

    #[test]
    fn junk_never_panics() {
        let seed = format!("{TOP}t TXT \"a\\\"b\" ( c\n) ; x\nm MX 10 a\nc CAA 0 issue \"x\"\n");
        let mut state = 5u64;
        for _ in 0..5_000 {
            let mut text = seed.clone().into_bytes();
            for _ in 0..4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (state >> 33) as usize % text.len();
                text[at] = match (state >> 17) % 6 {
                    0 => b'(',
                    1 => b'"',
                    2 => b'\n',
                    3 => b'\\',
                    _ => state.to_be_bytes()[4],
                };
            }
            let apex = "example.test".parse().unwrap();
            let _ = read_zone(&apex, Path::new("z"), &text, &mut |_| Err(String::new()));
        }
    }
}
