//! The last hop on the way to an address that answers: datagrams that live for one hop more each
//! time, and the routers' "time exceeded" for them. The system keeps these for the socket that
//! sent the datagram, so that no right is needed.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use popnet_terms::Micros;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::connect::micros;

/// Where nobody listens, as traces use it.
const PORT: u16 = 33_434;

/// The longest way.
const HOPS_MAX: u8 = 30;

/// After so many silent hops in a row the trace is over.
const SILENT_MAX: u8 = 3;

/// A hop that takes longer is silent. It also keeps what reaches the far end, if that drops it, at
/// two packets a second.
const HOP_WAIT: Duration = Duration::from_millis(500);

/// The whole trace.
const TRACE_MAX: Duration = Duration::from_secs(6);

/// A hop that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// How many steps away.
    pub steps: u8,
    /// Who.
    pub address: IpAddr,
    /// The time there and back.
    pub rtt: Micros,
}

/// The last hop towards `to` that answers, and `to` itself if it does.
pub async fn last_hop(to: IpAddr) -> Option<Hop> {
    let end = Instant::now() + TRACE_MAX;
    let mut last = None;
    let mut silent = 0;
    for steps in 1..=HOPS_MAX {
        match hop(to, steps, end.min(Instant::now() + HOP_WAIT)).await {
            Ok(Some(found)) => {
                last = Some(found);
                silent = 0;
                if found.address == to {
                    break;
                }
            }
            Ok(None) => silent += 1,
            Err(error) => {
                tracing::debug!(%error, "a trace does not leave");
                break;
            }
        }
        if silent == SILENT_MAX || Instant::now() >= end {
            break;
        }
    }
    last
}

/// Who answers a datagram to `to` that lives for `steps`.
async fn hop(to: IpAddr, steps: u8, end: Instant) -> io::Result<Option<Hop>> {
    let from: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A socket each: an answer that comes late is not taken for the next one.
    let socket = UdpSocket::bind(SocketAddr::new(from, 0)).await?;
    match to {
        IpAddr::V4(_) => {
            socket.set_ttl(u32::from(steps))?;
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        }
        IpAddr::V6(_) => {
            setsockopt(&socket, sockopt::Ipv6Ttl, &i32::from(steps))?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        }
    }
    socket.connect(SocketAddr::new(to, PORT)).await?;
    let begun = Instant::now();
    socket.send(&[0; 12]).await?;
    loop {
        match timeout_at(end, socket.ready(Interest::ERROR)).await {
            Ok(ready) => ready?,
            Err(_) => return Ok(None),
        };
        let told = socket.try_io(Interest::ERROR, || offender(&socket));
        match told {
            Ok(Some(address)) => {
                let rtt = micros(begun.elapsed()).max(Micros(1));
                return Ok(Some(Hop { steps, address, rtt }));
            }
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Who sent the error that waits.
fn offender(socket: &UdpSocket) -> io::Result<Option<IpAddr>> {
    let mut octets = [0; 64];
    let mut parts = [IoSliceMut::new(&mut octets)];
    // Room for the larger of the two families' messages.
    let mut space = nix::cmsg_space!([u8; 128]);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::Ipv4RecvErr(_, Some(from)) = control {
            return Ok(Some(Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr)).into()));
        }
        if let ControlMessageOwned::Ipv6RecvErr(_, Some(from)) = control {
            return Ok(Some(Ipv6Addr::from(from.sin6_addr.s6_addr).into()));
        }
    }
    Ok(None)
}
