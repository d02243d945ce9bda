//! What an attempt that is not HTTP was told, held against what is expected of its kind.

use std::net::IpAddr;

use popnet_config::network::Expect;
use popnet_dns::{Rcode, Response};
use popnet_wire::probing::Cause;
use serde_json::Value;

use crate::attempt::Told;
use crate::check::{Checked, content_verdict, load_in, thousandths};

/// What each kind expects beside the content.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    /// Nothing more.
    Nothing,
    /// The reply after a file was sent (RFC 959 4.2: 226, or 250).
    File,
    /// This code, and this address among the answers.
    Dns { rcode: u16, answer: Option<IpAddr> },
    /// A stream at least this fast, in bits a second.
    Rate(u64),
    /// An exit code.
    Exit,
    /// A load at all.
    Load,
}

/// Holds `told` against what is wanted.
pub(crate) fn judge(wanted: &Wanted, expect: &Expect, told: &Told) -> Checked {
    let (cause, words) = match verdict(wanted, told) {
        (Cause::Passed, _) => content_verdict(expect, &told.content, told.digest),
        other => other,
    };
    let load = told.load.or_else(|| match wanted {
        Wanted::Exit => plugin_load(&told.content),
        Wanted::Nothing | Wanted::File | Wanted::Dns { .. } | Wanted::Rate(_) | Wanted::Load => {
            load_in(&told.content, expect.load_json.as_deref()?)
        }
    });
    Checked { cause, words: words.into(), load, epoch: None }
}

fn verdict(wanted: &Wanted, told: &Told) -> (Cause, String) {
    let passed = (Cause::Passed, String::new());
    match wanted {
        Wanted::Nothing => passed,
        Wanted::File if matches!(told.code, 226 | 250) => passed,
        Wanted::File => (Cause::Status, format!("reply {} after the file", told.code)),
        Wanted::Dns { rcode, answer } => dns(*rcode, *answer, &told.content),
        Wanted::Rate(wanted) => {
            let rate = told.rate.unwrap_or(0);
            if rate >= *wanted {
                return passed;
            }
            let words = format!("comes at {} kbit/s, {} wanted", rate / 1_000, wanted / 1_000);
            (Cause::Content, words)
        }
        Wanted::Exit => plugin(told),
        Wanted::Load if told.load.is_some() => passed,
        Wanted::Load => (Cause::Content, "tells no load".into()),
    }
}

fn dns(rcode: u16, answer: Option<IpAddr>, octets: &[u8]) -> (Cause, String) {
    let response = match Response::parse(octets) {
        Ok(response) => response,
        Err(error) => return (Cause::Protocol, error.to_string()),
    };
    let found = Rcode::to_int(response.rcode);
    if found != rcode {
        return (Cause::Status, format!("response code {}", response.rcode));
    }
    match answer {
        Some(wanted) if !response.addresses().any(|address| address == wanted) => {
            (Cause::Content, format!("answers lack {wanted}"))
        }
        Some(_) | None => (Cause::Passed, String::new()),
    }
}

/// Exit codes as monitoring plug-ins use them: 0 well, 1 warning, 2 critical, 3 unknown. A warning
/// is served on. The words are the first line of what it printed, or `words` of its JSON.
fn plugin(told: &Told) -> (Cause, String) {
    let state = match told.code {
        0 | 1 => return (Cause::Passed, String::new()),
        2 => "critical",
        _ => "unknown",
    };
    (Cause::Status, format!("exit {} ({state}) {}", told.code, plugin_words(&told.content)))
}

fn plugin_words(printed: &[u8]) -> String {
    let by_json = || match serde_json::from_slice::<Value>(printed).ok()?.get("words")? {
        Value::String(words) => Some(words.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    };
    let text = by_json().unwrap_or_else(|| String::from_utf8_lossy(printed).into_owned());
    let line = text.lines().next().unwrap_or_default();
    // What follows a bar is for machines.
    let line = line.split('|').next().unwrap_or_default().trim();
    line.chars().filter(|sign| !sign.is_control()).take(80).collect()
}

/// `load` of the JSON that a plug-in printed, 0 to 1.
fn plugin_load(printed: &[u8]) -> Option<u16> {
    let value: Value = serde_json::from_slice(printed).ok()?;
    thousandths(value.get("load")?.as_f64()?)
}

/// What a plug-in's output says: its words and its load. Takes any octets.
#[must_use]
pub fn plugin_output(printed: &[u8]) -> (String, Option<u16>) {
    (plugin_words(printed), plugin_load(printed))
}

#[cfg(test)]
mod tests {
    use popnet_dns::{Name, Rtype, build_query};
    use proptest::prelude::*;

    use super::*;

    fn told(code: u16, content: &str) -> Told {
        Told { code, content: content.into(), ..Told::default() }
    }

    fn said(wanted: &Wanted, told: &Told) -> (Cause, String) {
        let checked = judge(wanted, &Expect::default(), told);
        (checked.cause, checked.words.to_string())
    }

    #[test]
    fn kinds() {
        assert_eq!(said(&Wanted::File, &told(226, "x")).0, Cause::Passed);
        assert_eq!(
            said(&Wanted::File, &told(426, "x")),
            (Cause::Status, "reply 426 after the file".into())
        );
        assert_eq!(said(&Wanted::Exit, &told(1, "WARNING")).0, Cause::Passed);
        assert_eq!(
            said(&Wanted::Exit, &told(2, "CRITICAL: disk | /=99%\nmore")),
            (Cause::Status, "exit 2 (critical) CRITICAL: disk".into())
        );
        let json = told(3, r#"{"words":"no\u0007 idea","load":0.25}"#);
        let checked = judge(&Wanted::Exit, &Expect::default(), &json);
        assert_eq!((&*checked.words, checked.load), ("exit 3 (unknown) no idea", Some(250)));
        let slow = Told { rate: Some(64_000), ..Told::default() };
        assert_eq!(
            said(&Wanted::Rate(128_000), &slow),
            (Cause::Content, "comes at 64 kbit/s, 128 wanted".into())
        );
        assert_eq!(said(&Wanted::Rate(64_000), &slow).0, Cause::Passed);
        assert_eq!(said(&Wanted::Load, &slow), (Cause::Content, "tells no load".into()));
        let expect = Expect { body_contains: Some("acme".into()), ..Expect::default() };
        assert_eq!(judge(&Wanted::File, &expect, &told(226, "globex")).cause, Cause::Content);
    }

    #[test]
    fn dns_answers() {
        let name: Name = "www.acme.test.".parse().unwrap();
        let mut packet = build_query(7, &name, Rtype::A, None);
        let wanted = |rcode, answer| Wanted::Dns { rcode, answer };
        let asked = |packet: &[u8]| Told { content: packet.to_vec(), ..Told::default() };
        assert_eq!(said(&wanted(0, None), &asked(&packet)).0, Cause::Protocol);
        packet[2] |= 0x80;
        assert_eq!(said(&wanted(0, None), &asked(&packet)).0, Cause::Passed);
        assert_eq!(said(&wanted(3, None), &asked(&packet)).0, Cause::Status);
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(
            said(&wanted(0, Some(address)), &asked(&packet)),
            (Cause::Content, "answers lack 192.0.2.1".into())
        );
    }

    proptest! {
        #[test]
        fn junk_is_judged(octets in prop::collection::vec(any::<u8>(), 0..300), code: u16) {
            let told = Told { code, content: octets, ..Told::default() };
            for wanted in [Wanted::Exit, Wanted::Dns { rcode: 0, answer: None }, Wanted::Load] {
                let _ = judge(&wanted, &Expect::default(), &told);
            }
        }
    }
}
