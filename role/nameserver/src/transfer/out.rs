//! Transfers that leave (RFC 5936, RFC 1995).

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use popnet_answer::{Image, Standing};
use popnet_dns::{Parsed, Rcode, Rtype, parse_query};
use popnet_transfer::{
    Access, Difference, Head, History, Incoming, Line, Parcel, Plan, Rr, Serial, Soa, pack, plan,
    reply,
};
use tokio::io::AsyncWrite;

use super::book::Book;
use super::door::{self, Caller, Opened};
use super::press::lines;
use super::tls::Shown;
use crate::shared::Shared;
use crate::views::ZoneKey;

/// What somebody may have, or with which code not.
struct Granted {
    key: ZoneKey,
    image: Arc<Image>,
    asked: Incoming,
    qtype: Rtype,
}

fn grant(
    shared: &Shared,
    opened: &Opened,
    from: IpAddr,
    shown: Option<&Shown>,
) -> Result<Granted, Vec<u8>> {
    let refuse = |code| Err(reply(&opened.message, code));
    let asked = door::read(&opened.message)?;
    let Some(question) = &asked.question else { return refuse(Rcode::FORMERR) };
    let (apex, qtype) = (question.name.clone(), question.qtype);
    let table = shared.table.load();
    // A transfer is a question like others: who is in a view gets the zone as it is there.
    let view = table.view_of(from, opened.key());
    let key = view.map_or_else(|| ZoneKey::common(apex.clone()), |view| view.key(&apex));
    let Some(zone) = table.zone(&key) else { return refuse(Rcode::NOTAUTH) };
    let book = shared.transfers.book.load();
    let may = book.rules(&key).is_some_and(|rules| {
        rules.transfer.allows(from, opened.key())
            || shown.is_some_and(|shown| is_known(shown, &rules.transfer, &book))
    });
    if !may || question.class != popnet_dns::Class::IN {
        tracing::info!(zone = %key, %from, key = ?opened.key(), "a transfer is refused");
        return refuse(Rcode::REFUSED);
    }
    let image = Arc::clone(zone.image());
    if image.standing() == Standing::Lacking {
        return refuse(Rcode::SERVFAIL);
    }
    Ok(Granted { key, image, asked, qtype })
}

/// Whether what somebody showed over TLS lets it in (RFC 9103 9.3.3).
fn is_known(shown: &Shown, list: &Access, book: &Book) -> bool {
    let is_for = |name: &str| {
        let authorities = book.authorities.as_ref();
        authorities.is_some_and(|authorities| shown.is_for(name, authorities))
    };
    shown.pin().is_some_and(|pin| list.allows_shown(&pin, is_for))
}

impl Granted {
    fn soa(&self) -> Option<Rr> {
        let set = self.image.soa()?;
        let (owner, rtype, ttl) = (self.key.apex.clone(), Rtype::SOA, set.ttl);
        Some(Rr { owner, rtype, ttl, rdata: set.records().next()?.into() })
    }

    fn plan(&self, shared: &Shared) -> Plan {
        let serial = Serial(self.image.serial());
        let history = shared.transfers.press.history(&self.key);
        let history = history.unwrap_or_else(|| Arc::new(History::default()));
        let base = self.asked.base(&self.key.apex);
        plan(self.qtype, base, serial, self.image.octets(), &history)
    }
}

/// Over UDP: differences that fit, else the SOA record, after which the asker comes over TCP
/// (RFC 1995 2). Whole zones do not travel so (RFC 5936 4.2).
pub(super) fn datagram(shared: &Shared, opened: &Opened, from: IpAddr) -> Vec<u8> {
    let granted = match grant(shared, opened, from, None) {
        Ok(granted) => granted,
        Err(reply) => return reply,
    };
    if granted.qtype != Rtype::IXFR {
        return reply(&opened.message, Rcode::FORMERR);
    }
    let failed = || reply(&opened.message, Rcode::SERVFAIL);
    let Some(soa) = granted.soa() else { return failed() };
    let Some(head) = head(&opened.message, granted.qtype) else {
        // What follows the question has a wrong form: the asker's mistake, not ours.
        return reply(&opened.message, Rcode::FORMERR);
    };
    let messages = pack(&head, [soa.line()]).unwrap_or_default();
    messages.into_iter().next().unwrap_or_else(failed)
}

/// What comes back of a question.
fn head(message: &[u8], qtype: Rtype) -> Option<Head<'_>> {
    match parse_query(message) {
        Parsed::Query(query) => Some(Head {
            id: query.id,
            flags: query.flags,
            question: query.question,
            qtype,
            edns: query.edns.is_some(),
        }),
        Parsed::Refuse(_) | Parsed::Drop(_) => None,
    }
}

