//! UDP: a thread a socket, packets in batches (recvmmsg, sendmmsg), nothing asynchronous.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg, sendmmsg, setsockopt,
    sockopt,
};
use popnet_dns::UDP_SIZE;
use popnet_runtime::{StartError, clock};
use tokio_util::sync::CancellationToken;

use crate::counters::count;
use crate::notes::Notes;
use crate::serve::{Desk, Ends, Transport};
use crate::shared::Shared;
use crate::tally::Tally;
use crate::transfer;

/// Packets taken at once. More would not save a noticeable share of the calls, and what a batch
/// touches would no longer fit into the nearest cache.
const BATCH: usize = 32;
/// No query of any use is longer; what is cut off here is malformed.
pub(crate) const QUERY_MAX: usize = 1_500;
/// Choices kept: of each of some sites for the units that ask most, at about a kilobyte each.
const CHOICES: usize = 4_096;
/// How often an idle worker looks whether it should end.
const LOOK_UP: Duration = Duration::from_millis(200);
/// Packets that wait while a worker is busy: a burst of some 10,000.
const RECEIVE_BUFFER: usize = 8 << 20;

/// The threads.
pub(crate) struct Workers(Vec<JoinHandle<()>>);

impl Workers {
    /// Waits until all have ended.
    pub(crate) fn join(self) {
        for worker in self.0 {
            let _ = worker.join();
        }
    }
}

/// Starts a worker for each socket.
pub(crate) fn start(
    sockets: Vec<UdpSocket>,
    shared: &Arc<Shared>,
    shutdown: &CancellationToken,
) -> Result<Workers, StartError> {
    let mut workers = Vec::new();
    for (number, socket) in sockets.into_iter().enumerate() {
        socket.set_read_timeout(Some(LOOK_UP)).map_err(StartError::io("DNS socket"))?;
        // The kernel grants less where its limit is lower: no reason not to start.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
        let (shared, shutdown) = (Arc::clone(shared), shutdown.clone());
        let is_four = socket.local_addr().map_err(StartError::io("DNS socket"))?.is_ipv4();
        let run = move || match is_four {
            true => work::<SockaddrIn>(&socket, &shared, &shutdown),
            false => work::<SockaddrIn6>(&socket, &shared, &shutdown),
        };
        let thread = std::thread::Builder::new().name(format!("dns-{number}"));
        workers.push(thread.spawn(run).map_err(StartError::io("DNS worker thread"))?);
    }
    Ok(Workers(workers))
}

/// Address of an asker, in the kernel's form. A socket has one family: room for all of them would
/// be copied for nothing with each packet.
trait Asker: SockaddrLike + Copy + 'static {
    fn place(&self) -> SocketAddr;
}

impl Asker for SockaddrIn {
    fn place(&self) -> SocketAddr {
        (self.ip(), self.port()).into()
    }
}

impl Asker for SockaddrIn6 {
    fn place(&self) -> SocketAddr {
        (self.ip(), self.port()).into()
    }
}

fn work<A: Asker>(socket: &UdpSocket, shared: &Shared, shutdown: &CancellationToken) {
    // A wildcard is no address that anybody asked.
    let at = socket.local_addr().ok().filter(|at| !at.ip().is_unspecified());
    let tally = shared.tally();
    let mut worker = Worker::<A>::new(at, Arc::clone(&tally));
    while !shutdown.is_cancelled() {
        // A packet that finds a mistake of ours costs its batch, not the worker.
        let turn = catch_unwind(AssertUnwindSafe(|| worker.turn(socket, shared)));
        if turn.is_err() {
            count(&shared.counters.panics);
            tracing::error!("a DNS worker met a mistake in the program; it goes on");
            worker = Worker::new(at, Arc::clone(&tally));
        }
    }
}

struct Worker<A> {
    incoming: MultiHeaders<A>,
    outgoing: MultiHeaders<A>,
    queries: Vec<[u8; QUERY_MAX]>,
    answers: Vec<[u8; UDP_SIZE as usize]>,
    /// Length of each answer of the batch.
    lengths: [usize; BATCH],
    /// Whom it is for.
    receivers: [Option<A>; BATCH],
    notes: Notes,
    /// Where it is asked.
    at: Option<SocketAddr>,
}

