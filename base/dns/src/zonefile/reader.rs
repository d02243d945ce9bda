//! Goes through a file and the files it includes: directives, and the heads of records.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use domain::base::iana::{Class, Rtype};

use super::entry::{self, LogicalLine, Token};
use super::generate::Generate;
use super::{ALIAS, MISTAKES, Mistake, Open, Place, Scanned, Wrong, quick};
use crate::name::{Name, QName, suffixes};
use crate::ttl::parse_ttl;

/// Files that include each other in a ring are stopped here.
const INCLUDE_DEPTH: usize = 8;

/// Records that all `$GENERATE` lines of a zone may make: a short file cannot fill the memory.
const GENERATED: usize = 1 << 20;

pub(super) fn scan(
    apex: &Name,
    file: &Path,
    text: &[u8],
    open: &mut Open<'_>,
    take: &mut dyn FnMut(Scanned<'_>),
) -> Result<Vec<PathBuf>, Vec<Mistake>> {
    let apex = QName::read(apex.as_wire()).unwrap_or_else(QName::root);
    let mut reader = Reader {
        apex,
        take,
        open,
        mistakes: Vec::new(),
        files: Vec::new(),
        rdata: Vec::new(),
        generated: 0,
    };
    reader.file(file, text, &mut Context::new(apex), 0);
    if reader.mistakes.is_empty() {
        return Ok(reader.files);
    }
    reader.mistakes.truncate(MISTAKES);
    Err(reader.mistakes)
}

struct Reader<'a, 'o> {
    apex: QName,
    take: &'a mut dyn FnMut(Scanned<'_>),
    open: &'a mut Open<'o>,
    mistakes: Vec<Mistake>,
    files: Vec<PathBuf>,
    /// The data of the record at hand.
    rdata: Vec<u8>,
    generated: usize,
}

/// What earlier lines of a file mean for later ones.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) origin: QName,
    pub(super) owner: Option<QName>,
    /// From `$TTL`.
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
}

impl Context {
    fn new(apex: QName) -> Self {
        Self { origin: apex, owner: None, default_ttl: None, last_ttl: None }
    }

    /// The time to live of a record that has `own`, or none.
    pub(super) fn ttl(&self, own: Option<u32>) -> Option<u32> {
        own.or(self.default_ttl).or(self.last_ttl)
    }
}

impl Reader<'_, '_> {
    fn file(&mut self, file: &Path, text: &[u8], context: &mut Context, depth: usize) {
        let number = u16::try_from(self.files.len()).unwrap_or(u16::MAX);
        self.files.push(file.to_owned());
        let (mut rest, mut line) = (text, 1u32);
        while !rest.is_empty() && self.mistakes.len() < MISTAKES {
            let place = Place { file: number, line };
            if let Some(octets) = self.plain(rest, context, place) {
                rest = rest.get(octets..).unwrap_or_default();
                line = line.saturating_add(1);
                continue;
            }
            let (entry, octets, lines) = entry::first(rest, line);
            let done = match entry {
                Ok(entry) if entry.head.is_empty() => Ok(()),
                Ok(entry) if entry.head.first().is_some_and(|t| t.text.starts_with(b"$")) => {
                    self.directive(file, &entry, context, depth, place)
                }
                Ok(entry) => self.record(&entry, context, place),
                Err(wrong) => Err(wrong),
            };
            if let Err((line, column, what)) = done {
                self.mistakes.push(Mistake { file: file.to_owned(), line, column, what });
            }
            rest = rest.get(octets..).unwrap_or_default();
            line = line.saturating_add(lines);
        }
    }

    /// Takes a plain line of a common type; gives its octets.
    fn plain(&mut self, text: &[u8], context: &mut Context, place: Place) -> Option<usize> {
        let read = quick::record(text, context, &mut self.rdata)?;
        let owner = context.owner.filter(|owner| self.is_within(owner))?;
        self.give(&owner, read.rtype, read.ttl, context, place);
        Some(read.octets)
    }

