//! Notifications that leave (RFC 1996): each new serial number to each secondary, until it answers
//! or has been called often enough.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use popnet_answer::Standing;
use popnet_dns::{Name, Rtype};
use popnet_runtime::clock;
use popnet_transfer::{Call, Heralds, Incoming, Key, Rr, Serial, notification, tsig};
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use super::door::seconds;
use super::fetch::random_id;
use crate::shared::Shared;
use crate::views::ZoneKey;

/// An answer takes no longer; what comes later is asked for again.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Calls at a time.
const CALLS_MAX: usize = 64;
/// Nothing to do: look again after so long, whatever happens.
const IDLE: Duration = Duration::from_secs(3_600);

/// A zone's secondaries, and the number they were told last.
#[derive(Default)]
struct Told {
    heralds: Heralds,
    serial: Option<Serial>,
}

/// Who heard of what.
type Heard = (ZoneKey, SocketAddr, Serial);

/// Calls until the role ends.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut news = shared.transfers.press.news();
    let (heard, mut answers) = mpsc::channel::<Heard>(CALLS_MAX);
    let places = Arc::new(Semaphore::new(CALLS_MAX));
    let mut told: BTreeMap<ZoneKey, Told> = BTreeMap::new();
    loop {
        look(&shared, &mut told);
        call(&shared, &mut told, &places, &heard);
        let now = clock::now();
        let next = told.values().filter_map(|zone| zone.heralds.next()).min();
        let wait = next.map_or(IDLE, |next| next.since(now)).max(Duration::from_millis(10));
        tokio::select! {
            () = shared.transfers.shutdown.cancelled() => return,
            () = shared.transfers.recalled.notified() => recall(&shared, &mut told),
            changed = news.changed() => if changed.is_err() { return },
            answer = answers.recv() => {
                if let Some((key, from, serial)) = answer
                    && let Some(zone) = told.get_mut(&key)
                {
                    zone.heralds.answered(from, serial);
                }
            }
            () = sleep(wait) => {}
        }
    }
}

/// Forgets what the secondaries of some zones were told, in each view.
fn recall(shared: &Shared, told: &mut BTreeMap<ZoneKey, Told>) {
    let mut zones = shared.transfers.recall.lock().unwrap_or_else(PoisonError::into_inner);
    let zones = std::mem::take(&mut *zones);
    for (_, zone) in told.iter_mut().filter(|(key, _)| zones.contains(&key.apex)) {
        zone.serial = None;
    }
}

/// Finds zones with another serial number than their secondaries were told.
fn look(shared: &Shared, told: &mut BTreeMap<ZoneKey, Told>) {
    let book = shared.transfers.book.load();
    let table = shared.table.load();
    let now = clock::now();
    let listens = |key: &ZoneKey| book.rules(key).is_some_and(|zone| !zone.secondaries.is_empty());
    told.retain(|key, _| listens(key));
    for (key, rules) in book.all().filter(|(_, rules)| !rules.secondaries.is_empty()) {
        let Some(zone) = table.zone(&key) else { continue };
        let image = zone.image();
        if image.standing() != Standing::Served {
            continue;
        }
        let serial = Serial(image.serial());
        let known = told.entry(key).or_default();
        known.heralds = known.heralds.with(rules.secondaries.iter().copied());
        // Also after a start: what happened meanwhile nobody else tells them.
        if known.serial != Some(serial) {
            known.serial = Some(serial);
            known.heralds.announce(serial, now);
        }
    }
}

fn call(
    shared: &Shared,
    told: &mut BTreeMap<ZoneKey, Told>,
    places: &Arc<Semaphore>,
    heard: &mpsc::Sender<Heard>,
) {
    let book = shared.transfers.book.load();
    let table = shared.table.load();
    let now = clock::now();
    for (at, zone) in told {
        // No place, no attempt: soon there is one.
        let wanted = book.rules(at).map_or(0, |rules| rules.secondaries.len());
        if places.available_permits() < wanted.min(CALLS_MAX) {
            continue;
        }
        let calls = zone.heralds.due(now);
        let Some(soa) = table.zone(at).and_then(|zone| soa(zone.image())) else {
            continue;
        };
        let key = book.rules(at).and_then(|rules| rules.key.clone());
        let key = key.and_then(|name| book.keys.get(&name).cloned());
        for Call { to, serial, attempt } in calls {
            let Ok(place) = Arc::clone(places).try_acquire_owned() else { continue };
            let (at, soa, heard, key) = (at.clone(), soa.clone(), heard.clone(), key.clone());
            tokio::spawn(async move {
                if tell(&at.apex, &soa, to, key.as_ref(), attempt).await {
                    tracing::debug!(zone = %at, %to, %serial, "notified");
                    let _ = heard.send((at, to, serial)).await;
                } else {
                    tracing::info!(zone = %at, %to, %serial, attempt, "a notification was not taken");
                }
                drop(place);
            });
        }
    }
}

pub(super) fn soa(image: &popnet_answer::Image) -> Option<Rr> {
    let set = image.soa()?;
    let rdata = set.records().next()?.into();
    Some(Rr { owner: image.apex().clone(), rtype: Rtype::SOA, ttl: set.ttl, rdata })
}

/// Tells one secondary. A secondary may want notifications signed or not: one that refuses the
/// one form, or is silent to it, gets the other. The message is a hint and no secret.
async fn tell(apex: &Name, soa: &Rr, to: SocketAddr, key: Option<&Arc<Key>>, attempt: u32) -> bool {
    let forms = match key {
        None => [None, None],
        Some(key) if attempt % 2 == 1 => [Some(key), None],
        Some(key) => [None, Some(key)],
    };
    for form in forms {
        match exchange(apex, soa, to, form).await {
            Some(0) => return true,
            Some(_) if key.is_some() => {}
            // NOTIMP, REFUSED: calling again changes nothing, but a restart there may.
            Some(_) | None => return false,
        }
    }
    false
}

/// The code of the answer; `None`: there is none.
async fn exchange(apex: &Name, soa: &Rr, to: SocketAddr, key: Option<&Arc<Key>>) -> Option<u8> {
    let id = random_id();
    let mut message = notification(id, apex, soa);
    if let Some(key) = key {
        tsig::sign(&mut message, key, seconds());
    }
    let any: SocketAddr =
        if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(to).await.ok()?;
    socket.send(&message).await.ok()?;
    let mut buffer = vec![0; 2_048];
    let answer = async {
        loop {
            let length = socket.recv(&mut buffer).await.ok()?;
            let read = Incoming::parse(buffer.get(..length)?).ok();
            if let Some(read) = read.filter(|read| read.id == id && read.is_response) {
                return Some(read.rcode);
            }
        }
    };
    timeout(ANSWER_MAX, answer).await.ok().flatten()
}
