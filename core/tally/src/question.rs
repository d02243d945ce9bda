//! Questions over rows (L6, L7). Every function here takes the asker's scope and leaves out what
//! lies beyond it, whatever the rows are: a customer never sees another's.

use popnet_terms::{CustomerId, NodeName, SiteName, Timestamp};
use popnet_wire::asking::{RecordKind, Scope};
use popnet_wire::logging::{Counter, Record};

use crate::rollup::Rollup;

/// Most records in an answer.
pub const RECORDS_MAX: u32 = 1_000;

/// Most counter rows in an answer: a day of minutes for some hundred pairs of site and POP, and
/// well below the longest frame.
pub const COUNTERS_MAX: usize = 200_000;

/// Whether `scope` may see what belongs to `customer`. Records about the network itself are for
/// the network's own people alone.
#[must_use]
pub fn sees(scope: &Scope, customer: &CustomerId) -> bool {
    match scope {
        Scope::Network => true,
        Scope::Customer(own) => own == customer && *own != CustomerId::network(),
    }
}

/// The kind of a record.
#[must_use]
pub fn kind(record: &Record) -> RecordKind {
    match record {
        Record::Access(_) => RecordKind::Access,
        Record::Decision(_) => RecordKind::Decision,
        Record::Event(_) => RecordKind::Event,
    }
}

/// When it happened.
#[must_use]
pub fn time(record: &Record) -> Timestamp {
    match record {
        Record::Access(access) => access.ts,
        Record::Decision(decision) => decision.ts,
        Record::Event(event) => event.ts,
    }
}

/// The site it is about; an event's subject, which may be one.
#[must_use]
pub fn site(record: &Record) -> &str {
    match record {
        Record::Access(access) => access.site.as_str(),
        Record::Decision(decision) => decision.site.as_str(),
        Record::Event(event) => &event.subject,
    }
}

/// Which counters are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// First minute.
    pub from: i64,
    /// Minute after the last.
    pub to: i64,
    /// Only this site.
    pub site: Option<SiteName>,
}

/// Sums of `rows` by customer, minute, site and POP; `None` when there are more than
/// [`COUNTERS_MAX`].
pub fn counters(
    scope: &Scope,
    asked: &Counted,
    rows: impl IntoIterator<Item = (CustomerId, Counter)>,
) -> Option<Vec<(CustomerId, Counter)>> {
    let mut sums = Rollup::new();
    for (customer, counter) in rows {
        let fits = sees(scope, &customer)
            && (asked.from..asked.to).contains(&counter.minute)
            && asked.site.as_ref().is_none_or(|site| *site == counter.site);
        if fits {
            sums.add(&customer, &counter);
        }
        if sums.len() > COUNTERS_MAX {
            return None;
        }
    }
    Some(sums.into_rows())
}

/// Which records are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which kind.
    pub kind: RecordKind,
    /// Only this site.
    pub site: Option<SiteName>,
    /// Only before this time.
    pub before: Option<Timestamp>,
    /// Most records; more than [`RECORDS_MAX`] counts as that.
    pub limit: u32,
}

/// The newest of `rows` that fit, newest first.
pub fn records(
    scope: &Scope,
    wanted: &Wanted,
    rows: impl IntoIterator<Item = (CustomerId, NodeName, Record)>,
) -> Vec<(CustomerId, NodeName, Record)> {
    let mut fitting: Vec<_> = rows
        .into_iter()
        .filter(|(customer, _, record)| {
            sees(scope, customer)
                && kind(record) == wanted.kind
                && wanted.site.as_ref().is_none_or(|of| of.as_str() == site(record))
                && wanted.before.is_none_or(|before| time(record) < before)
        })
        .collect();
    fitting.sort_by_key(|(_, _, record)| std::cmp::Reverse(time(record)));
    fitting.truncate(usize::try_from(wanted.limit.min(RECORDS_MAX)).unwrap_or(usize::MAX));
    fitting
}

#[cfg(test)]
mod tests {
    use popnet_wire::logging::Event;

    use super::*;

    fn row(customer: &str, minute: i64, site: &str, requests: u64) -> (CustomerId, Counter) {
        let counter = Counter { requests, ..Counter::new(minute, site.into(), "fra1".into()) };
        (customer.into(), counter)
    }

    fn event(customer: &str, at: i64, subject: &str) -> (CustomerId, NodeName, Record) {
        let text: std::sync::Arc<str> = "".into();
        let event = Event {
            ts: Timestamp(at),
            kind: "probe".into(),
            subject: subject.into(),
            from: text.clone(),
            to: text.clone(),
            reason: text,
        };
        (customer.into(), "ns1.fra1".into(), Record::Event(event))
    }

    #[test]
    fn scope_is_a_wall() {
        let own = Scope::Customer("acme".into());
        for (scope, customer, expected) in [
            (&Scope::Network, "acme", true),
            (&Scope::Network, "_network", true),
            (&own, "acme", true),
            (&own, "globex", false),
            (&own, "acme2", false),
            (&own, "_network", false),
            (&Scope::Customer("_network".into()), "_network", false),
        ] {
            assert_eq!(sees(scope, &customer.into()), expected, "{scope:?} {customer}");
        }
    }

    #[test]
    fn counters_within_scope_time_and_site() {
        let rows = || {
            [
                row("acme", 1, "a.test", 1),
                row("acme", 2, "a.test", 2),
                row("acme", 2, "b.test", 4),
                row("globex", 2, "a.test", 8),
                row("acme", 3, "a.test", 16),
            ]
        };
        let sum = |scope: &Scope, from, to, site: Option<&str>| -> u64 {
            let asked = Counted { from, to, site: site.map(SiteName::new) };
            let rows = counters(scope, &asked, rows()).unwrap();
            rows.iter().map(|(_, counter)| counter.requests).sum()
        };
        let acme = Scope::Customer("acme".into());
        assert_eq!(sum(&Scope::Network, 0, 10, None), 31);
        assert_eq!(sum(&acme, 0, 10, None), 23);
        assert_eq!(sum(&acme, 2, 3, None), 6);
        assert_eq!(sum(&acme, 2, 3, Some("a.test")), 2);
        assert_eq!(sum(&Scope::Customer("other".into()), 0, 10, None), 0);
    }

    #[test]
    fn records_newest_first_and_bounded() {
        let rows = || {
            [
                event("acme", 10, "a.test"),
                event("globex", 40, "a.test"),
                event("acme", 30, "b.test"),
                event("acme", 20, "a.test"),
            ]
        };
        let times = |scope: &Scope, site: Option<&str>, before: Option<i64>, limit: u32| {
            let wanted = Wanted {
                kind: RecordKind::Event,
                site: site.map(SiteName::new),
                before: before.map(Timestamp),
                limit,
            };
            let found = records(scope, &wanted, rows());
            found.iter().map(|(_, _, record)| time(record).0).collect::<Vec<_>>()
        };
        let acme = Scope::Customer("acme".into());
        assert_eq!(times(&Scope::Network, None, None, 10), [40, 30, 20, 10]);
        assert_eq!(times(&acme, None, None, 2), [30, 20]);
        assert_eq!(times(&acme, Some("a.test"), None, 10), [20, 10]);
        assert_eq!(times(&acme, None, Some(20), 10), [10]);
    }
}
