//! What the role has done since it started, for its status.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use popnet_dns::Dropped;
use popnet_wire::counting::Group;

/// Counts since start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) queries: AtomicU64,
    pub(crate) steered: AtomicU64,
    /// Packets too short for a header.
    pub(crate) short: AtomicU64,
    /// Responses sent to the query port.
    pub(crate) response: AtomicU64,
    /// Queries answered with an error of form.
    pub(crate) malformed: AtomicU64,
    /// Answers that the socket did not take.
    pub(crate) unsent: AtomicU64,
    /// Connections that had to leave for others, or found no room.
    pub(crate) tcp_full: AtomicU64,
    /// Connections of listed fronts without a PROXY head.
    pub(crate) front_junk: AtomicU64,
    /// Queries of those who may not ask.
    pub(crate) prohibited: AtomicU64,
    /// Queries that had to show a cookie of ours and did not.
    pub(crate) bad_cookie: AtomicU64,
    /// Answers that were too many for their prefix.
    pub(crate) rate_limited: AtomicU64,
    /// Answers that were cut because they were too many.
    pub(crate) rate_cut: AtomicU64,
    /// Datagrams on the probe port that are no message.
    pub(crate) probe_junk: AtomicU64,
    /// Probe connections or reports of nodes that are no probe.
    pub(crate) probe_foreign: AtomicU64,
    /// Reports for which the board had no time.
    pub(crate) probe_overload: AtomicU64,
    /// Wishes for latencies that found no room.
    pub(crate) need_overload: AtomicU64,
    /// Cookies of ours that were shown to us, those that are none of ours now, and askers that had
    /// none yet (RFC 7873 5.2).
    pub(crate) cookie_good: AtomicU64,
    pub(crate) cookie_bad: AtomicU64,
    pub(crate) cookie_new: AtomicU64,
    /// Transfers that were asked for.
    pub(crate) transfers: AtomicU64,
    /// Notifications that came.
    pub(crate) notifies: AtomicU64,
    /// Updates that came.
    pub(crate) updates: AtomicU64,
    /// Signed messages, of these and of plain questions.
    pub(crate) signed: AtomicU64,
    /// Those with a signature that does not hold, or under a key that is not known.
    pub(crate) badly_signed: AtomicU64,
    /// Mistakes of ours that ended a worker's turn.
    pub(crate) panics: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn drop_packet(&self, why: Dropped) {
        count(match why {
            Dropped::Short => &self.short,
            Dropped::Response => &self.response,
        });
    }

    /// What was dropped, by reason; reasons that never came up are left out.
    pub(crate) fn dropped(&self) -> Vec<(Arc<str>, u64)> {
        let mut all = self.reasons();
        all.retain(|(_, count)| *count > 0);
        all
    }

    fn reasons(&self) -> Vec<(Arc<str>, u64)> {
        let all = [
            ("short", &self.short),
            ("response", &self.response),
            ("malformed", &self.malformed),
            ("socket_buffer", &self.unsent),
            ("tcp_full", &self.tcp_full),
            ("front_junk", &self.front_junk),
            ("prohibited", &self.prohibited),
            ("bad_cookie", &self.bad_cookie),
            ("rate_limited", &self.rate_limited),
            ("rate_cut", &self.rate_cut),
            ("probe_junk", &self.probe_junk),
            ("probe_foreign", &self.probe_foreign),
            ("probe_overload", &self.probe_overload),
            ("need_overload", &self.need_overload),
            ("panic", &self.panics),
        ];
        read(&all)
    }

    /// What is not counted by worker, by kind.
    pub(crate) fn groups(&self) -> Vec<Group> {
        let questions = [("all", &self.queries), ("steered", &self.steered)];
        let cookies =
            [("good", &self.cookie_good), ("bad", &self.cookie_bad), ("new", &self.cookie_new)];
        let zones = [
            ("transfer", &self.transfers),
            ("notify", &self.notifies),
            ("update", &self.updates),
            ("signed", &self.signed),
            ("badly_signed", &self.badly_signed),
        ];
        let group = |name: &str, counts| Group { name: name.into(), counts };
        vec![
            group("questions", read(&questions)),
            group("cookies", read(&cookies)),
            group("zone_messages", read(&zones)),
            group("dropped", self.reasons()),
        ]
    }
}

fn read(counters: &[(&str, &AtomicU64)]) -> Vec<(Arc<str>, u64)> {
    let counts = counters.iter().map(|(name, count)| (*name, count.load(Ordering::Relaxed)));
    counts.map(|(name, count)| (name.into(), count)).collect()
}
