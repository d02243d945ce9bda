//! What becomes of datagrams: lost, held up, doubled.

use std::time::Duration;

use popnet_terms::Timestamp;

use crate::chance::{Dice, exponential};
use crate::num::{float, whole};
use crate::scenario::Wire;

/// The longest that a late packet is held up.
const LATE_MAX_US: f64 = 1_000_000.0;

/// A packet that opens a TCP connection is sent again after so long, then twice as long (RFC 6298
/// section 2); what follows after two round trips, but not sooner than that.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_LATER: Duration = Duration::from_millis(200);

/// The wire between everybody.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    wire: Wire,
    /// Lost beside what the wire always loses.
    pub(crate) extra_loss: f64,
    dice: Dice,
}

impl Post {
    pub(crate) fn new(wire: &Wire, seed: u64) -> Self {
        Self { wire: wire.clone(), extra_loss: 0.0, dice: Dice::new(seed, 0x706f_7374) }
    }

    fn is_lost(&mut self) -> bool {
        let loss = 1.0 - (1.0 - self.wire.loss) * (1.0 - self.extra_loss);
        self.dice.happens(loss)
    }

    /// When a datagram that leaves now arrives over a way with this round trip: never, once or
    /// twice.
    pub(crate) fn arrivals(&mut self, now: Timestamp, trip_us: u32) -> Vec<Timestamp> {
        let mut times = Vec::with_capacity(1);
        if !self.is_lost() {
            times.push(self.arrival(now, trip_us));
        }
        if self.dice.happens(self.wire.duplicate) && !self.is_lost() {
            times.push(self.arrival(now, trip_us));
        }
        times
    }

    fn arrival(&mut self, now: Timestamp, trip_us: u32) -> Timestamp {
        let mut way = f64::from(trip_us) / 2.0 + self.jitter_us();
        if self.dice.happens(self.wire.late) {
            way += self.dice.unit() * LATE_MAX_US;
        }
        now.after(Duration::from_micros(whole(way)))
    }

    fn jitter_us(&mut self) -> f64 {
        exponential(self.dice.next()) * float(self.wire.jitter.0)
    }

    /// The time that a question and its answer take; `None` when one of them is lost.
    pub(crate) fn exchange(&mut self, trip_us: u32) -> Option<Duration> {
        let (there, back) = (self.is_lost(), self.is_lost());
        let time = f64::from(trip_us) + self.jitter_us() + self.jitter_us();
        (!there && !back).then(|| Duration::from_micros(whole(time)))
    }

    /// The opening of a TCP connection, until `limit`.
    pub(crate) fn handshake(&mut self, trip_us: u32, limit: Duration) -> Option<Duration> {
        self.insist(trip_us, AGAIN, limit)
    }

    /// A question and its answer over a TCP connection, until `limit`.
    pub(crate) fn request(&mut self, trip_us: u32, limit: Duration) -> Option<Duration> {
        let pause = Duration::from_micros(u64::from(trip_us) * 2).max(AGAIN_LATER);
        self.insist(trip_us, pause, limit)
    }

    /// Sends again, after longer and longer pauses.
    fn insist(&mut self, trip_us: u32, first: Duration, limit: Duration) -> Option<Duration> {
        let (mut waited, mut pause) = (Duration::ZERO, first);
        while waited < limit {
            if let Some(time) = self.exchange(trip_us) {
                return Some(waited + time).filter(|time| *time < limit);
            }
            waited += pause;
            pause *= 2;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_doubles() {
        let wire = Wire { loss: 0.1, duplicate: 0.05, ..Wire::default() };
        let mut post = Post::new(&wire, 9);
        let mut counts = [0_u32; 3];
        for _ in 0..10_000 {
            let times = post.arrivals(Timestamp(0), 10_000);
            assert!(times.iter().all(|at| at.0 >= 5_000));
            counts[times.len()] += 1;
        }
        assert!((800..1_100).contains(&counts[0]) && counts[2] > 300, "{counts:?}");
        post.extra_loss = 1.0;
        assert_eq!(post.handshake(10_000, Duration::from_secs(2)), None);
    }
}
