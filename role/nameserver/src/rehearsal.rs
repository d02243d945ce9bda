//! The two plain ways into a name server, without its sockets, threads and waits: octets in,
//! octets out. Tests and fuzzing go in here; what answers is what answers in service.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Polling, Poll};

use popnet_config::Held;
use popnet_dns::UDP_SIZE;
use popnet_runtime::ship::Shipper;
use popnet_runtime::{Context, StartError, clock};
use popnet_steering::View;
use popnet_terms::Role;
use popnet_transfer::tsig;
use popnet_wire::control::Problem;
use popnet_wire::explaining::{DnsStory, ExplainDns};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

use crate::notes::Notes;
use crate::serve::{Desk, Ends, Transport};
use crate::shared::Shared;
use crate::table::Table;
use crate::transfer::{self, Clerk};
use crate::transport::{self, Hall};
use crate::zones::Zones;
use crate::{needs, udp, why};

/// A name server that hears and says only what it is given. Updates are undone after each call.
#[derive(Debug)]
pub struct Rehearsal {
    shared: Arc<Shared>,
    hall: Arc<Hall>,
    clerk: Clerk,
    notes: Notes,
    runtime: Runtime,
}

impl Rehearsal {
    /// One node's server, with `held` as its configuration. Its zones are read, its keys made, and
    /// its zones signed when this returns.
    ///
    /// # Errors
    /// Folders cannot be made, or the configuration has no such node.
    pub fn new(context: &Context, held: Held) -> Result<Self, StartError> {
        let build = || Builder::new_current_thread().enable_time().build();
        let failed = || StartError::io("an asynchronous runtime");
        let role_dir = context.role_dir(Role::Nameserver);
        std::fs::create_dir_all(&role_dir).map_err(StartError::io(role_dir.display()))?;
        let held = Arc::new(held);
        let table = Table::build(&held, &mut Zones::new(context));
        let (wishes, _) = needs::channel();
        let shared = Shared::new(context, &held, table, Shipper::nowhere(), wishes)?;
        let shared = Arc::new(shared);
        let table = (*shared.table.load_full()).clone();
        let hall = Arc::new(Hall::new(&held.network.dns.tcp));
        let first = Builder::new_current_thread().enable_all().build().map_err(failed())?;
        let clerk = first.block_on(async {
            transfer::publish(&shared, held, Arc::default(), table).await;
            Clerk::new(&shared).await
        });
        // What follows primaries ends with it.
        drop(first);
        let runtime = build().map_err(failed())?;
        let notes = Notes::remembering(CHOICES, shared.tally());
        Ok(Self { shared, hall, clerk, notes, runtime })
    }

    /// What is wrong with its zones and keys.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let table = self.shared.table.load();
        table.problems.iter().flat_map(|problem| problem.mistakes.iter().cloned()).collect()
    }

    /// The answer to one datagram, that of an update included; `None`: silence.
    pub fn datagram(&mut self, packet: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        // What does not fit into the worker's buffer is cut off by the kernel.
        let packet = packet.get(..udp::QUERY_MAX).unwrap_or(packet);
        let mut out = [0; UDP_SIZE as usize];
        let (way, mut later) = Clerk::way();
        let shared = &*self.shared;
        let length = {
            let table = shared.table.load();
            let view = shared.view.load();
            let shield = shared.shield.load();
            let desk = Desk::new(shared, &table, &view, &shield);
            self.notes.now = clock::now();
            let notes = &mut self.notes;
            let ends = Ends { from, at: None, transport: Transport::Udp };
            let length = udp::answer_one(&desk, packet, &ends, || Some(way), notes, &mut out);
            notes.hand_on(shared, &table);
            length
        };
        self.clerk.settle(shared);
        if let Ok(answer) = later.try_recv() {
            self.clerk.undo(shared);
            return Some(answer);
        }
        out.get(..length).filter(|answer| !answer.is_empty()).map(<[u8]>::to_vec)
    }

    /// From now on it knows what `view` says.
    pub fn see(&mut self, mut view: View) {
        // Views of several boards may have one number; kept answers must not outlive theirs.
        view.generation = self.shared.view.load().generation + 1;
        self.shared.view.store(Arc::new(view));
    }

    /// Why a resolver would get the answer that it would get now.
    ///
    /// # Errors
    /// When the name or the type cannot be asked for.
    pub fn explain(&self, ask: &ExplainDns) -> Result<DnsStory, Problem> {
        why::explain(&self.shared, ask).map(|(_, story)| story)
    }

    /// What it has counted, in words.
    #[must_use]
    pub fn counted(&self) -> String {
        format!("{:?}", self.shared.counters)
    }

    /// Everything that is said on a connection of the plain DNS port, on which `pieces` arrive one
    /// after the other, and then its end.
    pub fn connection(&mut self, pieces: Vec<Vec<u8>>, peer: SocketAddr) -> Vec<u8> {
        let said = Arc::new(Mutex::new(Vec::new()));
        let stream = Script { pieces: pieces.into_iter(), now: io::Cursor::default(), said };
        let said = Arc::clone(&stream.said);
        let (shared, hall, clerk) = (&self.shared, &self.hall, &mut self.clerk);
        self.runtime.block_on(async {
            tokio::select! {
                () = transport::serve_plain(stream, peer, hall, shared) => {}
                () = clerk.serve(shared) => {}
            }
        });
        clerk.undo(&self.shared);
        std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs `message` with a key of this server's configuration, as of now: for askers that have
    /// the key. `false`: it has no such key.
    pub fn sign(&self, message: &mut Vec<u8>, key: &popnet_dns::Name) -> bool {
        let book = self.shared.transfers.book.load();
        let Some(key) = book.keys.get(key) else { return false };
        let now = u64::try_from(clock::now().unix_seconds()).unwrap_or(0);
        let _ = tsig::sign(message, key, now);
        true
    }

    /// The cookie that shows this server that `from` receives what is sent to it.
    #[must_use]
    pub fn cookie(&self, client: [u8; 8], from: std::net::IpAddr) -> [u8; 24] {
        self.shared.secrets.load().make(client, from, clock::now())
    }
}

/// As a worker keeps them, only fewer: fuzzing asks anew each time.
const CHOICES: usize = 64;

/// A connection whose other side has said all it will.
struct Script {
    pieces: std::vec::IntoIter<Vec<u8>>,
    now: io::Cursor<Vec<u8>>,
    said: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Polling<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let at = usize::try_from(self.now.position()).unwrap_or(usize::MAX);
            let rest = self.now.get_ref().get(at..).unwrap_or_default();
            if !rest.is_empty() {
                let length = rest.len().min(to.remaining());
                to.put_slice(rest.get(..length).unwrap_or_default());
                self.now.set_position((at + length) as u64);
                return Poll::Ready(Ok(()));
            }
            match self.pieces.next() {
                Some(piece) => self.now = io::Cursor::new(piece),
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Polling<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Polling<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Polling<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
