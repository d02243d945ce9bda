//! Codings of stored responses: looked up, begun, and taken in when they are made. They are charged
//! like what they are of, and go with it.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use popnet_terms::CodingReason;
use popnet_tier::shelf::{Coded, EntryId};
use popnet_wire::delivery::Coding;

use super::beside::{Codings, Made, Slot};
use super::coder::encode;
use super::content::{BLOCK_OVERHEAD, CONTENT_OVERHEAD, Content, MemoryReader};
use super::{Inner, Shard};

/// So many hundredths of the tier at most: a coding should not drive out more than it spares.
const SHARE_PERCENT: u64 = 5;

/// What the slots of one response cost.
const SLOTS_OVERHEAD: u64 = 256;

impl Inner {
    pub(super) fn coded(&self, id: EntryId, coding: Coding) -> Coded<MemoryReader> {
        let shard = self.shard(id.0);
        let Some(resident) = shard.entries.get(&id.0) else {
            return Coded::Not(CodingReason::NotYet);
        };
        match resident.codings.as_ref().map(|codings| codings.of(coding)) {
            None | Some(Slot::Absent) => Coded::Not(CodingReason::NotYet),
            Some(Slot::Making) => Coded::Not(CodingReason::InTheMaking),
            Some(Slot::Vain) => Coded::Not(CodingReason::NoGain),
            Some(Slot::Ready(made)) => {
                Coded::Ready(MemoryReader(Arc::clone(&made.content)), made.length)
            }
        }
    }

    /// Has `id` made in `coding`, unless it is or was, or too many wait.
    pub(super) fn code(self: &Arc<Self>, id: EntryId, coding: Coding) {
        let mut shard = self.shard(id.0);
        let Some(resident) = shard.entries.get_mut(&id.0) else { return };
        let slot = resident.codings.get_or_insert_default().of_mut(coding);
        if !matches!(slot, Slot::Absent) {
            return;
        }
        // The content is taken hold of only when its turn comes: what waits may still be evicted.
        let inner = Arc::downgrade(self);
        if self.coder.take(Box::new(move || make(&inner, id, coding))) {
            *slot = Slot::Making;
        }
    }

    /// Takes in what was made of `content`.
    fn take_in(&self, id: EntryId, coding: Coding, content: &Arc<Content>, made: Option<Bytes>) {
        let made = made.and_then(|octets| self.charged(octets));
        let mut shard = self.shard(id.0);
        let Shard { entries, queues, .. } = &mut *shard;
        // Gone meanwhile: so is this.
        let Some(resident) = entries.get_mut(&id.0) else { return };
        if !Arc::ptr_eq(&resident.content, content) {
            return;
        }
        let slot = resident.codings.get_or_insert_with(Box::<Codings>::default).of_mut(coding);
        *slot = match made {
            None => Slot::Vain,
            Some(made) => {
                queues.grow(id.0, made.content.charged());
                Slot::Ready(made)
            }
        };
    }

    /// Room for what was made, if it is worth it.
    fn charged(&self, octets: Bytes) -> Option<Box<Made>> {
        let length = octets.len() as u64;
        if length > self.account.capacity() / 100 * SHARE_PERCENT {
            return None;
        }
        let overhead = CONTENT_OVERHEAD + BLOCK_OVERHEAD as u64 + SLOTS_OVERHEAD;
        let charge = self.charge(length + overhead)?;
        Some(Box::new(Made { content: Content::whole(charge, octets), length, head: None }))
    }
}

fn make(inner: &Weak<Inner>, id: EntryId, coding: Coding) {
    // Not held while the work goes on: a tier that ends does not wait for it.
    let content = inner.upgrade().and_then(|inner| {
        let shard = inner.shard(id.0);
        shard.entries.get(&id.0).map(|resident| Arc::clone(&resident.content))
    });
    let Some(content) = content else { return };
    let made = encode(coding, &content.all());
    if let Some(inner) = inner.upgrade() {
        inner.take_in(id, coding, &content, made);
    }
}
