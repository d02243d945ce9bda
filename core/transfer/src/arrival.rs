//! Puts a transfer together from its messages (RFC 5936 2.2, RFC 1995 4), within limits.

use popnet_dns::{Name, Rtype};

use crate::content::size;
use crate::difference::Difference;
use crate::message::{Entry, Incoming};
use crate::record::{Rr, Soa, is_data};
use crate::serial::Serial;

/// What a transfer may bring at most: a primary that lies must not fill our memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records.
    pub records: usize,
    /// Octets, uncompressed.
    pub octets: usize,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The whole zone.
    Whole,
    /// What changed since this serial number.
    Since(Serial),
}

/// A transfer that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Nothing is newer; the primary has this serial number.
    Unchanged(Serial),
    /// The primary wants to be asked for the whole zone: it sent a newer SOA record alone.
    AskWhole,
    /// The whole zone.
    Whole(Vec<Rr>),
    /// Steps, one after the other.
    Steps(Vec<Difference>),
}

/// What one message did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More must come.
    More,
    /// This was the last.
    Done(Arrived),
}

/// Why a transfer is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The primary refuses, with this code.
    #[error("the primary answers {0}")]
    Code(String),
    /// It is no answer to our question.
    #[error("{0}")]
    Foreign(&'static str),
    /// It has more than we take.
    #[error("the zone has more than {0}; raise max_records or max_size of the zone if it should")]
    TooLarge(String),
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No record yet.
    Start,
    /// The first SOA record was there: what is next says which form it is.
    First,
    /// A whole zone.
    Whole,
    /// Records of a step that go.
    Removing,
    /// Records of a step that come.
    Adding,
}

/// A transfer on its way in.
#[derive(Debug)]
pub struct Arrival {
    id: u16,
    apex: Name,
    wanted: Wanted,
    limits: Limits,
    state: State,
    /// The SOA record that opens and closes everything.
    frame: Option<Rr>,
    records: Vec<Rr>,
    steps: Vec<Difference>,
    count: usize,
    octets: usize,
}

