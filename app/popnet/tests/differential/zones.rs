//! Zones: two written by hand for every corner of the RFCs, and some that a seed makes.

use std::collections::BTreeSet;
use std::sync::OnceLock;

/// A zone as text, and what is worth asking about.
pub(crate) struct Zone {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Owners, absolute, with a final dot, as they stand in the file.
    pub(crate) owners: BTreeSet<String>,
}

impl Zone {
    fn new(name: &str, lines: &[String]) -> Self {
        let mut text = format!("$ORIGIN {name}.\n$TTL 300\n");
        let mut owners = BTreeSet::new();
        for line in lines {
            text.push_str(line);
            text.push('\n');
            let owner = line.split_whitespace().next().unwrap();
            owners.insert(match owner {
                "@" => format!("{name}."),
                owner if owner.ends_with('.') => owner.to_owned(),
                owner => format!("{owner}.{name}."),
            });
        }
        Self { name: name.to_owned(), text, owners }
    }
}

/// A sequence of numbers from a seed (splitmix64, public domain).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }
}

pub(crate) fn all(seed: u64) -> Vec<Zone> {
    let mut dice = Dice(seed);
    let mut zones = vec![corners(), child()];
    zones.extend((0..6).map(|number| made(number, &mut dice)));
    let owners = zones.iter().flat_map(|zone| &zone.owners);
    let owners = owners.map(|owner| owner.trim_end_matches('.').to_ascii_lowercase());
    OWNERS.set(owners.collect()).unwrap();
    zones
}

static OWNERS: OnceLock<BTreeSet<String>> = OnceLock::new();

/// Whether a zone file has records of `name`, which is in lower case and without its final dot.
pub(crate) fn holds(name: &str) -> bool {
    OWNERS.get().unwrap().contains(name)
}

const CORNERS: &str = r#"
@ SOA ns1 hostmaster 7 3600 600 604800 60
@ NS ns1
@ NS ns.elsewhere.test.
@ MX 10 mail
@ TXT "apex"
@ CAA 0 issue "ca.test"
ns1 A 192.0.2.1
ns1 AAAA 2001:db8::1
mail A 192.0.2.2
www 60 A 192.0.2.3
www 60 A 192.0.2.4
www TXT "hello" "World"
WWW-Upper A 192.0.2.5
alias CNAME www
alias2 CNAME alias
far CNAME www.elsewhere.test.
cross CNAME alias.child.corner.test.
lost CNAME none
nodata CNAME mail
indeleg CNAME deep.insecure
towild CNAME x.wild
torename CNAME x.old
ring1 CNAME ring2
ring2 CNAME ring1
self CNAME self
a.b.c A 192.0.2.6
ent.one.two.three TXT "deep"
*.wild A 192.0.2.7
*.wild MX 5 mail
sub.wild TXT "stops the star"
below.sub.wild TXT "further"
*.star CNAME www
*.starlost CNAME none
*.starring CNAME x.starring
*.deep.er A 192.0.2.8
x.*.odd A 192.0.2.9
*.a.srv SRV 0 5 5060 www
mx MX 10 mail
mx MX 20 none
mx MX 30 mx.elsewhere.test.
srv SRV 0 5 5060 www
srv SRV 0 5 5061 alias
secure NS ns.secure
secure NS ns1
secure DS 1 13 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
ns.secure A 192.0.2.10
deep.secure A 192.0.2.11
insecure NS ns.insecure
insecure NS other.secure
ns.insecure AAAA 2001:db8::2
outside NS ns.elsewhere.test.
sibling NS ns.insecure
sibling NS ns.secure
under.ent NS ns1
child NS ns.child
child DS 2 13 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
ns.child A 192.0.2.12
old DNAME new
old TXT "beside a DNAME"
x.new A 192.0.2.13
y.new CNAME x.new
*.z.new TXT "made by a star"
dfar DNAME elsewhere.test.
dring1 DNAME dring2
dring2 DNAME dring1
dself DNAME x.dself
dwild DNAME wild
dcut DNAME insecure
dchild DNAME child
dlong DNAME aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.cccccccccccccccccccccccccccccccccccccccccccccccccc
https HTTPS 1 . alpn="h2,h3" ipv4hint=192.0.2.14
https A 192.0.2.14
svcb SVCB 1 www port=8443
svcb0 SVCB 0 www
naptr NAPTR 10 20 "u" "E2U+sip" "!^.*$!sip:a@b!" .
_443._tcp TLSA 3 1 1 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
sshfp SSHFP 4 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
hinfo HINFO "CPU" "OS"
rp RP hostmaster txt
loc TYPE29 \# 16 00121613 8B0D2B19 810CB47B 009895B8
ptr PTR www
afsdb TYPE18 \# 19 0001 03777777 06636F726E6572 0474657374 00
uri TYPE256 \# 13 000A0001 68747470733A2F2F 78
unknown TYPE65280 \# 4 0A000001
unknown TYPE65281 \# 0
known TYPE1 \# 4 C0000263
esc\.aped A 192.0.2.15
sp\032ace A 192.0.2.16
nul\000l A 192.0.2.17
high\200 A 192.0.2.18
spf TYPE99 \# 5 0474657374
zero 0 A 192.0.2.19
"#;

