//! DNS over TCP (RFC 7766) and over TLS (RFC 7858): several questions on one connection, answered
//! in their order.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use popnet_runtime::clock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::hall::{Loan, SMALL, Seat};
use crate::notes::Notes;
use crate::serve::{Desk, Ends};
use crate::shared::Shared;
use crate::transfer::{self, Caller};

/// A client that does not take its answers for so long is gone.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// How long an end may take to be told.
const FAREWELL: Duration = Duration::from_secs(1);
/// Octets of a connection that says nothing.
const RESTING: usize = 512;
/// Answers collected before they are sent.
const WRITE_AHEAD: usize = 16 << 10;

/// Answers until the client leaves, says nothing for too long, or somebody else needs its place.
pub(super) async fn converse<S>(mut stream: S, caller: Caller, seat: Seat, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tokio::select! {
        () = seat.ended() => return,
        () = answer(&mut stream, &caller, &seat, &shared) => {}
    }
    // Over TLS the client is told that this is the end, and nobody cut it short.
    let _ = timeout(FAREWELL, stream.shutdown()).await;
}

async fn answer<S>(stream: &mut S, caller: &Caller, seat: &Seat, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut questions = BytesMut::with_capacity(RESTING);
    let mut loan = seat.question();
    let mut asked = Instant::now();
    loop {
        // Octets that make no question do not keep a connection open.
        let until = asked + shared.shield.load().idle;
        let read = timeout_at(until, stream.read_buf(&mut questions)).await;
        let Ok(Ok(1..)) = read else { return };
        loop {
            let (answers, state) = answer_all(&mut questions, &caller.ends, shared);
            if !answers.is_empty() {
                seat.progress();
                asked = Instant::now();
                let Some(_held) = seat.answer(answers.len()) else { return };
                let written = timeout(WRITE_MAX, send(stream, &answers)).await;
                let Ok(Ok(())) = written else { return };
            }
            match state {
                State::More => {}
                State::Incomplete => break,
                State::Foreign => return,
                State::Concern => {
                    let Some(message) = take(&mut questions) else { return };
                    let exchange = transfer::stream(shared, &message, caller, stream);
                    // Rare and large: a connection at rest need not hold the room for it.
                    if Box::pin(exchange).await.is_err() {
                        return;
                    }
                    seat.progress();
                    asked = Instant::now();
                }
            }
        }
        if !make_room(&mut questions, &mut loan) {
            return;
        }
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, octets: &[u8]) -> std::io::Result<()> {
    stream.write_all(octets).await?;
    stream.flush().await
}

/// Room for the rest of the question that has begun, in steps, so that whoever announces much and
/// sends little holds little. `false`: there is no memory for it.
fn make_room(questions: &mut BytesMut, loan: &mut Loan) -> bool {
    let Some(length) = questions.first_chunk::<2>() else {
        if questions.capacity() > SMALL {
            *questions = BytesMut::with_capacity(RESTING);
            loan.settle();
        }
        questions.reserve(RESTING);
        return true;
    };
    let whole = 2 + usize::from(u16::from_be_bytes(*length));
    let wanted = whole.min((2 * questions.len()).max(RESTING));
    questions.reserve(wanted.saturating_sub(questions.len()));
    loan.grow(wanted)
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
    /// No plain question comes next: it may wait for a disk, or be answered in many messages.
    Concern,
}

/// Takes the next whole message out of `buffer`.
fn take(buffer: &mut BytesMut) -> Option<BytesMut> {
    let length = usize::from(u16::from_be_bytes(*buffer.first_chunk::<2>()?));
    if buffer.len() < 2 + length {
        return None;
    }
    buffer.advance(2);
    Some(buffer.split_to(length))
}

/// Answers the whole questions in `buffer`, in their order.
fn answer_all(buffer: &mut BytesMut, ends: &Ends, shared: &Shared) -> (Vec<u8>, State) {
    let mut answers = Vec::new();
    let is_whole = |buffer: &BytesMut| {
        let length = buffer.first_chunk::<2>()?;
        let whole = 2 + usize::from(u16::from_be_bytes(*length));
        (buffer.len() >= whole).then_some(whole)
    };
    if is_whole(buffer).is_none() {
        return (answers, State::Incomplete);
    }
    let table = shared.table.load();
    let view = shared.view.load();
    let shield = shared.shield.load();
    let desk = Desk::new(shared, &table, &view, &shield);
    let mut notes = Notes::at(clock::now());
    let mut scratch = vec![0; usize::from(u16::MAX)];
    let state = loop {
        let Some(whole) = is_whole(buffer) else { break State::Incomplete };
        if answers.len() >= WRITE_AHEAD {
            break State::More;
        }
        let question = buffer.get(2..whole).unwrap_or_default();
        if transfer::concern(question).is_some() {
            break State::Concern;
        }
        let length = desk.answer(question, ends, &mut notes, &mut scratch);
        buffer.advance(whole);
        let Some(answer) = scratch.get(..length).filter(|answer| !answer.is_empty()) else {
            break State::Foreign;
        };
        answers.extend_from_slice(&u16::try_from(answer.len()).unwrap_or(0).to_be_bytes());
        answers.extend_from_slice(answer);
    };
    notes.hand_on(shared, &table);
    (answers, state)
}
