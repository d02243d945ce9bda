//! Whether an answer is the right one: not only a 200, but the right content (P7), and what it
//! says of its server's load (P8).

use std::sync::Arc;

use popnet_config::network::Expect;
use popnet_wire::probing::Cause;
use popnet_wire::rollout::Epoch;
use serde_json::Value;

use crate::action::Answer;

/// What an answer is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// [`Cause::Passed`], or the first check that failed.
    pub cause: Cause,
    /// In words; empty when it passed.
    pub words: Arc<str>,
    /// Load in thousandths, when it told.
    pub load: Option<u16>,
    /// The configuration by which it serves, when it told.
    pub epoch: Option<Epoch>,
}

/// Holds `answer` against what is expected.
#[must_use]
pub fn check(expect: &Expect, answer: &Answer) -> Checked {
    let (cause, words) = verdict(expect, answer);
    Checked {
        cause,
        words: words.into(),
        load: load(expect, answer),
        epoch: answer.epoch.as_deref().and_then(epoch_in),
    }
}

/// The load in thousandths at `pointer` (RFC 6901) of a JSON text. Never panics, whatever the
/// text is.
#[must_use]
pub fn load_in(json: &[u8], pointer: &str) -> Option<u16> {
    let value: Value = serde_json::from_slice(json).ok()?;
    match value.pointer(pointer)? {
        Value::Number(number) => thousandths(number.as_f64()?),
        Value::String(text) => thousandths(text.trim().parse().ok()?),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn verdict(expect: &Expect, answer: &Answer) -> (Cause, String) {
    let wanted: &[u16] = if expect.status.is_empty() { &[200] } else { &expect.status };
    if !wanted.contains(&answer.status) {
        let wanted: Vec<String> = wanted.iter().map(u16::to_string).collect();
        let words = format!("status {}, expected {}", answer.status, wanted.join(" or "));
        return (Cause::Status, words);
    }
    content_verdict(expect, &answer.content, answer.digest)
}

/// Whether the content is the right one.
pub(crate) fn content_verdict(
    expect: &Expect,
    content: &[u8],
    digest: Option<[u8; 32]>,
) -> (Cause, String) {
    if let Some(text) = &expect.body_contains
        && !contains(content, text.as_bytes())
    {
        return (Cause::Content, format!("content lacks {text:?}"));
    }
    if let Some(wanted) = &expect.body_sha256 {
        let found = digest.map(hexadecimal).unwrap_or_default();
        if !found.eq_ignore_ascii_case(wanted) {
            let start: String = found.chars().take(12).collect();
            return (Cause::Content, format!("content has SHA-256 {start}…"));
        }
    }
    (Cause::Passed, String::new())
}

fn load(expect: &Expect, answer: &Answer) -> Option<u16> {
    let by_field = answer.load.as_deref().and_then(|text| {
        let bare = text.split(';').next().unwrap_or_default();
        thousandths(bare.trim().parse().ok()?)
    });
    let by_json = || load_in(&answer.content, expect.load_json.as_deref()?);
    by_field.or_else(by_json)
}

/// Octets that a server has sent since its start: `sent` among the parameters of its load.
pub(crate) fn sent(answer: &Answer) -> Option<u64> {
    let mut parameters = answer.load.as_deref()?.split(';').skip(1);
    parameters.find_map(|parameter| parameter.trim().strip_prefix("sent=")?.parse().ok())
}

/// How much of `capacity` (bits a second) a server says it sends, in thousandths: `out` among the
/// parameters of its load (RFC 9651 3.3).
pub(crate) fn carried(answer: &Answer, capacity: u64) -> Option<u16> {
    let parameters = answer.load.as_deref()?.split(';').skip(1);
    let out = parameters.filter_map(|parameter| parameter.trim().strip_prefix("out=")).next()?;
    let part = u128::from(out.parse::<u64>().ok()?) * 1_000;
    u16::try_from(part.checked_div(u128::from(capacity))?.min(1_000)).ok()
}

/// `7` or `v7`.
fn epoch_in(text: &str) -> Option<Epoch> {
    let digits = text.trim();
    digits.strip_prefix('v').unwrap_or(digits).parse().ok().map(Epoch)
}

/// A load from 0 to 1; more than 1 is 1, anything else is no load.
pub(crate) fn thousandths(load: f64) -> Option<u16> {
    (load.is_finite() && load >= 0.0).then_some(())?;
    let scaled = (load.min(1.0) * 1_000.0).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1,000"
    )]
    let whole = scaled as u16;
    Some(whole)
}

fn contains(content: &[u8], text: &[u8]) -> bool {
    text.is_empty() || content.windows(text.len()).any(|window| window == text)
}

fn hexadecimal(digest: [u8; 32]) -> String {
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use popnet_terms::Micros;
    use proptest::prelude::*;

    use super::*;

    fn answer(status: u16, content: &str) -> Answer {
        Answer {
            status,
            connect: Micros(1),
            total: Micros(2),
            content: content.into(),
            digest: Some([0xab; 32]),
            load: None,
            epoch: None,
        }
    }

    #[test]
    fn table() {
        let text = Expect { body_contains: Some("acme ok".into()), ..Expect::default() };
        let cases = [
            (&text, answer(200, "well: acme ok."), Cause::Passed, ""),
            (&text, answer(200, "error page"), Cause::Content, r#"content lacks "acme ok""#),
            (&text, answer(503, "acme ok"), Cause::Status, "status 503, expected 200"),
        ];
        for (expect, answer, cause, words) in cases {
            let checked = check(expect, &answer);
            assert_eq!((checked.cause, &*checked.words), (cause, words));
        }
        let several = Expect { status: vec![200, 204], ..Expect::default() };
        assert_eq!(check(&several, &answer(204, "")).cause, Cause::Passed);
        assert_eq!(&*check(&several, &answer(404, "")).words, "status 404, expected 200 or 204");
        let digest = Expect { body_sha256: Some("AB".repeat(32)), ..Expect::default() };
        assert_eq!(check(&digest, &answer(200, "")).cause, Cause::Passed);
        let digest = Expect { body_sha256: Some("cd".repeat(32)), ..Expect::default() };
        assert_eq!(check(&digest, &answer(200, "")).cause, Cause::Content);
    }

    #[test]
    fn loads_and_epochs() {
        let mut told = answer(200, r#"{"db":"ok","load":0.375,"text":"0.5","deep":[1,{"x":7}]}"#);
        let at = |pointer: &str| {
            let expect = Expect { load_json: Some(pointer.into()), ..Expect::default() };
            check(&expect, &told).load
        };
        assert_eq!(at("/load"), Some(375));
        assert_eq!(at("/text"), Some(500));
        assert_eq!(at("/deep/1/x"), Some(1_000));
        assert_eq!(at("/db"), None);
        assert_eq!(at("/none"), None);
        told.load = Some(" 0.12 ".into());
        told.epoch = Some("7".into());
        let checked = check(&Expect::default(), &told);
        assert_eq!((checked.load, checked.epoch), (Some(120), Some(Epoch(7))));
        for junk in ["NaN", "-1", "inf", "", "0,5"] {
            told.load = Some(junk.into());
            assert_eq!(check(&Expect::default(), &told).load, None, "{junk}");
        }
    }

    proptest! {
        #[test]
        fn junk_is_no_load(json in prop::collection::vec(any::<u8>(), 0..200), pointer in ".{0,20}") {
            let _ = load_in(&json, &pointer);
        }
    }
}
