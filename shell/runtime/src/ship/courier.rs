//! Brings one customer's spooled batches to its log server, lowest number first, a few at a time,
//! until each is acknowledged. Whatever fails is tried again, with growing waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use popnet_wire::frame::{Conversation, FrameError, decode};
use popnet_wire::logging::{Ack, Receipt};
use tokio::sync::Mutex;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};

use super::Locate;
use super::spool::Queue;
use crate::backoff::Backoff;
use crate::quic::{Connection, Endpoint};

/// Batches on their way at once, for one customer.
const WINDOW: usize = 8;
/// The name server answers in a moment or not at all.
const LOCATE_MAX: Duration = Duration::from_secs(5);
/// Sending, the log server's disk, and the acknowledgement: first and longest patience. A server
/// that was killed says nothing, so the first is short; one that is only slow stores what it got
/// and calls the next attempt a duplicate, so it doubles.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(32));
/// An acknowledgement is a few names and a sentence.
const ACK_MAX: usize = 4 << 10;
/// First and longest wait after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// A batch that the log server cannot read is sent again after so long: the octets may have been
/// spoilt on the way, or the server may learn its layout by an upgrade.
const CORRUPT_PAUSE: Duration = Duration::from_secs(10);
/// Log servers whose connection is kept. A network has fewer.
const LINES_MAX: usize = 64;

/// A log server: where, and the name in its certificate.
type Place = (SocketAddr, String);

/// Connections to log servers, shared by every customer's courier.
#[derive(Debug)]
pub(super) struct Lines {
    endpoint: Endpoint,
    open: Mutex<HashMap<Place, Arc<Mutex<Option<Connection>>>>>,
}

impl Lines {
    /// None open yet.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, open: Mutex::default() }
    }

    /// The connection with the server at `place`, opened when there is none.
    async fn get(&self, place: Place) -> Result<Connection, String> {
        let line = {
            let mut open = self.open.lock().await;
            if open.len() >= LINES_MAX && !open.contains_key(&place) {
                open.clear();
            }
            Arc::clone(open.entry(place.clone()).or_default())
        };
        let mut line = line.lock().await;
        if let Some(connection) = line.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let (address, hostname) = place;
        let connection = self
            .endpoint
            .connect(address, &hostname)
            .await
            .map_err(|error| format!("{hostname} at {address}: {error}"))?;
        *line = Some(connection.clone());
        Ok(connection)
    }

    /// Ends every connection.
    pub(super) async fn close(&self) {
        self.endpoint.close().await;
    }
}

/// How a flight ended.
enum Landing {
    Answered(Receipt),
    /// Acknowledged meanwhile, or damaged and put aside.
    Gone,
    Failed(String),
    Late,
}

/// One customer's courier.
pub(super) struct Courier {
    queue: Arc<Queue>,
    lines: Arc<Lines>,
    locate: Locate,
    line: Option<Connection>,
    flights: JoinSet<(u64, Landing)>,
    aloft: BTreeSet<u64>,
    grounded: BTreeMap<u64, Instant>,
    backoff: Backoff,
    patience: Duration,
    resume: Option<Instant>,
}

impl Courier {
    /// A courier for `queue`.
    pub(super) fn new(queue: Arc<Queue>, lines: Arc<Lines>, locate: Locate) -> Self {
        Self {
            queue,
            lines,
            locate,
            line: None,
            flights: JoinSet::new(),
            aloft: BTreeSet::new(),
            grounded: BTreeMap::new(),
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
            patience: PATIENCE.0,
            resume: None,
        }
    }

