//! What probes ask a cache: `GET /.popnet/health` for the host `health.popnet.invalid`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Response, header};
use popnet_http::body::Body;
use popnet_wire::rollout::Epoch;
use tokio_util::sync::CancellationToken;

use crate::wire::{Carried, Rate};

/// The host of health questions: reserved never to exist (RFC 6761), so no site can have it.
pub(crate) const HOST: &str = "health.popnet.invalid";
/// Their path.
pub(crate) const PATH: &str = "/.popnet/health";

const LOAD: HeaderName = HeaderName::from_static("popnet-load");
const EPOCH: HeaderName = HeaderName::from_static("popnet-epoch");

/// How often load is measured.
const EVERY: Duration = Duration::from_secs(1);

/// The kernel's unit of CPU time in `/proc`, which Linux shows as 100 a second everywhere.
const TICKS_A_SECOND: f64 = 100.0;

/// How loaded this node is, each part smoothed over some seconds.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// The share of the machine's processors that this process uses, or how full its network
    /// interfaces are, whichever is more.
    thousandths: AtomicU32,
    /// Bits a second that the machine receives and sends.
    into: AtomicU64,
    out: AtomicU64,
}

impl Load {
    /// Measures until `shutdown`.
    pub(crate) async fn measure(self: Arc<Self>, shutdown: CancellationToken) {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cores = f64::from(u32::try_from(cores).unwrap_or(1));
        let mut before = (Instant::now(), cpu_ticks());
        let mut carried = Carried::now();
        let mut fullness = 0;
        let mut smoothed = 0.0;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let now = (Instant::now(), cpu_ticks());
            if let Some((current, earlier)) = Carried::now().zip(carried) {
                let rate = current.since(earlier, now.0.duration_since(before.0));
                self.into.store(smooth(&self.into, rate.into), Ordering::Relaxed);
                self.out.store(smooth(&self.out, rate.out), Ordering::Relaxed);
                let (into, out) = self.rate();
                fullness = current.fullness(Rate { into, out });
                carried = Some(current);
            }
            if let (Some(used), Some(earlier)) = (now.1, before.1) {
                let seconds = now.0.duration_since(before.0).as_secs_f64().max(0.001);
                let ticks = f64::from(u32::try_from(used.saturating_sub(earlier)).unwrap_or(0));
                let share = (ticks / TICKS_A_SECOND / seconds / cores).clamp(0.0, 1.0);
                smoothed += (share - smoothed) * 0.4;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between 0 and 1000"
                )]
                let busy = (smoothed * 1000.0) as u32;
                self.thousandths.store(busy.max(fullness), Ordering::Relaxed);
            }
            before = now;
        }
    }

    /// Bits a second in and out.
    fn rate(&self) -> (u64, u64) {
        (self.into.load(Ordering::Relaxed), self.out.load(Ordering::Relaxed))
    }

    /// The answer to a health question. The load is an item with parameters (RFC 9651 3.3): what
    /// the POP may carry is for whoever knows the configuration to compare with. `sent` is what
    /// clients got since the start, in octets.
    pub(crate) fn answer(&self, epoch: Epoch, sent: u64) -> Response<Body> {
        let (into, out) = self.rate();
        let load = f64::from(self.thousandths.load(Ordering::Relaxed)) / 1000.0;
        let mut response = Response::new(Body::whole("ok\n"));
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(value) =
            HeaderValue::try_from(format!("{load:.2};in={into};out={out};sent={sent}"))
        {
            fields.insert(LOAD, value);
        }
        fields.insert(EPOCH, HeaderValue::from(epoch.0));
        response
    }
}

/// Two fifths of the way to `new`.
fn smooth(old: &AtomicU64, new: u64) -> u64 {
    let old = old.load(Ordering::Relaxed);
    u64::try_from((u128::from(old) * 3 + u128::from(new) * 2) / 5).unwrap_or(u64::MAX)
}

/// CPU time of this process in ticks; `None` where `/proc` is not there.
fn cpu_ticks() -> Option<u64> {
    ticks_in(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// User and system time: the 14th and 15th value. The 2nd is a name that may hold anything.
fn ticks_in(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut values = rest.split_whitespace().skip(11);
    let user: u64 = values.next()?.parse().ok()?;
    let system: u64 = values.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20";
        assert_eq!(ticks_in(stat), Some(175));
        assert_eq!(ticks_in("junk"), None);
        assert!(cpu_ticks().is_some());
    }
}
