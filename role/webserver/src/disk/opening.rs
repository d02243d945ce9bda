//! Opening the shelf: what the folder holds, whatever happened to the machine.

use std::io;
use std::path::Path;
use std::sync::Arc;

use popnet_runtime::files::create_private_dir;
use popnet_store::{Limits, ObjectId, Recovery, read_head};

use super::files::{Files, read_extent};
use super::meta::read_meta;
use super::state::State;

/// Reads the folder and puts right what a crash left. Blocks.
pub(super) fn open(folder: &Path, limits: Limits) -> io::Result<(Files, State)> {
    create_private_dir(folder)?;
    let files = Files::new(folder);
    let mut recovery = Recovery::new(limits);
    for segment in files.list()? {
        recovery.segment(segment, &files.read(segment)?);
    }
    let mut mark = [0; 8];
    getrandom::fill(&mut mark).map_err(|error| io::Error::other(error.to_string()))?;
    let (store, plan, lost) = recovery.finish(u64::from_le_bytes(mark));
    for action in &plan.0 {
        files.step(action, &mut None)?;
    }
    let mut state = State { store, heads: std::collections::BTreeMap::new() };
    let unreadable = load_heads(&files, &mut state);
    tracing::info!(
        objects = state.heads.len(),
        octets = state.store.used(),
        unfinished = lost.unfinished,
        torn = lost.torn,
        damaged = lost.damaged,
        foreign = lost.foreign,
        unreadable,
        "disk tier opened"
    );
    Ok((files, state))
}

/// Reads the heads of all objects; those that cannot be read are left out of every lookup.
fn load_heads(files: &Files, state: &mut State) -> usize {
    let objects: Vec<(ObjectId, _, u64)> =
        state.store.objects().map(|(id, object)| (id, object.head(), object.octets())).collect();
    let mut unreadable = 0;
    for (id, at, octets) in objects {
        let content = files.get(at.segment).and_then(|file| read_extent(&file, at));
        let stored = content.ok().and_then(|content| {
            let head = read_head(&content)?;
            let stored = read_meta(head.meta)?;
            (stored.key.as_str().as_bytes() == head.key).then_some(stored)
        });
        match stored {
            Some(mut stored) => {
                // The head may have been written before the length was known.
                stored.length = Some(octets);
                state.heads.insert(id, Arc::new(stored));
            }
            None => unreadable += 1,
        }
    }
    unreadable
}