impl Arrival {
    /// The answer to question `id` for `wanted` of `apex`.
    #[must_use]
    pub fn new(id: u16, apex: Name, wanted: Wanted, limits: Limits) -> Self {
        Self {
            id,
            apex,
            wanted,
            limits,
            state: State::Start,
            frame: None,
            records: Vec::new(),
            steps: Vec::new(),
            count: 0,
            octets: 0,
        }
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// The transfer is of no use.
    pub fn message(&mut self, octets: &[u8]) -> Result<Progress, Trouble> {
        let message =
            Incoming::parse(octets).map_err(|_| Trouble::Foreign("a malformed message"))?;
        if !message.is_response || message.id != self.id || message.opcode != 0 {
            return Err(Trouble::Foreign("a message that answers another question"));
        }
        if message.rcode != 0 {
            let code = popnet_dns::Rcode::masked_from_int(u16::from(message.rcode));
            return Err(Trouble::Code(code.to_string()));
        }
        if message.question.as_ref().is_some_and(|question| question.name != self.apex) {
            return Err(Trouble::Foreign("a message about another zone"));
        }
        if message.is_truncated {
            return Ok(Progress::Done(Arrived::AskWhole));
        }
        let mut records = message.answers.into_iter();
        while let Some(entry) = records.next() {
            if let Some(arrived) = self.record(entry)? {
                if records.next().is_some() {
                    return Err(Trouble::Foreign("records after the last SOA record"));
                }
                return Ok(Progress::Done(arrived));
            }
        }
        self.end_of_message()
    }

    /// A single SOA record is an answer of its own where differences were asked for.
    fn end_of_message(&mut self) -> Result<Progress, Trouble> {
        match (self.state, self.wanted, self.serial()) {
            (State::First, Wanted::Since(have), Some(serial)) => {
                let arrived = if serial.is_after(have) {
                    Arrived::AskWhole
                } else {
                    Arrived::Unchanged(serial)
                };
                Ok(Progress::Done(arrived))
            }
            (State::Start, ..) => Err(Trouble::Foreign("an answer without records")),
            _ => Ok(Progress::More),
        }
    }

    fn serial(&self) -> Option<Serial> {
        Some(Soa::of(&self.frame.as_ref()?.rdata)?.serial)
    }

    fn record(&mut self, entry: Entry) -> Result<Option<Arrived>, Trouble> {
        let Entry { owner, rtype, class, ttl, rdata } = entry;
        let record = Rr { owner, rtype, ttl, rdata };
        if class != popnet_dns::Class::IN || !is_data(rtype) {
            return Err(Trouble::Foreign("a record that no zone can hold"));
        }
        self.count(&record)?;
        let is_soa = rtype == Rtype::SOA;
        if is_soa && (record.owner != self.apex || Soa::of(&record.rdata).is_none()) {
            return Err(Trouble::Foreign("the SOA record of another zone"));
        }
        // RFC 5936 3.5: what lies outside the zone must not be taken in.
        if !record.owner.is_within(&self.apex) {
            return Ok(None);
        }
        match (self.state, is_soa) {
            (State::Start, false) => {
                Err(Trouble::Foreign("an answer that does not begin with a SOA record"))
            }
            (State::Start, true) => {
                self.frame = Some(record);
                self.state = State::First;
                Ok(None)
            }
            (State::First, _) => Ok(self.second(record)),
            (State::Whole, true) => self.close_whole(&record),
            (State::Whole, false) => {
                self.records.push(record);
                Ok(None)
            }
            (State::Removing | State::Adding, _) => self.step(record),
        }
    }

    fn count(&mut self, record: &Rr) -> Result<(), Trouble> {
        self.count += 1;
        self.octets += size(record);
        if self.count > self.limits.records {
            return Err(Trouble::TooLarge(format!("{} records", self.limits.records)));
        }
        if self.octets > self.limits.octets {
            return Err(Trouble::TooLarge(format!("{} octets", self.limits.octets)));
        }
        Ok(())
    }

    /// The second record tells steps (it is the SOA record that the asker has) from a whole zone.
    fn second(&mut self, record: Rr) -> Option<Arrived> {
        let serial = Soa::of(&record.rdata).filter(|_| record.rtype == Rtype::SOA);
        let frame = self.frame.clone()?;
        match (self.wanted, serial) {
            (Wanted::Since(have), Some(soa)) if soa.serial == have => {
                self.begin_step(record);
                None
            }
            (_, Some(_)) => {
                // Opened and closed: a zone of nothing but its SOA record.
                self.state = State::Whole;
                Some(Arrived::Whole(vec![frame]))
            }
            (_, None) => {
                self.records = vec![frame, record];
                self.state = State::Whole;
                None
            }
        }
    }

    fn close_whole(&mut self, record: &Rr) -> Result<Option<Arrived>, Trouble> {
        let closing = Soa::of(&record.rdata).map(|soa| soa.serial);
        if closing != self.serial() {
            return Err(Trouble::Foreign("the zone changed during the transfer"));
        }
        Ok(Some(Arrived::Whole(std::mem::take(&mut self.records))))
    }

    fn begin_step(&mut self, old: Rr) {
        let new = old.clone();
        self.steps.push(Difference { old, removed: Vec::new(), new, added: Vec::new() });
        self.state = State::Removing;
    }

    fn step(&mut self, record: Rr) -> Result<Option<Arrived>, Trouble> {
        let end = self.serial();
        let broken = Trouble::Foreign("steps that do not follow each other");
        let Some(step) = self.steps.last_mut() else { return Err(broken) };
        let is_soa = record.rtype == Rtype::SOA;
        match (self.state, is_soa) {
            (State::Removing, false) => step.removed.push(record),
            (State::Removing, true) => {
                step.new = record;
                if !step.to().is_after(step.from()) {
                    return Err(Trouble::Foreign("a step that goes back"));
                }
                self.state = State::Adding;
            }
            (_, false) => step.added.push(record),
            (_, true) => {
                let (at, here) = (Some(step.to()), Soa::of(&record.rdata).map(|soa| soa.serial));
                if here != at {
                    return Err(broken);
                }
                if here == end {
                    return Ok(Some(Arrived::Steps(std::mem::take(&mut self.steps))));
                }
                self.begin_step(record);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Content;
    use crate::difference::between;
    use crate::pack::{Head, pack};
    use crate::testing::{name, zone};
    use popnet_dns::Flags;

    const LIMITS: Limits = Limits { records: 100_000, octets: 10 << 20 };

    fn messages(records: &[Rr]) -> Vec<Vec<u8>> {
        let question = [name("example").as_wire(), &[0, 252, 0, 1]].concat();
        let flags = Flags::default();
        let qtype = Rtype::AXFR;
        let head = Head { id: 5, flags, question: &question, qtype, edns: true };
        pack(&head, records.iter().map(Rr::line)).unwrap()
    }

    fn whole(zone: &Content) -> Vec<Rr> {
        zone.records().chain(zone.soa()).collect()
    }

    fn arrive(wanted: Wanted, limits: Limits, messages: &[Vec<u8>]) -> Result<Progress, Trouble> {
        let mut arrival = Arrival::new(5, name("example"), wanted, limits);
        let (last, others) = messages.split_last().unwrap();
        for message in others {
            let progress = arrival.message(message)?;
            if progress != Progress::More {
                return Ok(progress);
            }
        }
        arrival.message(last)
    }

    fn large() -> Content {
        let lines: Vec<String> =
            (0..3_000).map(|n| format!("host{n} A 192.0.2.{}", n % 250)).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        zone(3, &lines)
    }

    #[test]
    fn whole_zones_in_many_messages_or_one_record_each() {
        let zone = large();
        let packed = messages(&whole(&zone));
        assert!(packed.len() > 2 && packed.iter().all(|message| message.len() < 17_000));
        let single: Vec<Vec<u8>> = whole(&zone).chunks(1).flat_map(messages).collect();
        for messages in [packed, single] {
            let Ok(Progress::Done(Arrived::Whole(records))) =
                arrive(Wanted::Whole, LIMITS, &messages)
            else {
                panic!()
            };
            assert_eq!(Content::of(name("example"), records), zone);
        }
    }

    #[test]
    fn steps() {
        let states = [
            zone(1, &["a A 192.0.2.1"]),
            zone(2, &["a A 192.0.2.2"]),
            zone(5, &["a A 192.0.2.2", "b A 192.0.2.3"]),
        ];
        let steps: Vec<Difference> =
            states.windows(2).map(|two| between(&two[0], &two[1]).unwrap()).collect();
        let last = states[2].soa().unwrap();
        let mut records = vec![last.clone()];
        records.extend(steps.iter().flat_map(Difference::records).cloned());
        records.push(last.clone());
        let since = Wanted::Since(Serial(1));
        let sent = messages(&records);
        assert_eq!(arrive(since, LIMITS, &sent), Ok(Progress::Done(Arrived::Steps(steps.clone()))));
        // One record a message; the whole zone to the same question; nothing new; something new.
        let single: Vec<Vec<u8>> = records.chunks(1).flat_map(messages).collect();
        let mut arrival = Arrival::new(5, name("example"), since, LIMITS);
        // A lone SOA record is an answer of its own, so that a first message of one record ends it.
        assert_eq!(arrival.message(&single[0]), Ok(Progress::Done(Arrived::AskWhole)));
        assert!(matches!(
            arrive(since, LIMITS, &messages(&whole(&states[2]))),
            Ok(Progress::Done(Arrived::Whole(_)))
        ));
        let same = Wanted::Since(Serial(5));
        let alone = messages(&[last]);
        assert_eq!(arrive(same, LIMITS, &alone), Ok(Progress::Done(Arrived::Unchanged(Serial(5)))));
        // A step is missing, one goes back, one begins elsewhere.
        let broken = [[0usize, 1].as_slice(), &[1]];
        for order in broken {
            let mut records = vec![states[2].soa().unwrap()];
            records.extend(order.iter().rev().flat_map(|at| steps[*at].records().cloned()));
            records.push(states[2].soa().unwrap());
            let result = arrive(Wanted::Since(Serial(2)), LIMITS, &messages(&records));
            let fits = order.len() == 1;
            assert_eq!(result.is_ok(), fits, "{order:?}: {result:?}");
        }
    }

    #[test]
    fn bombs_and_lies() {
        let zone = large();
        let sent = messages(&whole(&zone));
        let few = Limits { records: 100, ..LIMITS };
        assert!(matches!(arrive(Wanted::Whole, few, &sent[..1]), Err(Trouble::TooLarge(_))));
        let small = Limits { octets: 1_000, ..LIMITS };
        assert!(matches!(arrive(Wanted::Whole, small, &sent[..1]), Err(Trouble::TooLarge(_))));
        let bent = |at: usize, value: u8| {
            let mut message = sent[0].clone();
            message[at] = value;
            arrive(Wanted::Whole, LIMITS, &[message])
        };
        assert!(matches!(bent(1, 9), Err(Trouble::Foreign(_))), "another number");
        assert!(matches!(bent(2, 0), Err(Trouble::Foreign(_))), "a question");
        assert_eq!(bent(3, 5), Err(Trouble::Code("REFUSED".into())));
        let soa = zone.soa().unwrap();
        let no_soa = messages(&zone.records().skip(1).take(3).collect::<Vec<_>>());
        assert!(arrive(Wanted::Whole, LIMITS, &no_soa).is_err());
        let mut changed = whole(&zone)[..3].to_vec();
        changed.push(Rr { rdata: Soa::renumbered(&soa.rdata, Serial(9)), ..soa.clone() });
        assert!(arrive(Wanted::Whole, LIMITS, &messages(&changed)).is_err());
        let mut after = whole(&zone)[..3].to_vec();
        after.extend([soa, whole(&zone)[2].clone()]);
        assert!(arrive(Wanted::Whole, LIMITS, &messages(&after)).is_err());
    }
}
