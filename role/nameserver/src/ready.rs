//! Answers given lately, ready to be given again: the same octets asked under the same table get
//! the same octets back, without being read or looked up. Each worker keeps its own, so that none
//! waits for another.
//!
//! Only what says the same to everybody in one view of our zones is kept here, and answers to one
//! client unit under one view of what is up; whoever makes an answer depend on anything else keeps
//! it out (`serve.rs`).

use std::net::IpAddr;
use std::sync::{Arc, Weak};

use ipnet::IpNet;
use popnet_answer::SiteIndex;
use popnet_terms::{CustomerId, TargetId, client_unit};
use popnet_wire::logging::Decision;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::table::Table;
use crate::tally::Traits;

/// Pairs of places of a worker. With what [`QUERY_MAX`] and [`ANSWER_MAX`] allow that is
/// 3 MiB at most, and a few hundred kilobytes with what is usual.
const PAIRS: usize = 2_048;
/// Pairs of questions that are remembered as missed.
const MISSED: usize = 8_192;
/// Longer questions are seldom and not asked twice.
const QUERY_MAX: usize = 192;
/// Longer answers cost more to send than to make.
const ANSWER_MAX: usize = 512;
/// Octets of a message's number, which differ each time.
const NUMBER: usize = 2;

/// The answers of one worker.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// The table that they were made from. Not holding it: an idle worker keeps no old zones.
    of: Weak<Table>,
    /// How many tables there have been.
    epoch: u64,
    /// Pairs: a question may stand in both places of its pair. None where questions are few.
    pairs: Vec<Pair>,
    /// Scrambled, the questions that were missed lately. What is asked once is not kept: random
    /// names cost no memory and push nothing out.
    missed: Vec<[u32; 2]>,
}

type Pair = [Option<Box<Kept>>; 2];

#[derive(Clone, Debug)]
struct Kept {
    scrambled: u64,
    epoch: u64,
    /// The view's number among those of our zones.
    seen: u16,
    query: Box<[u8]>,
    answer: Box<[u8]>,
    traits: Traits,
    /// Nothing but a sign: the answers to this question are kept for each unit apart.
    is_by_unit: bool,
    chosen: Option<Chosen>,
}

/// What is due with each answer that was chosen for a client unit.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    /// The resolver's unit.
    pub(crate) unit: IpNet,
    /// For whose clients it was chosen.
    pub(crate) client: IpNet,
    /// The view's generation.
    pub(crate) view: u64,
    pub(crate) site: SiteIndex,
    /// What the answer names, best first.
    pub(crate) targets: Arc<[TargetId]>,
    /// What is written down, but for number, time and resolver.
    pub(crate) story: Option<(CustomerId, Decision)>,
}

impl Ready {
    /// Room for answers.
    pub(crate) fn new() -> Self {
        Self { pairs: vec![[None, None]; PAIRS], missed: vec![[0; 2]; MISSED], ..Self::default() }
    }

