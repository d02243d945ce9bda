//! EDNS (RFC 6891) and the options we understand: client subnet (RFC 7871), cookies (RFC 7873),
//! keepalive (RFC 7828), padding (RFC 7830), the server's name (RFC 5001), extended errors (RFC
//! 8914). Unknown options are skipped, as the RFC wants.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The largest datagram we send and announce: passes every usual path unfragmented.
pub const UDP_SIZE: u16 = 1_232;

const NSID: u16 = 3;
const CLIENT_SUBNET: u16 = 8;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
const EXTENDED_ERROR: u16 = 15;

/// The EDNS part of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edns {
    /// Largest datagram that the asker takes.
    pub udp_size: u16,
    /// The DO bit: signatures wanted.
    pub dnssec_ok: bool,
    /// The CO bit: NXDOMAIN is understood beside a proof that names NXNAME (RFC 9824 5.1).
    pub compact_ok: bool,
    /// Version; we speak 0.
    pub version: u8,
    /// The client's network, as the resolver tells it.
    pub client_subnet: Option<ClientSubnet>,
    /// A cookie (RFC 7873).
    pub cookie: Option<Cookie>,
    /// The asker wants to know which server this is.
    pub nsid: bool,
    /// The asker wants to know how long an idle connection stays (RFC 7828).
    pub keepalive: bool,
    /// The asker pads, and wants padded answers (RFC 7830).
    pub padding: bool,
}

/// The cookie of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The client's part.
    pub client: [u8; 8],
    /// The server's part, when it has the length that ours have (RFC 9018 4). Another length is a
    /// cookie of somebody else's, as good as none.
    pub server: Option<[u8; 16]>,
}

impl Cookie {
    /// RFC 7873 5.2.2: 8 octets, or 8 and 8 to 32 more; else FORMERR.
    fn parse(content: &[u8]) -> Option<Self> {
        let (client, rest) = content.split_first_chunk::<8>()?;
        let known = rest.is_empty() || (8..=32).contains(&rest.len());
        known.then_some(Self { client: *client, server: rest.try_into().ok() })
    }
}

/// A client subnet option of a query. It goes back as it came, with a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSubnet {
    /// Address family: 1, 2, or 0 where the source length is 0.
    pub family: u16,
    /// Length of the prefix that the resolver gives away.
    pub source: u8,
    /// The address, zeros after the prefix.
    pub address: IpAddr,
}

impl ClientSubnet {
    /// The prefix, when it says anything: a source length of 0 means "do not use my client".
    #[must_use]
    pub fn net(&self) -> Option<IpNet> {
        if self.source == 0 { None } else { IpNet::new(self.address, self.source).ok() }
    }

    /// The option for `net`.
    #[must_use]
    pub fn of(net: IpNet) -> Self {
        let net = net.trunc();
        let family = if net.addr().is_ipv4() { 1 } else { 2 };
        Self { family, source: net.prefix_len(), address: net.addr() }
    }

    /// RFC 7871 7.1.2: a wrong length, a scope in a query or set bits after the prefix are errors.
    fn parse(content: &[u8]) -> Option<Self> {
        let [f0, f1, source, scope, octets @ ..] = content else { return None };
        let family = u16::from_be_bytes([*f0, *f1]);
        let limit = match family {
            // Some clients say "family 0" together with source length 0.
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return None,
        };
        if *source > limit || *scope != 0 || octets.len() != usize::from(source.div_ceil(8)) {
            return None;
        }
        let mut full = [0u8; 16];
        full.get_mut(..octets.len())?.copy_from_slice(octets);
        let address = if family == 2 {
            IpAddr::V6(Ipv6Addr::from(full))
        } else {
            IpAddr::V4(Ipv4Addr::from(*full.first_chunk::<4>()?))
        };
        let net = IpNet::new(address, *source).ok()?;
        (net.trunc() == net).then_some(Self { family, source: *source, address })
    }

    /// Octets of the option after its code and length.
    fn size(&self) -> usize {
        4 + usize::from(self.source.div_ceil(8))
    }

    fn write(&self, scope: u8, put: &mut impl FnMut(&[u8])) {
        let count = usize::from(self.source.div_ceil(8));
        put_option(put, CLIENT_SUBNET, self.size());
        let [f0, f1] = self.family.to_be_bytes();
        put(&[f0, f1, self.source, scope]);
        match self.address {
            IpAddr::V4(v4) => put(v4.octets().get(..count).unwrap_or_default()),
            IpAddr::V6(v6) => put(v6.octets().get(..count).unwrap_or_default()),
        }
    }
}

