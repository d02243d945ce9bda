//! Zone files (RFC 1035 5), with the place of each mistake.
//!
//! This module cuts the text into entries and understands their heads: directives, owners, TTLs
//! with units, classes. Record data is the `domain` crate's work, one entry at a time, so a
//! mistake costs its entry only and all of them are told at once. Plain lines of the commonest
//! types are read without it: large zones consist of them. What it knows only as octets has rows
//! of fields here (`forms`).
//!
//! [`scan_zone`] hands the records on one by one and keeps none; [`read_zone`] collects them.

mod entry;
mod forms;
mod generate;
mod place;
mod quick;
mod reader;

use std::fmt;
use std::path::{Path, PathBuf};

use domain::base::iana::Rtype;
use domain::base::name::ParsedName;
use domain::base::rdata::ParseAnyRecordData;
use domain::dep::octseq::Parser;
use domain::rdata::AllRecordData;

use crate::name::Name;
use crate::response::text_of;

/// Mistakes told at once: more would scroll the first away.
const MISTAKES: usize = 20;

/// `ALIAS NAME` in a zone file: addresses are those of another name of ours, at the apex, too,
/// where no CNAME may stand. A type for private use (RFC 6895 3.1), the one that others use for it.
pub const ALIAS: Rtype = Rtype::from_int(65_401);

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

/// One record, as the reader meets it.
#[derive(Clone, Copy, Debug)]
pub struct Scanned<'a> {
    /// Who owns it: a whole name in lower case.
    pub owner: &'a [u8],
    /// Its type.
    pub rtype: Rtype,
    /// Seconds to keep it.
    pub ttl: u32,
    /// Its data, names uncompressed.
    pub rdata: &'a [u8],
    /// Where it stands.
    pub place: Place,
}

/// Gives the content of an included file.
pub type Open<'o> = dyn FnMut(&Path) -> Result<Vec<u8>, String> + 'o;