    /// From now on answers are made from `table`: those from another one are worth nothing.
    #[inline]
    pub(crate) fn follow(&mut self, table: &Arc<Table>) {
        if !std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(table)) {
            self.of = Arc::downgrade(table);
            self.epoch += 1;
        }
    }

    /// The answer to `packet` from `from`, who has the view with the number `seen`, all but its
    /// first two octets, and what is due with it.
    pub(crate) fn find(
        &self,
        packet: &[u8],
        seen: u16,
        from: IpAddr,
        view: u64,
    ) -> Option<(&[u8], Traits, Option<&Chosen>)> {
        let (query, scrambled) = asked(packet, seen)?;
        let kept = self.look(query, seen, scrambled)?;
        if !kept.is_by_unit {
            return Some((&kept.answer, kept.traits, None));
        }
        let kept = self.look(query, seen, by_unit(scrambled, from))?;
        let chosen = kept.chosen.as_ref()?;
        let fits = chosen.view == view && chosen.unit.contains(&from);
        fits.then_some((&kept.answer, kept.traits, Some(chosen)))
    }

    fn look(&self, query: &[u8], seen: u16, scrambled: u64) -> Option<&Kept> {
        let pair = self.pairs.get(place(scrambled, self.pairs.len())?)?;
        let is_it = |kept: &&Kept| {
            kept.scrambled == scrambled
                && (kept.epoch, kept.seen) == (self.epoch, seen)
                && *kept.query == *query
        };
        pair.iter().filter_map(Option::as_deref).find(is_it)
    }

    /// Whether the answer to `packet`, which was not found, is to be kept: when it was missed
    /// before. `unit`: the answer is for the unit of this resolver only.
    pub(crate) fn is_wanted(&mut self, packet: &[u8], seen: u16, unit: Option<IpAddr>) -> bool {
        let Some((_, scrambled)) = asked(packet, seen) else { return false };
        let scrambled = unit.map_or(scrambled, |from| by_unit(scrambled, from));
        let at = place(scrambled, self.missed.len());
        let Some(missed) = at.and_then(|at| self.missed.get_mut(at)) else { return false };
        // The upper half has said where.
        let mark = u32::try_from(scrambled & 0xffff_ffff).unwrap_or(0).max(1);
        let [last, before] = *missed;
        *missed = [mark, if last == mark { before } else { last }];
        mark == last || mark == before
    }

    /// Keeps `answer` to `packet`, and what is counted of both; with `chosen`, for the unit of the
    /// resolver `from`.
    pub(crate) fn keep(
        &mut self,
        packet: &[u8],
        seen: u16,
        from: IpAddr,
        (answer, traits): (&[u8], Traits),
        chosen: Option<Chosen>,
    ) {
        let (Some((query, scrambled)), Some(answer)) = (asked(packet, seen), answer.get(NUMBER..))
        else {
            return;
        };
        if answer.len() > ANSWER_MAX {
            return;
        }
        let mut kept = Kept {
            scrambled,
            epoch: self.epoch,
            seen,
            query: query.into(),
            answer: answer.into(),
            traits,
            is_by_unit: false,
            chosen,
        };
        if kept.chosen.is_some() {
            if self.look(query, seen, scrambled).is_none() {
                let answer = Box::default();
                self.put(Kept { answer, is_by_unit: true, chosen: None, ..kept.clone() });
            }
            kept.scrambled = by_unit(scrambled, from);
        }
        self.put(kept);
    }

    fn put(&mut self, kept: Kept) {
        let at = place(kept.scrambled, self.pairs.len());
        let Some(pair) = at.and_then(|at| self.pairs.get_mut(at)) else { return };
        let is_free = |place: &Option<Box<Kept>>| {
            let old = |old: &Kept| old.epoch != kept.epoch || old.scrambled == kept.scrambled;
            place.as_deref().is_none_or(old)
        };
        let [first, second] = pair;
        if is_free(second) {
            *second = Some(Box::new(kept));
            return;
        }
        if !is_free(first) {
            // The one that stands here longer goes.
            std::mem::swap(first, second);
        }
        *first = Some(Box::new(kept));
    }
}

impl Chosen {
    /// For resolvers like `from` and the clients of `client`.
    pub(crate) fn new(
        from: IpAddr,
        client: IpNet,
        view: u64,
        site: SiteIndex,
        targets: Arc<[TargetId]>,
        story: Option<(CustomerId, Decision)>,
    ) -> Self {
        Self { unit: client_unit(from), client, view, site, targets, story }
    }
}

/// What makes questions the same, all but the number; and the same scrambled, with the view.
fn asked(packet: &[u8], seen: u16) -> Option<(&[u8], u64)> {
    let query = packet.get(NUMBER..).filter(|query| query.len() <= QUERY_MAX)?;
    // 0 is nobody's.
    Some((query, xxh3_64_with_seed(query, seen.into()).max(1)))
}

/// `scrambled`, together with the unit of a resolver.
fn by_unit(scrambled: u64, from: IpAddr) -> u64 {
    let unit = match from {
        IpAddr::V4(four) => u64::from(four.to_bits() >> 8),
        IpAddr::V6(six) => u64::try_from(six.to_bits() >> 80).unwrap_or(0) << 16,
    };
    (scrambled ^ unit).wrapping_mul(GOLDEN).max(1)
}

