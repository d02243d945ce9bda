//! dnstap (<https://dnstap.info>): what a server was asked and what it said, for programs that
//! watch name servers. A protocol buffer, of which we write the few fields that an authoritative
//! server has; the numbers are those of `dnstap.proto`.
//!
//! Written here: a library for protocol buffers brings a compiler of its own and is larger than
//! these fields.

use std::net::{IpAddr, SocketAddr};

use popnet_terms::Timestamp;

/// Which side of which exchange a message is. An authoritative server's are `AUTH`, never
/// `CLIENT`, which are a resolver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapKind {
    /// A question as it came.
    AuthQuery,
    /// The answer that went out.
    AuthResponse,
    /// A dynamic update as it came (RFC 2136).
    UpdateQuery,
    /// What was said to it.
    UpdateResponse,
}

/// What the message travelled over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapProtocol {
    /// RFC 1035 4.2.1.
    Udp,
    /// RFC 7766.
    Tcp,
    /// RFC 7858.
    Tls,
    /// RFC 8484.
    Https,
    /// RFC 9250.
    Quic,
}

/// One message of a server.
#[derive(Clone, Copy, Debug)]
pub struct Dnstap<'a> {
    /// Who says this.
    pub identity: &'a str,
    /// Its program.
    pub version: &'a str,
    /// What else there is to say; left out when empty.
    pub extra: &'a str,
    /// What the message is.
    pub kind: TapKind,
    /// How it travelled.
    pub protocol: TapProtocol,
    /// Who asked.
    pub asker: SocketAddr,
    /// Where it was asked, when the socket knows.
    pub asked: Option<SocketAddr>,
    /// When the question came.
    pub came: Timestamp,
    /// When the answer was ready; of responses only.
    pub left: Option<Timestamp>,
    /// The DNS message.
    pub message: &'a [u8],
}

impl TapKind {
    /// Whether it is an answer.
    #[must_use]
    pub fn is_response(self) -> bool {
        matches!(self, Self::AuthResponse | Self::UpdateResponse)
    }

    fn number(self) -> u64 {
        match self {
            Self::AuthQuery => 1,
            Self::AuthResponse => 2,
            Self::UpdateQuery => 13,
            Self::UpdateResponse => 14,
        }
    }
}

impl TapProtocol {
    fn number(self) -> u64 {
        match self {
            Self::Udp => 1,
            Self::Tcp => 2,
            Self::Tls => 3,
            Self::Https => 4,
            Self::Quic => 7,
        }
    }
}

/// `Dnstap.type`: a message.
const MESSAGE: u64 = 1;

impl Dnstap<'_> {
    /// Appends the protocol buffer to `into`.
    pub fn write(&self, into: &mut Vec<u8>) {
        octets(into, 1, self.identity.as_bytes());
        octets(into, 2, self.version.as_bytes());
        if !self.extra.is_empty() {
            octets(into, 3, self.extra.as_bytes());
        }
        varint(into, 15, MESSAGE);
        let mut inner = Vec::with_capacity(80 + self.message.len());
        self.inner(&mut inner);
        octets(into, 14, &inner);
    }

    fn inner(&self, into: &mut Vec<u8>) {
        varint(into, 1, self.kind.number());
        varint(into, 2, if self.asker.is_ipv4() { 1 } else { 2 });
        varint(into, 3, self.protocol.number());
        address(into, 4, self.asker.ip());
        if let Some(asked) = self.asked {
            address(into, 5, asked.ip());
        }
        varint(into, 6, self.asker.port().into());
        if let Some(asked) = self.asked {
            varint(into, 7, asked.port().into());
        }
        time(into, 8, self.came);
        if let Some(left) = self.left {
            time(into, 12, left);
        }
        octets(into, if self.kind.is_response() { 14 } else { 10 }, self.message);
    }
}

/// Field `number` as the wire has it: the number, then which of the forms follows.
fn key(into: &mut Vec<u8>, number: u64, form: u64) {
    raw(into, number << 3 | form);
}

fn varint(into: &mut Vec<u8>, number: u64, value: u64) {
    key(into, number, 0);
    raw(into, value);
}

fn octets(into: &mut Vec<u8>, number: u64, value: &[u8]) {
    key(into, number, 2);
    raw(into, u64::try_from(value.len()).unwrap_or(0));
    into.extend_from_slice(value);
}

fn address(into: &mut Vec<u8>, number: u64, ip: IpAddr) {
    match ip {
        IpAddr::V4(four) => octets(into, number, &four.octets()),
        IpAddr::V6(six) => octets(into, number, &six.octets()),
    }
}

/// Seconds in field `number`, nanoseconds in the next.
fn time(into: &mut Vec<u8>, number: u64, at: Timestamp) {
    varint(into, number, u64::try_from(at.unix_seconds()).unwrap_or(0));
    key(into, number + 1, 5);
    let nanoseconds = u32::try_from(at.0.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    into.extend_from_slice(&nanoseconds.to_le_bytes());
}

/// Seven bits an octet, the lowest first, and a sign that more follow.
fn raw(into: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            return into.push(low);
        }
        into.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_by_its_octets() {
        let mut octets = Vec::new();
        let tap = Dnstap {
            identity: "ns",
            version: "v",
            extra: "x",
            kind: TapKind::AuthResponse,
            protocol: TapProtocol::Quic,
            asker: "192.0.2.7:300".parse().unwrap(),
            asked: Some("[2001:db8::1]:53".parse().unwrap()),
            came: Timestamp(1_000_002),
            left: Some(Timestamp(300_000_000)),
            message: b"DNS",
        };
        tap.write(&mut octets);
        let inner: Vec<u8> = [
            &[0x08, 2, 0x10, 1, 0x18, 7, 0x22, 4, 192, 0, 2, 7, 0x2a, 16][..],
            &[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0x30, 0xac, 0x02, 0x38, 53, 0x40, 1, 0x4d, 0xd0, 0x07, 0, 0],
            &[0x60, 0xac, 0x02, 0x6d, 0, 0, 0, 0, 0x72, 3, b'D', b'N', b'S'],
        ]
        .concat();
        let head = [0x0a, 2, b'n', b's', 0x12, 1, b'v', 0x1a, 1, b'x', 0x78, 1, 0x72];
        let length = u8::try_from(inner.len()).unwrap();
        assert_eq!(octets, [&head[..], &[length], &inner].concat());
    }

    #[test]
    fn a_question_says_nothing_of_its_answer() {
        let mut octets = Vec::new();
        let tap = Dnstap {
            identity: "",
            version: "",
            extra: "",
            kind: TapKind::UpdateQuery,
            protocol: TapProtocol::Tcp,
            asker: "[2001:db8::1]:1".parse().unwrap(),
            asked: None,
            came: Timestamp(-1),
            left: None,
            message: b"",
        };
        tap.write(&mut octets);
        assert_eq!(octets[..7], [0x0a, 0, 0x12, 0, 0x78, 1, 0x72]);
        assert_eq!(octets[8..15], [0x08, 13, 0x10, 2, 0x18, 2, 0x22]);
        // A clock before 1970 counts as 1970.
        assert_eq!(octets[octets.len() - 9..], [0x40, 0, 0x4d, 0x18, 0xc6, 0x9a, 0x3b, 0x52, 0]);
    }
}
