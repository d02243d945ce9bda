//! What each target asks to be sent elsewhere: the word of one publisher, and what remains of it
//! when nobody says anything any more (steering model, sections 3 and 6).

use std::collections::BTreeMap;
use std::time::Duration;

use popnet_terms::{NodeName, PopId, TargetId, Timestamp};
use popnet_wire::probing::Shed;
use serde::{Deserialize, Serialize};

/// A publisher that was silent for so long speaks no more, where another one does: full state
/// comes every ten seconds.
const SILENT: Duration = Duration::from_secs(25);

/// A share nobody repeats stays for so long.
const FROZEN: Duration = Duration::from_mins(1);

/// And then fades in so many of its own periods.
const FADE_PERIODS: u32 = 5;

/// The words of every publisher.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sheds {
    words: BTreeMap<TargetId, BTreeMap<NodeName, Word>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Word {
    boot: u64,
    seq: u64,
    at: Timestamp,
    shed: u16,
    period: Duration,
}

impl Sheds {
    /// Takes a word in; says whether it is news.
    pub(crate) fn record(
        &mut self,
        publisher: &NodeName,
        (boot, seq): (u64, u64),
        at: Timestamp,
        shed: &Shed,
    ) -> bool {
        let words = self.words.entry(shed.target.clone()).or_default();
        if words.get(publisher).is_some_and(|old| (old.boot, old.seq) >= (boot, seq)) {
            return false;
        }
        let period = Duration::from_secs(u64::from(shed.period.max(1)));
        let word = Word { boot, seq, at, shed: shed.shed.min(1_000), period };
        words.insert(publisher.clone(), word);
        true
    }

    /// What `target` sheds at `now`, in thousandths; `None` where nobody says how much, be it
    /// nothing. Of those who speak the one whose name comes first counts: the others keep the
    /// same account and would go on from there.
    pub(crate) fn of(&self, target: &TargetId, now: Timestamp) -> Option<u16> {
        let words = self.words.get(target)?;
        let speaks = |word: &&Word| now.since(word.at) <= SILENT;
        let newest = || words.values().max_by_key(|word| word.at);
        let word = words.values().find(speaks).or_else(newest);
        word.filter(|word| now.since(word.at) <= word.end()).map(|word| word.left(now))
    }

    /// Drops what has faded, and the words of whoever may not speak any more.
    pub(crate) fn forget(&mut self, now: Timestamp, may: impl Fn(&TargetId, &PopId) -> bool) {
        for (target, words) in &mut self.words {
            words.retain(|publisher, word| {
                may(target, &publisher.pop()) && now.since(word.at) <= word.end()
            });
        }
        self.words.retain(|_, words| !words.is_empty());
    }
}

impl Word {
    fn end(&self) -> Duration {
        FROZEN.saturating_add(self.period.saturating_mul(FADE_PERIODS))
    }

    fn left(&self, now: Timestamp) -> u16 {
        let age = now.since(self.at);
        let fade = self.end().saturating_sub(FROZEN).as_millis().max(1);
        let to_come = self.end().saturating_sub(age).as_millis().min(fade);
        u16::try_from(u128::from(self.shed) * to_come / fade).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_that_speaks_counts_and_the_last_word_fades() {
        let target = TargetId::Pop(PopId::new("fra1"));
        let mut sheds = Sheds::default();
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        let mut say = |name: &str, seq: u64, second: i64, shed: u16| {
            let word = Shed { target: target.clone(), shed, load: None, period: 20 };
            sheds.record(&NodeName::new(name), (1, seq), at(second), &word)
        };
        assert!(say("edge2.fra1", 1, 0, 300) && say("edge1.fra1", 1, 1, 200));
        assert!(!say("edge1.fra1", 1, 9, 900), "an old number is no news");
        assert!(say("edge2.fra1", 2, 20, 310));
        let of = |second: i64| sheds.of(&target, at(second));
        assert_eq!((of(2), of(26)), (Some(200), Some(200)));
        // The first has died: the second goes on.
        assert_eq!((of(27), of(45)), (Some(310), Some(310)));
        // Both have: what was said last stays, then fades over five periods.
        assert_eq!((of(80), of(130), of(180)), (Some(310), Some(155), Some(0)));
        assert_eq!(of(181), None, "after that its load counts again");
        sheds.forget(at(100), |_, _| true);
        assert_eq!(sheds.of(&target, at(100)), Some(248));
        sheds.forget(at(181), |_, _| true);
        assert!(sheds.words.is_empty());
    }
}
