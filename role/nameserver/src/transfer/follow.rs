//! Secondary zones: each has a task that looks at its primaries when its timers or a notification
//! say so, keeps what came, and takes the zone out of answers when it expires.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock, PoisonError};
use std::time::Duration;

use popnet_answer::{Image, Standing};
use popnet_dns::{Name, Rcode};
use popnet_runtime::clock;
use popnet_terms::Timestamp;
use popnet_transfer::{Arrived, Content, Key, Secondary, Serial, Soa, is_intact, reply};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::book::{Book, Source, ZoneBook};
use super::door::{self, Opened};
use super::fetch::{Primary, is_news};
use super::{change, herald};
use crate::shared::Shared;

/// Transfers that come in at a time: each may hold a whole zone, in up to three forms for a moment.
static IN: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(4));
/// Nothing to do: look again after so long, whatever happens.
const IDLE: Duration = Duration::from_secs(3_600);

/// Tasks of secondary zones.
pub(super) type Followers = BTreeMap<Name, Follower>;

/// One of them.
#[derive(Debug)]
pub(super) struct Follower {
    /// How far it is.
    pub(super) said: watch::Sender<Said>,
    rules: Arc<ZoneBook>,
    stop: CancellationToken,
    /// Notifications; one that waits stands for all.
    pub(super) news: mpsc::Sender<Option<Serial>>,
}

/// How a secondary zone stands after its last look at the primaries.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) confirmed: Option<Timestamp>,
    pub(super) next: Option<Timestamp>,
    pub(super) expires: Option<Timestamp>,
    pub(super) trouble: Option<String>,
}

/// What was kept of secondary zones, and since when it is good.
pub(super) type Kept = BTreeMap<Name, (Soa, Timestamp)>;

/// Publishes what was kept of secondary zones that are new here. The images go into answers with
/// the next table.
pub(super) async fn restore(shared: &Arc<Shared>, book: &Arc<Book>) -> Kept {
    let (shared, book) = (Arc::clone(shared), Arc::clone(book));
    let restored = tokio::task::spawn_blocking(move || {
        let mut all = Kept::new();
        for (apex, _) in book.zones().filter(|(_, rules)| rules.is_secondary()) {
            if is_followed(&shared, apex) {
                continue;
            }
            let Some(kept) = shared.transfers.folder.load(apex) else { continue };
            let (Some(soa), Ok(image)) = (kept.content.numbers(), change::compile(&kept.content))
            else {
                continue;
            };
            let is_good =
                !Secondary::new(Some((soa, kept.confirmed)), clock::now()).is_expired(clock::now());
            if is_good {
                shared.transfers.press.lay(Arc::new(image));
            }
            all.insert(apex.clone(), (soa, kept.confirmed));
        }
        all
    });
    restored.await.unwrap_or_default()
}

fn is_followed(shared: &Shared, apex: &Name) -> bool {
    let followers = shared.transfers.followers.lock().unwrap_or_else(PoisonError::into_inner);
    followers.contains_key(apex)
}

/// Starts tasks for the secondary zones of a configuration, and ends those that it has no more.
pub(super) fn start(shared: &Arc<Shared>, book: &Book, mut kept: Kept) {
    let mut followers = shared.transfers.followers.lock().unwrap_or_else(PoisonError::into_inner);
    followers.retain(|apex, follower| {
        let stays = book.zone(apex).is_some_and(|rules| rules.is_secondary());
        if !stays {
            follower.stop.cancel();
        }
        stays
    });
    for (apex, rules) in book.zones().filter(|(_, rules)| rules.is_secondary()) {
        let running = followers.get(apex);
        if running.is_some_and(|running| running.rules == *rules) {
            continue;
        }
        let have = match running {
            // Other primaries or another key: a new task goes on with what is served.
            Some(running) => {
                running.stop.cancel();
                current(shared, apex).map(|(_, soa)| (soa, clock::now()))
            }
            None => kept.remove(apex),
        };
        let (news, heard) = mpsc::channel(1);
        let stop = shared.transfers.shutdown.child_token();
        let zone = Secondary::new(have, clock::now());
        let said = watch::Sender::new(Said::of(&zone, None));
        let follower =
            Follower { said: said.clone(), rules: Arc::clone(rules), stop: stop.clone(), news };
        let task = Task {
            shared: Arc::clone(shared),
            apex: apex.clone(),
            rules: Arc::clone(rules),
            zone,
            said,
            is_lacking: current(shared, apex).is_none(),
            failing: false,
        };
        tokio::spawn(task.run(heard, stop));
        followers.insert(apex.clone(), follower);
    }
}

