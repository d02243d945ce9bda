//! Sums of log counters.

use popnet_wire::logging::Counter;

/// Some counters added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_origin: u64,
    pub(crate) hits: u64,
    pub(crate) hit_bytes: u64,
    /// Responses by class, 1xx … 5xx.
    pub(crate) status: [u64; 5],
    pub(crate) queries: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, counter: &Counter) {
        self.requests = self.requests.saturating_add(counter.requests);
        self.bytes_out = self.bytes_out.saturating_add(counter.bytes_out);
        self.bytes_in = self.bytes_in.saturating_add(counter.bytes_in);
        self.bytes_origin = self.bytes_origin.saturating_add(counter.bytes_origin);
        self.hits = self.hits.saturating_add(counter.hits);
        self.hit_bytes = self.hit_bytes.saturating_add(counter.hit_bytes);
        self.queries = self.queries.saturating_add(counter.queries);
        for (sum, more) in self.status.iter_mut().zip(counter.status) {
            *sum = sum.saturating_add(more);
        }
    }

    /// Server errors among the responses, as a share.
    pub(crate) fn error_ratio(&self) -> Option<f64> {
        let [.., errors] = self.status;
        share(errors, self.requests)
    }

    /// Requests that a tier of ours answered, as a share.
    pub(crate) fn hit_ratio(&self) -> Option<f64> {
        share(self.hits, self.requests)
    }

    /// Octets that came from a tier of ours, as a share.
    pub(crate) fn byte_hit_ratio(&self) -> Option<f64> {
        share(self.hit_bytes, self.bytes_out)
    }
}

/// `part / whole`; `None` of nothing.
pub(crate) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (float(part) / float(whole)).min(1.0))
}

/// For printing and drawing: exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "drawn, never counted with")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
