//! Updates (RFC 2136): one after the other, on disk before they are answered.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use popnet_answer::{Image, Standing};
use popnet_dns::{Name, Rcode};
use popnet_runtime::clock;
use popnet_transfer::{Content, Rr, Serial, reply, update};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::book::{Book, ZoneBook};
use super::disk::{FROZEN, Store};
use super::door::{self, Opened};
use super::follow;
use super::press::lines;
use crate::shared::Shared;

/// Zones that can be changed from afar, in their newest state.
pub(super) type Dynamics = Arc<Mutex<BTreeMap<Name, Dynamic>>>;

/// One such zone.
#[derive(Debug)]
pub(super) struct Dynamic {
    pub(super) content: Content,
    /// A person wants no updates for a while.
    pub(super) is_frozen: bool,
    store: Store,
}

/// An update that waits.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) opened: Opened,
    pub(super) from: IpAddr,
    pub(super) way: Way,
}

/// The way back.
#[derive(Debug)]
pub(crate) enum Way {
    Datagram(UdpSocket, SocketAddr),
    Connection(oneshot::Sender<Vec<u8>>),
}

impl Way {
    /// Over `socket` to who asked. `None`: the machine has no descriptor for it.
    pub(crate) fn datagram(socket: &UdpSocket, to: SocketAddr) -> Option<Self> {
        Some(Self::Datagram(socket.try_clone().ok()?, to))
    }

    /// Sends `answer`; whether it arrives the asker knows.
    pub(super) fn answer(self, answer: Vec<u8>) {
        match self {
            Self::Datagram(socket, to) => drop(socket.send_to(&answer, to)),
            Self::Connection(way) => drop(way.send(answer)),
        }
    }
}

/// Carries updates out until the role ends.
pub(super) async fn run(shared: Arc<Shared>, mut waiting: mpsc::Receiver<Order>) {
    loop {
        let order = tokio::select! {
            () = shared.transfers.shutdown.cancelled() => return,
            order = waiting.recv() => order,
        };
        let Some(order) = order else { return };
        let dynamics = Arc::clone(&shared.transfers.dynamics).lock_owned().await;
        let shared = Arc::clone(&shared);
        // The disk is waited for: not on a thread that others need.
        let carried = tokio::task::spawn_blocking(move || {
            let mut dynamics = dynamics;
            settle(&shared, &mut dynamics, order);
        });
        if let Err(error) = carried.await {
            tracing::error!(%error, "an update met a mistake in the program");
        }
    }
}

/// Carries an update out and answers it.
pub(super) fn settle(shared: &Shared, dynamics: &mut BTreeMap<Name, Dynamic>, order: Order) {
    let Order { mut opened, from, way } = order;
    let code = carry_out(shared, dynamics, &opened, from);
    let mut answer = reply(&opened.message, code);
    opened.seal(&mut answer);
    way.answer(answer);
}

fn carry_out(
    shared: &Shared,
    dynamics: &mut BTreeMap<Name, Dynamic>,
    opened: &Opened,
    from: IpAddr,
) -> Rcode {
    let Ok(message) = door::read(&opened.message) else { return Rcode::FORMERR };
    let Some(zone) = message.question.as_ref().map(|zone| zone.name.clone()) else {
        return Rcode::FORMERR;
    };
    let book = shared.transfers.book.load_full();
    let key = opened.key();
    let refuse = |why: &str| {
        tracing::info!(%zone, %from, ?key, why, "an update is refused");
        Rcode::REFUSED
    };
    let table = shared.table.load_full();
    if table.view_of(from, key).is_some_and(|view| view.owns(zone.as_wire())) {
        // What it means to change is not what everybody sees.
        return refuse("whoever sent it is in a view with a zone of its own, which takes none");
    }
    let has_zone = table.catalog.zone(&zone).is_some();
    let Some(rules) = book.zone(&zone).filter(|_| has_zone) else {
        return if has_zone { Rcode::REFUSED } else { Rcode::NOTAUTH };
    };
    if rules.is_secondary() {
        // RFC 2136 6 leaves it to us whether to pass updates on.
        return refuse("this server is a secondary: updates go to the primary");
    }
    let Some(grants) = rules.grants.of(from, key) else {
        return refuse("nothing is granted to who sent it");
    };
    let Some(dynamic) = dynamics.get_mut(&zone) else { return Rcode::SERVFAIL };
    if dynamic.is_frozen {
        return refuse("the zone is frozen; next: popnet zone thaw ZONE");
    }
    match update(&mut dynamic.content, &message, &grants) {
        Ok(None) => Rcode::NOERROR,
        Ok(Some(step)) => {
            let serial = step.to();
            match dynamic.keep(shared, rules, &step) {
                Ok(()) => {
                    tracing::info!(%zone, %from, ?key, %serial, "updated");
                    Rcode::NOERROR
                }
                Err(why) => {
                    tracing::error!(%zone, %why, "an update is not kept");
                    // The step was made just here: it leads back.
                    let _ = dynamic.content.apply(&step.reversed());
                    Rcode::SERVFAIL
                }
            }
        }
        Err(refused) => {
            tracing::info!(%zone, %from, ?key, code = %refused.code, why = %refused.why, "an update is refused");
            refused.code
        }
    }
}

