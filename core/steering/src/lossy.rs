//! What packet loss costs, as time: how much longer the reference object takes to fetch
//! (steering model, section 6).
//!
//! The model is that of N. Cardwell, S. Savage and T. Anderson, "Modeling TCP Latency" (IEEE
//! INFOCOM 2000), without its time-outs and delayed acknowledgements: slow start, from ten
//! packets (RFC 6928) and doubling, until the first loss is to be expected; one round to mend it;
//! then the steady rate under loss of M. Mathis, J. Semke, J. Mahdavi and T. Ott, "The
//! Macroscopic Behavior of the TCP Congestion Avoidance Algorithm" (1997), `sqrt(3 / 2q)` packets
//! a round trip. Taken off is what slow start alone would need. Whole numbers only.

use popnet_terms::Micros;

/// Packets of the reference object: 256 KB.
const PACKETS: u64 = 180;

/// The window at the start (RFC 6928 section 2).
const FIRST_WINDOW: u64 = 10;

/// One, where shares and rounds have 32 bits after the point.
const ONE: u64 = 1 << 32;

/// Extra round trips in thousandths, by loss in thousandths.
static ROUNDS: [u32; 1_001] = table();

/// Extra time at `loss`, in thousandths, over a round trip of `rtt`.
pub(crate) fn loss_us(rtt: Micros, loss: u16) -> u64 {
    let rounds = ROUNDS.get(usize::from(loss.min(1_000))).copied().unwrap_or(0);
    u64::from(rtt.0) * u64::from(rounds) / 1_000
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "worked out by the compiler, which refuses what does not fit"
)]
const fn table() -> [u32; 1_001] {
    let mut table = [0; 1_001];
    let mut loss = 1;
    while loss <= 1_000 {
        table[loss] = rounds(loss as u64) as u32;
        loss += 1;
    }
    table
}

/// Extra round trips at `loss`, both in thousandths.
const fn rounds(loss: u64) -> u64 {
    let kept = ONE - ONE * loss / 1_000;
    // That no packet of the object is lost.
    let mut unharmed = ONE;
    let mut at = 0;
    while at < PACKETS {
        unharmed = scaled(unharmed, kept, ONE);
        at += 1;
    }
    let harmed = ONE - unharmed;
    // Packets before the first loss, the lost one with them: (1 - (1-q)^N) (1-q) / q + 1.
    let before = harmed * 1_000 / loss;
    let begun = scaled(before, kept, ONE) + ONE;
    let begun = if begun > PACKETS * ONE { PACKETS * ONE } else { begun };
    let rest = PACKETS * ONE - begun;
    // 1 / sqrt(3 / 2q) = sqrt(2q / 3) rounds a packet: in millionths.
    let each = (2 * loss * 1_000_000_000 / 3).isqrt();
    let steady = scaled(rest, each, 1_000 * ONE);
    let mending = (1_000 * harmed) >> 32;
    (doubling(begun) + mending + steady).saturating_sub(doubling(PACKETS * ONE))
}

/// Rounds, in thousandths, in which slow start sends so many packets.
const fn doubling(packets: u64) -> u64 {
    let (mut sent, mut window, mut rounds) = (0, FIRST_WINDOW * ONE, 0);
    while sent + window <= packets {
        sent += window;
        window *= 2;
        rounds += 1_000;
    }
    rounds + scaled(packets - sent, 1_000, window)
}

#[expect(clippy::cast_possible_truncation, reason = "what comes of it is far below 2^64")]
const fn scaled(value: u64, by: u64, of: u64) -> u64 {
    (value as u128 * by as u128 / of as u128) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out in floating point from the two papers.
    #[test]
    fn as_the_papers_say() {
        let model = |q: f64| {
            let slow = |n: f64| {
                let (mut sent, mut window, mut rounds) = (0.0, 10.0, 0.0);
                while sent + window <= n {
                    sent += window;
                    window *= 2.0;
                    rounds += 1.0;
                }
                rounds + (n - sent) / window
            };
            let harmed = 1.0 - (1.0 - q).powi(180);
            let begun = (harmed * (1.0 - q) / q + 1.0).min(180.0);
            slow(begun) + harmed + (180.0 - begun) * (2.0 * q / 3.0).sqrt() - slow(180.0)
        };
        for loss in 1..=1_000_u16 {
            let extra = loss_us(Micros(1_000_000), loss);
            let wanted = model(f64::from(loss) / 1_000.0).max(0.0) * 1e6;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            let off = (extra as f64 - wanted).abs();
            assert!(off < 5_000.0, "at {loss}: {extra}, not {wanted}");
        }
    }

    #[test]
    fn more_loss_never_costs_less() {
        assert_eq!(loss_us(Micros(100_000), 0), 0);
        assert!(ROUNDS.is_sorted());
        assert_eq!(loss_us(Micros(100_000), 2_000), loss_us(Micros(100_000), 1_000));
        println!("{:?}", [1, 5, 10, 20, 50, 100, 1_000].map(|q| (q, loss_us(Micros(1_000), q))));
    }
}
