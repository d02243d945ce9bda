//! Parts of NSEC records that are made for one name: lists of types (RFC 4034 4.1.2), and the next
//! name there could be.

use domain::base::iana::Rtype;
use domain::rdata::dnssec::RtypeBitmap;

use crate::name::{QName, suffixes};

/// The list of `types` in an NSEC or NSEC3 record.
#[must_use]
pub fn type_bitmap(types: impl IntoIterator<Item = Rtype>) -> Vec<u8> {
    let mut builder = RtypeBitmap::<Vec<u8>>::builder();
    for rtype in types {
        // A vector takes everything.
        let _ = builder.add(rtype);
    }
    builder.finalize().as_octets().clone()
}

/// The next name there could be behind `name` in canonical order (RFC 4034 6.1).
#[must_use]
pub fn name_after(name: &[u8]) -> QName {
    QName::join(b"\x01\0", name).unwrap_or_else(|| name_beside(name))
}

/// The next name there could be behind `name` and everything below it; the root behind the last.
#[must_use]
pub fn name_beside(name: &[u8]) -> QName {
    suffixes(name).find_map(beside).unwrap_or_else(QName::root)
}

/// The same under the same parent, if there is one.
fn beside(name: &[u8]) -> Option<QName> {
    let (length, rest) = name.split_first()?;
    let (label, parent) = rest.split_at_checked(usize::from(*length))?;
    let under = |label: &[u8]| {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        QName::join(&[&[length], label].concat(), parent)
    };
    if label.is_empty() {
        return None;
    }
    under(&[label, &[0]].concat()).or_else(|| {
        let last = label.iter().rposition(|octet| *octet != u8::MAX)?;
        let mut label = label.get(..=last)?.to_vec();
        let octet = label.last_mut()?;
        // Capitals stand where their small letters do.
        *octet = if *octet == b'@' { b'[' } else { *octet + 1 };
        under(&label)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_name() {
        let after = |wire: &[u8]| name_after(wire).as_wire().to_vec();
        assert_eq!(after(b"\x01a\x04test\0"), b"\x01\0\x01a\x04test\0");
        assert_eq!(after(b"\0"), b"\x01\0\0");
        let beside = |wire: &[u8]| name_beside(wire).as_wire().to_vec();
        assert_eq!(beside(b"\x03sub\x04test\0"), b"\x04sub\0\x04test\0");
        // No room for one octet more: the label is as long as labels can be, or the name is.
        let label = |last: u8| [&[63], [b'x'; 62].as_slice(), &[last]].concat();
        let name = |last: u8, rest: &[u8]| [label(last).as_slice(), rest].concat();
        assert_eq!(beside(&name(b'a', b"\x01b\0")), name(b'b', b"\x01b\0"));
        assert_eq!(beside(&name(b'@', b"\x01b\0")), name(b'[', b"\x01b\0"));
        let short = [&[62], [b'x'; 61].as_slice(), b"y\x01b\0"].concat();
        assert_eq!(beside(&name(u8::MAX, b"\x01b\0")), short);
        let all = [&[63], [u8::MAX; 63].as_slice(), b"\x01b\0"].concat();
        assert_eq!(beside(&all), b"\x02b\0\0");
        assert_eq!(beside(b"\0"), b"\0");
        for rest in [60usize, 61] {
            let labels = [label(b'a'), label(b'a'), label(b'a')].concat();
            let front = [&[u8::try_from(rest).unwrap()], vec![b'c'; rest].as_slice()].concat();
            let long = [front, labels, vec![0]].concat();
            let next = after(&long);
            assert_eq!(long.len(), 194 + rest);
            assert_eq!(next.len(), 255, "{next:?}");
            assert_eq!(next[1..=rest - 1], long[1..=rest - 1]);
        }
    }
}
