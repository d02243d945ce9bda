//! Counters summed by customer, minute, site and POP (L6). The order in which rows are added does
//! not matter, so that batches may come in any order.

use std::collections::BTreeMap;

use popnet_terms::{CustomerId, PopId, SiteName};
use popnet_wire::logging::Counter;

/// What a sum is kept by. The order is the order of answers: customer, then time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    customer: CustomerId,
    minute: i64,
    site: SiteName,
    pop: PopId,
}

/// Sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    rows: BTreeMap<Key, Counter>,
}

impl Rollup {
    /// Nothing counted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one row.
    pub fn add(&mut self, customer: &CustomerId, counter: &Counter) {
        let key = Key {
            customer: customer.clone(),
            minute: counter.minute,
            site: counter.site.clone(),
            pop: counter.pop.clone(),
        };
        self.rows
            .entry(key)
            .and_modify(|sum| sum.absorb(counter))
            .or_insert_with(|| counter.clone());
    }

    /// Adds every row of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (customer, counter) in other.rows() {
            self.add(customer, counter);
        }
    }

    /// Every row, by customer, minute, site and POP.
    pub fn rows(&self) -> impl Iterator<Item = (&CustomerId, &Counter)> {
        self.rows.iter().map(|(key, counter)| (&key.customer, counter))
    }

    /// Every row, given away, in the same order.
    #[must_use]
    pub fn into_rows(self) -> Vec<(CustomerId, Counter)> {
        self.rows.into_iter().map(|(key, counter)| (key.customer, counter)).collect()
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(minute: i64, site: &str, pop: &str, requests: u64) -> Counter {
        Counter { requests, ..Counter::new(minute, site.into(), pop.into()) }
    }

    #[test]
    fn sums_by_every_part_of_the_key() {
        let acme = CustomerId::new("acme");
        let mut sums = Rollup::new();
        for counter in [
            row(1, "a.test", "fra1", 2),
            row(1, "a.test", "fra1", 3),
            row(2, "a.test", "fra1", 5),
            row(1, "a.test", "iad1", 7),
            row(1, "b.test", "fra1", 11),
        ] {
            sums.add(&acme, &counter);
        }
        sums.add(&"globex".into(), &row(1, "a.test", "fra1", 13));
        let seen: Vec<(String, i64, u64)> = sums
            .rows()
            .map(|(customer, c)| (format!("{customer} {} {}", c.site, c.pop), c.minute, c.requests))
            .collect();
        assert_eq!(
            seen,
            [
                ("acme a.test fra1".to_owned(), 1, 5),
                ("acme a.test iad1".to_owned(), 1, 7),
                ("acme b.test fra1".to_owned(), 1, 11),
                ("acme a.test fra1".to_owned(), 2, 5),
                ("globex a.test fra1".to_owned(), 1, 13),
            ]
        );
    }

    #[test]
    fn merging_is_adding_in_any_order_and_never_wraps() {
        let acme = CustomerId::new("acme");
        let (mut left, mut right) = (Rollup::new(), Rollup::new());
        left.add(&acme, &row(1, "a.test", "fra1", u64::MAX - 1));
        right.add(&acme, &row(1, "a.test", "fra1", 5));
        right.add(&acme, &row(3, "a.test", "fra1", 1));
        let (mut one, mut other) = (left.clone(), right.clone());
        one.merge(&right);
        other.merge(&left);
        assert_eq!(one, other);
        assert_eq!(one.into_rows().first().unwrap().1.requests, u64::MAX);
    }
}
