//! One customer's last hour: by the minute, by site, by POP; and the last requests.

use std::collections::BTreeMap;

use popnet_terms::{PopId, SiteName, Timestamp};
use popnet_wire::asking::Scope;
use popnet_wire::logging::{Access, CacheResult};
use serde::Serialize;

use super::chart::{self, Series};
use super::figures::bar;
use super::format::{self, Moment};
use crate::pulse::{Snapshot, Totals, float};

/// Minutes shown.
const MINUTES: i64 = 60;

/// The last hour.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Traffic {
    pub(crate) total: Totals,
    /// Every minute of the hour, oldest first; the last is not over.
    pub(crate) minutes: Vec<Minute>,
    pub(crate) sites: Vec<Share>,
    pub(crate) pops: Vec<Share>,
}

/// One minute.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Minute {
    pub(crate) at: Moment,
    #[serde(flatten)]
    pub(crate) totals: Totals,
}

impl Minute {
    pub(crate) fn bits(&self) -> String {
        format::with_unit(bits(&self.totals), "bps")
    }

    pub(crate) fn hits(&self) -> String {
        format::percent(self.totals.hit_ratio())
    }

    pub(crate) fn classes(&self) -> [u64; 5] {
        self.totals.status
    }
}

/// What one site or POP had of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Share {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) totals: Totals,
    #[serde(skip)]
    pub(crate) bar: f64,
}

impl Share {
    pub(crate) fn requests(&self) -> String {
        format::count(self.totals.requests)
    }

    pub(crate) fn bytes(&self) -> String {
        format::bytes(self.totals.bytes_out)
    }

    pub(crate) fn hits(&self) -> String {
        format::percent(self.totals.hit_ratio())
    }

    pub(crate) fn errors(&self) -> String {
        format::percent(self.totals.error_ratio())
    }

    pub(crate) fn queries(&self) -> String {
        format::count(self.totals.queries)
    }
}

/// One drawing with its words.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) summary: String,
    pub(crate) svg: String,
    /// Names of the stacked parts; empty for a line.
    pub(crate) parts: Vec<(usize, &'static str)>,
}

/// The hour of what `scope` covers.
pub(crate) fn traffic(snapshot: &Snapshot, scope: &Scope) -> Traffic {
    let now = snapshot.at.unix_seconds().div_euclid(60);
    let first = now + 1 - MINUTES;
    let mut minutes: BTreeMap<i64, Totals> = BTreeMap::new();
    let mut sites: BTreeMap<&SiteName, Totals> = BTreeMap::new();
    let mut pops: BTreeMap<&PopId, Totals> = BTreeMap::new();
    let mut total = Totals::default();
    for (_, counter) in snapshot.counters(scope) {
        // Clocks differ a little: what is of the next minute already counts to this one.
        let minute = counter.minute.min(now);
        if minute < first {
            continue;
        }
        total.add(counter);
        minutes.entry(minute).or_default().add(counter);
        sites.entry(&counter.site).or_default().add(counter);
        pops.entry(&counter.pop).or_default().add(counter);
    }
    let minute = |minute: i64| Minute {
        at: Moment(Timestamp(minute.saturating_mul(60_000_000))),
        totals: minutes.get(&minute).copied().unwrap_or_default(),
    };
    Traffic {
        total,
        minutes: (first..=now).map(minute).collect(),
        sites: shares(sites.into_iter().map(|(name, sum)| (name.to_string(), sum))),
        pops: shares(pops.into_iter().map(|(name, sum)| (name.to_string(), sum))),
    }
}

fn shares(sums: impl Iterator<Item = (String, Totals)>) -> Vec<Share> {
    let mut shares: Vec<Share> =
        sums.map(|(name, totals)| Share { name, totals, bar: 0.0 }).collect();
    shares.sort_by(|a, b| {
        b.totals.requests.cmp(&a.totals.requests).then_with(|| a.name.cmp(&b.name))
    });
    let most = shares.first().map_or(0, |share| share.totals.requests);
    for share in &mut shares {
        share.bar = bar(share.totals.requests, most);
    }
    shares
}

fn bits(totals: &Totals) -> f64 {
    float(totals.bytes_out.saturating_mul(8)) / 60.0
}

impl Traffic {
    pub(crate) fn is_empty(&self) -> bool {
        self.total == Totals::default()
    }

    /// The figures on top.
    pub(crate) fn figures(&self) -> Vec<(&'static str, String, &'static str)> {
        let total = &self.total;
        vec![
            ("Requests", format::count(total.requests), "last hour"),
            ("Sent", format::bytes(total.bytes_out), "to clients"),
            ("Hit ratio", format::percent(total.hit_ratio()), "by requests"),
            ("Byte hit ratio", format::percent(total.byte_hit_ratio()), "by bytes"),
            ("From origins", format::bytes(total.bytes_origin), "fetched"),
            ("Errors", format::percent(total.error_ratio()), "5xx"),
        ]
    }

