//! ICMP echo (RFC 792, RFC 4443): one packet, and the time until it is back.
//!
//! Linux gives sockets for echoes alone to those groups that `net.ipv4.ping_group_range` names;
//! where it does not, a raw socket is tried, which needs the right to one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use popnet_probe::{Address, Told};
use popnet_terms::Micros;
use popnet_wire::probing::Cause;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::connect::{Progress, Wrong, micros, resolve, words_of};

/// What an echo carries, so that it is known again.
pub type Token = [u8; 16];

/// Echo and its reply, by family.
const TYPES_V4: (u8, u8) = (8, 0);
const TYPES_V6: (u8, u8) = (128, 129);

/// One echo as a service probe.
pub(crate) async fn probe(
    at: &Address,
    limit: Duration,
    progress: &mut Progress,
) -> Result<Told, Wrong> {
    let found = resolve(at).await?;
    let to = found.first().ok_or_else(|| Wrong::new(Cause::Refused, "name has no address"))?.ip();
    let begun = Instant::now();
    let socket = socket(to).map_err(|error| {
        let words = if error.kind() == io::ErrorKind::PermissionDenied {
            "no right to ICMP: see net.ipv4.ping_group_range".into()
        } else {
            words_of(&error)
        };
        Wrong::new(Cause::Refused, words)
    })?;
    let back = echo(&socket, to, 1, limit).await;
    let back = back.map_err(|error| Wrong::new(Cause::Refused, words_of(&error)))?;
    let Some(rtt) = back else { return Err(crate::connect::late(limit)) };
    progress.phase("echo", begun);
    Ok(Told { connect: Some(rtt), ..Told::default() })
}

/// A socket for echoes to `to`.
pub(crate) fn socket(to: IpAddr) -> io::Result<UdpSocket> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => socket,
        Err(error) => Socket::new(domain, Type::RAW, Some(protocol)).map_err(|_| error)?,
    };
    socket.set_nonblocking(true)?;
    socket.connect(&SocketAddr::new(to, 0).into())?;
    // It is used as any socket for datagrams is.
    UdpSocket::from_std(std::net::UdpSocket::from(socket))
}

/// One echo; `None` when it does not come back in time.
pub(crate) async fn echo(
    socket: &UdpSocket,
    to: IpAddr,
    number: u16,
    limit: Duration,
) -> io::Result<Option<Micros>> {
    let mut token: Token = [0; 16];
    getrandom::fill(&mut token).map_err(io::Error::other)?;
    let begun = Instant::now();
    socket.send(&packet(to, number, &token)).await?;
    let mut buffer = [0; 1_500];
    loop {
        let Ok(received) = timeout_at(begun + limit, socket.recv(&mut buffer)).await else {
            return Ok(None);
        };
        if buffer.get(..received?).is_some_and(|octets| is_back(octets, &token)) {
            return Ok(Some(micros(begun.elapsed()).max(Micros(1))));
        }
    }
}

fn packet(to: IpAddr, number: u16, token: &Token) -> Vec<u8> {
    let kind = if to.is_ipv4() { TYPES_V4.0 } else { TYPES_V6.0 };
    let [high, low] = number.to_be_bytes();
    let [first, second, ..] = *token;
    let mut packet = vec![kind, 0, 0, 0, first, second, high, low];
    packet.extend_from_slice(token);
    // The system fills in the checksum of IPv6 (RFC 3542 3.1), and the identifier of its own echo
    // sockets.
    if to.is_ipv4() {
        let sum = checksum(&packet);
        if let Some(place) = packet.get_mut(2..4) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
    }
    packet
}

/// The Internet checksum (RFC 1071).
fn checksum(octets: &[u8]) -> u16 {
    let words = octets.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// Whether `octets` are the reply to the echo with this token, with or without an IPv4 header in
/// front, as raw sockets have it. Takes any octets.
#[must_use]
pub fn is_back(octets: &[u8], token: &Token) -> bool {
    let inner = match octets.first() {
        Some(first) if first >> 4 == 4 => octets.get(usize::from(first & 15) * 4..),
        Some(_) | None => Some(octets),
    };
    let Some([kind, 0, _, _, _, _, _, _, content @ ..]) = inner else { return false };
    (*kind == TYPES_V4.1 || *kind == TYPES_V6.1) && content == token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets() {
        let token = [7; 16];
        let mut packet = packet("127.0.0.1".parse().unwrap(), 1, &token);
        assert_eq!(checksum(&packet), 0, "a right checksum makes the sum nothing");
        assert!(!is_back(&packet, &token), "our own packet is no reply");
        packet[0] = 0;
        assert!(is_back(&packet, &token) && !is_back(&packet, &[8; 16]));
        let mut raw = vec![0x45; 20];
        raw.extend_from_slice(&packet);
        assert!(is_back(&raw, &token));
        for junk in [&[][..], &[0x4f], &[0; 8], &[0x45; 20], &raw[..40]] {
            assert!(!is_back(junk, &token), "{junk:?}");
        }
    }
}
