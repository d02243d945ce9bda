//! Copies of questions and answers: dnstap for other programs, a log of lines for people. Whoever
//! answers leaves a batch in a bounded queue and goes on; a thread a copy writes. What finds no
//! room is counted and forgotten.
//!
//! - `record`: what is kept of an exchange until it is written.
//! - `sink`: the queue and the thread behind it.
//! - `rotating`, `stream`: into files that follow each other, and to a reader on a Unix socket.
//! - `line`: an exchange as a line. As dnstap it is written by `popnet_dns::Dnstap`.

mod line;
mod record;
mod rotating;
mod sink;
mod stream;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use popnet_config::network::{Dns, DnsTap, QueryLog};
use popnet_dns::Control;
use popnet_terms::NodeName;
use popnet_wire::counting::TapCounts;
use xxhash_rust::xxh3::xxh3_64;

use crate::table::threshold;
pub(crate) use record::{Batch, Copied};
use rotating::Rotating;
use sink::{Form, Output, Sink};
use stream::Stream;

/// How long the last copies may take when the role ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where copies go. Built from the configuration, kept while that says the same.
#[derive(Debug)]
pub(crate) struct Tap {
    rules: Rules,
    sinks: Vec<Sink>,
    /// The largest share that anybody wants.
    threshold: u64,
}

/// What the configuration says.
#[derive(Clone, Debug, PartialEq)]
struct Rules {
    tap: Option<DnsTap>,
    log: Option<QueryLog>,
}

impl Tap {
    /// What `dns` says; `before` goes on when it said the same. Relative paths are in `folder`.
    pub(crate) fn follow(
        dns: &Dns,
        node: &NodeName,
        folder: &Path,
        before: Option<&Arc<Self>>,
    ) -> Option<Arc<Self>> {
        let rules = Rules { tap: dns.tap.clone(), log: dns.query_log.clone() };
        if let Some(same) = before.filter(|tap| tap.rules == rules) {
            return Some(Arc::clone(same));
        }
        // Two threads would write one file: each new one waits for the end of those before.
        let ending = before.map(|tap| tap.sinks.iter().filter_map(Sink::thread).collect());
        let mut ending: Vec<_> = ending.unwrap_or_default();
        let mut sinks = Vec::new();
        let identity = node.to_string();
        if let Some(said) = &rules.tap {
            let form = Form::Dnstap { identity: identity.clone(), messages: said.messages };
            let sample = threshold(said.sample.unwrap_or(1.0));
            let output = match (&said.file, &said.socket) {
                (Some(file), _) => {
                    let file = Rotating::new(folder.join(file), said.max_size(), said.keep());
                    let (mut head, mut tail) = (Vec::new(), Vec::new());
                    Control::Start.write(&mut head);
                    Control::Stop.write(&mut tail);
                    Some(Output::File(file.framed(head, tail)))
                }
                (None, Some(socket)) => Some(Output::Socket(Stream::new(folder.join(socket)))),
                (None, None) => None,
            };
            if let Some(output) = output {
                sinks.push(Sink::start(
                    "dnstap",
                    form,
                    output,
                    sample,
                    std::mem::take(&mut ending),
                ));
            }
        }
        if let Some(said) = &rules.log {
            let form = Form::Lines { node: identity, format: said.format };
            let sample = threshold(said.sample.unwrap_or(1.0));
            let file = Rotating::new(folder.join(&said.file), said.max_size(), said.keep());
            sinks.push(Sink::start("query_log", form, Output::File(file), sample, ending));
        }
        let threshold = sinks.iter().map(Sink::threshold).max()?;
        Some(Arc::new(Self { rules, sinks, threshold }))
    }

    /// A number for an exchange, when somebody wants a copy of it. Shares are of such numbers.
    pub(crate) fn draw(&self, from: SocketAddr, packet: &[u8], now: i64) -> Option<u64> {
        Some(mixed(from, packet, now)).filter(|number| *number <= self.threshold)
    }

    /// Leaves a batch for everybody who writes. Never waits.
    pub(crate) fn leave(&self, batch: Batch) {
        let batch = Arc::new(batch);
        for sink in &self.sinks {
            sink.leave(&batch);
        }
    }

    /// How each copy goes.
    pub(crate) fn progress(&self) -> Vec<TapCounts> {
        self.sinks.iter().map(Sink::progress).collect()
    }

    /// Writes what is left and ends files and streams as their readers expect it. Waits, but not
    /// for long.
    pub(crate) fn finish(&self) {
        let until = Instant::now() + FAREWELL;
        self.sinks.iter().for_each(Sink::end);
        while self.sinks.iter().any(|sink| !sink.is_over()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        for TapCounts { name, place, written, dropped, trouble } in self.progress() {
            tracing::info!(
                %name,
                place,
                written,
                dropped,
                ?trouble,
                "copies of exchanges have ended"
            );
        }
    }
}

/// Evenly spread over all numbers, whatever somebody asks.
fn mixed(from: SocketAddr, packet: &[u8], now: i64) -> u64 {
    let mut octets = [0; 12];
    let (time, rest) = octets.split_at_mut(8);
    time.copy_from_slice(&now.to_ne_bytes());
    let (port, number) = rest.split_at_mut(2);
    port.copy_from_slice(&from.port().to_ne_bytes());
    number.copy_from_slice(packet.first_chunk::<2>().unwrap_or(&[0; 2]));
    xxh3_64(&octets)
}