impl<A: Asker> Worker<A> {
    fn new(at: Option<SocketAddr>, tally: Arc<Tally>) -> Self {
        Self {
            incoming: MultiHeaders::preallocate(BATCH, None),
            outgoing: MultiHeaders::preallocate(BATCH, None),
            queries: vec![[0; QUERY_MAX]; BATCH],
            answers: vec![[0; UDP_SIZE as usize]; BATCH],
            lengths: [0; BATCH],
            receivers: [None; BATCH],
            notes: Notes::remembering(CHOICES, tally),
            at,
        }
    }

    /// One batch: waits for a packet, takes those that are there with it, answers, sends, and hands
    /// the notes on.
    fn turn(&mut self, socket: &UdpSocket, shared: &Shared) {
        let mut buffers = self.queries.iter_mut();
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] = std::array::from_fn(|_| {
            // As many buffers as places: the empty one is never used.
            let buffer = buffers.next().map(<[u8; QUERY_MAX]>::as_mut_slice);
            [IoSliceMut::new(buffer.unwrap_or_default())]
        });
        let flags = MsgFlags::MSG_WAITFORONE;
        let fd = socket.as_raw_fd();
        let packets = match recvmmsg(fd, &mut self.incoming, slices.iter_mut(), flags, None) {
            Ok(packets) => packets,
            Err(Errno::EAGAIN | Errno::EINTR) => return,
            Err(error) => {
                // Errors of earlier answers (no route, refused) come back here.
                tracing::debug!(%error, "DNS socket");
                return;
            }
        };
        let table = shared.table.load();
        let view = shared.view.load();
        let shield = shared.shield.load();
        let desk = Desk::new(shared, &table, &view, &shield);
        let notes = &mut self.notes;
        notes.now = clock::now();
        let mut filled = 0;
        for packet in packets {
            let place = self.answers.get_mut(filled).zip(self.lengths.get_mut(filled));
            let (Some((answer, length)), Some(receiver), Some(from)) =
                (place, self.receivers.get_mut(filled), packet.address)
            else {
                continue;
            };
            let query = packet.iovs().next().unwrap_or_default();
            let back = || transfer::Way::datagram(socket, from.place());
            let ends = Ends { from: from.place(), at: self.at, transport: Transport::Udp };
            *length = answer_one(&desk, query, &ends, back, notes, answer);
            *receiver = Some(from);
            // Silence leaves its place to the next.
            filled += usize::from(*length > 0);
        }
        self.send(socket, shared, filled);
        self.notes.hand_on(shared, &table);
    }

    /// Sends the first `count` answers. A full socket buffer drops: the asker asks again.
    fn send(&mut self, socket: &UdpSocket, shared: &Shared, count: usize) {
        let mut answers = self.answers.iter().zip(&self.lengths);
        let slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|_| {
            let answer = answers.next().and_then(|(answer, length)| answer.get(..*length));
            [IoSlice::new(answer.unwrap_or_default())]
        });
        let mut from = 0;
        while let Some((slices, to)) = slices.get(from..count).zip(self.receivers.get(from..count))
        {
            if slices.is_empty() {
                return;
            }
            let (fd, flags) = (socket.as_raw_fd(), MsgFlags::empty());
            match sendmmsg(fd, &mut self.outgoing, slices, to, [], flags) {
                Ok(sent) => from += sent.count().max(1),
                Err(Errno::EINTR) => {}
                Err(_) => {
                    // The first of the rest cannot be sent; the others may.
                    crate::counters::count(&shared.counters.unsent);
                    from += 1;
                }
            }
        }
    }
}

/// Answers one datagram into `answer`; gives the answer's length, 0 for none now. `back` is the
/// way for an answer that comes later.
pub(crate) fn answer_one(
    desk: &Desk<'_>,
    query: &[u8],
    ends: &Ends,
    back: impl FnOnce() -> Option<transfer::Way>,
    notes: &mut Notes,
    answer: &mut [u8],
) -> usize {
    if transfer::concern(query).is_some() {
        return transfer::datagram(desk, query, ends, back, notes, answer);
    }
    desk.answer(query, ends, notes, answer)
}
