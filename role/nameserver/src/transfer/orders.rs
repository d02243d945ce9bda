//! What a person orders about one zone: a look at its primaries, a call to its secondaries, no
//! updates for a while; and how it stands.

use std::fs;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use popnet_answer::Standing;
use popnet_dns::Name;
use popnet_wire::control::Problem;
use popnet_wire::zoning::{ZoneAsk, ZoneOrder, ZoneSource, ZoneStanding};
use tokio::time::timeout;

use super::book::ZoneBook;
use super::disk::FROZEN;
use super::follow::Said;
use crate::shared::Shared;

/// A look at a zone's primaries is waited for; a transfer that takes longer goes on.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// Carries an order out, and says how the zone stands then.
pub(crate) async fn carry_out(
    shared: &Arc<Shared>,
    ask: &ZoneAsk,
) -> Result<ZoneStanding, Problem> {
    let apex: Name = ask.zone.parse().map_err(|error: popnet_dns::NameError| {
        Problem::new("N0051", format!("{}: {error}", ask.zone), "popnet zone status ZONE")
            .with_exit(2)
    })?;
    if shared.table.load().catalog.zone(&apex).is_none_or(|zone| *zone.image().apex() != apex) {
        let what = format!("{} serves no zone {}", shared.node, apex.to_host());
        return Err(Problem::new("N0052", what, "popnet config show zones").with_exit(3));
    }
    let rules = shared.transfers.book.load().zone(&apex).cloned();
    match ask.order {
        ZoneOrder::Status => {}
        ZoneOrder::Transfer => look(shared, &apex).await?,
        ZoneOrder::Notify => call(shared, &apex, rules.as_deref())?,
        ZoneOrder::Freeze => freeze(shared, &apex, true).await?,
        ZoneOrder::Thaw => freeze(shared, &apex, false).await?,
    }
    Ok(standing(shared, &apex, rules.as_deref()).await)
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
fn call(shared: &Shared, apex: &Name, rules: Option<&ZoneBook>) -> Result<(), Problem> {
    if rules.is_none_or(|rules| rules.secondaries.is_empty()) {
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

async fn standing(shared: &Shared, apex: &Name, rules: Option<&ZoneBook>) -> ZoneStanding {
    let (serial, is_signed) = {
        let table = shared.table.load();
        let zone = table.catalog.zone(apex);
        let served = zone.filter(|zone| zone.image().standing() == Standing::Served);
        (served.map(|zone| zone.image().serial()), zone.is_some_and(|z| z.unsigned().is_some()))
    };
    let frozen = shared.transfers.dynamics.lock().await.get(apex).map(|zone| zone.is_frozen);
    let said = {
        let followers = shared.transfers.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.get(apex).map(|follower| follower.said.borrow().clone())
    };
    let source = match (said, frozen) {
        (Some(Said { confirmed, next, expires, trouble, .. }), _) => {
            let primaries = rules.into_iter().flat_map(|rules| &rules.primaries);
            let primaries = primaries.map(|primary| primary.at.to_string()).collect();
            ZoneSource::Primaries { primaries, confirmed, next, expires, trouble }
        }
        (None, Some(_)) => ZoneSource::Updates,
        (None, None) if rules.is_some_and(|rules| rules.is_listing) => ZoneSource::Listing,
        (None, None) => ZoneSource::File,
    };
    let secondaries = rules.into_iter().flat_map(|rules| &rules.secondaries);
    ZoneStanding {
        source,
        serial,
        is_signed,
        is_frozen: frozen.unwrap_or(false),
        secondaries: secondaries.map(ToString::to_string).collect(),
    }
}