/// The state of a zone that answers come from.
pub(super) fn current(shared: &Shared, apex: &Name) -> Option<(Arc<Image>, Soa)> {
    let table = shared.table.load();
    let zone = table.catalog.zone(apex)?;
    // What we add by signing is none of the primary's business.
    let image = Arc::clone(zone.unsigned().unwrap_or(zone.image()));
    if image.standing() != Standing::Served {
        return None;
    }
    let soa = Soa::of(&herald::soa(&image)?.rdata)?;
    Some((image, soa))
}

/// Takes a notification (RFC 1996 3.10, 3.11); gives the answer.
pub(super) fn notified(shared: &Shared, opened: &Opened, from: IpAddr) -> Vec<u8> {
    let told = match door::read(&opened.message) {
        Ok(told) => told,
        Err(reply) => return reply,
    };
    let code = match &told.question {
        None => Rcode::FORMERR,
        Some(question) => {
            let apex = &question.name;
            let book = shared.transfers.book.load();
            match book.zone(apex) {
                None => Rcode::NOTAUTH,
                Some(rules) if !rules.is_secondary() => Rcode::REFUSED,
                Some(rules) if !rules.notify.allows(from, opened.key()) => Rcode::REFUSED,
                Some(_) => {
                    let serial =
                        told.soas().find(|(owner, _)| *owner == apex).map(|(_, soa)| soa.serial);
                    let followers =
                        shared.transfers.followers.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(follower) = followers.get(apex) {
                        let _ = follower.news.try_send(serial);
                    }
                    Rcode::NOERROR
                }
            }
        }
    };
    reply(&opened.message, code)
}

impl Said {
    fn of(zone: &Secondary, trouble: Option<String>) -> Self {
        let (confirmed, next, expires) = (zone.confirmed_at(), zone.next(), zone.expires());
        Self { confirmed, next, expires, trouble }
    }
}

/// One secondary zone.
struct Task {
    shared: Arc<Shared>,
    apex: Name,
    rules: Arc<ZoneBook>,
    zone: Secondary,
    said: watch::Sender<Said>,
    is_lacking: bool,
    failing: bool,
}

impl Task {
    async fn run(mut self, mut news: mpsc::Receiver<Option<Serial>>, stop: CancellationToken) {
        loop {
            let now = clock::now();
            if self.zone.is_expired(now) && !self.is_lacking {
                self.expire();
            }
            if self.zone.is_due(now) {
                self.zone.begin();
                let looked = tokio::select! {
                    () = stop.cancelled() => return,
                    looked = self.look() => looked,
                };
                self.settle(looked);
                continue;
            }
            let expires = self.zone.expires().filter(|_| !self.is_lacking);
            let next = self.zone.next().into_iter().chain(expires).min();
            let wait = next.map_or(IDLE, |next| next.since(now)).max(Duration::from_millis(10));
            tokio::select! {
                () = stop.cancelled() => return,
                heard = news.recv() => match heard {
                    Some(serial) => self.zone.notified(serial, clock::now()),
                    None => return,
                },
                () = sleep(wait) => {}
            }
        }
    }

    /// RFC 1034 4.3.5: rather no answer than one that may be wrong for days.
    fn expire(&mut self) {
        tracing::error!(
            zone = %self.apex,
            "the zone has expired: no primary could be reached; it is answered with SERVFAIL"
        );
        let lacking = Arc::new(Image::lacking(self.apex.clone()));
        self.shared.transfers.press.zone(&self.shared, lacking);
        self.is_lacking = true;
    }

    fn settle(&mut self, looked: Result<Soa, String>) {
        let now = clock::now();
        let mut trouble = None;
        match looked {
            Ok(soa) => {
                if self.failing {
                    tracing::info!(zone = %self.apex, "a primary answers again");
                }
                self.failing = false;
                self.is_lacking = false;
                self.zone.confirmed(soa, now);
                if let Err(error) = self.shared.transfers.folder.confirm(&self.apex, now) {
                    tracing::warn!(zone = %self.apex, %error, "not kept: a restart transfers again");
                }
            }
            Err(why) => {
                if !self.failing {
                    tracing::warn!(zone = %self.apex, why = %why, "no primary could be asked");
                }
                self.failing = true;
                self.zone.failed(now);
                trouble = Some(why);
            }
        }
        self.said.send_replace(Said::of(&self.zone, trouble));
    }

