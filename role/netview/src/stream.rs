//! Live events: at most one a topic and second, coalesced. Each event carries its topic whole, so
//! that a reader who missed some needs only the next: nothing is kept or replayed for anybody.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use futures_util::Stream;
use popnet_terms::Timestamp;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::access::{self, Who};
use crate::app::App;
use crate::pulse::Snapshot;
use crate::refusal::Refusal;
use crate::topic::{Form, Topic};

/// Streams at a time, all users: each draws its topics once a second.
const STREAMS_MAX: usize = 256;

/// Streams of one user: as many as visible windows.
const STREAMS_OF_ONE: usize = 16;

/// Most topics of one stream.
const TOPICS_MAX: usize = 8;

/// Shortest time between two events of one topic: a look a second, less the clock's wobble.
const STEP: Duration = Duration::from_millis(950);

/// A stream ends after so long; the browser opens the next by itself.
const LIFE: Duration = Duration::from_secs(600);

/// How often a stream looks whether its session still holds.
const CHECK: Duration = Duration::from_secs(30);

/// When nothing has changed for so long, a `tick` says so: "live and quiet" must not look like
/// "gone".
const TICK: Duration = Duration::from_secs(5);

/// Counts open streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    open: Arc<Mutex<HashMap<String, usize>>>,
}

#[derive(Debug)]
struct Slot {
    streams: Streams,
    user: String,
}

impl Streams {
    fn open(&self, user: &str) -> Option<Slot> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.values().sum::<usize>() >= STREAMS_MAX {
            return None;
        }
        let own = open.entry(user.to_owned()).or_default();
        if *own >= STREAMS_OF_ONE {
            return None;
        }
        *own += 1;
        Some(Slot { streams: self.clone(), user: user.to_owned() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.user) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                open.remove(&self.user);
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Wish {
    topics: String,
    #[serde(default)]
    form: Form,
}

/// `GET /api/v1/stream?topics=pops,figures`.
pub(crate) async fn stream(
    State(app): State<App>,
    who: Who,
    Query(wish): Query<Wish>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let topics = topics(&app, &who, &wish.topics).map_err(|no| no.for_api(true))?;
    let slot = app.shared.streams.open(who.name()).ok_or_else(|| {
        Refusal::busy("Too many live streams are open; close some windows.", 10).for_api(true)
    })?;
    let feed = Feed::new(app, who, topics, wish.form, slot);
    let events = futures_util::stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok(event), feed))
    });
    Ok(Sse::new(events))
}

fn topics(app: &App, who: &Who, text: &str) -> Result<Vec<Topic>, Refusal> {
    let names: Vec<&str> = text.split(',').filter(|name| !name.is_empty()).collect();
    if names.is_empty() || names.len() > TOPICS_MAX {
        return Err(Refusal::bad(format!("topics= names 1 to {TOPICS_MAX} topics.")));
    }
    names.into_iter().map(|name| Topic::parse(name, who, &app.shared)).collect()
}

struct Feed {
    app: App,
    who: Who,
    form: Form,
    topics: Vec<Sent>,
    looks: watch::Receiver<Arc<Snapshot>>,
    jobs: watch::Receiver<u64>,
    ready: VecDeque<Event>,
    end: Instant,
    check: Instant,
    tick: Instant,
    _slot: Slot,
}

struct Sent {
    topic: Topic,
    last: String,
    at: Option<Instant>,
}

impl Feed {
    fn new(app: App, who: Who, topics: Vec<Topic>, form: Form, slot: Slot) -> Self {
        let now = Instant::now();
        let topics = topics.into_iter();
        Self {
            looks: app.shared.pulse.follow(),
            jobs: app.shared.jobs.follow(),
            app,
            who,
            form,
            topics: topics.map(|topic| Sent { topic, last: String::new(), at: None }).collect(),
            ready: VecDeque::new(),
            end: now + LIFE,
            check: now + CHECK,
            tick: now + TICK,
            _slot: slot,
        }
    }

    /// The next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let now = Instant::now();
            if let Some(event) = self.ready.pop_front() {
                self.tick = now + TICK;
                return Some(event);
            }
            if now >= self.end || !self.still_allowed(now).await {
                return None;
            }
            let due = self.draw(now);
            if !self.ready.is_empty() {
                continue;
            }
            if now >= self.tick {
                let snapshot = self.app.shared.pulse.snapshot();
                self.ready.push_back(event("tick", &snapshot, "{}"));
                continue;
            }
            let wake = due.unwrap_or(self.end).min(self.check).min(self.tick).min(self.end);
            let shutdown = self.app.shared.shutdown.clone();
            tokio::select! {
                () = shutdown.cancelled() => return None,
                looked = self.looks.changed() => looked.ok()?,
                changed = self.jobs.changed() => changed.ok()?,
                () = sleep_until(wake) => {}
            }
        }
    }

    async fn still_allowed(&mut self, now: Instant) -> bool {
        if now < self.check {
            return true;
        }
        self.check = now + CHECK;
        matches!(access::find(&self.app, self.who.token().to_owned()).await, Ok(Some(_)))
    }

    /// Puts what has changed into `ready`; gives back when a topic that may not speak yet may.
    fn draw(&mut self, now: Instant) -> Option<Instant> {
        let snapshot = self.looks.borrow_and_update().clone();
        let mut due: Option<Instant> = None;
        for sent in &mut self.topics {
            let next = sent.at.map(|at| at + STEP).filter(|next| *next > now);
            if let Some(next) = next {
                due = Some(due.map_or(next, |due| due.min(next)));
                continue;
            }
            let data = sent.topic.draw(&snapshot, &self.who, &self.app.shared, self.form);
            if data != sent.last {
                self.ready.push_back(event(&sent.topic.name(), &snapshot, &data));
                sent.last = data;
                sent.at = Some(now);
            }
        }
        due
    }
}

fn event(name: &str, snapshot: &Snapshot, data: &str) -> Event {
    let Timestamp(at) = snapshot.at;
    Event::default().event(name).id(format!("{at}-{}", snapshot.seq)).data(data)
}