/// What the way a query came puts into the EDNS part of its response, whatever the answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The whole cookie: the client's part, then ours (RFC 7873).
    pub cookie: Option<[u8; 24]>,
    /// How long an idle connection stays, in tenths of a second (RFC 7828).
    pub keepalive: Option<u16>,
    /// The response is padded to a multiple of so many octets (RFC 8467).
    pub padding: Option<u16>,
}

/// What we say in the EDNS part of a response.
#[derive(Clone, Copy, Debug, Default)]
pub struct EdnsReply<'a> {
    /// DO, copied from the query (RFC 3225).
    pub dnssec_ok: bool,
    /// CO, copied from the query (RFC 9824 5.1).
    pub compact_ok: bool,
    /// The query's client subnet and the scope of the answer.
    pub client_subnet: Option<(ClientSubnet, u8)>,
    /// This server's name, when it was asked for.
    pub nsid: Option<&'a str>,
    /// An extended error (RFC 8914).
    pub extended_error: Option<u16>,
    /// What the way of the query brings along.
    pub envelope: Envelope,
}

impl EdnsReply<'_> {
    /// Octets of the options, a padding option still empty.
    fn options(&self) -> usize {
        let envelope = &self.envelope;
        self.client_subnet.map_or(0, |(subnet, _)| 4 + subnet.size())
            + self.nsid.map_or(0, |nsid| 4 + nsid.len())
            + self.extended_error.map_or(0, |_| 6)
            + envelope.cookie.map_or(0, |cookie| 4 + cookie.len())
            + envelope.keepalive.map_or(0, |_| 6)
            + envelope.padding.map_or(0, |_| 4)
    }

    /// Octets of the whole OPT record, without the content of a padding option.
    pub(crate) fn size(&self) -> usize {
        11 + self.options()
    }

    /// Octets of padding for a message that has `length` octets without them and may have `limit`.
    pub(crate) fn padding(&self, length: usize, limit: usize) -> usize {
        let Some(block) = self.envelope.padding.map(usize::from).filter(|block| *block > 0) else {
            return 0;
        };
        (length.next_multiple_of(block) - length).min(limit.saturating_sub(length))
    }

    /// Puts the whole OPT record; `high_rcode` is the upper part of the response code, `padding`
    /// the octets of a padding option.
    pub(crate) fn write(&self, high_rcode: u8, padding: usize, put: &mut impl FnMut(&[u8])) {
        let [s0, s1] = UDP_SIZE.to_be_bytes();
        let flags = (u8::from(self.dnssec_ok) << 7) | (u8::from(self.compact_ok) << 6);
        let length = u16::try_from(self.options() + padding).unwrap_or(0);
        let [l0, l1] = length.to_be_bytes();
        put(&[0, 0, 41, s0, s1, high_rcode, 0, flags, 0, l0, l1]);
        if length == 0 {
            return;
        }
        if let Some((subnet, scope)) = self.client_subnet {
            subnet.write(scope, put);
        }
        if let Some(nsid) = self.nsid {
            put_option(put, NSID, nsid.len());
            put(nsid.as_bytes());
        }
        if let Some(code) = self.extended_error {
            put_option(put, EXTENDED_ERROR, 2);
            put(&code.to_be_bytes());
        }
        if let Some(cookie) = &self.envelope.cookie {
            put_option(put, COOKIE, cookie.len());
            put(cookie);
        }
        if let Some(tenths) = self.envelope.keepalive {
            put_option(put, KEEPALIVE, 2);
            put(&tenths.to_be_bytes());
        }
        // RFC 7830 3: zeros, and the last option, because its length depends on all others.
        if self.envelope.padding.is_some() {
            put_option(put, PADDING, padding);
            put_zeros(put, padding);
        }
    }
}

fn put_zeros(put: &mut impl FnMut(&[u8]), mut count: usize) {
    const ZEROS: [u8; 64] = [0; 64];
    while count > 0 {
        let some = ZEROS.get(..count).unwrap_or(&ZEROS);
        put(some);
        count -= some.len();
    }
}

fn put_option(put: &mut impl FnMut(&[u8]), code: u16, length: usize) {
    let [c0, c1] = code.to_be_bytes();
    let [l0, l1] = u16::try_from(length).unwrap_or(0).to_be_bytes();
    put(&[c0, c1, l0, l1]);
}