/// Over a connection.
pub(super) async fn stream<W: AsyncWrite + Unpin>(
    shared: &Shared,
    opened: &mut Opened,
    caller: &Caller,
    to: &mut W,
) -> io::Result<()> {
    let from = caller.ends.from.ip();
    let granted = grant(shared, opened, from, caller.shown.as_deref());
    let place = shared.transfers.out.try_acquire();
    let (granted, _place) = match (granted, place) {
        (Ok(granted), Ok(place)) => (granted, place),
        (Err(refusal), _) => return seal_and_write(opened, refusal, to).await,
        (Ok(granted), Err(_)) => {
            tracing::warn!(zone = %granted.key, %from, "too many transfers leave: one is refused");
            let busy = reply(&opened.message, Rcode::SERVFAIL);
            return seal_and_write(opened, busy, to).await;
        }
    };
    let plan = granted.plan(shared);
    let said = match &plan {
        Plan::Soa => "nothing new",
        Plan::Whole => "whole",
        Plan::Steps(_) => "differences",
    };
    let serial = granted.image.serial();
    tracing::info!(zone = %granted.key, %from, serial, said, "a transfer leaves");
    let question = opened.message.clone();
    let (Some(head), Some(soa)) = (head(&question, granted.qtype), granted.soa()) else {
        let failed = reply(&opened.message, Rcode::FORMERR);
        return seal_and_write(opened, failed, to).await;
    };
    let apex = granted.key.apex.as_wire();
    let top = Line { owner: &[], ..soa.line() };
    let mut sender = Sender::new(head, apex, opened, to);
    let framed = |inner| Box::new(std::iter::once(top).chain(inner).chain(std::iter::once(top)));
    let all: Lines<'_> = match &plan {
        Plan::Soa => Box::new(std::iter::once(top)),
        Plan::Whole => {
            let rest = lines(&granted.image).filter(|line| line.rtype != Rtype::SOA);
            framed(Box::new(rest) as Lines<'_>)
        }
        Plan::Steps(steps) => {
            let inner = steps.iter().flat_map(|step| step_lines(step, apex.len()));
            framed(Box::new(inner) as Lines<'_>)
        }
    };
    sender.send(all).await
}

/// Records one by one, whatever they come from.
type Lines<'l> = Box<dyn Iterator<Item = Line<'l>> + Send + 'l>;

/// The records of a step, owners relative to an apex of so many octets.
fn step_lines(step: &Difference, apex: usize) -> impl Iterator<Item = Line<'_>> {
    debug_assert!(Soa::of(&step.new.rdata).is_some(), "a step has its SOA records");
    step.records().map(move |record| {
        let line = record.line();
        let front = line.owner.len().saturating_sub(apex);
        Line { owner: line.owner.get(..front).unwrap_or_default(), ..line }
    })
}

async fn seal_and_write<W: AsyncWrite + Unpin>(
    opened: &mut Opened,
    mut answer: Vec<u8>,
    to: &mut W,
) -> io::Result<()> {
    opened.seal(&mut answer);
    door::write(to, &answer).await
}

/// Sends the messages of one transfer.
struct Sender<'t, W> {
    head: Head<'t>,
    apex: &'t [u8],
    opened: &'t mut Opened,
    to: &'t mut W,
    buffer: Vec<u8>,
}

impl<'t, W: AsyncWrite + Unpin> Sender<'t, W> {
    fn new(head: Head<'t>, apex: &'t [u8], opened: &'t mut Opened, to: &'t mut W) -> Self {
        Self { head, apex, opened, to, buffer: vec![0; usize::from(u16::MAX)] }
    }

    async fn send(&mut self, lines: Lines<'_>) -> io::Result<()> {
        let mut lines = lines.peekable();
        let mut is_first = true;
        while is_first || lines.peek().is_some() {
            let mut parcel = Parcel::new(&self.head, is_first, &mut self.buffer);
            is_first = false;
            let mut owner = Vec::with_capacity(255);
            while let Some(line) = lines.peek() {
                owner.clear();
                owner.extend_from_slice(line.owner);
                owner.extend_from_slice(self.apex);
                let added = parcel.add(Line { owner: &owner, ..*line });
                if !added.map_err(|error| io::Error::other(error.to_string()))? {
                    break;
                }
                lines.next();
            }
            let length = parcel.finish();
            let mut message = self.buffer.get(..length).unwrap_or_default().to_vec();
            self.opened.seal(&mut message);
            door::write(self.to, &message).await?;
        }
        Ok(())
    }
}
