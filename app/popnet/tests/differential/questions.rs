//! Questions about the zones: every owner with every type, and many that nobody would ask.

use std::fmt;

use super::zones::{Dice, Zone};

/// A question and how it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Labels.
    pub(crate) name: Vec<Vec<u8>>,
    pub(crate) qtype: u16,
    pub(crate) qclass: u16,
    pub(crate) tcp: bool,
    /// The size that EDNS says; `None`: no EDNS.
    pub(crate) edns: Option<u16>,
    pub(crate) dnssec_ok: bool,
    pub(crate) recursion_desired: bool,
}

pub(crate) const ANY: u16 = 255;
const IN: u16 = 1;

/// Types asked for: all that the zones hold, some that they do not, and one nobody knows.
const TYPES: [u16; 26] = [
    1, 2, 5, 6, 12, 13, 15, 16, 17, 28, 29, 33, 35, 39, 43, 44, 46, 47, 48, 52, 64, 65, ANY, 257,
    65_280, 65_300,
];
/// Those that find most.
const COMMON: [u16; 8] = [1, 28, 15, 16, 5, 2, 43, ANY];

impl Question {
    fn of(name: &[Vec<u8>], qtype: u16) -> Self {
        Self {
            name: name.to_vec(),
            qtype,
            qclass: IN,
            tcp: false,
            edns: Some(1_232),
            dnssec_ok: false,
            recursion_desired: false,
        }
    }

    /// The question section.
    pub(crate) fn section(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        for label in &self.name {
            octets.push(u8::try_from(label.len()).unwrap());
            octets.extend_from_slice(label);
        }
        octets.push(0);
        octets.extend_from_slice(&self.qtype.to_be_bytes());
        octets.extend_from_slice(&self.qclass.to_be_bytes());
        octets
    }

    /// The query with this number.
    pub(crate) fn query(&self, id: u16) -> Vec<u8> {
        let [i0, i1] = id.to_be_bytes();
        let records = u8::from(self.edns.is_some());
        let flags = u8::from(self.recursion_desired);
        let mut octets = vec![i0, i1, flags, 0, 0, 1, 0, 0, 0, 0, 0, records];
        octets.extend(self.section());
        if let Some(size) = self.edns {
            octets.extend_from_slice(&[0, 0, 41]);
            octets.extend_from_slice(&size.to_be_bytes());
            octets.extend_from_slice(&[0, 0, u8::from(self.dnssec_ok) << 7, 0, 0, 0]);
        }
        octets
    }

    /// How many octets an answer may have.
    pub(crate) fn limit(&self) -> usize {
        match (self.tcp, self.edns) {
            (true, _) => 65_535,
            (false, Some(size)) => usize::from(size.clamp(512, 1_232)),
            (false, None) => 512,
        }
    }

    fn text(&self) -> String {
        let escape = |octet: &u8| match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'*' => {
                char::from(*octet).to_string()
            }
            other => format!("\\{other:03}"),
        };
        let labels = self.name.iter().map(|label| label.iter().map(escape).collect::<String>());
        labels.map(|label| label + ".").collect::<String>()
    }

    /// The command that asks again.
    pub(crate) fn dig(&self, port: u16) -> String {
        let edns = self.edns.map_or("+noedns".to_owned(), |size| format!("+bufsize={size}"));
        format!(
            "dig @127.0.0.1 -p {port} +norec +nocookie {edns}{}{} -t TYPE{} '{}'",
            if self.dnssec_ok { " +dnssec" } else { "" },
            if self.tcp { " +tcp" } else { " +ignore" },
            self.qtype,
            self.text()
        )
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { qtype, qclass, edns, tcp, dnssec_ok, .. } = self;
        let name = self.text();
        write!(f, "{name} TYPE{qtype} CLASS{qclass} edns {edns:?} tcp {tcp} do {dnssec_ok}")
    }
}

/// The labels of a name in a zone file.
fn labels(text: &str) -> Vec<Vec<u8>> {
    let (mut all, mut label, mut octets) = (Vec::new(), Vec::new(), text.bytes());
    while let Some(octet) = octets.next() {
        match octet {
            b'.' => all.push(std::mem::take(&mut label)),
            b'\\' => {
                let next = octets.next().unwrap();
                if next.is_ascii_digit() {
                    let rest = [octets.next().unwrap(), octets.next().unwrap()];
                    let digits = [next, rest[0], rest[1]].map(|digit| u16::from(digit - b'0'));
                    let value = digits[0] * 100 + digits[1] * 10 + digits[2];
                    label.push(u8::try_from(value).unwrap());
                } else {
                    label.push(next);
                }
            }
            other => label.push(other),
        }
    }
    all
}