    fn directive(
        &mut self,
        file: &Path,
        entry: &LogicalLine<'_>,
        context: &mut Context,
        depth: usize,
        place: Place,
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
            (b"$GENERATE", _) => self.generate(&Generate::read(entry)?, context, place),
            (b"$ORIGIN" | b"$TTL" | b"$INCLUDE", _) => wrong("wrong number of arguments"),
            _ => wrong("unknown directive; known: $ORIGIN $TTL $INCLUDE $GENERATE"),
        }
    }

    /// Reads each line that `$GENERATE` makes as if it stood in the file.
    fn generate(
        &mut self,
        generate: &Generate<'_>,
        context: &mut Context,
        place: Place,
    ) -> Result<(), Wrong> {
        self.generated = self.generated.saturating_add(generate.len());
        if self.generated > GENERATED {
            let what = format!("all $GENERATE lines together make more than {GENERATED} records");
            return Err((place.line, 1, what));
        }
        let (mut text, mut inner) = (Vec::new(), context.clone());
        for number in generate.numbers() {
            generate.line(number, &mut text);
            if self.plain(&text, &mut inner, place).is_some() {
                continue;
            }
            let (entry, ..) = entry::first(&text, place.line);
            let done = entry.and_then(|entry| self.record(&entry, &mut inner, place));
            done.map_err(|(.., what)| (place.line, 1, format!("$GENERATE for {number}: {what}")))?;
        }
        Ok(())
    }

    fn record(
        &mut self,
        entry: &LogicalLine<'_>,
        context: &mut Context,
        place: Place,
    ) -> Result<(), Wrong> {
        let mut tokens = entry.head.iter();
        if !entry.indented {
            let Some(token) = tokens.next() else { return Ok(()) };
            context.owner = Some(token.name(&context.origin)?);
        }
        let (ttl, rtype, token) = head(&mut tokens, entry)?;
        let Some(owner) = context.owner else {
            return Err(token.wrong("stands before the first owner name"));
        };
        if !self.is_within(&owner) {
            let what = format!("{owner} does not belong to zone {}", self.apex);
            return Err((entry.line, 1, what));
        }
        entry.rdata(rtype, token, &context.origin, &mut self.rdata)?;
        // RFC 2308 4: without $TTL the SOA's last number is the zone's default.
        let minimum = || self.rdata.last_chunk::<4>().filter(|_| rtype == Rtype::SOA);
        let ttl = context
            .ttl(ttl)
            .or_else(|| minimum().map(|octets| u32::from_be_bytes(*octets)))
            .ok_or_else(|| token.wrong("has no time to live, and there is no $TTL before it"))?;
        self.give(&owner, rtype, ttl, context, place);
        Ok(())
    }

    fn is_within(&self, owner: &QName) -> bool {
        suffixes(owner.as_wire()).any(|suffix| suffix == self.apex.as_wire())
    }

    fn give(&mut self, owner: &QName, rtype: Rtype, ttl: u32, context: &mut Context, place: Place) {
        context.last_ttl = Some(ttl);
        (self.take)(Scanned { owner: owner.as_wire(), rtype, ttl, rdata: &self.rdata, place });
    }
}

/// TTL and class in either order, then the type.
pub(super) fn head<'e, 'a>(
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
        } else if text.eq_ignore_ascii_case("ALIAS") {
            return Ok((ttl, ALIAS, token));
        } else if let Ok(rtype) = Rtype::from_str(text) {
            // RFC 6895 3.1: 0 is reserved, 249 to 255 are for questions and messages.
            if rtype == Rtype::OPT || matches!(rtype.to_int(), 0 | 249..=255) {
                return Err(token.wrong("is a type that no zone can hold"));
            }
            return Ok((ttl, rtype, token));
        } else {
            return Err(token.wrong("is neither a time to live, nor a class, nor a record type"));
        }
    }
    Err((entry.line, 1, "the record has no type".to_owned()))
}
