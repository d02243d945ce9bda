//! DNS over TCP (RFC 7766): several questions on one connection, answered in their order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use popnet_runtime::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::counters::count;
use crate::notes::Notes;
use crate::serve::{Desk, Transport};
use crate::shared::Shared;

/// Connections at a time on one address. UDP carries nearly everything.
const CONNECTIONS_MAX: usize = 512;
/// RFC 7766 6.2.3: some seconds; a client that has nothing to say reconnects.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// A client that does not take its answers for so long is gone.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// Octets of questions taken before they are answered.
const READ_AHEAD: usize = 16 << 10;
/// Answers collected before they are sent.
const WRITE_AHEAD: usize = 64 << 10;
/// After `accept` fails (too many open files), wait before the next attempt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `listener` until `shutdown`.
pub(crate) fn start(
    listener: TcpListener,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a DNS connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                count(&shared.counters.tcp_full);
                continue;
            };
            let shared = Arc::clone(&shared);
            tokio::spawn(converse(stream, from, shared, shutdown.clone(), place));
        }
    })
}

async fn converse(
    mut stream: TcpStream,
    from: SocketAddr,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
    _place: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let mut questions = BytesMut::with_capacity(READ_AHEAD);
    loop {
        let read = tokio::select! {
            () = shutdown.cancelled() => return,
            read = timeout(IDLE_MAX, stream.read_buf(&mut questions)) => read,
        };
        let Ok(Ok(1..)) = read else { return };
        loop {
            let (answers, state) = answer_all(&mut questions, from, &shared);
            if !answers.is_empty() {
                let written = timeout(WRITE_MAX, stream.write_all(&answers)).await;
                let Ok(Ok(())) = written else { return };
            }
            match state {
                State::More => {}
                State::Incomplete => break,
                State::Foreign => return,
            }
        }
    }
}

/// What is left in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Whole questions: the answers so far had to go out first.
    More,
    /// The beginning of a question, or nothing.
    Incomplete,
    /// What no client sends: the connection ends.
    Foreign,
}

/// Answers the whole questions in `buffer`, in their order.
fn answer_all(buffer: &mut BytesMut, from: SocketAddr, shared: &Shared) -> (Vec<u8>, State) {
    let table = shared.table.load();
    let view = shared.view.load();
    let desk = Desk { shared, table: &table, view: &view };
    let mut notes = Notes::at(clock::now());
    let mut answers = Vec::new();
    let mut scratch = Vec::new();
    let state = loop {
        let Some(length) = buffer.first_chunk::<2>() else { break State::Incomplete };
        let length = usize::from(u16::from_be_bytes(*length));
        if answers.len() >= WRITE_AHEAD {
            break State::More;
        }
        let Some(question) = buffer.get(2..2 + length) else { break State::Incomplete };
        scratch.resize(usize::from(u16::MAX), 0);
        let length_out = desk.answer(question, from.ip(), Transport::Tcp, &mut notes, &mut scratch);
        buffer.advance(2 + length);
        let Some(answer) = scratch.get(..length_out).filter(|answer| !answer.is_empty()) else {
            break State::Foreign;
        };
        answers.extend_from_slice(&u16::try_from(answer.len()).unwrap_or(0).to_be_bytes());
        answers.extend_from_slice(answer);
    };
    notes.hand_on(shared, &table);
    (answers, state)
}