/// The EDNS part from an OPT record: its class, TTL and data. `None`: malformed.
pub(crate) fn parse_opt(class: u16, ttl: u32, mut rdata: &[u8]) -> Option<Edns> {
    let [_, version, flags, _] = ttl.to_be_bytes();
    let (dnssec_ok, compact_ok) = (flags & 0x80 != 0, flags & 0x40 != 0);
    let mut edns = Edns { udp_size: class, dnssec_ok, compact_ok, version, ..Edns::default() };
    // RFC 6891 6.1.3: nothing else of another version can be understood.
    if version != 0 {
        return Some(edns);
    }
    while !rdata.is_empty() {
        let [c0, c1, l0, l1, rest @ ..] = rdata else { return None };
        let code = u16::from_be_bytes([*c0, *c1]);
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let content = rest.get(..length)?;
        rdata = rest.get(length..)?;
        match code {
            CLIENT_SUBNET => edns.client_subnet = Some(ClientSubnet::parse(content)?),
            NSID => edns.nsid = true,
            COOKIE => edns.cookie = Some(Cookie::parse(content)?),
            KEEPALIVE => edns.keepalive = true,
            PADDING => edns.padding = true,
            _ => {}
        }
    }
    Some(edns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(octets: &[u8]) -> Option<String> {
        ClientSubnet::parse(octets).map(|s| s.net().map_or("none".into(), |n| n.to_string()))
    }

    #[test]
    fn client_subnets() {
        assert_eq!(subnet(&[0, 1, 24, 0, 192, 0, 2]).as_deref(), Some("192.0.2.0/24"));
        assert_eq!(subnet(&[0, 1, 0, 0]).as_deref(), Some("none"));
        assert_eq!(subnet(&[0, 0, 0, 0]).as_deref(), Some("none"));
        assert_eq!(subnet(&[0, 2, 32, 0, 0x20, 1, 0xd, 0xb8]).as_deref(), Some("2001:db8::/32"));
        // A scope in a query, too many and too few octets, bits after the prefix, foreign family.
        assert_eq!(subnet(&[0, 1, 24, 24, 192, 0, 2]), None);
        assert_eq!(subnet(&[0, 1, 24, 0, 192, 0, 2, 0]), None);
        assert_eq!(subnet(&[0, 1, 24, 0, 192, 0]), None);
        assert_eq!(subnet(&[0, 1, 23, 0, 192, 0, 3]), None);
        assert_eq!(subnet(&[0, 1, 33, 0, 192, 0, 2, 0, 1]), None);
        assert_eq!(subnet(&[0, 3, 0, 0]), None);
        assert_eq!(subnet(&[0, 1, 24]), None);
    }

    #[test]
    fn cookies() {
        let cookie = |length: u8| Cookie::parse(&(0..length).collect::<Vec<u8>>());
        let known: Vec<u8> = (0..64).filter(|length| cookie(*length).is_some()).collect();
        assert_eq!(known, [&[8][..], &(16..=40).collect::<Vec<u8>>()].concat());
        // Only one length is ours.
        let ours: Vec<u8> =
            (0..64).filter(|n| cookie(*n).is_some_and(|c| c.server.is_some())).collect();
        assert_eq!(ours, [24]);
        let server = cookie(24).unwrap().server.unwrap();
        assert_eq!((server[0], server[15]), (8, 23));
    }

    #[test]
    fn options_add_up_and_padding_fills() {
        let subnet = ClientSubnet::of("198.51.100.0/24".parse().unwrap());
        for (block, limit, length) in
            [(468, 1_232, 468), (468, 400, 400), (128, 1_232, 256), (0, 1_232, 173)]
        {
            let reply = EdnsReply {
                dnssec_ok: true,
                compact_ok: block > 200,
                client_subnet: Some((subnet, 24)),
                nsid: Some("ns1"),
                extended_error: Some(18),
                envelope: Envelope {
                    cookie: Some([7; 24]),
                    keepalive: Some(100),
                    padding: Some(block),
                },
            };
            // A message that has 100 octets before its EDNS part.
            let padding = reply.padding(100 + reply.size(), limit);
            let mut octets = Vec::new();
            reply.write(0, padding, &mut |some| octets.extend_from_slice(some));
            assert_eq!(octets.len() + 100, length, "{block} {limit}");
            let (head, options) = octets.split_at(11);
            assert_eq!(usize::from(u16::from_be_bytes([head[9], head[10]])), options.len());
            assert_eq!(head[7], if block > 200 { 0xc0 } else { 0x80 });
            let flags = u32::from(head[7]) << 8;
            let read = parse_opt(1_232, flags, &unscoped(options)).unwrap();
            assert_eq!((read.dnssec_ok, read.compact_ok), (true, block > 200));
            assert_eq!(read.client_subnet, Some(subnet));
            assert_eq!(read.cookie.unwrap().server, Some([7; 16]));
            assert!(read.keepalive && read.padding && read.nsid);
        }
    }

    /// The options of a response, the subnet's scope taken out: as a query would have them.
    fn unscoped(options: &[u8]) -> Vec<u8> {
        let mut options = options.to_vec();
        options[7] = 0;
        options
    }
}
