//! An exchange as a line: a JSON object, or words that are always in the same order. Names are
//! escaped as in zone files, so that a line is a line whatever somebody asks.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::Arc;

use ipnet::IpNet;
use popnet_config::network::LineFormat;
use popnet_dns::{Class, Edns, Parsed, QName, Rcode, Response, Rtype, parse_query};
use popnet_terms::{TargetId, Timestamp};
use serde::Serialize;

use super::Copied;

/// The layout of the lines. Keys are only added.
const VERSION: u8 = 1;

/// What a line says.
#[derive(Debug, Serialize)]
struct Line<'a> {
    v: u8,
    ts: String,
    ns: &'a str,
    resolver: String,
    resolver_port: u16,
    proto: &'static str,
    #[serde(flatten)]
    asked: Asked,
    #[serde(flatten)]
    said: Option<Said>,
    /// Microseconds from the question's arrival to its answer.
    dur_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    chosen: Option<Vec<String>>,
}

/// What can be read of a question.
#[derive(Debug, Default, Serialize)]
struct Asked {
    qname: Option<Arc<str>>,
    qtype: Option<String>,
    qclass: Option<String>,
    qid: Option<u16>,
    flags: String,
    edns_size: Option<u16>,
    #[serde(rename = "do")]
    dnssec_ok: bool,
    cookie: bool,
    ecs: Option<IpNet>,
}

/// What was said to it.
#[derive(Debug, Serialize)]
struct Said {
    rcode: String,
    size: usize,
    tc: bool,
    aa: bool,
    answers: u16,
    ecs_scope: Option<u8>,
    ede: Option<u16>,
}

/// Appends the line of an exchange with the name server `node`.
pub(super) fn write(copied: &Copied<'_>, node: &str, format: LineFormat, into: &mut Vec<u8>) {
    let line = Line {
        v: VERSION,
        ts: moment(copied.came),
        ns: node,
        resolver: copied.from.ip().to_string(),
        resolver_port: copied.from.port(),
        proto: copied.transport.name(),
        asked: Asked::of(copied.question),
        said: Said::of(copied.answer),
        dur_us: u64::try_from(copied.left.since(copied.came).as_micros()).unwrap_or(u64::MAX),
        chosen: copied.targets.map(|some| some.iter().map(ToString::to_string).collect()),
    };
    // Writing into memory does not fail.
    let _ = match format {
        LineFormat::Json => serde_json::to_writer(&mut *into, &line).map_err(|_| fmt::Error),
        LineFormat::Text => write!(into, "{line}").map_err(|_| fmt::Error),
    };
    into.push(b'\n');
}

