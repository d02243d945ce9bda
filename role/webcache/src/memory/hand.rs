//! Responses of which everything is at hand, for the short way of a request.

use std::sync::Arc;

use bytes::Bytes;
use popnet_cache::key::Key;
use popnet_cache::stored::Stored;
use popnet_cache::vary::Variant;
use popnet_tier::shelf::EntryId;
use popnet_wire::delivery::Coding;
use popnet_wire::rollout::Epoch;
use smallvec::SmallVec;

use super::beside::{Head, Made, Slot, kept};
use super::{Inner, Memory, Resident, Shard};

/// Which response is looked for.
pub(crate) struct Wanted<S, F> {
    /// Octets of content at most.
    pub(crate) most: u64,
    /// Whose rules heads are written by.
    pub(crate) epoch: Epoch,
    /// The coding that the client likes most, if any.
    pub(crate) coding: Option<Coding>,
    /// Says of a variant whether it is the one.
    pub(crate) selects: S,
    /// Says of a response whether there may be codings of it.
    pub(crate) fits: F,
}

/// A response of which everything is at hand.
#[derive(Debug)]
pub(crate) struct AtHand {
    pub(crate) id: EntryId,
    pub(crate) stored: Arc<Stored>,
    /// The octets of its head that are the same each time, once they are known.
    pub(crate) head: Option<Bytes>,
    pub(crate) content: SmallVec<[Bytes; 4]>,
    /// The coding of `content`, if it is not as it came.
    pub(crate) coding: Option<Coding>,
    /// The coding that should be made for the next who asks.
    pub(crate) to_make: Option<Coding>,
}

impl Memory {
    /// The newest response under `key` that is wanted.
    pub(crate) fn at_hand(
        &self,
        key: &Key,
        wanted: &Wanted<impl Fn(&Variant) -> bool, impl Fn(&Stored) -> bool>,
    ) -> Option<AtHand> {
        let mut shard = self.inner.shard(Inner::hash(key));
        let Shard { keys, entries, queues } = &mut *shard;
        let entry = |name: &u64| Some((*name, entries.get(name)?));
        let mut newest_first = keys.get(key)?.iter().rev().filter_map(entry);
        let (name, resident) =
            newest_first.find(|(_, resident)| (wanted.selects)(&resident.stored.variant))?;
        let found = resident.at_hand(EntryId(name), wanted)?;
        queues.touch(name);
        Some(found)
    }

    /// Keeps the `head` of what was found under the rules of `epoch`, if there is room without
    /// anything else having to go.
    pub(crate) fn keep_head(&self, found: &AtHand, (epoch, varies): (Epoch, bool), head: &Bytes) {
        let Some(charge) = self.inner.account.charge(head.len() as u64) else { return };
        let head = Head { epoch, octets: head.clone(), varies, _charge: charge };
        let mut shard = self.inner.shard(found.id.0);
        let Some(resident) = shard.entries.get_mut(&found.id.0) else { return };
        if !Arc::ptr_eq(&resident.stored, &found.stored) {
            return;
        }
        match found.coding {
            None => resident.head = Some(head),
            Some(coding) => {
                if let Some(Slot::Ready(made)) =
                    resident.codings.as_mut().map(|codings| codings.of_mut(coding))
                {
                    made.head = Some(head);
                }
            }
        }
    }
}

impl Resident {
    fn at_hand(
        &self,
        id: EntryId,
        wanted: &Wanted<impl Fn(&Variant) -> bool, impl Fn(&Stored) -> bool>,
    ) -> Option<AtHand> {
        let own = kept(self.head.as_ref(), wanted.epoch);
        // What a head has been written of was looked at then.
        let coding = wanted.coding.filter(|_| own.is_none_or(|head| head.varies));
        if let Some((coding, made)) = coding.and_then(|coding| Some((coding, self.made(coding)?)))
            && let Some(found) = self.in_coding(id, (coding, made), wanted)
        {
            return Some(found);
        }
        let is_absent = |coding: &Coding| {
            let codings = self.codings.as_ref();
            codings.is_none_or(|codings| matches!(codings.of(*coding), Slot::Absent))
        };
        let content = match self.stored.length {
            Some(0) => SmallVec::new(),
            _ => self.content.pieces(wanted.most)?,
        };
        let to_make = coding.filter(is_absent).filter(|_| (wanted.fits)(&self.stored));
        let head = own.map(|head| head.octets.clone());
        let stored = Arc::clone(&self.stored);
        Some(AtHand { id, stored, head, content, coding: None, to_make })
    }

    fn made(&self, coding: Coding) -> Option<&Made> {
        match self.codings.as_ref()?.of(coding) {
            Slot::Ready(made) => Some(made),
            Slot::Absent | Slot::Making | Slot::Vain => None,
        }
    }

    fn in_coding(
        &self,
        id: EntryId,
        (coding, made): (Coding, &Made),
        wanted: &Wanted<impl Fn(&Variant) -> bool, impl Fn(&Stored) -> bool>,
    ) -> Option<AtHand> {
        let head = kept(made.head.as_ref(), wanted.epoch).map(|head| head.octets.clone());
        if head.is_none() && !(wanted.fits)(&self.stored) {
            return None;
        }
        let content = made.content.pieces(wanted.most)?;
        let (stored, coding) = (Arc::clone(&self.stored), Some(coding));
        Some(AtHand { id, stored, head, content, coding, to_make: None })
    }
}
