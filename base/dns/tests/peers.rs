//! Text forms of record types, against BIND's `named-checkzone`: it reads what we write, we read
//! what it writes, and both mean the same octets.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::Command;

use popnet_dns::{Name, ZoneFile, rdata_text, read_zone};

const TOP: &str = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";

/// A type, and forms of its data that people write.
const RECORDS: &[(&str, &[&str])] = &[
    ("A", &["192.0.2.7"]),
    ("AAAA", &["2001:db8::7"]),
    ("AFSDB", &["1 afs.other.test.", "0 ."]),
    ("AMTRELAY", &["10 0 1 192.0.2.9", "0 1 2 2001:db8::9", "3 0 3 relay.other.test."]),
    ("APL", &["1:192.0.2.0/24 !1:192.0.2.64/28 2:2001:db8::/32", "1:0.0.0.0/0"]),
    ("AVC", &["\"app-name:x\" \"y\"", "a"]),
    ("CAA", &["0 issue \"ca.test\"", "128 tbs \"Unknown\""]),
    ("CERT", &["PKIX 1 RSASHA256 AQIDBA==", "254 65535 0 AQ=="]),
    ("CDS", &["1 13 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"]),
    ("CSYNC", &["66 3 A NS AAAA TYPE1234", "0 0 A"]),
    ("DHCID", &["AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA="]),
    ("DOA", &["0 1 2 \"text/plain\" SGVsbG8=", "1234567890 1234567890 1 \"\" -"]),
    ("EID", &["12 89 ab"]),
    ("EUI48", &["00-00-5e-00-53-2a"]),
    ("EUI64", &["00-00-5e-ef-10-00-00-2A"]),
    ("GPOS", &["-22.6882 116.8652 250.0"]),
    ("HINFO", &["\"PC\" \"NetBSD\""]),
    (
        "HIP",
        &[
            "2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p",
            "2 200100107B1A74DF365639CC39F1D578 AwEAAbdx rvs1.other.test. rvs2.other.test.",
        ],
    ),
    ("HTTPS", &["1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1", "0 other.test."]),
    ("IPSECKEY", &["10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ=="]),
    ("ISDN", &["\"isdn-address\" \"sub\"", "\"isdn-address\""]),
    ("KEY", &["512 255 1 AQMFD5raczCJHViKtLYhWGz8hMY9UGRniJDBzC7w0aRyzWZriO6i2odGWWQVucZq"]),
    ("KX", &["10 kx.other.test."]),
    ("L32", &["10 10.1.2.0"]),
    ("L64", &["10 2001:0db8:1140:1000"]),
    (
        "LOC",
        &[
            "60 9 N 24 39 E 10 20 2000 20",
            "51 30 12.748 N 0 7 39.611 W 0.00m",
            "90 S 180 W -100000m 0.03m 90000000m 0",
            "42 21 54.5 N 71 06 18 W -24m 30m",
        ],
    ),
    ("LP", &["10 l64.other.test."]),
    ("MX", &["10 mail.other.test."]),
    ("NAPTR", &["0 0 \"s\" \"HTTP\" \"!.*!x!\" .", "65535 1 \"\" \"\" \"\" a.other.test."]),
    ("NID", &["10 0014:4fff:ff20:ee64"]),
    ("NIMLOC", &["12 89ab"]),
    ("NINFO", &["\"foo\" \"b\\\"a\\\\r\""]),
    ("NSAP", &["0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00"]),
    ("OPENPGPKEY", &["AQMFD5raczCJHViKtLYhWGz8hMY9UGRniJDBzC7w0aRyzWZriO6i2odGWWQVucZq"]),
    ("PTR", &["other.test."]),
    ("PX", &["65535 foo.other.test. bar.other.test."]),
    ("RKEY", &["0 255 1 AQMFD5raczCJHViKtLYhWGz8hMY9UGRniJDBzC7w0aRyzWZriO6i2odGWWQVucZq"]),
    ("RP", &["mbox.other.test. txt.other.test.", ". ."]),
    ("RT", &["0 relay.other.test."]),
    ("SINK", &["8 0 1 AQID"]),
    ("SMIMEA", &["0 0 1 D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971"]),
    ("SPF", &["\"v=spf1 -all\"", "\"foo\" bar"]),
    ("SRV", &["0 1 443 srv.other.test."]),
    ("SSHFP", &["4 2 C76D8329954DA2835751E371544E963EFDA099080D6C58DD2BFD9A31D6E162C8"]),
    ("SVCB", &["16 foo.other.test. alpn=h2 key667=hello"]),
    ("TALINK", &[". talink1.other.test."]),
    ("TLSA", &["3 1 1 D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971"]),
    ("TXT", &["\"a b\" c \"\\000\\255\\\"\""]),
    ("URI", &["10 20 \"https://www.other.test/\"", "0 0 \"a\\\"b\""]),
    ("X25", &["\"123456789\""]),
    ("ZONEMD", &["2019020700 1 241 7f0123456789abcdef0123456789abcdef"]),
    ("TYPE65280", &["\\# 4 01020304"]),
];

/// Types that BIND reads and we do not: experiments and predecessors that nobody has.
const LEFT_OUT: [&str; 3] = ["A6", "SIG", "NXT"];

fn zone(rows: impl Iterator<Item = String>) -> String {
    rows.enumerate().fold(TOP.to_owned(), |text, (at, row)| format!("{text}r{at} {row}\n"))
}

