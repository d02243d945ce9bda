//! What a byte more costs where transit is billed by a percentile (steering model, section 6):
//! nothing while the POP sends less than it aims at, and as much as keeps it there above.
//!
//! The aim is found by what it costs clients to keep to it. A byte at the aim makes the bill dearer
//! all month long, so it costs many times its price in the few slots in which the POP is at its
//! aim, and nothing in all others. The aim is right where the mean of that over the day is the
//! price: where it is more, more milliseconds are paid than money is saved, and the aim goes up.

use std::time::Duration;

use popnet_terms::Timestamp;
use serde::{Deserialize, Serialize};

use crate::traffic::{Billing, Meter, TOP_MAX, seconds};

/// How name servers follow a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Following {
    /// Most clients have followed a step after this.
    pub(crate) period: Duration,
    /// What the whole price is worth in a score, in microseconds.
    pub(crate) worth: u32,
}

/// The share of the price that counts now, and the aim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pricer {
    /// In thousandths of the price.
    price: u16,
    /// In bits a second; 0 until the first day is over.
    aim: u64,
    /// The day that runs, the sum of its prices and of the seconds for which they held.
    day: i64,
    sum: u64,
    held: u64,
    /// Days learnt from.
    days: u16,
    /// The highest slots of the day.
    top: Vec<u32>,
    /// When the last step was.
    last: Option<Timestamp>,
}

/// The share of the aim that is filled, in thousandths: what comes between two steps has room.
const FILL: u64 = 970;

/// Nanoseconds of score that a thousandth too much, or too little, adds in one period. Where a
/// millisecond moves 1 to 4 in 100 clients, 1.5 to 6 hundredths of what is too much go in a period:
/// far below the bound of `shed.rs`. Faster prices of neighbours swing against each other, and
/// every swing upwards is billed.
const GAIN_NS: i64 = 1_500;

/// The most that a period adds and takes away.
const UP_MAX_NS: i64 = 8_000_000;
const DOWN_MAX_NS: i64 = 4_000_000;

/// The longest time between two steps that counts as one: the probe was away.
const HELD_MAX: Duration = Duration::from_mins(10);

/// All of the price.
const WHOLE: u16 = 1_000;

/// Parts of a thousand by which the aim goes at most in a day: first the larger, then ever less,
/// down to the smaller, so that days which differ do not carry it to and fro.
const LEARN_FIRST: i64 = 200;
const LEARN_LEAST: i64 = 50;

/// The first aim in thousandths of what the first day would be billed for.
const FIRST_AIM: u64 = 850;

const DAY: Duration = Duration::from_hours(24);

impl Pricer {
    /// The share of the price that a byte more costs, in thousandths.
    pub(crate) fn price(&self) -> u16 {
        // Until there is an aim all of the price counts, as it would without a bill.
        if self.aim == 0 { WHOLE } else { self.price }
    }

    /// What is aimed at in bits a second; `None`: that is not known yet.
    pub(crate) fn aim(&self) -> Option<u64> {
        (self.aim > 0).then_some(self.aim)
    }

    /// Whether what was kept can be what was written.
    pub(crate) fn is_sound(&self) -> bool {
        self.price <= PRICE_MAX && self.top.len() <= TOP_MAX && self.top.is_sorted_by(|a, b| a >= b)
    }

    /// Takes the mean of a slot that is over, in kbit/s.
    pub(crate) fn close(&mut self, billing: &Billing, second: i64, rate: u32) {
        let by_day = by_day(billing);
        let mut meter = Meter { bill: self.day, top: std::mem::take(&mut self.top) };
        if by_day.bill_at(second) == self.day {
            meter.close(&by_day, second, rate);
        }
        self.top = meter.top;
    }

    /// Takes a step when one is due: `rate` is sent now, in bits a second. Says whether one was
    /// taken.
    pub(crate) fn step(
        &mut self,
        billing: &Billing,
        following: &Following,
        rate: u64,
        now: Timestamp,
    ) -> bool {
        let held = self.last.map_or(Duration::ZERO, |last| now.since(last));
        if self.last.is_some() && held < following.period {
            return false;
        }
        self.last = Some(now);
        if held <= HELD_MAX {
            self.sum = self.sum.saturating_add(u64::from(self.price) * held.as_secs());
            self.held = self.held.saturating_add(held.as_secs());
        }
        let day = by_day(billing).bill_at(now.unix_seconds());
        if day != self.day {
            self.learn(billing);
            (self.day, self.sum, self.held, self.top) = (day, 0, 0, Vec::new());
        }
        let Some(aim) = self.aim() else { return true };
        let room = (u128::from(aim) * u128::from(FILL) / 1_000).max(1);
        let filled = u128::from(rate).saturating_mul(1_000) / room;
        let over = i64::try_from(filled).unwrap_or(i64::MAX).min(2_000) - 1_000;
        let by = (over * GAIN_NS).clamp(-DOWN_MAX_NS, UP_MAX_NS);
        let price = i64::from(self.price) + by / i64::from(following.worth.max(1_000));
        self.price = u16::try_from(price.clamp(0, price_max(billing))).unwrap_or(0);
        true
    }

    /// A day is over.
    fn learn(&mut self, billing: &Billing) {
        let whole = seconds(by_day(billing).period.unwrap_or(DAY)).unsigned_abs();
        // A day that was seen in part says nothing of its peak.
        if self.held < whole - whole / 4 {
            return;
        }
        let aim = match self.aim() {
            None => {
                // What counted until now is where the price starts from.
                self.price = WHOLE;
                let meter = Meter { bill: self.day, top: std::mem::take(&mut self.top) };
                meter.billed(&by_day(billing)) / 1_000 * FIRST_AIM
            }
            Some(aim) => {
                let mean = i64::try_from(self.sum / self.held.max(1)).unwrap_or(i64::MAX);
                let gain = (LEARN_FIRST / (1 + i64::from(self.days) / 2)).max(LEARN_LEAST);
                let by = gain * (mean.min(2_000) - 1_000) / 1_000;
                let aim = u128::from(aim) * u128::from((1_000 + by).unsigned_abs()) / 1_000;
                self.days = self.days.saturating_add(1);
                u64::try_from(aim).unwrap_or(u64::MAX)
            }
        };
        self.aim = aim.max(billing.commit).max(1);
    }
}

/// The highest share of a price, whatever the percentile.
const PRICE_MAX: u16 = 60_000;

/// The price of slots of which fewer are dear than are forgotten would not be paid at all.
fn price_max(billing: &Billing) -> i64 {
    let rest = 1_000 - i64::from(billing.percentile.min(999));
    (1_000_000 / rest).min(PRICE_MAX.into())
}

/// Demand has its ups and downs once a day: that is what an aim is learnt from.
fn by_day(billing: &Billing) -> Billing {
    Billing { period: Some(billing.period.map_or(DAY, |period| period.min(DAY))), ..*billing }
}
