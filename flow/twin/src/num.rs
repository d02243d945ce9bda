//! Between kinds of numbers. The world is reckoned in floating point, decisions never are.

/// A count as a number to reckon with.
pub(crate) fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts here stay far below 2^53")]
    let value = count as f64;
    value
}

/// The nearest whole number; what is negative or no number is 0.
pub(crate) fn whole(value: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and makes 0 of what is no number"
    )]
    let whole = value.round().max(0.0) as u64;
    whole
}

/// A length as a count.
pub(crate) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A count as a place in a list.
pub(crate) fn place(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// A share of two counts; 0 of nothing.
pub(crate) fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { float(part) / float(of) }
}

/// The value below which `part` (0 to 1) of `values` lie; `None` of nothing. Sorts them.
pub(crate) fn percentile(values: &mut [f64], part: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = whole((part * float(count(values.len()))).ceil() - 1.0);
    values.get(place(at).min(last)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges() {
        assert_eq!((whole(-3.0), whole(f64::NAN), whole(2.5)), (0, 0, 3));
        assert_eq!(percentile(&mut [], 0.5), None);
        let mut values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(percentile(&mut values, 0.5), Some(2.0));
        assert_eq!(percentile(&mut values, 0.99), Some(4.0));
        assert_eq!(percentile(&mut values, 0.0), Some(1.0));
    }
}