    /// Asks each primary until one has an answer.
    async fn look(&self) -> Result<Soa, String> {
        let mut troubles = Vec::new();
        let mut confirmed = None;
        for source in &self.rules.primaries {
            let at = source.at;
            match self.look_at(source).await {
                // Another may be ahead of this one.
                Ok(Looked::Same(soa)) => confirmed = Some(soa),
                Ok(Looked::New(soa)) => return Ok(soa),
                Err(why) => troubles.push(format!("{at}: {why}")),
            }
        }
        confirmed.ok_or_else(|| troubles.join("; "))
    }

    async fn look_at(&self, source: &Source) -> Result<Looked, String> {
        let at = source.at;
        let key = match &self.rules.key {
            None => None,
            Some(name) => {
                let key = self.shared.transfers.book.load().keys.get(name).cloned();
                Some(key.ok_or_else(|| format!("key {name} is not on this node"))?)
            }
        };
        let primary = primary(&self.shared, source, key);
        let theirs = primary.soa(&self.apex).await?;
        let mut have = current(&self.shared, &self.apex);
        if have.is_none() {
            // Expired, but perhaps still the newest: it can be served again without a transfer.
            have = self.kept().await;
        }
        if let Some((image, ours)) = &have
            && !is_news(theirs.serial, Some(ours.serial))
        {
            if self.is_lacking && theirs.serial == ours.serial {
                self.shared.transfers.press.zone(&self.shared, Arc::clone(image));
            }
            return if ours.serial.is_after(theirs.serial) && !self.is_lacking {
                Err(format!("it has serial {}, older than ours, {}", theirs.serial, ours.serial))
            } else {
                Ok(Looked::Same(*ours))
            };
        }
        let _place = IN.acquire().await.map_err(|error| error.to_string())?;
        let soa = have.as_ref().and_then(|(image, _)| herald::soa(image));
        let arrived = primary.zone(&self.apex, soa.as_ref(), self.rules.limits).await?;
        self.take(at, arrived, have.map(|(image, _)| image)).await
    }

    async fn kept(&self) -> Option<(Arc<Image>, Soa)> {
        let (folder, apex) = (self.shared.transfers.folder.clone(), self.apex.clone());
        let load = tokio::task::spawn_blocking(move || {
            let content = folder.load(&apex)?.content;
            let soa = content.numbers()?;
            Some((Arc::new(change::compile(&content).ok()?), soa))
        });
        load.await.ok().flatten()
    }

    /// Keeps and publishes what arrived.
    async fn take(
        &self,
        at: SocketAddr,
        arrived: Arrived,
        have: Option<Arc<Image>>,
    ) -> Result<Looked, String> {
        let (shared, apex, limits) =
            (Arc::clone(&self.shared), self.apex.clone(), self.rules.limits);
        let took = tokio::task::spawn_blocking(move || {
            let (content, said) = match arrived {
                Arrived::Unchanged(_) | Arrived::AskWhole => {
                    let soa = have.and_then(|image| Soa::of(&herald::soa(&image)?.rdata));
                    return soa.map(Looked::Same).ok_or_else(|| "it sends nothing".to_owned());
                }
                Arrived::Whole(records) => (Content::of(apex.clone(), records), "whole"),
                Arrived::Steps(steps) => {
                    let image = have.ok_or("differences to nothing")?;
                    let mut content = change::content(&image);
                    for step in &steps {
                        content.apply(step)?;
                    }
                    (content, "differences")
                }
            };
            if let Some(fault) = content.fault() {
                return Err(fault);
            }
            if content.len() > limits.records || content.octets() > limits.octets {
                return Err("the zone is larger than max_records or max_size".to_owned());
            }
            if is_intact(&content) == Some(false) {
                return Err("its digest (ZONEMD) does not fit its records".to_owned());
            }
            let soa = content.numbers().ok_or("no SOA record")?;
            let image = change::compile(&content)?;
            // First to disk: what was answered once is there after a restart.
            if let Err(error) = shared.transfers.folder.save(&content, clock::now()) {
                tracing::warn!(zone = %apex, %error, "not kept: a restart transfers again");
            }
            tracing::info!(zone = %apex, primary = %at, serial = %soa.serial, said, "transferred");
            shared.transfers.press.zone(&shared, Arc::new(image));
            Ok(Looked::New(soa))
        });
        took.await.map_err(|error| error.to_string())?
    }
}

/// A primary, ready to be asked.
pub(super) fn primary(shared: &Shared, source: &Source, key: Option<Arc<Key>>) -> Primary {
    let authorities = shared.transfers.book.load().authorities.clone();
    let tls = source.tls.clone().map(|rule| (rule, authorities));
    Primary { at: source.at, key, tls }
}

/// What a look at a primary brought.
enum Looked {
    /// What we have is the newest.
    Same(Soa),
    /// A newer state, which is published.
    New(Soa),
}
