//! The one place that asks the machine for the time of day; cores are told it.

use std::time::{SystemTime, UNIX_EPOCH};

use popnet_terms::Timestamp;

/// The time of day. A clock before 1970 counts as 1970.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_after_2020() {
        assert!(super::now().unix_seconds() > 1_577_836_800);
    }
}
