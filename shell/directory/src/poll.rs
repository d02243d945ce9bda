//! Fetching the sheet: a held-back question to one node that holds the configuration, to the next
//! one when it fails.

use std::sync::Arc;
use std::time::Duration;

use popnet_runtime::backoff::Backoff;
use popnet_runtime::link::{Link, LinkError};
use popnet_wire::control::{Ask, Reply};
use popnet_wire::rollout::Epoch;
use popnet_wire::sheet::{Sheet, SheetAsk};
use tokio::time::sleep;

use crate::by_name::ByName;
use crate::directory::Service;
use crate::shelf::{belongs, store};

/// How long an answer may be held back while nothing changes: below the silence that ends a
/// conversation.
const HELD_BACK: Duration = Duration::from_secs(25);

/// Waits between rounds in which nobody could be reached.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Follows the configuration for good.
pub(crate) async fn forever(by_name: &ByName) {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut holders = Vec::new();
    loop {
        let named = by_name.holders().await;
        // Silent name servers: those who answered before may still do.
        if !named.is_empty() {
            holders = named;
        }
        for holder in &holders {
            let before = have(by_name);
            match follow(by_name, holder).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(holder = %holder.hostname, %error, "no role sheet from here");
                }
            }
            if have(by_name) != before {
                backoff.reset();
            }
        }
        sleep(backoff.step()).await;
    }
}

fn have(by_name: &ByName) -> Option<Epoch> {
    by_name.sheet.borrow().as_ref().map(|sheet| sheet.epoch)
}

/// Asks `holder` again and again, until it fails or has nothing for us.
async fn follow(by_name: &ByName, holder: &Service) -> Result<(), LinkError> {
    let identity = &by_name.context.identity;
    let mut link = Link::tls(holder.addr, &holder.hostname, identity).await?;
    loop {
        let wait_ms = u32::try_from(HELD_BACK.as_millis()).unwrap_or(u32::MAX);
        let ask = Ask::Sheet(SheetAsk { have: have(by_name), wait_ms });
        let Reply::Sheet(sheet) = link.ask_one(&ask).await? else {
            return Err(LinkError::Unexpected("an ask for a role sheet"));
        };
        if let Some(sheet) = sheet
            && !take(by_name, *sheet).await
        {
            return Ok(());
        }
    }
}

/// Puts a sheet in force; `false` when it is not newer than ours or not for us.
async fn take(by_name: &ByName, sheet: Sheet) -> bool {
    if !belongs(&sheet, &by_name.context) {
        tracing::warn!(node = %sheet.node, "a role sheet for another node was offered");
        return false;
    }
    // An epoch only grows: who offers an older one has been away and has to catch up.
    if have(by_name).is_some_and(|epoch| sheet.epoch <= epoch) {
        return false;
    }
    let sheet = Arc::new(sheet);
    by_name.resolver.learn(&sheet.nameservers);
    let (path, kept) = (by_name.kept_at.clone(), Arc::clone(&sheet));
    let written = tokio::task::spawn_blocking(move || store(&path, &kept)).await;
    if !matches!(written, Ok(Ok(()))) {
        tracing::warn!("the role sheet is in force but could not be kept on disk");
    }
    tracing::info!(epoch = sheet.epoch.0, sites = sheet.sites.len(), "role sheet in force");
    by_name.sheet.send_replace(Some(sheet));
    true
}
