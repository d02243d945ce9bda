//! What a person orders about one zone: a look at its primaries, a call to its secondaries, no
//! updates for a while; and how it stands.

use std::fs;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use popnet_answer::Standing;
use popnet_dns::Name;
use popnet_wire::control::{Problem, Reply};
use popnet_wire::zoning::{ZoneAsk, ZoneOrder, ZoneSource, ZoneStanding};
use tokio::time::timeout;

use super::disk::FROZEN;
use super::follow::Said;
use crate::shared::Shared;
use crate::views::ZoneKey;

/// A look at a zone's primaries is waited for; a transfer that takes longer goes on.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// Carries an order out, and says how the zone stands then: for everybody, and in each view that
/// has one of its own.
pub(crate) async fn carry_out(shared: &Arc<Shared>, ask: &ZoneAsk) -> Result<Reply, Problem> {
    let apex: Name = ask.zone.parse().map_err(|error: popnet_dns::NameError| {
        Problem::new("N0051", format!("{}: {error}", ask.zone), "popnet zone status ZONE")
            .with_exit(2)
    })?;
    let keys = keys(shared, &apex);
    if keys.is_empty() {
        let what = format!("{} serves no zone {}", shared.node, apex.to_host());
        return Err(Problem::new("N0052", what, "popnet config show zones").with_exit(3));
    }
    match ask.order {
        ZoneOrder::Status => {}
        ZoneOrder::Transfer => look(shared, &apex).await?,
        ZoneOrder::Notify => call(shared, &apex, &keys)?,
        ZoneOrder::Freeze => freeze(shared, &apex, true).await?,
        ZoneOrder::Thaw => freeze(shared, &apex, false).await?,
    }
    let mut standings = Vec::with_capacity(keys.len());
    for key in &keys {
        standings.push((key.view.clone(), standing(shared, key).await));
    }
    Ok(match (standings.pop(), standings.is_empty()) {
        (Some((None, standing)), true) => Reply::Zone(Box::new(standing)),
        (last, _) => Reply::ZoneInViews(standings.into_iter().chain(last).collect()),
    })
}

/// What this server has under that name.
fn keys(shared: &Shared, apex: &Name) -> Vec<ZoneKey> {
    let table = shared.table.load();
    let common = table.catalog.zone(apex).map(|_| ZoneKey::common(apex.clone()));
    let in_views = table.views.iter().map(|view| view.key(apex)).filter(|key| key.view.is_some());
    common.into_iter().chain(in_views).collect()
}

/// Asks the primaries now, and waits for what comes of it.
async fn look(shared: &Shared, apex: &Name) -> Result<(), Problem> {
    let said = {
        let followers = shared.transfers.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.get(apex).map(|follower| {
            let said = follower.said.subscribe();
            // One that waits already stands for this one, too.
            let _ = follower.news.try_send(None);
            said
        })
    };
    let Some(mut said) = said else {
        let what = format!("{} is no secondary zone on {}", apex.to_host(), shared.node);
        return Err(Problem::new("N0053", what, "popnet zone status ZONE").with_exit(3));
    };
    match timeout(LOOK_MAX, said.changed()).await {
        Ok(_) => match said.borrow().trouble.clone() {
            None => Ok(()),
            Some(why) => {
                let what = format!("{}: no primary could be asked: {why}", apex.to_host());
                Err(Problem::new("N0054", what, "popnet zone status ZONE"))
            }
        },
        // It goes on: the standing says how far it is.
        Err(_) => Ok(()),
    }
}

/// Has the secondaries told again.
fn call(shared: &Shared, apex: &Name, keys: &[ZoneKey]) -> Result<(), Problem> {
    let book = shared.transfers.book.load();
    let mut rules = keys.iter().filter_map(|key| book.rules(key));
    if rules.all(|rules| rules.secondaries.is_empty()) {
        let what = format!("{} has no secondaries on {}", apex.to_host(), shared.node);
        let next = "list them: secondaries = [\"ADDRESS\"] in the zone's table";
        return Err(Problem::new("N0055", what, next).with_exit(3));
    }
    let recall = &shared.transfers.recall;
    recall.lock().unwrap_or_else(PoisonError::into_inner).insert(apex.clone());
    shared.transfers.recalled.notify_one();
    Ok(())
}

/// Refuses updates from now on, over restarts too, or takes them again.
async fn freeze(shared: &Shared, apex: &Name, frozen: bool) -> Result<(), Problem> {
    let mut dynamics = shared.transfers.dynamics.lock().await;
    let Some(zone) = dynamics.get_mut(apex) else {
        let what = format!("{} takes no updates on {}", apex.to_host(), shared.node);
        let next = "grant some: [[zones.\"ZONE\".allow_update]]";
        return Err(Problem::new("N0056", what, next).with_exit(3));
    };
    let mark = shared.transfers.folder.path(apex, FROZEN);
    let done = if frozen {
        fs::write(&mark, b"")
    } else if zone.is_frozen {
        fs::remove_file(&mark)
    } else {
        Ok(())
    };
    done.map_err(|error| {
        let what = format!("{}: {error}", mark.display());
        Problem::new("N0057", what, "make the folder writable, then try again")
    })?;
    zone.is_frozen = frozen;
    tracing::info!(zone = %apex, frozen, "updates");
    Ok(())
}

async fn standing(shared: &Shared, key: &ZoneKey) -> ZoneStanding {
    let rules = shared.transfers.book.load().rules(key).cloned();
    let (serial, is_signed) = {
        let table = shared.table.load();
        let zone = table.zone(key);
        let served = zone.filter(|zone| zone.image().standing() == Standing::Served);
        (served.map(|zone| zone.image().serial()), zone.is_some_and(|z| z.unsigned().is_some()))
    };
    // Only zones of everybody are changed from afar, or come from others.
    let common = key.view.is_none().then_some(&key.apex);
    let dynamics = shared.transfers.dynamics.lock().await;
    let frozen = common.and_then(|apex| Some(dynamics.get(apex)?.is_frozen));
    drop(dynamics);
    let said = {
        let followers = shared.transfers.followers.lock().unwrap_or_else(PoisonError::into_inner);
        common.and_then(|apex| Some(followers.get(apex)?.said.borrow().clone()))
    };
    let source = match (said, frozen) {
        (Some(Said { confirmed, next, expires, trouble, .. }), _) => {
            let primaries = rules.iter().flat_map(|rules| &rules.primaries);
            let primaries = primaries.map(|primary| primary.at.to_string()).collect();
            ZoneSource::Primaries { primaries, confirmed, next, expires, trouble }
        }
        (None, Some(_)) => ZoneSource::Updates,
        (None, None) if rules.as_ref().is_some_and(|rules| rules.is_listing) => ZoneSource::Listing,
        (None, None) => ZoneSource::File,
    };
    let secondaries = rules.iter().flat_map(|rules| &rules.secondaries);
    ZoneStanding {
        source,
        serial,
        is_signed,
        is_frozen: frozen.unwrap_or(false),
        secondaries: secondaries.map(ToString::to_string).collect(),
    }
}
