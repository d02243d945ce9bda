//! What a POP's traffic is billed for (steering model, section 6). Transit that is billed by a
//! percentile counts the mean of each slot of five minutes; at the month's end the highest
//! twentieth is forgotten, and the highest of the rest, or the commit where that is more, is
//! billed for all of the month. What a byte more costs is said in `toll.rs`.

use std::time::Duration;

/// How a POP's transit is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Billing {
    /// Paid in any case, in bits a second.
    pub(crate) commit: u64,
    /// The part of the slots that is billed, in thousandths; the highest rest is forgotten.
    pub(crate) percentile: u16,
    /// One slot.
    pub(crate) slot: Duration,
    /// What one bill is for; `None`: a month of the calendar.
    pub(crate) period: Option<Duration>,
}

/// The slots of one bill that may matter yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meter {
    /// Which bill: counted from 1970, months from the year 0.
    pub(crate) bill: i64,
    /// Means of the highest slots, in kbit/s, highest first: no more than are forgotten and one.
    pub(crate) top: Vec<u32>,
}

/// A bill of 30,000 slots has this many of which a thirtieth is kept; nobody bills more finely.
pub(crate) const TOP_MAX: usize = 32_768;

const DAY: i64 = 86_400;

impl Meter {
    /// A slot that began at `second` is over: its mean in kbit/s.
    pub(crate) fn close(&mut self, billing: &Billing, second: i64, rate: u32) {
        let bill = billing.bill_at(second);
        if self.bill != bill {
            *self = Self { bill, top: Vec::new() };
        }
        let at = self.top.partition_point(|kept| *kept > rate);
        self.top.insert(at, rate);
        self.top.truncate(billing.forgotten(bill).saturating_add(1));
    }

    /// What is billed by the slots so far, in bits a second; the slots that are to come count as
    /// empty, so this only grows until the bill is closed.
    pub(crate) fn billed(&self, billing: &Billing) -> u64 {
        let billed = self.top.get(billing.forgotten(self.bill));
        billed.map_or(0, |rate| u64::from(*rate) * 1_000)
    }
}

impl Billing {
    /// The number of the bill for `second`.
    pub(crate) fn bill_at(&self, second: i64) -> i64 {
        match self.period {
            Some(period) => second.div_euclid(seconds(period)),
            None => month_of(second.div_euclid(DAY)),
        }
    }

    /// The number of the slot that `second` is in.
    pub(crate) fn slot_at(&self, second: i64) -> i64 {
        second.div_euclid(seconds(self.slot))
    }

    /// How many slots of a bill are forgotten.
    fn forgotten(&self, bill: i64) -> usize {
        let length = self.period.map_or_else(|| days_of(bill).saturating_mul(DAY), seconds);
        let rest = 1_000 - i64::from(self.percentile.min(1_000));
        let slots = (length / seconds(self.slot)).saturating_mul(rest) / 1_000;
        usize::try_from(slots).unwrap_or(0).min(TOP_MAX - 1)
    }
}

pub(crate) fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX).max(1)
}

/// The month, counted from January of the year 0, of a day since 1970. The calendar repeats every
/// 400 years of 146,097 days; its year begins in March, so that the odd day is the last.
fn month_of(day: i64) -> i64 {
    let day = day.saturating_add(719_468);
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    (era * 400 + year) * 12 + from_march + 2
}

/// How many days a month has that is counted from January of the year 0.
fn days_of(month: i64) -> i64 {
    let (year, of_year) = (month.div_euclid(12), month.rem_euclid(12));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match of_year {
        1 if is_leap => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTH: Billing = Billing {
        commit: 100_000_000,
        percentile: 950,
        slot: Duration::from_mins(5),
        period: None,
    };

    #[test]
    fn months() {
        let name = |day| {
            let month = month_of(day);
            (month / 12, month % 12 + 1, days_of(month))
        };
        let found: Vec<_> =
            [0, 30, 31, 58, 59, 19_781, 19_782, 19_783, 20_780, -1].map(name).into();
        let wanted = [
            (1970, 1, 31),
            (1970, 1, 31),
            (1970, 2, 28),
            (1970, 2, 28),
            (1970, 3, 31),
            (2024, 2, 29),
            (2024, 2, 29),
            (2024, 3, 31),
            (2026, 11, 30),
            (1969, 12, 31),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn the_highest_twentieth_is_forgotten() {
        let mut meter = Meter::default();
        let month = 20_758 * DAY;
        // November has 8,640 slots, of which 432 are forgotten.
        let mut say = |slots: i64, rate: u32, from: &mut i64| {
            for _ in 0..slots {
                meter.close(&MONTH, *from, rate);
                *from += 300;
            }
            meter.billed(&MONTH)
        };
        let mut at = month;
        assert_eq!(say(432, 250_000, &mut at), 0, "nothing of it is certain yet");
        assert_eq!(say(1, 170_000, &mut at), 170_000_000);
        assert_eq!(say(9, 20_000, &mut at), 170_000_000);
        assert_eq!(say(1, 300_000, &mut at), 250_000_000);
        // The next month begins anew.
        let mut at = 20_788 * DAY;
        assert_eq!(say(1, 250_000, &mut at), 0);
    }

    #[test]
    fn bills_of_another_length() {
        let week = Billing { period: Some(Duration::from_hours(168)), ..MONTH };
        assert_eq!((week.bill_at(-1), week.bill_at(0), week.forgotten(0)), (-1, 0, 100));
        let odd = Billing { slot: Duration::ZERO, percentile: 0, ..MONTH };
        assert_eq!(odd.forgotten(i64::MAX), TOP_MAX - 1);
    }
}
