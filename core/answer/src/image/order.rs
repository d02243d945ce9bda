//! The canonical order of names (RFC 4034 6.1): by labels, the rightmost first.

use std::cmp::Ordering;

/// Labels of the longest name.
const LABELS: usize = 128;

/// Octets of a [`Key`]: most names differ within them.
const KEY: usize = 16;

/// The beginning of a name in a form whose order as octets is the canonical one. Equal keys say
/// nothing: then the names decide.
pub(super) type Key = [u8; KEY];

/// Where the labels of `name`, which has no final zero, begin.
struct Labels<'n> {
    name: &'n [u8],
    starts: [u8; LABELS],
    count: usize,
}

impl<'n> Labels<'n> {
    fn of(name: &'n [u8]) -> Self {
        let mut labels = Self { name, starts: [0; LABELS], count: 0 };
        let mut at = 0;
        while let (Some(length), Some(start)) = (name.get(at), labels.starts.get_mut(labels.count))
        {
            *start = u8::try_from(at).unwrap_or(u8::MAX);
            labels.count += 1;
            at += 1 + usize::from(*length);
        }
        labels
    }

    /// The labels, the rightmost first, without their length octets.
    fn rightmost_first(&self) -> impl Iterator<Item = &'n [u8]> {
        let starts = self.starts.get(..self.count).unwrap_or_default();
        starts.iter().rev().map(|start| {
            let label = self.name.get(usize::from(*start)..).unwrap_or_default();
            let (length, rest) = label.split_first().unwrap_or((&0, &[]));
            rest.get(..usize::from(*length)).unwrap_or_default()
        })
    }
}

/// Compares two names of one zone, relative to its apex and in lower case.
pub(super) fn compare(one: &[u8], other: &[u8]) -> Ordering {
    // Most names of a large zone stand right below its apex.
    if let (Some(one), Some(other)) = (only_label(one), only_label(other)) {
        return one.cmp(other);
    }
    Labels::of(one).rightmost_first().cmp(Labels::of(other).rightmost_first())
}

/// The label of a name that has no other.
fn only_label(name: &[u8]) -> Option<&[u8]> {
    let (length, label) = name.split_first()?;
    (usize::from(*length) == label.len()).then_some(label)
}

/// The key of a relative name. Each label ends with a zero, which sorts before every octet; zero
/// and one inside a label become two octets each.
pub(super) fn key(name: &[u8]) -> Key {
    let mut key = [0; KEY];
    let labels = Labels::of(name);
    let octets = labels.rightmost_first().flat_map(|label| {
        let escaped = label.iter().flat_map(|octet| match octet {
            0 | 1 => [Some(1), Some(octet + 1)],
            _ => [Some(*octet), None],
        });
        escaped.flatten().chain([0])
    });
    for (place, octet) in key.iter_mut().zip(octets) {
        *place = octet;
    }
    key
}

/// Whether `name` is `above` or lies below it.
pub(super) fn is_within(name: &[u8], above: &[u8]) -> bool {
    let mut rest = name;
    loop {
        if rest.len() <= above.len() {
            return rest == above;
        }
        rest = parent(rest).unwrap_or_default();
    }
}

/// A relative name without its first label; `None` for the apex.
pub(super) fn parent(name: &[u8]) -> Option<&[u8]> {
    name.get(1 + usize::from(*name.first()?)..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_4034() {
        let names: [&[u8]; 9] = [
            b"",
            b"\x01a",
            b"\x08yljkjljk\x01a",
            b"\x01z\x01a",
            b"\x04zabc\x01a",
            b"\x01z",
            b"\x01\x01\x01z",
            b"\x01*\x01z",
            b"\x01\xc8\x01z",
        ];
        for (at, one) in names.iter().enumerate() {
            for (other_at, other) in names.iter().enumerate() {
                assert_eq!(compare(one, other), at.cmp(&other_at), "{one:?} {other:?}");
                let by_key = key(one).cmp(&key(other));
                assert!(by_key == at.cmp(&other_at) || by_key.is_eq(), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn keys_never_contradict() {
        let labels: [&[u8]; 6] = [b"a", b"a\0", b"a\x01", b"a\x02", b"ab", b"\0"];
        for one in labels {
            for other in labels {
                for below in [false, true] {
                    let make = |label: &[u8]| {
                        let mut name = if below { b"\x01x".to_vec() } else { Vec::new() };
                        name.push(u8::try_from(label.len()).unwrap());
                        name.extend_from_slice(label);
                        name
                    };
                    let (one, other) = (make(one), make(other));
                    assert_eq!(key(&one).cmp(&key(&other)), compare(&one, &other));
                }
            }
        }
    }

    #[test]
    fn within() {
        assert!(is_within(b"\x01a\x01b", b"\x01b") && is_within(b"\x01b", b"\x01b"));
        assert!(is_within(b"\x01b", b"") && is_within(b"", b""));
        assert!(!is_within(b"\x02ab", b"\x01b") && !is_within(b"\x01b", b"\x01a\x01b"));
    }
}