/// 2^64 by the golden ratio: multiples of it lie far apart.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn place(scrambled: u64, pairs: usize) -> Option<usize> {
    usize::try_from(scrambled >> 32).unwrap_or(0).checked_rem(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn traits() -> Traits {
        Traits::of(None, None, &[])
    }

    fn packet(number: u16, name: usize) -> Vec<u8> {
        [&number.to_be_bytes(), format!("question {name}").as_bytes()].concat()
    }

    /// As a worker does it: an answer that is not ready is made, and kept when it is wanted.
    fn ask(ready: &mut Ready, name: usize, from: IpAddr, view: Option<u64>) -> bool {
        let query = packet(1, name);
        let answer = [b"??answer ".as_slice(), &query].concat();
        if let Some((found, _, chosen)) = ready.find(&query, 0, from, view.unwrap_or(0)) {
            assert_eq!(found, &answer[2..]);
            assert_eq!(chosen.map(|chosen| chosen.view), view);
            return true;
        }
        if ready.is_wanted(&query, 0, view.map(|_| from)) {
            let chosen = view
                .map(|view| Chosen::new(from, client_unit(from), view, 7, Arc::default(), None));
            ready.keep(&query, 0, from, (&answer, traits()), chosen);
        }
        false
    }

    #[test]
    fn the_third_time_it_is_ready() {
        let mut ready = Ready::new();
        let asker = ip("192.0.2.1");
        let times = [(); 4].map(|()| ask(&mut ready, 1, asker, None));
        assert_eq!(times, [false, false, true, true]);
        // For everybody, whatever the number; not a longer or a shorter question.
        assert!(ready.find(&packet(9, 1), 0, ip("2001:db8::1"), 5).is_some());
        assert!(ready.find(&packet(1, 11), 0, asker, 0).is_none());
        assert!(ready.find(b"\0\x01question", 0, asker, 0).is_none());
        assert!(ready.find(b"", 0, asker, 0).is_none());
        ready.epoch += 1;
        assert!(!ask(&mut ready, 1, asker, None), "of another table");
    }

    #[test]
    fn what_was_chosen_is_for_one_unit_and_one_view() {
        let mut ready = Ready::new();
        let (near, far) = (ip("192.0.2.1"), ip("198.51.100.1"));
        for asker in [near, far, ip("2001:db8::1"), ip("2001:db8:1::1")] {
            let times = [(); 3].map(|()| ask(&mut ready, 1, asker, Some(3)));
            assert_eq!(times, [false, false, true], "{asker}");
        }
        assert!(ask(&mut ready, 1, ip("192.0.2.200"), Some(3)), "of the same unit");
        assert!(ask(&mut ready, 1, near, Some(3)) && ask(&mut ready, 1, far, Some(3)));
        assert!(ready.find(&packet(1, 1), 0, near, 4).is_none(), "of another view");
        assert!(ready.find(&packet(1, 1), 0, ip("203.0.113.1"), 3).is_none());
    }

    #[test]
    fn names_that_are_asked_often_are_kept_and_others_take_no_room() {
        let mut ready = Ready::new();
        let kept = |ready: &Ready| ready.pairs.iter().flatten().flatten().count();
        for name in 10_000..30_000 {
            ask(&mut ready, name, ip("192.0.2.1"), None);
        }
        assert!(kept(&ready) < 5, "{}", kept(&ready));
        for _ in 0..4 {
            for name in 0..1_000 {
                ask(&mut ready, name, ip("192.0.2.1"), None);
            }
        }
        let hits = (0..1_000).filter(|name| ask(&mut ready, *name, ip("192.0.2.1"), None)).count();
        assert!(hits > 850, "{hits}");
        for name in 0..50_000 {
            ask(&mut ready, name, ip("192.0.2.1"), None);
            ask(&mut ready, name, ip("192.0.2.1"), None);
        }
        assert!(kept(&ready) <= 2 * PAIRS);
    }

    #[test]
    fn long_ones_are_not_kept() {
        let mut ready = Ready::new();
        let from = ip("192.0.2.1");
        ready.keep(&packet(1, 1), 0, from, (&[0; ANSWER_MAX + 3], traits()), None);
        ready.keep(&[1; QUERY_MAX + 3], 0, from, (&[0; 20], traits()), None);
        ready.keep(b"\0", 0, from, (&[0; 20], traits()), None);
        assert!(ready.find(&packet(1, 1), 0, from, 0).is_none());
        assert!(ready.find(&[1; QUERY_MAX + 3], 0, from, 0).is_none());
        ready.keep(&packet(1, 1), 0, from, (&[0; ANSWER_MAX + 2], traits()), None);
        assert!(ready.find(&packet(1, 1), 0, from, 0).is_some());
        let mut none = Ready::default();
        assert!(!none.is_wanted(&packet(1, 1), 0, None));
        none.keep(&packet(1, 1), 0, from, (&[0; 20], traits()), None);
        assert!(none.find(&packet(1, 1), 0, from, 0).is_none());
    }
}
