//! `$GENERATE`: many records from one line, as BIND's manual describes it.
//!
//! `$GENERATE START-STOP[/STEP] OWNER [TTL] [CLASS] TYPE DATA`: in owner and data each `$` is the
//! number, `${OFFSET[,WIDTH[,BASE]]}` the number moved and written in base `d`, `o`, `x`, `X`, or
//! as nibbles `n`, `N`; `$$` and `\$` are a dollar. Data in quotes is taken without them.

use std::fmt::Write as _;

use super::Wrong;
use super::entry::{LogicalLine, Token, cut};
use super::reader::head;

/// Records that one line may make.
const RECORDS: u32 = 65_536;

/// Directive, range, owner, TTL, class, type: the words before the data.
const WORDS: usize = 6;

/// Digits that a number may be filled up to.
const WIDTH: usize = 255;

/// One such line, understood.
pub(super) struct Generate<'a> {
    start: u32,
    stop: u32,
    step: u32,
    owner: Vec<Part<'a>>,
    /// TTL, class and type, and the data.
    rest: Vec<Part<'a>>,
}

/// A piece of the pattern.
enum Part<'a> {
    Text(&'a [u8]),
    Owned(Vec<u8>),
    Number(Format),
}

#[derive(Clone, Copy)]
struct Format {
    offset: i64,
    width: usize,
    base: Base,
}

#[derive(Clone, Copy)]
enum Base {
    Decimal,
    Octal,
    Hex,
    HexUpper,
    Nibbles,
    NibblesUpper,
}

impl<'a> Generate<'a> {
    pub(super) fn read(entry: &LogicalLine<'a>) -> Result<Self, Wrong> {
        let words = cut(entry.text, entry.line, 0, WORDS).words;
        let [_, range, owner, tail @ ..] = words.as_slice() else {
            let what = "$GENERATE needs a range, an owner, a type and data";
            return Err((entry.line, 1, what.to_owned()));
        };
        let (start, stop, step) = numbers(range)?;
        let (_, _, rtype) = head(&mut tail.iter(), entry)?;
        if rtype.depth > 0 || rtype.line != entry.line {
            return Err(rtype.wrong("cannot stand in parentheses after $GENERATE"));
        }
        let front = entry.text.get(owner.end..rtype.end).unwrap_or_default();
        let data = data(entry.text, rtype);
        if data.is_empty() {
            return Err(rtype.wrong("has no data"));
        }
        let mut rest = vec![Part::Text(front), Part::Text(b" ")];
        match unquoted(data) {
            Some(inner) => {
                for part in parts(&inner, owner)? {
                    rest.push(part.into_owned());
                }
            }
            None => rest.extend(parts(data, owner)?),
        }
        Ok(Self { start, stop, step, owner: parts(owner.text, owner)?, rest })
    }

    /// How many records it makes.
    pub(super) fn len(&self) -> usize {
        ((self.stop - self.start) / self.step) as usize + 1
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        (self.start..=self.stop).step_by(self.step as usize)
    }

    /// Puts the line for `number` into `text`.
    pub(super) fn line(&self, number: u32, text: &mut Vec<u8>) {
        text.clear();
        for part in self.owner.iter().chain(&self.rest) {
            match part {
                Part::Text(octets) => text.extend_from_slice(octets),
                Part::Owned(octets) => text.extend_from_slice(octets),
                Part::Number(format) => format.write(number, text),
            }
        }
        text.push(b'\n');
    }
}

impl Part<'_> {
    fn into_owned<'b>(self) -> Part<'b> {
        match self {
            Self::Text(octets) => Part::Owned(octets.to_vec()),
            Self::Owned(octets) => Part::Owned(octets),
            Self::Number(format) => Part::Number(format),
        }
    }
}

fn numbers(range: &Token<'_>) -> Result<(u32, u32, u32), Wrong> {
    let text = str::from_utf8(range.text).unwrap_or_default();
    let (ends, step) = text.split_once('/').unwrap_or((text, "1"));
    let number = |text: &str| text.parse::<u32>().ok();
    let read = || {
        let (start, stop) = ends.split_once('-')?;
        Some((number(start)?, number(stop)?, number(step)?))
    };
    let (start, stop, step) = read()
        .filter(|(start, stop, step)| start <= stop && *step > 0)
        .ok_or_else(|| range.wrong("is no range START-STOP or START-STOP/STEP"))?;
    if (stop - start) / step >= RECORDS {
        return Err(range.wrong("makes more than 65536 records: use several lines"));
    }
    Ok((start, stop, step))
}

