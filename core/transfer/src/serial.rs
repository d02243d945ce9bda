//! Serial numbers of zones, which count round a circle (RFC 1982).

use std::fmt;

/// A zone's serial number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Serial(pub u32);

impl Serial {
    /// Whether `self` comes after `other` (RFC 1982 3.2). Two numbers half a circle apart come
    /// neither before nor after each other: both questions are answered with no.
    #[must_use]
    pub fn is_after(self, other: Self) -> bool {
        let ahead = self.0.wrapping_sub(other.0);
        ahead != 0 && ahead < 1 << 31
    }

    /// The number after this one; never 0, which some servers take for "none".
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1).max(1))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Serial;

    #[test]
    fn round_the_circle() {
        let cases = [
            (1, 0, true),
            (0, 1, false),
            (5, 5, false),
            (0, u32::MAX, true),
            (44, 0xffff_ff00, true),
            (0x7fff_ffff, 0, true),
            // RFC 1982 3.2: undefined, so neither.
            (0x8000_0000, 0, false),
            (0, 0x8000_0000, false),
            (0x8000_0001, 0, false),
        ];
        for (a, b, after) in cases {
            assert_eq!(Serial(a).is_after(Serial(b)), after, "{a} after {b}");
        }
        assert_eq!(Serial(u32::MAX).next(), Serial(1));
        assert_eq!(Serial(7).next(), Serial(8));
    }
}
