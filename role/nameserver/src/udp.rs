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
    MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, setsockopt, sockopt,
};
use popnet_dns::UDP_SIZE;
use popnet_runtime::{StartError, clock};
use tokio_util::sync::CancellationToken;

use crate::counters::count;
use crate::notes::Notes;
use crate::serve::{Desk, Transport};
use crate::shared::Shared;
use crate::transfer;

/// Packets taken at once. More would not save a noticeable share of the calls.
const BATCH: usize = 32;
/// No query of any use is longer; what is cut off here is malformed.
const QUERY_MAX: usize = 1_500;
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
        let run = move || work(&socket, &shared, &shutdown);
        let thread = std::thread::Builder::new().name(format!("dns-{number}"));
        workers.push(thread.spawn(run).map_err(StartError::io("DNS worker thread"))?);
    }
    Ok(Workers(workers))
}

fn work(socket: &UdpSocket, shared: &Shared, shutdown: &CancellationToken) {
    let mut worker = Worker::new();
    while !shutdown.is_cancelled() {
        // A packet that finds a mistake of ours costs its batch, not the worker.
        let turn = catch_unwind(AssertUnwindSafe(|| worker.turn(socket, shared)));
        if turn.is_err() {
            count(&shared.counters.panics);
            tracing::error!("a DNS worker met a mistake in the program; it goes on");
            worker = Worker::new();
        }
    }
}

struct Worker {
    incoming: MultiHeaders<SockaddrStorage>,
    outgoing: MultiHeaders<SockaddrStorage>,
    queries: Vec<[u8; QUERY_MAX]>,
    answers: Vec<[u8; UDP_SIZE as usize]>,
    /// Length and sender of each packet of the batch.
    taken: Vec<(usize, Option<SockaddrStorage>)>,
    /// Length of each answer; 0: none.
    lengths: Vec<usize>,
    receivers: Vec<Option<SockaddrStorage>>,
    notes: Notes,
}

impl Worker {
    fn new() -> Self {
        Self {
            incoming: MultiHeaders::preallocate(BATCH, None),
            outgoing: MultiHeaders::preallocate(BATCH, None),
            queries: vec![[0; QUERY_MAX]; BATCH],
            answers: vec![[0; UDP_SIZE as usize]; BATCH],
            taken: Vec::with_capacity(BATCH),
            lengths: Vec::with_capacity(BATCH),
            receivers: Vec::with_capacity(BATCH),
            notes: Notes::remembering(CHOICES),
        }
    }

    /// One batch: take, answer, send, hand the notes on.
    fn turn(&mut self, socket: &UdpSocket, shared: &Shared) {
        if !self.receive(socket) {
            return;
        }
        let table = shared.table.load();
        let view = shared.view.load();
        self.notes.now = clock::now();
        let desk = Desk { shared, table: &table, view: &view };
        self.answer(&desk, socket);
        self.send(socket, shared);
        self.notes.hand_on(shared, &table);
    }

    /// Waits for a packet and takes those that are there with it.
    fn receive(&mut self, socket: &UdpSocket) -> bool {
        self.taken.clear();
        let mut slices = self.queries.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let mut slices: [_; BATCH] = std::array::from_fn(|_| {
            // As many buffers as places: the empty one is never used.
            slices.next().unwrap_or_else(|| [IoSliceMut::new(&mut [])])
        });
        let flags = MsgFlags::MSG_WAITFORONE;
        let fd = socket.as_raw_fd();
        match recvmmsg(fd, &mut self.incoming, slices.iter_mut(), flags, None) {
            Ok(packets) => {
                self.taken.extend(packets.map(|packet| (packet.bytes, packet.address)));
                !self.taken.is_empty()
            }
            Err(Errno::EAGAIN | Errno::EINTR) => false,
            Err(error) => {
                // Errors of earlier answers (no route, refused) come back here.
                tracing::debug!(%error, "DNS socket");
                false
            }
        }
    }

    fn answer(&mut self, desk: &Desk<'_>, socket: &UdpSocket) {
        self.lengths.clear();
        self.receivers.clear();
        let buffers = self.queries.iter().zip(&mut self.answers);
        for ((length, from), (query, answer)) in self.taken.iter().zip(buffers) {
            let packet = query.get(..*length).unwrap_or_default();
            // Each buffer has its place in the lists, also when it holds no answer.
            let length = from.as_ref().and_then(socket_of).map_or(0, |from| {
                if transfer::concern(packet).is_some() {
                    return transfer::datagram(desk, packet, from, socket, &mut self.notes, answer);
                }
                desk.answer(packet, from.ip(), Transport::Udp, &mut self.notes, answer)
            });
            self.lengths.push(length);
            self.receivers.push(*from);
        }
    }

    /// Sends what is not silence. A full socket buffer drops: the asker asks again.
    fn send(&mut self, socket: &UdpSocket, shared: &Shared) {
        let mut slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|_| [IoSlice::new(&[])]);
        let mut to: [Option<SockaddrStorage>; BATCH] = [None; BATCH];
        let mut count = 0;
        let answers = self.answers.iter().zip(&self.lengths).zip(&self.receivers);
        for ((answer, length), receiver) in answers.filter(|((_, length), _)| **length > 0) {
            if let (Some(slice), Some(place)) = (slices.get_mut(count), to.get_mut(count)) {
                *slice = [IoSlice::new(answer.get(..*length).unwrap_or_default())];
                *place = *receiver;
                count += 1;
            }
        }
        let fd = socket.as_raw_fd();
        let mut from = 0;
        while let Some((slices, to)) = slices.get(from..count).zip(to.get(from..count)) {
            if slices.is_empty() {
                return;
            }
            let flags = MsgFlags::empty();
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

fn socket_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let four = address.as_sockaddr_in().map(|at| SocketAddr::from((at.ip(), at.port())));
    four.or_else(|| address.as_sockaddr_in6().map(|at| SocketAddr::from((at.ip(), at.port()))))
}
