//! What is counted of every question. Each worker has counts of its own that nobody else writes:
//! counting is an addition, without a lock and without waiting for another core.

use std::sync::atomic::{AtomicU64, Ordering};

use popnet_dns::{Query, Rcode, Rtype};
use popnet_wire::counting::Group;

use crate::serve::Transport;

/// Types that have a count of their own; every other is one.
const TYPES: [Rtype; 24] = [
    Rtype::A,
    Rtype::NS,
    Rtype::CNAME,
    Rtype::SOA,
    Rtype::PTR,
    Rtype::MX,
    Rtype::TXT,
    Rtype::AAAA,
    Rtype::SRV,
    Rtype::NAPTR,
    Rtype::DS,
    Rtype::RRSIG,
    Rtype::NSEC,
    Rtype::DNSKEY,
    Rtype::NSEC3PARAM,
    Rtype::TLSA,
    Rtype::CDS,
    Rtype::CDNSKEY,
    Rtype::SVCB,
    Rtype::HTTPS,
    Rtype::CAA,
    Rtype::ANY,
    Rtype::AXFR,
    Rtype::IXFR,
];
/// Codes that have a count of their own.
const RCODES: [Rcode; 13] = [
    Rcode::NOERROR,
    Rcode::FORMERR,
    Rcode::SERVFAIL,
    Rcode::NXDOMAIN,
    Rcode::NOTIMP,
    Rcode::REFUSED,
    Rcode::YXDOMAIN,
    Rcode::YXRRSET,
    Rcode::NXRRSET,
    Rcode::NOTAUTH,
    Rcode::NOTZONE,
    Rcode::BADVERS,
    Rcode::BADCOOKIE,
];
const TRANSPORTS: [Transport; 5] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic];
/// Largest datagrams that askers take, up to the number; the sizes are those that resolvers
/// announce.
const SIZES: [u16; 5] = [512, 1_232, 1_452, 4_096, u16::MAX];
/// What a question or its answer can be, beside the rest. A bit each in [`Traits::marks`].
const MARKS: [&str; 4] = ["dnssec_ok", "client_subnet", "cookie", "truncated"];
const DNSSEC_OK: u8 = 1;
const SUBNET: u8 = 1 << 1;
const COOKIE: u8 = 1 << 2;
const CUT: u8 = 1 << 3;

// Where the counts of each kind begin.
const AT_TYPES: u8 = 5;
/// Two more: other types, and what could not be read.
const AT_RCODES: u8 = AT_TYPES + 24 + 2;
/// Two more: other codes, and silence.
const AT_SIZES: u8 = AT_RCODES + 13 + 2;
/// One more: without EDNS.
const AT_MARKS: u8 = AT_SIZES + 5 + 1;
const READY: u8 = AT_MARKS + 4;
const SLOTS: usize = READY as usize + 1;

/// One worker's counts.
#[derive(Debug)]
pub(crate) struct Tally([AtomicU64; SLOTS]);

/// What is counted of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traits {
    rtype: u8,
    rcode: u8,
    size: u8,
    marks: u8,
}