    /// Works until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let now = Instant::now();
            self.grounded.retain(|_, until| *until > now);
            if self.resume.is_none_or(|resume| resume <= now) {
                self.take_off().await;
            }
            let wake = self.resume.into_iter().chain(self.grounded.values().copied()).min();
            let wake = wake.filter(|wake| *wake > Instant::now());
            tokio::select! {
                Some(landed) = self.flights.join_next() => match landed {
                    Ok((seq, landing)) => self.land(seq, landing).await,
                    Err(_) => self.aloft.clear(),
                },
                () = self.queue.arrived.notified() => {}
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    fn next(&self) -> Option<u64> {
        let free = |seq| !self.aloft.contains(&seq) && !self.grounded.contains_key(&seq);
        self.queue.first_where(free)
    }

    async fn take_off(&mut self) {
        while self.flights.len() < WINDOW {
            let Some(seq) = self.next() else { return };
            let connection = match self.connected().await {
                Ok(connection) => connection,
                Err(why) => return self.pause(&why),
            };
            self.aloft.insert(seq);
            let (queue, patience) = (Arc::clone(&self.queue), self.patience);
            self.flights.spawn(async move {
                let flight = timeout(patience, fly(queue, connection, seq)).await;
                (seq, flight.unwrap_or(Landing::Late))
            });
        }
    }

    async fn connected(&mut self) -> Result<Connection, String> {
        if let Some(line) = self.line.as_ref().filter(|line| !line.is_closed()) {
            return Ok(line.clone());
        }
        let place = timeout(LOCATE_MAX, (self.locate)(self.queue.customer().clone()))
            .await
            .map_err(|_| "finding the log server took too long".to_owned())?
            .ok_or_else(|| "no log server is known".to_owned())?;
        let line = self.lines.get(place).await?;
        self.line = Some(line.clone());
        Ok(line)
    }

    async fn land(&mut self, seq: u64, landing: Landing) {
        self.aloft.remove(&seq);
        match landing {
            Landing::Answered(Receipt::Stored | Receipt::Duplicate) => {
                self.queue.acknowledge(seq);
                self.backoff.reset();
                self.patience = PATIENCE.0;
                if self.resume.take().is_some() {
                    tracing::info!(customer = %self.queue.customer(), waiting = self.queue.len(),
                        "log batches get through again");
                }
            }
            Landing::Answered(Receipt::Corrupt) => {
                tracing::warn!(customer = %self.queue.customer(), seq,
                    "the log server cannot read a batch; it will be sent again");
                self.grounded.insert(seq, Instant::now() + CORRUPT_PAUSE);
            }
            Landing::Answered(Receipt::Refused(why)) => {
                self.pause(&format!("refused: {why}"));
            }
            Landing::Answered(Receipt::Taken { last }) => {
                tracing::warn!(customer = %self.queue.customer(), seq, last,
                    "the log server has another batch by this number: this node's state was \
                     replaced; numbering goes on above");
                let queue = Arc::clone(&self.queue);
                let renumbered = spawn_blocking(move || queue.renumber(seq, last)).await;
                if let Ok(Err(error)) = renumbered {
                    self.pause(&format!("the spool: {error}"));
                }
            }
            Landing::Gone => {}
            Landing::Failed(why) => self.pause(&why),
            Landing::Late => {
                if let Some(line) = &self.line {
                    line.close("no acknowledgement");
                    self.patience = (self.patience * 2).min(PATIENCE.1);
                }
                self.pause("no acknowledgement");
            }
        }
    }

    /// Waits before the next attempt, and asks anew where to go. Flights that end together are one
    /// failure.
    fn pause(&mut self, why: &str) {
        self.line = None;
        let now = Instant::now();
        if self.resume.is_some_and(|resume| resume > now) {
            return;
        }
        if self.resume.is_none() {
            tracing::warn!(customer = %self.queue.customer(), waiting = self.queue.len(), why,
                "log batches do not get through; they stay in the spool");
        }
        self.resume = Some(now + self.backoff.step());
    }
}

async fn fly(queue: Arc<Queue>, connection: Connection, seq: u64) -> Landing {
    let loaded = spawn_blocking(move || queue.load(seq)).await;
    let packed = match loaded {
        Ok(Ok(Some(packed))) => packed,
        Ok(Ok(None)) => return Landing::Gone,
        Ok(Err(error)) => return Landing::Failed(format!("the spool: {error}")),
        Err(error) => return Landing::Failed(format!("the spool: {error}")),
    };
    match exchange(&connection, &packed).await {
        // A batch that cannot be read has no number: the stream says which it was.
        Ok(ack) if ack.id.seq == seq || ack.result == Receipt::Corrupt => {
            Landing::Answered(ack.result)
        }
        Ok(_) => Landing::Failed("an acknowledgement of another batch".to_owned()),
        Err(why) => Landing::Failed(why),
    }
}

/// One batch, one stream: the batch there, the acknowledgement back.
async fn exchange(connection: &Connection, packed: &[u8]) -> Result<Ack, String> {
    let (mut send, mut receive) = connection.open_bi().await.map_err(|e| e.to_string())?;
    send.write_all(packed).await.map_err(|e| e.to_string())?;
    send.finish().map_err(|e| e.to_string())?;
    let octets = receive.read_to_end(ACK_MAX).await.map_err(|e| e.to_string())?;
    decode_ack(&octets).map_err(|e| e.to_string())
}

/// The acknowledgement in `octets`. Takes any octets.
///
/// # Errors
/// They are none.
pub fn decode_ack(octets: &[u8]) -> Result<Ack, FrameError> {
    decode(Conversation::Logging, octets)
}

#[cfg(test)]
mod tests {
    use super::decode_ack;

    #[test]
    fn junk_is_no_acknowledgement() {
        for seed in 0..2_000u32 {
            let junk: Vec<u8> = (0..seed % 64)
                .map(|n| (seed.wrapping_mul(2_654_435_761) >> (n % 24)).to_le_bytes()[0])
                .collect();
            assert!(decode_ack(&junk).is_err());
        }
    }
}