    /// The four drawings.
    pub(crate) fn charts(&self) -> Vec<Chart> {
        vec![self.requests(), self.bandwidth(), self.hit_line(), self.classes()]
    }

    fn series(&self, value: impl Fn(&Totals) -> Option<f64>) -> Series {
        Series {
            labels: self.minutes.iter().map(|minute| minute.at.minute()).collect(),
            values: self.minutes.iter().map(|minute| value(&minute.totals)).collect(),
        }
    }

    fn requests(&self) -> Chart {
        let series = self.series(|totals| Some(float(totals.requests)));
        let summary = summary(&series, format::si);
        let svg = chart::area(&series, None, format::si);
        Chart { title: "Requests a minute", summary, svg, parts: Vec::new() }
    }

    fn bandwidth(&self) -> Chart {
        let print = |value: f64| format::with_unit(value, "bps");
        let series = self.series(|totals| Some(bits(totals)));
        let summary = summary(&series, print);
        let svg = chart::area(&series, None, print);
        Chart { title: "Bandwidth to clients", summary, svg, parts: Vec::new() }
    }

    fn hit_line(&self) -> Chart {
        let print = |value: f64| format::percent(Some(value));
        let series = self.series(Totals::hit_ratio);
        let summary = format!("{} over the whole hour.", format::percent(self.total.hit_ratio()));
        let svg = chart::area(&series, Some(1.0), print);
        Chart { title: "Hit ratio by requests", summary, svg, parts: Vec::new() }
    }

    fn classes(&self) -> Chart {
        let labels = self.series(|_| None).labels;
        let stacks: Vec<Vec<u64>> =
            self.minutes.iter().map(|minute| minute.totals.status.to_vec()).collect();
        let names = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        let parts = names.into_iter().enumerate().zip(self.total.status);
        let present: Vec<(usize, &str)> =
            parts.clone().filter(|(_, count)| *count > 0).map(|(part, _)| part).collect();
        let said: Vec<String> = parts
            .filter(|(_, count)| *count > 0)
            .map(|((_, name), count)| format!("{} × {name}", format::count(count)))
            .collect();
        let summary = if said.is_empty() {
            "No response.".to_owned()
        } else {
            format!("{}.", said.join(", "))
        };
        let svg = chart::bars(&labels, &stacks, format::si);
        Chart { title: "Responses by status class", summary, svg, parts: present }
    }
}

/// "Peak 812 Mbps at 20:05, now 540 Mbps, falling."
fn summary(series: &Series, print: impl Fn(f64) -> String) -> String {
    let values: Vec<f64> = series.values.iter().map(|value| value.unwrap_or(0.0)).collect();
    let points = values.iter().zip(&series.labels);
    let Some((peak, at)) = points.max_by(|(a, _), (b, _)| a.total_cmp(b)) else {
        return "Nothing yet.".to_owned();
    };
    if *peak == 0.0 {
        return "Nothing in the last hour.".to_owned();
    }
    // The last minute is not over: the one before it tells more.
    let mut newest = values.iter().rev().skip(1);
    let now = newest.next().copied().unwrap_or(*peak);
    let before = newest.next().copied().unwrap_or(now);
    let trend = match now.total_cmp(&before) {
        std::cmp::Ordering::Greater => "rising",
        std::cmp::Ordering::Less => "falling",
        std::cmp::Ordering::Equal => "steady",
    };
    format!("Peak {} at {at}; last full minute {}, {trend}.", print(*peak), print(now))
}

/// One request of the log.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AccessLine {
    pub(crate) at: Moment,
    pub(crate) client: String,
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) bytes: String,
    pub(crate) cache: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) took: String,
    pub(crate) node: String,
    pub(crate) id: String,
}

impl AccessLine {
    pub(crate) fn of(node: &str, access: &Access) -> Self {
        let query =
            if access.query.is_empty() { String::new() } else { format!("?{}", access.query) };
        Self {
            at: Moment(access.ts),
            client: access.client_ip.map_or_else(|| "–".to_owned(), |ip| ip.to_string()),
            method: access.method.to_string(),
            url: format!("{}{}{query}", access.host, access.path),
            status: access.status,
            bytes: format::bytes(access.resp_bytes),
            cache: cache_word(access.cache),
            reason: access.reason.code(),
            took: format::millis(access.duration),
            node: node.to_owned(),
            id: access.id.to_string(),
        }
    }
}

fn cache_word(result: CacheResult) -> &'static str {
    match result {
        CacheResult::HitMemory => "hit memory",
        CacheResult::HitDisk => "hit disk",
        CacheResult::Stale => "stale",
        CacheResult::Revalidated => "revalidated",
        CacheResult::Miss => "miss",
        CacheResult::Bypass => "bypass",
        CacheResult::Error => "error",
        CacheResult::Made => "made here",
    }
}