/// At least `many` questions.
pub(crate) fn all(zones: &[Zone], seed: u64, many: usize) -> Vec<Question> {
    let mut dice = Dice(seed ^ 0x5eed);
    let owners: Vec<Vec<Vec<u8>>> =
        zones.iter().flat_map(|zone| &zone.owners).map(|owner| labels(owner)).collect();
    let mut questions = Vec::new();
    // Everything in the zone of corners; elsewhere the types that find most.
    for owner in &owners {
        let corner = owner.iter().any(|label| label == b"corner");
        for qtype in if corner { TYPES.as_slice() } else { COMMON.as_slice() } {
            questions.push(Question::of(owner, *qtype));
        }
    }
    questions.extend(special(&owners));
    // Numbers of questions are numbers of queries: two octets.
    let many = many.min(60_000);
    let least = questions.len() + many / 3;
    while questions.len() < many.max(least) {
        questions.push(any(&owners, &mut dice));
    }
    let fits = |question: &Question| question.section().len() <= 255 + 4;
    let legal = |question: &Question| question.name.iter().all(|label| label.len() <= 63);
    questions.into_iter().filter(fits).filter(legal).collect()
}

/// Sizes around which answers are cut, and names of no zone of ours.
fn special(owners: &[Vec<Vec<u8>>]) -> Vec<Question> {
    let mut questions = Vec::new();
    let sized = owners.iter().filter(|owner| {
        let first = owner.first().map(Vec::as_slice).unwrap_or_default();
        first.starts_with(b"size") || first.starts_with(b"text") || first == b"wide"
    });
    for owner in sized {
        for (edns, tcp) in [
            (None, false),
            (None, true),
            (Some(0), false),
            (Some(512), false),
            (Some(700), false),
            (Some(1_232), false),
            (Some(1_400), false),
            (Some(4_096), false),
            (Some(65_535), false),
            (Some(1_232), true),
        ] {
            for qtype in [1, 16] {
                questions.push(Question { edns, tcp, ..Question::of(owner, qtype) });
                // Other letters than the zone's leave less to compress.
                let loud: Vec<Vec<u8>> = owner.iter().map(|l| l.to_ascii_uppercase()).collect();
                questions.push(Question { edns, tcp, ..Question::of(&loud, qtype) });
            }
        }
    }
    for name in ["elsewhere.test.", "test.", ".", "www.example.net.", "2.0.192.in-addr.arpa."] {
        let name = if name == "." { Vec::new() } else { labels(name) };
        for qtype in COMMON {
            questions.push(Question::of(&name, qtype));
        }
    }
    questions
}

/// A question from the dice.
fn any(owners: &[Vec<Vec<u8>>], dice: &mut Dice) -> Question {
    let mut name = dice.pick(owners).clone();
    match dice.below(10) {
        // A name above: often an empty one.
        0 if name.len() > 2 => drop(name.remove(0)),
        1 | 2 => name.insert(0, b"zz".to_vec()),
        3 => name.insert(0, b"*".to_vec()),
        4 => {
            name.insert(0, b"A".to_vec());
            name.insert(0, b"zz9".to_vec());
        }
        5 if name.len() > 2 => name[0] = dice.pick(&["q", "*", "ns", "mixed"]).as_bytes().to_vec(),
        6 => name.insert(0, vec![u8::try_from(dice.below(256)).unwrap(), b'.']),
        // A label of another length in the middle.
        7 if name.len() > 3 => name[1].push(b'x'),
        _ => {}
    }
    for octet in name.iter_mut().flatten() {
        if dice.percent(30) {
            *octet = if octet.is_ascii_lowercase() {
                octet.to_ascii_uppercase()
            } else {
                octet.to_ascii_lowercase()
            };
        }
    }
    let qtype = if dice.percent(70) { *dice.pick(&COMMON) } else { *dice.pick(&TYPES) };
    Question {
        tcp: dice.percent(10),
        edns: match dice.below(6) {
            0 => None,
            1 => Some(512),
            2 => Some(4_096),
            _ => Some(1_232),
        },
        dnssec_ok: dice.percent(20),
        recursion_desired: dice.percent(20),
        ..Question::of(&name, qtype)
    }
}
