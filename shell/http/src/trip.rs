//! What the kernel knows of a client's connection when it ends: how long the way is.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use nix::libc;
use nix::sys::socket::getsockopt;
use popnet_terms::{Micros, Trip};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::server::Service;

/// The beginning of the kernel's `struct tcp_info` (tcp(7), `linux/tcp.h`) up to the shortest round
/// trip, which Linux has since 4.6 and `libc` does not name.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Known {
    _states: [u8; 8],
    _timers: [u32; 15],
    rtt: u32,
    _windows: [u32; 7],
    total_retrans: u32,
    _rates: [u64; 4],
    segs_out: u32,
    _segs_in: u32,
    _unsent: u32,
    min_rtt: u32,
}

/// Asks for it.
#[derive(Clone, Copy, Debug)]
struct TcpKnown;

nix::getsockopt_impl!(
    TcpKnown,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    Known,
    nix::sys::socket::sockopt::GetStruct<Known>
);

/// How it went on `stream`, when the kernel has measured any round trip.
fn trip_on(stream: &TcpStream) -> Option<Trip> {
    let known = getsockopt(stream, TcpKnown).ok()?;
    // The kernel's word for "none yet" is all ones.
    let least = known.min_rtt.min(known.rtt);
    (least > 0).then_some(Trip {
        least: Micros(least),
        smoothed: Micros(known.rtt),
        sent: known.segs_out,
        again: known.total_retrans,
    })
}

/// A client's connection whose service hears when it ends.
pub(crate) struct Parting<S: Service> {
    pub(crate) stream: TcpStream,
    pub(crate) client: SocketAddr,
    pub(crate) service: Arc<S>,
}

impl<S: Service> Drop for Parting<S> {
    fn drop(&mut self) {
        self.service.parted(self.client, &|| trip_on(&self.stream));
    }
}

impl<S: Service> AsyncRead for Parting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Service> AsyncWrite for Parting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
