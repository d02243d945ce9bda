//! Packets on the DNS port that are no plain questions: their signatures come off, what they want
//! is done, and the answers are signed.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use popnet_dns::{Name, Parsed, Rcode, parse_query};
use popnet_runtime::clock;
use popnet_terms::Timestamp;
use popnet_transfer::tsig::{self, Signer};
use popnet_transfer::{Concern, Incoming, concern, reply};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::book::ZoneBook;
use super::change::{Order, Way};
use super::forward::Forward;
use super::tls::Shown;
use super::{follow, forward, out};
use crate::counters::count;
use crate::notes::Notes;
use crate::serve::{Desk, Ends};
use crate::shared::Shared;

/// A peer that takes nothing for so long is gone.
const WRITE_MAX: Duration = Duration::from_secs(30);

/// A request without its signature.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) message: Vec<u8>,
    pub(super) signer: Option<Signer>,
}

impl Opened {
    /// Who signed it.
    pub(super) fn key(&self) -> Option<&Name> {
        self.signer.as_ref().map(Signer::key)
    }

    /// Signs an answer to it, when it was signed itself.
    pub(super) fn seal(&mut self, answer: &mut Vec<u8>) {
        if let Some(signer) = &mut self.signer {
            signer.sign(answer, seconds());
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) ends: Ends,
    /// The certificate that it showed over TLS.
    pub(crate) shown: Option<Arc<Shown>>,
}

/// The time as signatures have it.
pub(super) fn seconds() -> u64 {
    u64::try_from(clock::now().unix_seconds()).unwrap_or(0)
}

/// What becomes of a request whose signature, if any, is good.
enum Entry {
    Ours(Opened),
    /// It goes to a primary, whose keys are not all ours (RFC 8945 5.5).
    Primarys(Arc<ZoneBook>),
}

/// Counts what is no plain question.
fn count_concern(shared: &Shared, opened: &Opened, concern: Option<Concern>) {
    let counters = &shared.counters;
    if opened.signer.is_some() {
        count(&counters.signed);
    }
    match concern {
        Some(Concern::Transfer) => count(&counters.transfers),
        Some(Concern::Notify) => count(&counters.notifies),
        Some(Concern::Update) => count(&counters.updates),
        Some(Concern::Signed) | None => {}
    }
}

/// Checks a request's signature. `Err`: the answer that refuses it.
fn open(shared: &Shared, packet: &[u8], from: IpAddr) -> Result<Entry, Vec<u8>> {
    let book = shared.transfers.book.load();
    let forward = forward::wanted(shared, packet);
    let mut message = packet.to_vec();
    match (tsig::check(&mut message, &book.keys, seconds()), forward) {
        (Ok(Some(_)), Some(rules)) => Ok(Entry::Primarys(rules)),
        (Ok(None), Some(_)) => {
            tracing::info!(%from, "an update is refused: unsigned ones are not passed on");
            Err(reply(packet, Rcode::REFUSED))
        }
        (Ok(signer), None) => Ok(Entry::Ours(Opened { message, signer })),
        (Err(rejection), Some(rules)) if rejection.is_unknown_key() => Ok(Entry::Primarys(rules)),
        (Err(rejection), _) => {
            count(&shared.counters.badly_signed);
            tracing::debug!(%from, why = rejection.word(), "a signed message is refused");
            Err(rejection.reply(packet))
        }
    }
}

/// Answers a datagram into `out`; gives the answer's length, 0 for none now. Updates are handed
/// on, with the way `back`: they wait for the disk.
pub(crate) fn datagram(
    desk: &Desk<'_>,
    packet: &[u8],
    ends: &Ends,
    back: impl FnOnce() -> Option<Way>,
    notes: &mut Notes,
    out: &mut [u8],
) -> usize {
    let length = admit(desk, packet, ends, back, notes, out);
    if let Some(tap) = &desk.shield.tap {
        notes.copy(tap, packet, ends, out.get(..length).unwrap_or_default());
    }
    length
}

fn admit(
    desk: &Desk<'_>,
    packet: &[u8],
    ends: &Ends,
    back: impl FnOnce() -> Option<Way>,
    notes: &mut Notes,
    out: &mut [u8],
) -> usize {
    let from = ends.from.ip();
    let mut opened = match open(desk.shared, packet, from) {
        Ok(Entry::Ours(opened)) => opened,
        Ok(Entry::Primarys(rules)) => {
            let Ok(place) = desk.shared.transfers.forwards.try_reserve() else { return 0 };
            let Some(way) = back() else { return 0 };
            place.send(Forward { packet: packet.to_vec(), from, rules, way });
            return 0;
        }
        Err(reply) => {
            // A name of 255 octets and a key's of as many do not fit side by side.
            let is_long = reply.len() > limit(packet);
            let reply = if is_long { truncated(packet) } else { reply };
            return hold_back(desk, &reply, from, notes, out);
        }
    };
    let concern = concern(&opened.message);
    count_concern(desk.shared, &opened, concern);
    let mut answer = match concern {
        Some(Concern::Update) => {
            if let Some(code) = is_in_vain(desk.shared, &opened, from) {
                return hold_back(desk, &reply(&opened.message, code), from, notes, out);
            }
            hand_on(desk.shared, opened, from, back);
            return 0;
        }
        Some(Concern::Notify) => follow::notified(desk.shared, &opened, from),
        Some(Concern::Transfer) => out::datagram(desk.shared, &opened, from),
        Some(Concern::Signed) | None => plain(desk, &opened, ends, notes, out),
    };
    if answer.is_empty() {
        return 0;
    }
    let room = if opened.signer.is_some() { tsig::ROOM } else { 0 };
    if answer.len() + room > limit(&opened.message).min(out.len()) {
        answer = truncated(&opened.message);
    }
    if opened.signer.is_none() {
        return hold_back(desk, &answer, from, notes, out);
    }
    opened.seal(&mut answer);
    put(&answer, out)
}

/// Answers whoever did not sign. Who is let in by an address is answered always; refusals, which
/// anybody can have sent to anybody, go out as often as other errors do.
fn hold_back(desk: &Desk<'_>, answer: &[u8], from: IpAddr, notes: &Notes, out: &mut [u8]) -> usize {
    let length = put(answer, out);
    let is_refusal = answer.get(3).is_some_and(|bits| bits & 0x0f != 0);
    if is_refusal { desk.limit(None, from, notes.now, length, out) } else { length }
}

/// With which code an unsigned update is refused that nobody has to look at.
fn is_in_vain(shared: &Shared, opened: &Opened, from: IpAddr) -> Option<Rcode> {
    if opened.signer.is_some() {
        return None;
    }
    let zone = Incoming::parse(&opened.message).ok()?.question?.name;
    if shared.table.load().catalog.zone(&zone).is_none() {
        return Some(Rcode::NOTAUTH);
    }
    let book = shared.transfers.book.load();
    let is_granted = book.zone(&zone).is_some_and(|rules| rules.grants.of(from, None).is_some());
    (!is_granted).then_some(Rcode::REFUSED)
}

/// The answer to a plain question that was signed.
fn plain(
    desk: &Desk<'_>,
    opened: &Opened,
    ends: &Ends,
    notes: &mut Notes,
    out: &mut [u8],
) -> Vec<u8> {
    let length = desk.answer_uncopied(&opened.message, opened.key(), ends, notes, out);
    out.get(..length).unwrap_or_default().to_vec()
}

/// The longest datagram that the asker of `message` takes.
fn limit(message: &[u8]) -> usize {
    match parse_query(message) {
        Parsed::Query(query) => popnet_answer::udp_limit(&query),
        Parsed::Refuse(_) | Parsed::Drop(_) => 512,
    }
}

/// An answer that says: ask over TCP.
fn truncated(message: &[u8]) -> Vec<u8> {
    let mut answer = reply(message, Rcode::NOERROR);
    if let Some(bits) = answer.get_mut(2) {
        *bits |= 0x02;
    }
    answer
}

fn put(answer: &[u8], out: &mut [u8]) -> usize {
    match out.get_mut(..answer.len()) {
        Some(place) => {
            place.copy_from_slice(answer);
            answer.len()
        }
        None => 0,
    }
}

/// Updates are few; when more wait than there is room for, whoever sent one sends it again.
fn hand_on(shared: &Shared, opened: Opened, from: IpAddr, back: impl FnOnce() -> Option<Way>) {
    let Ok(place) = shared.transfers.updates.try_reserve() else { return };
    let Some(way) = back() else { return };
    place.send(Order { opened, from, way });
}

/// Answers a message that came over a connection, as often as it wants: transfers are many
/// messages.
///
/// # Errors
/// The connection is of no more use.
pub(crate) async fn stream<W: AsyncWrite + Unpin>(
    shared: &Shared,
    packet: &[u8],
    caller: &Caller,
    to: &mut W,
) -> io::Result<()> {
    let from = caller.ends.from.ip();
    let came = clock::now();
    let told = |answer: &[u8]| copy(shared, packet, caller, came, answer);
    let mut opened = match open(shared, packet, from) {
        Ok(Entry::Ours(opened)) => opened,
        Ok(Entry::Primarys(rules)) => {
            let answer = forward::pass(shared, packet, from, &rules).await;
            told(&answer);
            return write(to, &answer).await;
        }
        Err(reply) => {
            told(&reply);
            return write(to, &reply).await;
        }
    };
    let concern = concern(&opened.message);
    count_concern(shared, &opened, concern);
    let mut answer = match concern {
        Some(Concern::Transfer) => {
            // The question only: its answers are a zone.
            told(&[]);
            return out::stream(shared, &mut opened, caller, to).await;
        }
        Some(Concern::Notify) => follow::notified(shared, &opened, from),
        Some(Concern::Update) => {
            let (way, answered) = tokio::sync::oneshot::channel();
            let order = Order { opened, from, way: Way::Connection(way) };
            if shared.transfers.updates.send(order).await.is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let answer = answered.await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            told(&answer);
            return write(to, &answer).await;
        }
        Some(Concern::Signed) | None => ask_desk(shared, &opened, &caller.ends),
    };
    opened.seal(&mut answer);
    told(&answer);
    write(to, &answer).await
}

/// Leaves a copy of what came over a connection.
fn copy(shared: &Shared, packet: &[u8], caller: &Caller, came: Timestamp, answer: &[u8]) {
    if let Some(tap) = &shared.shield.load().tap {
        let mut notes = Notes::at(came);
        notes.copy(tap, packet, &caller.ends, answer);
        notes.leave_copies();
    }
}

fn ask_desk(shared: &Shared, opened: &Opened, ends: &Ends) -> Vec<u8> {
    let table = shared.table.load();
    let view = shared.view.load();
    let shield = shared.shield.load();
    let desk = Desk::new(shared, &table, &view, &shield);
    let mut notes = Notes::at(clock::now());
    let mut out = vec![0; usize::from(u16::MAX) - tsig::ROOM];
    let answer = plain(&desk, opened, ends, &mut notes, &mut out);
    notes.hand_on(shared, &table);
    answer
}

/// Sends one message with its length before it (RFC 1035 4.2.2).
pub(super) async fn write<W: AsyncWrite + Unpin>(to: &mut W, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    match timeout(WRITE_MAX, to.write_all(&framed)).await {
        Ok(written) => written,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// What a message says, or the answer that it cannot be read.
pub(super) fn read(message: &[u8]) -> Result<Incoming, Vec<u8>> {
    Incoming::parse(message).map_err(|_| reply(message, Rcode::FORMERR))
}