fn corners() -> Zone {
    let mut lines: Vec<String> = CORNERS.trim().lines().map(str::to_owned).collect();
    // A chain as long as anybody may write one, and one longer than any server follows.
    for step in 0..24 {
        lines.push(format!("chain{step:02} CNAME chain{:02}", step + 1));
    }
    lines.push("chain24 A 192.0.2.20".to_owned());
    // Sizes around every limit: 512, what a query says, 1232, and more than UDP carries.
    for (name, count) in [("size28", 28), ("size29", 29), ("size30", 30), ("size60", 60)] {
        lines.extend((0..count).map(|n| format!("{name} A 198.51.100.{n}")));
    }
    for (name, count) in [("size72", 72), ("size73", 73), ("size74", 74), ("size100", 100)] {
        lines.extend((0..count).map(|n| format!("{name} A 203.0.113.{n}")));
    }
    for length in [430, 440, 450, 460, 1_140, 1_150, 1_160, 1_170, 5_000, 20_000] {
        let texts = "x".repeat(length);
        let parts: Vec<String> = texts
            .as_bytes()
            .chunks(200)
            .map(|chunk| format!("\"{}\"", String::from_utf8_lossy(chunk)))
            .collect();
        lines.push(format!("text{length} TXT {}", parts.join(" ")));
    }
    // A referral whose glue does not fit, and one whose servers hardly do.
    for n in 0..12 {
        lines.push(format!("wide NS a-rather-long-name-of-a-server-{n:02}.wide"));
        for last in 0..4 {
            let name = format!("a-rather-long-name-of-a-server-{n:02}.wide");
            lines.push(format!("{name} A 198.51.100.{}", n * 4 + last));
        }
    }
    // 63 octets a label, 255 a name.
    let label = |letter: &str, length: usize| letter.repeat(length);
    let rest = 253 - ".corner.test".len() - 3 * 64;
    let longest =
        format!("{}.{}.{}.{}", label("a", 63), label("b", 63), label("c", 63), label("d", rest));
    lines.push(format!("{longest} A 192.0.2.21"));
    Zone::new("corner.test", &lines)
}

const CHILD: &str = "
@ SOA ns h 1 3600 600 604800 30
@ NS ns
@ MX 10 mail.corner.test.
ns A 192.0.2.12
alias CNAME www.corner.test.
back CNAME cross.corner.test.
deep.name A 192.0.2.30
* TXT \"star at the top\"
";

/// A zone below the other, on the same server.
fn child() -> Zone {
    let lines: Vec<String> = CHILD.trim().lines().map(str::to_owned).collect();
    Zone::new("child.corner.test", &lines)
}

const LABELS: [&str; 8] = ["a", "b", "c", "d", "Mixed", "x1", "_srv", "*"];

/// A zone of some hundred names that nobody thought of.
fn made(number: usize, dice: &mut Dice) -> Zone {
    let zone = format!("made{number}.test");
    let mut lines = vec![
        "@ SOA ns h 3 3600 600 604800 120".to_owned(),
        "@ NS ns".to_owned(),
        "ns A 192.0.2.99".to_owned(),
    ];
    let mut names: Vec<String> = (0..150)
        .map(|_| {
            let depth = 1 + dice.below(4);
            let labels: Vec<&str> = (0..depth).map(|_| *dice.pick(&LABELS)).collect();
            labels.join(".")
        })
        .collect();
    names.sort();
    names.dedup();
    let mut closed: Vec<String> = Vec::new();
    // Higher names first: what lies below a DNAME would be no part of the zone (RFC 6672 2.4).
    names.sort_by_key(|name| name.matches('.').count());
    for name in &names {
        let lower = name.to_ascii_lowercase();
        if lower == "ns" || closed.iter().any(|above| lower.ends_with(&format!(".{above}"))) {
            continue;
        }
        let star = name.starts_with("*.") || name == "*";
        let other = |dice: &mut Dice| match dice.below(8) {
            0 => "elsewhere.test.".to_owned(),
            1 => format!("{}.made{}.test.", dice.pick(&LABELS[..6]), dice.below(6)),
            2 => format!("zz.{}", dice.pick(&names)),
            3 => "none".to_owned(),
            _ => dice.pick(&names).clone(),
        };
        match dice.below(20) {
            0..=3 => {
                let target = other(dice);
                lines.push(format!("{name} CNAME {target}"));
            }
            // Neither is defined at a star (RFC 4592 4.2, 4.4).
            4 if !star => {
                let target = other(dice);
                lines.push(format!("{name} DNAME {target}"));
                closed.push(lower);
            }
            5 | 6 if !star => {
                lines.push(format!("{name} NS ns.{name}"));
                lines.push(format!("{name} NS {}", other(dice)));
                if dice.percent(70) {
                    lines.push(format!("ns.{name} A 198.51.100.{}", dice.below(250)));
                }
                if dice.percent(40) {
                    let digest = "00112233445566778899AABBCCDDEEFF".repeat(2);
                    lines.push(format!("{name} DS {} 13 2 {digest}", dice.below(65_536)));
                }
            }
            _ => ordinary(name, &other(dice), dice, &mut lines),
        }
    }
    Zone::new(&zone, &lines)
}

/// One to three sets of records that may stand beside each other.
fn ordinary(name: &str, target: &str, dice: &mut Dice, lines: &mut Vec<String>) {
    for _ in 0..=dice.below(3) {
        let last = dice.below(250);
        lines.push(match dice.below(7) {
            0 | 1 => format!("{name} A 203.0.113.{last}"),
            2 => format!("{name} AAAA 2001:db8::{last}"),
            3 => format!("{name} MX {last} {target}"),
            4 => format!("{name} TXT \"{last}\""),
            5 => format!("{name} SRV 0 1 {last} {target}"),
            _ => format!("{name} TYPE65300 \\# 2 00{last:02X}"),
        });
    }
}
