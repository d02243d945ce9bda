//! Who holds a busy port: the kernel's socket tables name an inode, and a process's descriptors
//! lead from the inode to the process.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A process that holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its command's name.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Transport of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP listeners.
    Tcp,
    /// UDP sockets.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// The process that holds `address`, when this user may see it. Our own process is named last:
/// with `SO_REUSEPORT` several may hold one address.
#[must_use]
pub(crate) fn holder_of(transport: Transport, address: SocketAddr) -> Option<Holder> {
    let tables = match transport {
        Transport::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Transport::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let inodes: Vec<u64> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|text| inodes_in(&text, transport, address))
        .collect();
    let mut holders: Vec<Holder> = processes_with(&inodes);
    holders.sort_by_key(|holder| (holder.pid == std::process::id(), holder.pid));
    holders.into_iter().next()
}

/// The inodes of sockets in a `/proc/net` table that keep `address` from being bound.
fn inodes_in(table: &str, transport: Transport, address: SocketAddr) -> Vec<u64> {
    table.lines().skip(1).filter_map(|line| inode_if_taken(line, transport, address)).collect()
}

fn inode_if_taken(line: &str, transport: Transport, address: SocketAddr) -> Option<u64> {
    let mut words = line.split_ascii_whitespace();
    let (_slot, local, _remote, state) =
        (words.next()?, words.next()?, words.next()?, words.next()?);
    // Established connections share a listener's port without holding it.
    const LISTEN: &str = "0A";
    if transport == Transport::Tcp && state != LISTEN {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let ip = parse_ip(ip)?;
    let clashes = u16::from_str_radix(port, 16).ok()? == address.port()
        && (ip.is_unspecified()
            || address.ip().is_unspecified()
            || ip.to_canonical() == address.ip().to_canonical());
    // Queues, timer, retransmits, user, timeout; then the inode.
    clashes.then(|| words.nth(5)?.parse().ok())?
}

/// An address as the kernel prints it: words of four octets, each in the machine's order.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let mut octets = Vec::with_capacity(16);
    for at in (0..text.len()).step_by(8) {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        octets.extend_from_slice(&word.to_ne_bytes());
    }
    match <[u8; 4]>::try_from(octets.as_slice()) {
        Ok(four) => Some(Ipv4Addr::from(four).into()),
        Err(_) => <[u8; 16]>::try_from(octets.as_slice()).ok().map(|o| Ipv6Addr::from(o).into()),
    }
}

fn processes_with(inodes: &[u64]) -> Vec<Holder> {
    if inodes.is_empty() {
        return Vec::new();
    }
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| has_one_of(*pid, &links))
        .map(|pid| Holder { name: command(pid), pid })
        .collect()
}

fn has_one_of(pid: u32, links: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| target.to_str().is_some_and(|t| links.iter().any(|link| link == t)))
}

fn command(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| "a process".to_owned(), |name| name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        0: 0100007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 18123 1 0 100 0 0 10 0\n\
        1: 0100007F:0035 0100007F:D431 01 00000000:00000000 00:00000000 00000000   101        0 18999 1 0 100 0 0 10 0\n\
        broken line\n\
        2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 20001 1 0 100 0 0 10 0\n";

    fn check(transport: Transport, address: &str, inodes: &[u64]) {
        assert_eq!(inodes_in(TABLE, transport, address.parse().unwrap()), inodes, "{address}");
    }

    #[test]
    fn table_lines() {
        check(Transport::Tcp, "127.0.0.1:53", &[18123]);
        check(Transport::Udp, "127.0.0.1:53", &[18123, 18999]);
        check(Transport::Tcp, "127.0.0.2:53", &[]);
        check(Transport::Tcp, "192.0.2.1:8080", &[20001]);
        check(Transport::Tcp, "0.0.0.0:53", &[18123]);
    }

    #[test]
    fn addresses() {
        let mapped = "0000000000000000FFFF00000100007F";
        assert_eq!(parse_ip(mapped).unwrap().to_canonical().to_string(), "127.0.0.1");
        assert_eq!(parse_ip("xyz"), None);
        assert_eq!(parse_ip("0100007F01"), None);
        assert_eq!(parse_ip("é00007F"), None);
    }

    #[test]
    fn finds_this_process() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let holder = holder_of(Transport::Udp, socket.local_addr().unwrap()).unwrap();
        assert_eq!(holder.pid, std::process::id());
    }
}