/// The data behind the type's word, without a comment and blanks around it.
fn data<'a>(text: &'a [u8], rtype: &Token<'_>) -> &'a [u8] {
    let rest = text.get(rtype.end..).unwrap_or_default();
    let words = cut(rest, rtype.line, 0, usize::MAX).words;
    let (first, last) = (words.first(), words.last());
    let start = first.map_or(0, |first| first.end - first.text.len());
    rest.get(start..last.map_or(0, |last| last.end)).unwrap_or_default()
}

/// What is in the quotes when `data` is one quoted word.
fn unquoted(data: &[u8]) -> Option<Vec<u8>> {
    let inner = data.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut out = Vec::with_capacity(inner.len());
    let mut octets = inner.iter();
    while let Some(octet) = octets.next() {
        match (octet, octets.as_slice().first()) {
            (b'\\', Some(b'"')) => {
                octets.next();
                out.push(b'"');
            }
            (b'\\', Some(next)) => {
                octets.next();
                out.extend_from_slice(&[b'\\', *next]);
            }
            // More than one word.
            (b'"', _) | (b'\\', None) => return None,
            _ => out.push(*octet),
        }
    }
    Some(out)
}

/// Takes a pattern apart.
fn parts<'a>(text: &'a [u8], token: &Token<'_>) -> Result<Vec<Part<'a>>, Wrong> {
    let wrong = || {
        let what = "has a ${…} that is not ${OFFSET[,WIDTH[,BASE]]}, BASE one of d o x X n N";
        (token.line, token.column, format!("{:?} {what}", String::from_utf8_lossy(text)))
    };
    let (mut found, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let end = rest.iter().position(|octet| matches!(octet, b'$' | b'\\'));
        let (before, after) = rest.split_at(end.unwrap_or(rest.len()));
        found.push(Part::Text(before));
        rest = match after {
            [] => after,
            [b'\\', ..] => {
                let (pair, after) = after.split_at(after.len().min(2));
                found.push(Part::Text(pair));
                after
            }
            [_, b'$', after @ ..] => {
                found.push(Part::Text(b"\\$"));
                after
            }
            [_, b'{', after @ ..] => {
                let end = after.iter().position(|octet| *octet == b'}').ok_or_else(wrong)?;
                let (inner, after) = after.split_at(end);
                found.push(Part::Number(Format::read(inner).ok_or_else(wrong)?));
                after.get(1..).unwrap_or_default()
            }
            [_, after @ ..] => {
                found.push(Part::Number(Format { offset: 0, width: 0, base: Base::Decimal }));
                after
            }
        };
    }
    Ok(found)
}

impl Format {
    fn read(text: &[u8]) -> Option<Self> {
        let mut fields = str::from_utf8(text).ok()?.split(',');
        let offset = fields.next()?.trim().parse::<i32>().ok()?.into();
        let width = fields.next().map_or(Some(0), |text| text.trim().parse().ok())?;
        let base = match fields.next().map_or("d", str::trim) {
            "d" => Base::Decimal,
            "o" => Base::Octal,
            "x" => Base::Hex,
            "X" => Base::HexUpper,
            "n" => Base::Nibbles,
            "N" => Base::NibblesUpper,
            _ => return None,
        };
        (fields.next().is_none() && width <= WIDTH).then_some(Self { offset, width, base })
    }

    fn write(self, number: u32, out: &mut Vec<u8>) {
        let value = i64::from(number) + self.offset;
        let (mut text, width) = (String::new(), self.width);
        // Writing into a string cannot fail.
        let _ = match self.base {
            Base::Decimal => write!(text, "{value:0width$}"),
            Base::Octal => write!(text, "{value:0width$o}"),
            Base::Hex => write!(text, "{value:0width$x}"),
            Base::HexUpper => write!(text, "{value:0width$X}"),
            Base::Nibbles => write!(text, "{}", nibbles(value, width)),
            Base::NibblesUpper => write!(text, "{}", nibbles(value, width).to_uppercase()),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// Hexadecimal digits, the lowest first, with dots between them; `width` counts the dots.
fn nibbles(value: i64, width: usize) -> String {
    let (mut rest, mut width, mut text) = (value.unsigned_abs(), width, String::new());
    loop {
        let _ = write!(text, "{:x}", rest & 0xf);
        rest >>= 4;
        width = width.saturating_sub(1);
        if rest == 0 && width == 0 {
            return text;
        }
        text.push('.');
        width = width.saturating_sub(1);
        if rest == 0 && width == 0 {
            return text;
        }
    }
}