impl Dynamic {
    /// To disk, and then into answers.
    fn keep(
        &mut self,
        shared: &Shared,
        rules: &ZoneBook,
        step: &popnet_transfer::Difference,
    ) -> Result<(), String> {
        let limits = rules.limits;
        if self.content.len() > limits.records || self.content.octets() > limits.octets {
            return Err("the zone would pass max_records or max_size".to_owned());
        }
        let image = compile(&self.content)?;
        let now = clock::now();
        self.store.append(step, &self.content, now).map_err(|error| error.to_string())?;
        shared.transfers.press.zone(shared, Arc::new(image));
        Ok(())
    }
}

/// The form that answers are made from.
pub(super) fn compile(content: &Content) -> Result<Image, String> {
    Image::build(content.to_file())
        .map_err(|flaws| flaws.first().map_or_else(|| "no zone".to_owned(), ToString::to_string))
}

/// The form that can be changed.
pub(super) fn content(image: &Image) -> Content {
    let apex = image.apex();
    let whole = lines(image).filter_map(|line| {
        let owner = Name::from_wire(&[line.owner, apex.as_wire()].concat())?;
        Some(Rr { owner, rtype: line.rtype, ttl: line.ttl, rdata: line.rdata.into() })
    });
    Content::of(apex.clone(), whole)
}

/// Takes the zones of a new configuration up: each in the state that was kept, or as its file has
/// it, whichever has the later serial number.
pub(super) async fn adopt(shared: &Arc<Shared>, book: &Arc<Book>) {
    let dynamics = Arc::clone(&shared.transfers.dynamics).lock_owned().await;
    let (shared, book) = (Arc::clone(shared), Arc::clone(book));
    let adopted = tokio::task::spawn_blocking(move || {
        let mut dynamics = dynamics;
        dynamics.retain(|apex, _| book.zone(apex).is_some_and(|rules| rules.is_dynamic()));
        for (apex, _) in book.zones().filter(|(_, rules)| rules.is_dynamic()) {
            if let Err(why) = adopt_one(&shared, &mut dynamics, apex) {
                tracing::error!(zone = %apex, %why, "this zone cannot be updated");
            }
        }
    });
    if let Err(error) = adopted.await {
        tracing::error!(%error, "zones cannot be taken up");
    }
}

fn adopt_one(
    shared: &Shared,
    dynamics: &mut BTreeMap<Name, Dynamic>,
    apex: &Name,
) -> Result<(), String> {
    let text = |error: popnet_runtime::files::FileError| error.to_string();
    let file = shared.transfers.files.load().get(apex).cloned();
    let file = file.filter(|image| image.standing() == Standing::Served);
    let was_known = dynamics.contains_key(apex);
    let known = match dynamics.remove(apex) {
        Some(Dynamic { content, store, .. }) => (store, Some(content)),
        None => shared.transfers.folder.open(apex).map_err(text)?,
    };
    let (mut store, kept) = known;
    let later = |kept: &Content, file: &Image| {
        let serial = kept.numbers().map(|soa| soa.serial);
        serial.is_none_or(|serial| Serial(file.serial()).is_after(serial))
    };
    let content = match (kept, file) {
        (Some(kept), Some(file)) if !later(&kept, &file) => kept,
        (Some(kept), None) => kept,
        (_, Some(file)) => {
            let content = content(&file);
            store.replace(&content, clock::now()).map_err(text)?;
            content
        }
        (None, None) => return Err("there is neither a file nor a kept state".to_owned()),
    };
    // The next table takes it up. Mostly it is what is served already.
    let served = follow::current(shared, apex).map(|(_, soa)| soa);
    if !was_known || served != content.numbers() {
        shared.transfers.press.lay(Arc::new(compile(&content)?));
    }
    let is_frozen = shared.transfers.folder.path(apex, FROZEN).exists();
    dynamics.insert(apex.clone(), Dynamic { content, is_frozen, store });
    Ok(())
}
