//! Opening ports, and saying in words why one cannot be opened.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use popnet_wire::control::Problem;
use socket2::{Domain, Protocol, Socket, Type};

use crate::holder::holder_of;
pub use crate::holder::{Holder, Transport};

/// Connections that wait for `accept`; the kernel cuts this to its own limit.
const BACKLOG: i32 = 1024;

/// A port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process, or another part of this one, has it.
    #[error("{address}/{transport} is taken by {}", name(.holder.as_ref()))]
    Taken {
        /// The port.
        address: SocketAddr,
        /// TCP or UDP.
        transport: Transport,
        /// Who, when this user may know.
        holder: Option<Holder>,
    },
    /// Ports below 1024 need a capability.
    #[error("{address}/{transport} may not be opened by this user")]
    Forbidden {
        /// The port.
        address: SocketAddr,
        /// TCP or UDP.
        transport: Transport,
    },
    /// No interface has the address.
    #[error("{address}/{transport}: this machine does not have the address {}", .address.ip())]
    NotHere {
        /// The port.
        address: SocketAddr,
        /// TCP or UDP.
        transport: Transport,
    },
    /// A Unix socket's path is taken by a live process.
    #[error("{path} is served by another process")]
    SocketTaken {
        /// The path.
        path: String,
    },
    /// Anything else.
    #[error("{what} cannot be opened: {source}")]
    Other {
        /// The port or path.
        what: String,
        /// Why.
        source: io::Error,
    },
}

fn name(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "another user's process".to_owned(), Holder::to_string)
}

impl BindError {
    /// The error with its code and the remedy.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let (code, next) = match self {
            Self::Taken { .. } => {
                ("R04", "stop it, or give this node another address in pops.POP.nodes.NODE.address")
            }
            Self::Forbidden { .. } => (
                "R05",
                "give the program CAP_NET_BIND_SERVICE (the systemd unit does), or use a port above 1023 in pops.POP.nodes.NODE.listen",
            ),
            Self::NotHere { .. } => {
                ("R06", "compare `ip address` with pops.POP.nodes.NODE.address")
            }
            Self::SocketTaken { .. } => {
                ("R07", "stop the other process, or give this one another run folder")
            }
            Self::Other { .. } => ("R08", ""),
        };
        Problem::new(code, self.to_string(), next)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the standard library's own list grows")]
    fn of(address: SocketAddr, transport: Transport, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => {
                Self::Taken { address, transport, holder: holder_of(transport, address) }
            }
            io::ErrorKind::PermissionDenied => Self::Forbidden { address, transport },
            io::ErrorKind::AddrNotAvailable => Self::NotHere { address, transport },
            _ => Self::Other { what: format!("{address}/{transport}"), source },
        }
    }
}

/// A TCP listener on `address`, in blocking mode. With `reuse_port`, several sockets of this
/// process may listen there; another process's are still an error.
///
/// # Errors
/// Who holds the port, or why else it cannot be opened.
pub fn tcp(address: SocketAddr, reuse_port: bool) -> Result<TcpListener, BindError> {
    let listen = || {
        refuse_strangers(address, Transport::Tcp, reuse_port)?;
        let socket = open(address, Transport::Tcp)?;
        socket.set_reuse_port(reuse_port)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    listen().map_err(|source| BindError::of(address, Transport::Tcp, source))
}

/// A UDP socket on `address`, in blocking mode. `reuse_port` as in [`tcp`].
///
/// # Errors
/// Who holds the port, or why else it cannot be opened.
pub fn udp(address: SocketAddr, reuse_port: bool) -> Result<UdpSocket, BindError> {
    let bind = || {
        refuse_strangers(address, Transport::Udp, reuse_port)?;
        let socket = open(address, Transport::Udp)?;
        socket.set_reuse_port(reuse_port)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    bind().map_err(|source| BindError::of(address, Transport::Udp, source))
}

/// The same as [`tcp`], ready for the asynchronous runtime that the caller runs in.
///
/// # Errors
/// Who holds the port, or why else it cannot be opened.
pub fn tcp_async(
    address: SocketAddr,
    reuse_port: bool,
) -> Result<tokio::net::TcpListener, BindError> {
    let listener = tcp(address, reuse_port)?;
    listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::TcpListener::from_std(listener))
        .map_err(|source| BindError::of(address, Transport::Tcp, source))
}

fn open(address: SocketAddr, transport: Transport) -> io::Result<Socket> {
    let (kind, protocol) = match transport {
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if transport == Transport::Tcp {
        // A restart must not wait for connections of the previous run to fade.
        socket.set_reuse_address(true)?;
    }
    if address.is_ipv6() {
        // The IPv4 address has its own socket.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// With `SO_REUSEPORT` the kernel lets two processes of one user share a port, and each gets half
/// of the packets. That is never meant here: the port must be free or ours.
fn refuse_strangers(address: SocketAddr, transport: Transport, reuse_port: bool) -> io::Result<()> {
    if !reuse_port || address.port() == 0 {
        return Ok(());
    }
    let trial = open(address, transport)?.bind(&address.into());
    match trial {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            match holder_of(transport, address) {
                Some(holder) if holder.pid != std::process::id() => Err(error),
                Some(_) | None => Ok(()),
            }
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn names_the_holder_and_the_fix() {
        let first = udp(loopback(), false).unwrap();
        let address = first.local_addr().unwrap();
        let problem = udp(address, false).unwrap_err().problem();
        assert_eq!(&*problem.code, "R04");
        let end = format!("(pid {})", std::process::id());
        assert!(problem.what.starts_with(&format!("{address}/udp is taken by ")), "{problem}");
        assert!(problem.what.ends_with(&end), "{problem}");
        assert!(problem.next.contains("another address"), "{}", problem.next);

        let listener = tcp(loopback(), false).unwrap();
        let error = tcp(listener.local_addr().unwrap(), false).unwrap_err();
        assert!(matches!(error, BindError::Taken { holder: Some(_), .. }), "{error}");
    }

    #[test]
    fn several_sockets_of_one_process_share_a_port() {
        let first = udp(loopback(), true).unwrap();
        assert!(udp(first.local_addr().unwrap(), true).is_ok());
        let first = tcp(loopback(), true).unwrap();
        assert!(tcp(first.local_addr().unwrap(), true).is_ok());
    }

    #[test]
    fn an_address_of_another_machine() {
        let error = tcp("192.0.2.1:7601".parse().unwrap(), false).unwrap_err();
        assert!(matches!(error, BindError::NotHere { .. }), "{error}");
    }
}
