//! The head that a proxy puts before a connection (PROXY protocol, version 2): who is behind it.
//! Read from listed fronts only; from anybody else it would be a lie for the asking.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What every head begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const HEAD: usize = 16;
/// Addresses of two sockets and extensions; a head with more than this is refused.
pub const HEAD_MAX: usize = HEAD + 1_024;

/// What the octets at the start of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// So many octets belong to the head, and this client is behind the proxy. `None`: the proxy
    /// speaks for itself (a health check), or the client has no Internet address.
    Whole(usize, Option<SocketAddr>),
    /// The head goes on.
    More,
    /// No head of version 2.
    Foreign,
}

impl Front {
    /// Reads the octets that have come so far.
    #[must_use]
    pub fn read(octets: &[u8]) -> Self {
        let known = octets.len().min(SIGNATURE.len());
        if octets.get(..known) != SIGNATURE.get(..known) {
            return Self::Foreign;
        }
        let Some([.., command, family, l0, l1]) = octets.first_chunk::<HEAD>() else {
            return Self::More;
        };
        let whole = HEAD + usize::from(u16::from_be_bytes([*l0, *l1]));
        // Version 2, commands LOCAL and PROXY (2.2 of the protocol's text).
        if !matches!(command, 0x20 | 0x21) || whole > HEAD_MAX {
            return Self::Foreign;
        }
        let Some(content) = octets.get(HEAD..whole) else { return Self::More };
        if *command == 0x20 {
            return Self::Whole(whole, None);
        }
        let source = match family >> 4 {
            0 | 3 => return Self::Whole(whole, None),
            1 => four(content),
            2 => six(content),
            _ => None,
        };
        source.map_or(Self::Foreign, |source| Self::Whole(whole, Some(source)))
    }
}

/// Source, destination, ports of both.
fn four(content: &[u8]) -> Option<SocketAddr> {
    let [a, b, c, d, _, _, _, _, p0, p1, ..] = *content.first_chunk::<12>()?;
    let ip = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    Some(SocketAddr::new(ip, u16::from_be_bytes([p0, p1])))
}

fn six(content: &[u8]) -> Option<SocketAddr> {
    let content = content.first_chunk::<36>()?;
    let ip = IpAddr::V6(Ipv6Addr::from(*content.first_chunk::<16>()?)).to_canonical();
    let port = content.get(32..)?.first_chunk::<2>()?;
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap();
        [&SIGNATURE[..], &[command, family], &length.to_be_bytes(), content].concat()
    }

    #[test]
    fn heads() {
        let four = [192, 0, 2, 1, 198, 51, 100, 1, 0x30, 0x39, 0, 53];
        let whole = head(0x21, 0x11, &four);
        let client = Some("192.0.2.1:12345".parse().unwrap());
        assert_eq!(Front::read(&whole), Front::Whole(28, client));
        let longer = head(0x21, 0x11, &[&four[..], &[4, 0, 1, 0]].concat());
        assert_eq!(Front::read(&[longer, vec![9; 5]].concat()), Front::Whole(32, client));
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        six[33] = 7;
        let client = Some("[2001:db8::]:7".parse().unwrap());
        assert_eq!(Front::read(&head(0x21, 0x21, &six)), Front::Whole(52, client));
        assert_eq!(Front::read(&head(0x20, 0, &[])), Front::Whole(16, None));
        assert_eq!(Front::read(&head(0x21, 0x00, &[1])), Front::Whole(17, None));
        for cut in 0..whole.len() {
            assert_eq!(Front::read(&whole[..cut]), Front::More, "{cut}");
        }
        for foreign in [
            head(0x11, 0x11, &four),
            head(0x22, 0x11, &four),
            head(0x21, 0x41, &four),
            head(0x21, 0x11, &four[..11]),
            head(0x21, 0x21, &six[..35]),
            head(0x21, 0x11, &[0; 1_025]),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
            vec![0, 30, 1],
        ] {
            assert_eq!(Front::read(&foreign), Front::Foreign, "{foreign:?}");
        }
    }

    #[test]
    fn junk_never_panics() {
        let seed = head(0x21, 0x21, &[7; 40]);
        let mut state = 3u64;
        for _ in 0..50_000 {
            let mut octets = seed.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(state >> 33).unwrap() % octets.len();
                octets[at] = state.to_be_bytes()[3];
            }
            let cut = usize::try_from(state >> 40).unwrap() % octets.len();
            for some in [&octets[..], &octets[..cut]] {
                if let Front::Whole(length, _) = Front::read(some) {
                    assert!(length <= some.len() && length <= HEAD_MAX);
                }
            }
        }
    }
}
