//! Connections: at most so many, and none that makes no progress. A reader that does not take
//! what it is sent is cut off, so that nothing piles up for it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections at a time; browsers keep a few each.
const CONNECTIONS_MAX: usize = 512;

/// Neither reading nor writing for so long ends a connection. Streams write more often.
const IDLE_MAX: Duration = Duration::from_secs(75);

/// A reader that takes nothing for so long is gone.
const STUCK_MAX: Duration = Duration::from_secs(15);

/// After `accept` fails (too many open files), wait before the next attempt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections while there is room.
#[derive(Debug)]
pub(crate) struct Bounded {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

impl Bounded {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

impl Listener for Bounded {
    type Io = Timed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Timed, SocketAddr) {
        loop {
            let Ok(room) = Arc::clone(&self.room).acquire_owned().await else {
                // The semaphore is never closed.
                std::future::pending::<()>().await;
                continue;
            };
            match self.listener.accept().await {
                Ok((stream, from)) => return (Timed::new(stream, room), from),
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for From {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A connection that ends when nothing moves.
#[derive(Debug)]
pub(crate) struct Timed {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    stuck: bool,
    _room: OwnedSemaphorePermit,
}

impl Timed {
    fn new(stream: TcpStream, room: OwnedSemaphorePermit) -> Self {
        // Events are small and wanted at once. Refused only for sockets that are gone already.
        let _ = stream.set_nodelay(true);
        Self { stream, end: Box::pin(tokio::time::sleep(IDLE_MAX)), stuck: false, _room: room }
    }

    fn moved(&mut self) {
        self.stuck = false;
        self.end.as_mut().reset(Instant::now() + IDLE_MAX);
    }

    fn waits<T>(&mut self, writing: bool, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if writing && !self.stuck {
            self.stuck = true;
            self.end.as_mut().reset(Instant::now() + STUCK_MAX);
        }
        match self.end.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                self.moved();
                Poll::Ready(read)
            }
            Poll::Pending => self.waits(false, cx),
        }
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, octets) {
            Poll::Ready(written) => {
                self.moved();
                Poll::Ready(written)
            }
            Poll::Pending => self.waits(true, cx),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