fn ours(text: &str) -> ZoneFile {
    let apex: Name = "example.test".parse().unwrap();
    let mut none = |_: &Path| Err("no includes".to_owned());
    read_zone(&apex, Path::new("zone"), text.as_bytes(), &mut none).unwrap_or_else(|mistakes| {
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        panic!("{}", told.join("\n"))
    })
}

/// The zone as BIND writes it, or what BIND has against it.
fn bind(text: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    std::fs::write(&from, text).unwrap();
    let checks = ["-k", "ignore", "-i", "none", "-m", "ignore", "-M", "ignore", "-S", "ignore"];
    let done = Command::new("named-compilezone")
        .args(["-s", "full", "-n", "ignore", "-r", "ignore", "-T", "ignore", "-o"])
        .arg(&to)
        .args(checks)
        .arg("example.test")
        .arg(&from)
        .output()
        .expect("named-compilezone: cargo xtask setup installs it");
    let said = String::from_utf8_lossy(&done.stderr) + String::from_utf8_lossy(&done.stdout);
    if done.status.success() { Ok(std::fs::read_to_string(to).unwrap()) } else { Err(said.into()) }
}

/// Owner, type and data of each record.
fn data(zone: &ZoneFile) -> Vec<(String, u16, Vec<u8>)> {
    let rows = zone.records.iter();
    let row = rows.map(|r| (r.owner.to_string(), r.rtype.to_int(), r.rdata.to_vec()));
    let mut rows: Vec<_> = row.collect();
    rows.sort();
    rows
}

fn written() -> String {
    zone(
        RECORDS
            .iter()
            .flat_map(|(rtype, forms)| forms.iter().map(move |form| format!("{rtype} {form}"))),
    )
}

#[test]
fn we_read_what_bind_writes() {
    let text = written();
    let theirs = bind(&text).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(data(&ours(&theirs)), data(&ours(&text)));
}

#[test]
fn bind_reads_what_we_write() {
    let text = written();
    let zone_of = |show: &dyn Fn(&popnet_dns::ZoneRecord) -> String| {
        let records = ours(&text).records;
        let rows = records.iter().map(|r| format!("{} 60 {}\n", r.owner, show(r)));
        bind(&format!("$TTL 60\n{}", rows.collect::<String>()))
            .unwrap_or_else(|why| panic!("{why}"))
    };
    let forms = zone_of(&|r| format!("{} {}", r.rtype, rdata_text(r.rtype, &r.rdata)));
    // As octets, which nobody can misunderstand.
    let octets = zone_of(&|r| {
        let digits = r.rdata.iter().fold(String::new(), |text, octet| format!("{text}{octet:02x}"));
        format!("TYPE{} \\# {} {digits}", r.rtype.to_int(), r.rdata.len())
    });
    assert_eq!(forms, octets);
    assert_eq!(octets, bind(&text).unwrap());
}

#[test]
fn what_is_refused_is_refused_by_bind() {
    for (rtype, form) in [
        ("AFSDB", "x afs.other.test."),
        ("AFSDB", "1"),
        ("AMTRELAY", "10 2 1 192.0.2.9"),
        ("AMTRELAY", "10 0 4 192.0.2.9"),
        ("APL", "3:192.0.2.0/24"),
        ("APL", "1:192.0.2.0/33"),
        ("CERT", "NONSUCH 1 1 AQ=="),
        ("CSYNC", "1 2 NONSUCH"),
        ("DHCID", "no!"),
        ("EUI48", "00-00-5e-00-53"),
        ("GPOS", "1 2"),
        ("HIP", "2 20 AQ"),
        ("L32", "10 10.1.2"),
        ("L64", "10 2001:db8:1140:10000"),
        ("LOC", "91 N 0 E 0m"),
        ("LOC", "10 0 60 N 0 E 0m"),
        ("LOC", "10 0 0 N 181 E 0m"),
        ("LOC", "10 N 20 E"),
        ("NSAP", "47"),
        ("PX", "1 a.other.test."),
        ("SMIMEA", "0 0 1 xyz"),
        ("SMIMEA", "256 0 1 00"),
        ("URI", "65536 1 \"a\""),
        ("X25", "\"1\" \"2\""),
    ] {
        let text = zone(std::iter::once(format!("{rtype} {form}")));
        assert!(bind(&text).is_err(), "BIND takes {rtype} {form}");
        let apex: Name = "example.test".parse().unwrap();
        let mut none = |_: &Path| Err("no includes".to_owned());
        let read = read_zone(&apex, Path::new("zone"), text.as_bytes(), &mut none);
        let mistakes = read.expect_err(&format!("we take {rtype} {form}"));
        assert_eq!(mistakes[0].line, 5, "{}", mistakes[0]);
        assert!(mistakes[0].column > 3, "{}", mistakes[0]);
    }
}

#[test]
fn what_is_left_out_is_told() {
    for rtype in LEFT_OUT {
        let text = zone(std::iter::once(format!("{rtype} x")));
        let apex: Name = "example.test".parse().unwrap();
        let mut none = |_: &Path| Err("no includes".to_owned());
        let read = read_zone(&apex, Path::new("zone"), text.as_bytes(), &mut none);
        assert!(read.is_err(), "{rtype} is not left out");
    }
}
