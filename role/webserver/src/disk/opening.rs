//! Opening the shelf: what the folder holds, whatever happened to the machine.

use std::io;
use std::path::Path;

use popnet_cache::purges::Purges;
use popnet_runtime::files::create_private_dir;
use popnet_store::{Limits, Recovered, Recovery};

use super::files::Files;
use super::meta::read_purge;
use super::state::State;

/// Reads the folder and puts right what a crash left. Blocks.
pub(super) fn open(folder: &Path, limits: Limits) -> io::Result<(Files, State)> {
    create_private_dir(folder)?;
    let files = Files::new(folder);
    let mut recovery = Recovery::new(limits);
    for segment in files.list()? {
        let summary = files.read_summary(segment);
        if !summary.is_some_and(|(length, octets)| recovery.summary(segment, length, &octets)) {
            recovery.segment(segment, &files.read(segment)?);
        }
    }
    let mut mark = [0; 8];
    getrandom::fill(&mut mark).map_err(|error| io::Error::other(error.to_string()))?;
    let Recovered { store, purges: written, plan, lost } =
        recovery.finish(u64::from_le_bytes(mark));
    for action in &plan.0 {
        files.step(action, &mut None)?;
    }
    let mut purges = Purges::default();
    for (at, words) in &written {
        match read_purge(words) {
            Some((aim, kind)) => {
                purges.add(&aim, kind, *at);
            }
            // Nobody knows what it hit: everything before it goes.
            None => purges.add_all(*at),
        }
    }
    let mut state = State { store, purges };
    state.follow();
    tracing::info!(
        objects = state.store.len(),
        octets = state.store.used(),
        purges = written.len(),
        unfinished = lost.unfinished,
        torn = lost.torn,
        damaged = lost.damaged,
        foreign = lost.foreign,
        "disk tier opened"
    );
    Ok((files, state))
}