/// Reads the records of the zone `apex` from `text`, which came from `file`, and hands each to
/// `take`. `open` gives the content of an included file; a relative `$INCLUDE` is taken from the
/// folder of the file that has it. Gives the files, as [`Place::file`] counts them.
///
/// Each record is checked for itself; what they are together (one SOA record, nothing beside a
/// CNAME) is the business of whoever takes them.
///
/// # Errors
/// Every mistake found, at most twenty; never an empty list. What was taken is then no zone.
pub fn scan_zone(
    apex: &Name,
    file: &Path,
    text: &[u8],
    open: &mut Open<'_>,
    take: &mut dyn FnMut(Scanned<'_>),
) -> Result<Vec<PathBuf>, Vec<Mistake>> {
    reader::scan(apex, file, text, open, take)
}

/// Reads a whole zone; the rest is as with [`scan_zone`].
///
/// # Errors
/// Every mistake found, at most twenty; never an empty list.
pub fn read_zone(
    apex: &Name,
    file: &Path,
    text: &[u8],
    open: &mut Open<'_>,
) -> Result<ZoneFile, Vec<Mistake>> {
    let mut records = Vec::new();
    let mut mistakes = Vec::new();
    scan_zone(apex, file, text, open, &mut |record| {
        let Some(owner) = Name::from_wire(record.owner) else { return };
        let Scanned { rtype, ttl, rdata, place, .. } = record;
        records.push(ZoneRecord { owner, rtype, ttl, rdata: rdata.into(), line: place.line });
    })?;
    let zone = ZoneFile { apex: apex.clone(), records };
    check_apex(file, &zone, &mut mistakes);
    if mistakes.is_empty() {
        return Ok(zone);
    }
    mistakes.truncate(MISTAKES);
    Err(mistakes)
}

/// The data of a record as a zone file would write it.
#[must_use]
pub fn rdata_text(rtype: Rtype, rdata: &[u8]) -> String {
    let rtype = if rtype == ALIAS { Rtype::CNAME } else { rtype };
    if let Some(text) = forms::show(rtype, rdata) {
        return text;
    }
    let mut parser = Parser::from_ref(rdata);
    AllRecordData::<&[u8], ParsedName<&[u8]>>::parse_any_rdata(rtype, &mut parser)
        .map_or_else(|_| "?".to_owned(), |data| text_of(&data))
}

/// RFC 1035 5.2 and RFC 2181 10.1: one SOA, at the apex; an NS record there; nothing beside
/// a CNAME.
fn check_apex(file: &Path, zone: &ZoneFile, mistakes: &mut Vec<Mistake>) {
    let ZoneFile { apex, records } = zone;
    let at_apex =
        |rtype| records.iter().filter(move |r| r.rtype == rtype && r.owner == *apex).count();
    let (soas, servers) = (at_apex(Rtype::SOA), at_apex(Rtype::NS));
    let place = |what: String| Mistake { file: file.to_owned(), line: 1, column: 1, what };
    let soa = place(format!("zone {apex} needs exactly one SOA record at its top, it has {soas}"));
    let ns = place(format!("zone {apex} has no NS record at its top"));
    if soas != 1 {
        mistakes.push(soa);
    }
    if servers == 0 {
        mistakes.push(ns);
    }
    check_aliases(file, records, mistakes);
}

/// RFC 2181 10.1: a CNAME stands alone, save for what DNSSEC adds to it.
fn check_aliases(file: &Path, records: &[ZoneRecord], mistakes: &mut Vec<Mistake>) {
    let mut aliases = std::collections::BTreeMap::new();
    for record in records.iter().filter(|record| record.rtype == Rtype::CNAME) {
        let first = aliases.entry(&record.owner).or_insert(record);
        if first.rdata != record.rdata {
            let what = format!("{} has two CNAME records", record.owner);
            mistakes.push(Mistake { file: file.to_owned(), line: record.line, column: 1, what });
        }
    }
    for record in records {
        let beside = matches!(record.rtype, Rtype::CNAME | Rtype::RRSIG | Rtype::NSEC);
        if let Some(alias) = aliases.get(&record.owner).filter(|_| !beside) {
            let what = format!("{} has a CNAME record and this {}", alias.owner, record.rtype);
            mistakes.push(Mistake { file: file.to_owned(), line: record.line, column: 1, what });
        }
    }
}

/// Words, and the column they are about.
type Wrong = (u32, u32, String);

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
             $INCLUDE good\nu TYPE65280 \\# 2 abcd\n\
             m MX ( 10\n @ ) ; @\nv TXT @\nw alias x\n"
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
            "16:m.sub.example.test. 3600 MX 10 sub.example.test.",
            "18:v.sub.example.test. 3600 TXT \"@\"",
            "19:w.sub.example.test. 3600 TYPE65401 x.sub.example.test.",
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
            ("$GENERATE 5-2 a A 1.2.3.4\n", "zones/z:6:11: \"5-2\" is no range"),
            ("$GENERATE 1-2/0 a A 1.2.3.4\n", "zones/z:6:11: \"1-2/0\" is no range"),
            ("$GENERATE 0-65536 a$ A 1.2.3.4\n", "zones/z:6:11: \"0-65536\" makes more than"),
            ("$GENERATE 1-2\n", "zones/z:6:1: $GENERATE needs a range"),
            ("$GENERATE 1-2 a$ A\n", "zones/z:6:18: \"A\" has no data"),
            ("$GENERATE 1-2 a${1,2,z} A 1.2.3.4\n", "zones/z:6:15: \"a${1,2,z}\" has a ${"),
            ("$GENERATE 1-2 a${1 A 1.2.3.4\n", "zones/z:6:15: \"a${1\" has a ${"),
            ("$GENERATE 255-256 a$ A 1.2.3.$\n", "zones/z:6:1: $GENERATE for 256: A: expected"),
            ("$INCLUDE none\n", "zones/z:6:1: cannot read zones/none: no such file"),
            ("$INCLUDE more\n", "zones/more:2:7: A: expected"),
            ("$INCLUDE ring\n", "zones/ring:1:1: files include each other"),
            ("a CNAME b..c\n", "zones/z:6:9: \"b..c\" has an empty label"),
            ("a MX ( 10\n .c )\n", "zones/z:7:2: \".c\" has an empty label"),
            ("a..b A 1.2.3.4\n", "zones/z:6:1: \"a..b\" is no domain name"),
            (
                "www CNAME a\nwww A 1.2.3.4\n",
                "zones/z:7:1: www.example.test. has a CNAME record and",
            ),
            ("www CNAME a\nwww CNAME b\n", "zones/z:7:1: www.example.test. has two CNAME"),
            ("www ALIAS a b\n", "zones/z:6:13: ALIAS: trailing"),
            ("www OPT x\n", "zones/z:6:5: \"OPT\" is a type that no zone can hold"),
        ];
        for (line, expected) in cases {
            let mistakes = read(&format!("{TOP}{line}")).unwrap_err();
            assert!(mistakes[0].starts_with(expected), "{line:?}: {mistakes:?}");
        }
    }

    /// What BIND's `named-compilezone` makes of the same lines.
    #[test]
    fn generated_records() {
        let text = format!(
            "{TOP}$GENERATE 1-3 host-$ A 192.0.2.$\n\
             $GENERATE 1-1 h${{5,3}} 60 IN A 192.0.2.${{5}} ; $\n\
             $GENERATE 250-256/6 x${{0,0,x}}-${{0,4,X}}-${{0,0,o}} CNAME t-$\n\
             $GENERATE 1-1 m$ MX \"10 mail-$\"\n\
             $GENERATE 1-1 t$ TXT \"a b$\"\n\
             $GENERATE 1-1 u$ TXT \"\\\"a b$\\\"\"\n\
             $GENERATE 4660-4660 ${{0,0,n}}.n CNAME ${{0,7,n}}.k\n\
             $GENERATE 4660-4660 ${{0,9,N}}.q CNAME ${{0,2,N}}.k\n\
             $GENERATE 43981-43981 ${{0,8,N}}r CNAME ${{0,11,N}}.k\n\
             $GENERATE 4660-4660 a\\$$.r CNAME ${{-4000}}.b$$.k\n\
             $GENERATE 1-1 neg${{-5}} A 192.0.2.$\n"
        );
        let expected = [
            "host-1.example.test. 3600 A 192.0.2.1",
            "host-2.example.test. 3600 A 192.0.2.2",
            "host-3.example.test. 3600 A 192.0.2.3",
            "h006.example.test. 60 A 192.0.2.6",
            "xfa-00fa-372.example.test. 3600 CNAME t-250.example.test.",
            "x100-0100-400.example.test. 3600 CNAME t-256.example.test.",
            "m1.example.test. 3600 MX 10 mail-1.example.test.",
            "t1.example.test. 3600 TXT \"a\" \"b1\"",
            "u1.example.test. 3600 TXT \"a b1\"",
            "4.3.2.1.n.example.test. 3600 CNAME 4.3.2.1.k.example.test.",
            "4.3.2.1.0.q.example.test. 3600 CNAME 4.3.2.1.k.example.test.",
            "d.c.b.a.r.example.test. 3600 CNAME D.C.B.A.0.0.k.example.test.",
            "a$4660.r.example.test. 3600 CNAME 660.b$.k.example.test.",
            "neg-4.example.test. 3600 A 192.0.2.1",
        ];
        let records = read(&text).unwrap();
        let generated: Vec<&str> =
            records.iter().skip(2).map(|line| line.split_once(':').unwrap().1).collect();
        assert_eq!(generated, expected);
    }

    #[test]
    fn generated_records_are_bounded() {
        let line = "$GENERATE 0-65535 a$ A 192.0.2.1\n";
        let mistakes = read(&format!("{TOP}{}", line.repeat(17))).unwrap_err();
        assert!(mistakes[0].contains("make more than 1048576 records"), "{mistakes:?}");
    }

    /// The quick way and the careful way say the same of the same record.
    #[test]
    fn plain_lines_mean_what_careful_reading_says() {
        let plain = [
            "a A 192.0.2.1",
            "B.c 60 IN AAAA 2001:db8::1",
            "@ IN 60 MX 10 Mail.example.test.",
            "d 1h CNAME e",
            "p ptr @",
            "x.example.test. NS ns",
            "\tA 192.0.2.2",
        ];
        for line in plain {
            let quick = read(&format!("{TOP}o TXT x\n{line}\n")).unwrap();
            // A comment makes it a matter for the careful way.
            let careful = read(&format!("{TOP}o TXT x\n{line} ;\n")).unwrap();
            assert_eq!(quick, careful);
        }
        for line in ["a A 192.0.2.01", "a A 192.0.2", "a A", "a MX 70000 b", "a CNAME b..c"] {
            let quick = read(&format!("{TOP}{line}\n")).unwrap_err();
            assert_eq!(quick, read(&format!("{TOP}{line} ;\n")).unwrap_err());
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