/// `iad1,fra1`.
pub(super) fn targets(targets: &[TargetId]) -> String {
    targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn moment(at: Timestamp) -> String {
    format!("{:.6}", jiff::Timestamp::from_microsecond(at.0).unwrap_or_default())
}

impl Asked {
    fn of(packet: &[u8]) -> Self {
        let mut asked =
            Self { qid: packet.first_chunk().copied().map(u16::from_be_bytes), ..Self::default() };
        let Some([bits, more]) = packet.get(2..).and_then(|rest| rest.first_chunk::<2>()) else {
            return asked;
        };
        let marks = [(bits & 1, "rd"), (more & 0x20, "ad"), (more & 0x10, "cd")];
        let marks = marks.iter().filter(|(bit, _)| *bit != 0).map(|(_, name)| *name);
        asked.flags = marks.collect::<Vec<_>>().join(" ");
        match parse_query(packet) {
            Parsed::Query(query) => {
                asked.question(query.qname.to_host(), query.qtype, query.qclass);
                asked.edns(query.edns.as_ref());
            }
            Parsed::Refuse(refusal) => {
                let question = refusal.question;
                if let (Some(name), Some([t0, t1, c0, c1])) =
                    (QName::read(question), question.last_chunk::<4>())
                {
                    let qtype = Rtype::from_int(u16::from_be_bytes([*t0, *t1]));
                    let class = Class::from_int(u16::from_be_bytes([*c0, *c1]));
                    asked.question(name.to_host(), qtype, class);
                }
            }
            Parsed::Drop(_) => {}
        }
        asked
    }

    fn question(&mut self, name: Arc<str>, qtype: Rtype, class: Class) {
        // A word is a word: zone files escape a space by a space.
        let has_space = name.contains(' ');
        self.qname = Some(if has_space { name.replace("\\ ", "\\032").into() } else { name });
        self.qtype = Some(qtype.to_string());
        self.qclass = Some(class.to_string());
    }

    fn edns(&mut self, edns: Option<&Edns>) {
        let Some(edns) = edns else { return };
        self.edns_size = Some(edns.udp_size);
        self.dnssec_ok = edns.dnssec_ok;
        self.cookie = edns.cookie.is_some();
        self.ecs = edns.client_subnet.and_then(|subnet| subnet.net());
    }
}

impl Said {
    /// `None`: silence.
    fn of(answer: &[u8]) -> Option<Self> {
        let head = answer.first_chunk::<12>()?;
        let [_, _, bits, more, _, _, a0, a1, ..] = *head;
        let response = Response::parse(answer).ok();
        let rcode = response.as_ref().map(|response| response.rcode);
        let edns = response.and_then(|response| response.edns);
        Some(Self {
            rcode: rcode.unwrap_or(Rcode::masked_from_int(u16::from(more & 0x0f))).to_string(),
            size: answer.len(),
            tc: bits & 2 != 0,
            aa: bits & 4 != 0,
            answers: u16::from_be_bytes([a0, a1]),
            ecs_scope: edns.as_ref().and_then(|edns| edns.subnet).map(|(_, scope)| scope),
            ede: edns.and_then(|edns| edns.extended_error).map(|(code, _)| code),
        })
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ts, resolver, resolver_port, proto, asked, said, dur_us, chosen, .. } = self;
        write!(f, "{ts} {resolver}#{resolver_port} {proto} ")?;
        match (&asked.qname, &asked.qclass, &asked.qtype) {
            (Some(name), Some(class), Some(qtype)) => write!(f, "{name} {class} {qtype}")?,
            _ => f.write_str("- - -")?,
        }
        let mut marks = vec![asked.flags.replace(' ', ",")];
        marks.extend(asked.edns_size.map(|size| format!("edns={size}")));
        marks.extend(asked.dnssec_ok.then(|| "do".to_owned()));
        marks.extend(asked.cookie.then(|| "cookie".to_owned()));
        marks.extend(asked.ecs.map(|net| format!("ecs={net}")));
        marks.retain(|mark| !mark.is_empty());
        write!(f, " [{}] ", marks.join(","))?;
        match said {
            None => f.write_str("- [] 0")?,
            Some(said) => {
                let mut marks = String::new();
                for (is_set, mark) in [(said.aa, "aa,"), (said.tc, "tc,")] {
                    marks.push_str(if is_set { mark } else { "" });
                }
                if let Some(scope) = said.ecs_scope {
                    write!(marks, "scope={scope},")?;
                }
                if let Some(code) = said.ede {
                    write!(marks, "ede={code},")?;
                }
                let marks = marks.trim_end_matches(',');
                write!(f, "{} [{marks}] {}", said.rcode, said.size)?;
            }
        }
        write!(f, " {dur_us}us")?;
        match chosen {
            Some(chosen) => write!(f, " {}", chosen.join(",")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use popnet_dns::build_query;

    use super::*;
    use crate::serve::Transport;

    fn lines(question: &[u8], answer: &[u8], targets: Option<&[TargetId]>) -> [String; 2] {
        let copied = Copied {
            from: "198.51.100.7:41822".parse().unwrap(),
            at: None,
            transport: Transport::Udp,
            came: Timestamp(1_790_000_000_123_456),
            left: Timestamp(1_790_000_000_123_498),
            question,
            answer,
            targets,
            number: 0,
        };
        [LineFormat::Text, LineFormat::Json].map(|format| {
            let mut into = Vec::new();
            write(&copied, "ns1.fra1", format, &mut into);
            assert_eq!(into.iter().filter(|octet| **octet == b'\n').count(), 1);
            String::from_utf8(into).unwrap().trim_end().to_owned()
        })
    }

    #[test]
    fn an_exchange() {
        let name = "www.example.test".parse().unwrap();
        let subnet = Some("203.0.113.0/24".parse().unwrap());
        let question = build_query(7, &name, Rtype::AAAA, subnet);
        let mut answer = question.clone();
        answer[2] |= 0x86;
        answer[3] = 3;
        let [text, json] = lines(&question, &answer, Some(&[TargetId::Pop("iad1".into())]));
        let size = answer.len();
        assert_eq!(
            text,
            format!(
                "2026-09-21T14:13:20.123456Z 198.51.100.7#41822 udp www.example.test IN AAAA \
                 [edns=1232,ecs=203.0.113.0/24] NXDOMAIN [aa,tc,scope=0] {size} 42us iad1"
            )
        );
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let expected = serde_json::json!({
            "v": 1, "ts": "2026-09-21T14:13:20.123456Z", "ns": "ns1.fra1",
            "resolver": "198.51.100.7", "resolver_port": 41822, "proto": "udp",
            "qname": "www.example.test", "qtype": "AAAA", "qclass": "IN", "qid": 7, "flags": "",
            "edns_size": 1232, "do": false, "cookie": false, "ecs": "203.0.113.0/24",
            "rcode": "NXDOMAIN", "size": size, "tc": true, "aa": true, "answers": 0,
            "ecs_scope": 0, "ede": null, "dur_us": 42, "chosen": ["iad1"],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_no_question_is_a_line_too() {
        for junk in [&b""[..], b"\0", b"\0\x01\x80\0", &[0xff; 40], &[0; 12], b"\n\n\n\n"] {
            let [text, json] = lines(junk, &[], None);
            assert!(text.contains(" - - - [") && text.ends_with("] - [] 0 42us"), "{text}");
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert!(json["qname"].is_null() && json.get("rcode").is_none(), "{json}");
        }
        // A name that tries to begin a line of its own, in a class of another world.
        let mut question = vec![0, 9, 1, 0x30, 0, 1, 0, 0, 0, 0, 0, 0, 5];
        question.extend_from_slice(b"a\n\"b \0\0\x01\0\x03");
        let [text, json] = lines(&question, &[], None);
        assert!(text.contains(r#"a\010"b\032 CH A [rd,ad,cd] - [] 0"#), "{text}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["qname"], r#"a\010"b\032"#);
    }
}