impl Traits {
    /// Of a question and its answer. `query`: what could be read of the question. `said`: a code
    /// that does not stand in the answer's head alone (RFC 6891 6.1.3).
    pub(crate) fn of(query: Option<&Query<'_>>, said: Option<Rcode>, answer: &[u8]) -> Self {
        let edns = query.and_then(|query| query.edns.as_ref());
        let place = |found: Option<usize>, other: usize| found.unwrap_or(other);
        let rtype = match query {
            Some(query) => place(TYPES.iter().position(|known| *known == query.qtype), TYPES.len()),
            None => TYPES.len() + 1,
        };
        let rcode = match answer.get(3) {
            Some(bits) => {
                let head = || Rcode::masked_from_int(u16::from(bits & 0x0f));
                let rcode = said.unwrap_or_else(head);
                place(RCODES.iter().position(|known| *known == rcode), RCODES.len())
            }
            None => RCODES.len() + 1,
        };
        let size = edns.map(|edns| edns.udp_size);
        let size = size.and_then(|size| SIZES.iter().position(|most| size <= *most));
        let mut marks = 0;
        let is_cut = answer.get(2).is_some_and(|bits| bits & 2 != 0);
        for (mark, is_set) in [
            (DNSSEC_OK, edns.is_some_and(|edns| edns.dnssec_ok)),
            (SUBNET, edns.is_some_and(|edns| edns.client_subnet.is_some())),
            (COOKIE, edns.is_some_and(|edns| edns.cookie.is_some())),
            (CUT, is_cut),
        ] {
            marks |= if is_set { mark } else { 0 };
        }
        let slot = |from: u8, place: usize| from + u8::try_from(place).unwrap_or(0);
        Self {
            rtype: slot(AT_TYPES, rtype),
            rcode: slot(AT_RCODES, rcode),
            size: slot(AT_SIZES, place(size, SIZES.len())),
            marks,
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Tally {
    /// Counts one exchange. Only the worker that owns these counts calls this.
    #[inline]
    pub(crate) fn count(&self, transport: Transport, traits: Traits) {
        self.add_one(transport as u8);
        self.add_one(traits.rtype);
        self.add_one(traits.rcode);
        self.add_one(traits.size);
        let mut marks = traits.marks;
        while marks != 0 {
            self.add_one(AT_MARKS + u8::try_from(marks.trailing_zeros()).unwrap_or(0));
            marks &= marks - 1;
        }
    }

    /// Counts an answer that was kept ready.
    #[inline]
    pub(crate) fn count_ready(&self) {
        self.add_one(READY);
    }

    /// Nobody else writes here: what is read is what was written last.
    #[inline]
    fn add_one(&self, slot: u8) {
        if let Some(count) = self.0.get(usize::from(slot)) {
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Takes over everything that `other` has counted. Many may do so at a time.
    pub(crate) fn absorb(&self, other: &Self) {
        for (sum, count) in self.0.iter().zip(&other.0) {
            let count = count.swap(0, Ordering::Relaxed);
            if count > 0 {
                sum.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// The counts by kind and name.
    pub(crate) fn groups(&self) -> Vec<Group> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let mut types: Vec<String> = TYPES.iter().map(ToString::to_string).collect();
        types.extend(["other", "unread"].map(String::from));
        let mut rcodes: Vec<String> = RCODES.iter().map(ToString::to_string).collect();
        rcodes.extend(["other", "none"].map(String::from));
        let least = std::iter::once(0).chain(SIZES.iter().map(|most| u32::from(*most) + 1));
        let ranges = least.zip(SIZES).map(|(from, most)| format!("{from}-{most}"));
        let sizes = ranges.chain(["no_edns".to_owned()]).collect();
        let transports: Vec<&str> = TRANSPORTS.iter().map(|transport| transport.name()).collect();
        let marks = [&MARKS[..], &["kept_ready"]].concat();
        let kinds: [(&str, Vec<String>); 5] = [
            ("transport", words(&transports)),
            ("type", types),
            ("rcode", rcodes),
            ("edns_size", sizes),
            ("with", words(&marks)),
        ];
        let mut slots = self.0.iter();
        let group = |(name, names): (&str, Vec<String>)| {
            let counts = slots.by_ref().take(names.len()).zip(names);
            let counts = counts.map(|(count, name)| (name.into(), count.load(Ordering::Relaxed)));
            Group { name: name.into(), counts: counts.collect() }
        };
        kinds.into_iter().map(group).collect()
    }
}

#[cfg(test)]
mod tests {
    use popnet_dns::{Parsed, build_query, parse_query};

    use super::*;

    fn told(tally: &Tally) -> Vec<String> {
        let groups = tally.groups();
        let of = |group: &Group| {
            let some = group.counts.iter().filter(|(_, count)| *count > 0);
            let counts = some.map(|(name, count)| format!("{name} {count}"));
            format!("{}: {}", group.name, counts.collect::<Vec<_>>().join(", "))
        };
        groups.iter().map(of).collect()
    }

    /// The traits of a question for `qtype` that got an answer with these header bits.
    fn traits(qtype: Rtype, subnet: Option<&str>, bits: [u8; 2]) -> Traits {
        let name = "a.test".parse().unwrap();
        let packet = build_query(1, &name, qtype, subnet.map(|net| net.parse().unwrap()));
        let Parsed::Query(query) = parse_query(&packet) else { panic!("no query") };
        Traits::of(Some(&query), None, &[0, 1, bits[0], bits[1]])
    }

    #[test]
    fn every_count_has_its_name() {
        let tally = Tally::default();
        for transport in TRANSPORTS {
            tally.count(transport, traits(Rtype::IXFR, None, [0x80, 5]));
        }
        tally.count(Transport::Quic, traits(Rtype::A, Some("192.0.2.0/24"), [0x82, 10]));
        tally.count(Transport::Udp, traits(Rtype::from_int(65_280), None, [0x80, 11]));
        tally.count(Transport::Udp, Traits::of(None, Some(Rcode::BADCOOKIE), &[0, 1, 0x80, 7]));
        tally.count(Transport::Udp, Traits::of(None, None, &[]));
        tally.count_ready();
        let expected = [
            "transport: udp 4, tcp 1, tls 1, https 1, quic 2",
            "type: A 1, IXFR 5, other 1, unread 2",
            "rcode: REFUSED 5, NOTZONE 1, BADCOOKIE 1, other 1, none 1",
            "edns_size: 513-1232 7, no_edns 2",
            "with: client_subnet 1, truncated 1, kept_ready 1",
        ];
        assert_eq!(told(&tally), expected);
        let sum = Tally::default();
        sum.absorb(&tally);
        assert_eq!(told(&sum), expected);
        sum.absorb(&tally);
        assert_eq!(told(&sum), expected, "taken once");
        assert!(told(&tally).iter().all(|line| line.ends_with(": ")));
    }
}
