//! `Accept-Encoding` (RFC 9110 12.5.3): which codings of content a client takes, and how gladly.

use popnet_field::list;
use popnet_wire::delivery::Coding;

use crate::vary::weight;

/// What `Accept-Encoding` says (RFC 9110 12.5.3), in thousandths. Without the field nothing but
/// content as it came is sent: anything would be acceptable, but such clients seldom decode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    codings: [Option<u16>; Coding::ALL.len()],
    identity: Option<u16>,
    others: Option<u16>,
}

impl Accepted {
    /// Reads all lines of the field. A weight that is none counts as 0, and of several weights of
    /// one coding the least: what is not clearly wished for is not sent.
    pub fn read<'r>(lines: impl IntoIterator<Item = &'r [u8]>) -> Self {
        let mut accepted = Self::default();
        for member in lines.into_iter().flat_map(list::members) {
            let mut parts = member.splitn(2, |octet| *octet == b';');
            let name = parts.next().unwrap_or_default().trim_ascii();
            let weight = parts.next().map_or(Some(1_000), weight).unwrap_or(0);
            if let Some(slot) = accepted.slot(name) {
                *slot = Some(slot.map_or(weight, |other| other.min(weight)));
            }
        }
        accepted
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<u16>> {
        if name == b"*" {
            return Some(&mut self.others);
        }
        if name.eq_ignore_ascii_case(b"identity") {
            return Some(&mut self.identity);
        }
        // RFC 9110 8.4.1.3: x-gzip is the same.
        let name = if name.eq_ignore_ascii_case(b"x-gzip") { b"gzip" } else { name };
        let is_named = |coding: &Coding| name.eq_ignore_ascii_case(coding.name().as_bytes());
        let place = Coding::ALL.iter().position(is_named)?;
        self.codings.get_mut(place)
    }

    fn weight(&self, coding: Coding) -> u16 {
        let [zstd, br, gzip] = self.codings;
        let own = match coding {
            Coding::Zstd => zstd,
            Coding::Br => br,
            Coding::Gzip => gzip,
        };
        own.or(self.others).unwrap_or(0)
    }

    /// Whether `coding` may be sent.
    #[must_use]
    pub fn takes(&self, coding: Coding) -> bool {
        self.weight(coding) > 0
    }

    /// Whether content may be sent as it came.
    #[must_use]
    pub fn takes_identity(&self) -> bool {
        self.identity.or(self.others) != Some(0)
    }

    /// The one of `codings`, which are in our order, that is wished for most; `None` where there is
    /// none, or where content as it came is named as better.
    #[must_use]
    pub fn best(&self, codings: &[Coding]) -> Option<Coding> {
        let mut best = None;
        let mut most = 0;
        for coding in codings {
            let weight = self.weight(*coding);
            if weight > most {
                (best, most) = (Some(*coding), weight);
            }
        }
        best.filter(|_| self.identity.is_none_or(|identity| identity <= most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Br, Gzip, Zstd};

    #[test]
    fn preferences() {
        let check = |line: &str, expected: Option<Coding>, identity: bool| {
            let accepted = Accepted::read([line.as_bytes()]);
            assert_eq!(accepted.best(&Coding::ALL), expected, "{line}");
            assert_eq!(accepted.takes_identity(), identity, "{line}");
        };
        // What browsers and tools send.
        check("gzip, deflate, br, zstd", Some(Zstd), true);
        check("gzip, deflate, br", Some(Br), true);
        check("gzip,deflate", Some(Gzip), true);
        check("", None, true);
        check("identity", None, true);
        check("deflate, compress", None, true);
        // Weights, and our order where they are the same.
        check("gzip;q=1.0, br;q=0.9, zstd;q=0.8", Some(Gzip), true);
        check("zstd;q=0.5, br;q=0.5", Some(Zstd), true);
        check("zstd;q=0, br;q=0.001", Some(Br), true);
        check("gzip;q=0", None, true);
        check("GZip ; Q=0.3", Some(Gzip), true);
        check("x-gzip", Some(Gzip), true);
        check("gzip;q=0.5, identity", None, true);
        check("gzip;q=0.5, identity;q=0.5", Some(Gzip), true);
        // Everything, or all but what is named.
        check("*", Some(Zstd), true);
        check("*;q=0", None, false);
        check("*;q=0, identity;q=0.1", None, true);
        check("zstd;q=0, *", Some(Br), true);
        check("gzip, *;q=0", Some(Gzip), false);
        check("gzip, identity;q=0", Some(Gzip), false);
        check("br, *;q=0.1", Some(Br), true);
        // What cannot be read is not sent; the least of two counts.
        for junk in ["2", "1.5", "x", "0.5000", "", "-1", "0,5", "1;x=y"] {
            check(&format!("gzip;q={junk}"), None, true);
        }
        check("gzip, gzip;q=0", None, true);
        check("gzip;level=9", None, true);
        check("\"gzip, br", Some(Br), true);
        check(", ,gzip ,", Some(Gzip), true);
    }

    #[test]
    fn of_a_site() {
        let accepted = Accepted::read([&b"gzip, br"[..], b"zstd;q=0.1"]);
        assert_eq!(accepted.best(&[Gzip, Br]), Some(Gzip), "the site's order");
        assert_eq!(accepted.best(&[Zstd]), Some(Zstd), "several lines");
        assert_eq!(accepted.best(&[]), None);
        assert_eq!(Accepted::read([]), Accepted::default(), "no field");
        assert_eq!(Accepted::default().best(&Coding::ALL), None);
    }
}
