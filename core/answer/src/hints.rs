//! Address hints of service records (RFC 9460 7.3).

use std::borrow::Cow;
use std::net::IpAddr;

use popnet_dns::QName;

const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

/// Addresses in a hint: an answer names few, and a hint is no more than one.
const HINTS: usize = 16;

/// The data of an SVCB or HTTPS record of `owner` with `addresses` as its hints. What leads to
/// another name stays as it is: its addresses are others.
pub(crate) fn replace<'r>(rdata: &'r [u8], owner: &[u8], addresses: &[IpAddr]) -> Cow<'r, [u8]> {
    rewrite(rdata, owner, addresses).map_or(Cow::Borrowed(rdata), Cow::Owned)
}

fn rewrite(rdata: &[u8], owner: &[u8], addresses: &[IpAddr]) -> Option<Vec<u8>> {
    let (priority, rest) = rdata.split_first_chunk::<2>()?;
    let target = QName::read(rest)?;
    let target = target.as_wire();
    // RFC 9460 2.4.2: priority 0 is an alias without parameters; a target of "." is the owner.
    if *priority == [0, 0] || (target != [0] && target != owner) {
        return None;
    }
    let mut params = rest.get(target.len()..)?;
    let mut out = rdata.get(..rdata.len() - params.len())?.to_vec();
    let mut pending = [Some(IPV4_HINT), Some(IPV6_HINT)];
    // RFC 9460 2.2: keys stand in ascending order.
    while let Some((head, after)) = params.split_first_chunk::<4>() {
        let [k0, k1, l0, l1] = *head;
        let key = u16::from_be_bytes([k0, k1]);
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let (_, behind) = after.split_at_checked(length)?;
        for hint in pending.iter_mut().filter(|hint| hint.is_some_and(|hint| hint <= key)) {
            put(hint.take()?, addresses, &mut out);
        }
        if key != IPV4_HINT && key != IPV6_HINT {
            out.extend_from_slice(params.get(..4 + length)?);
        }
        params = behind;
    }
    for hint in pending.into_iter().flatten() {
        put(hint, addresses, &mut out);
    }
    (params.is_empty() && u16::try_from(out.len()).is_ok()).then_some(out)
}

/// Appends one hint, unless there is no address of its family.
fn put(key: u16, addresses: &[IpAddr], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&key.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    for address in addresses.iter().filter(|a| a.is_ipv4() == (key == IPV4_HINT)).take(HINTS) {
        match address {
            IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
        }
    }
    let length = u16::try_from(out.len() - start - 4).unwrap_or(0);
    if length == 0 {
        out.truncate(start);
    } else if let Some(place) = out.get_mut(start + 2..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: &[u8] = b"\x01w\x04test\0";
    /// Priority 1, target ".", alpn h2.
    const PLAIN: &[u8] = b"\0\x01\0\0\x01\0\x03\x02h2";

    fn both() -> [IpAddr; 2] {
        ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]
    }

    #[test]
    fn hints_are_put_in_their_place() {
        let four = b"\0\x04\0\x04\xc0\0\x02\x01".as_slice();
        let six = b"\0\x06\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01".as_slice();
        let expected = [PLAIN, four, six].concat();
        assert_eq!(&*replace(PLAIN, OWNER, &both()), expected);
        // Again: the hints that stand there are replaced.
        assert_eq!(&*replace(&expected, OWNER, &both()), expected);
        // Between others, by key.
        let ech = b"\0\x05\0\x01e".as_slice();
        let rest = b"\0\x09\0\0".as_slice();
        let mixed = [PLAIN, ech, rest].concat();
        assert_eq!(&*replace(&mixed, OWNER, &both()), [PLAIN, four, ech, six, rest].concat());
        // No address of a family: no hint, not even an old one.
        assert_eq!(&*replace(&expected, OWNER, &both()[1..]), [PLAIN, six].concat());
    }

    #[test]
    fn what_is_about_another_name_stays() {
        let other = b"\0\x01\x01x\x04test\0";
        assert_eq!(&*replace(other, OWNER, &both()), other);
        assert_ne!(&*replace(b"\0\x01\x01W\x04test\0", OWNER, &both()), b"\0\x01\x01W\x04test\0");
        for rdata in [b"\0\0\0".as_slice(), b"", b"\0\x01", b"\0\x01\0\0\x04\0\x09\x01"] {
            assert_eq!(&*replace(rdata, OWNER, &both()), rdata);
        }
    }
}
