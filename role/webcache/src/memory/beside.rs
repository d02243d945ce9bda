//! What lies beside a stored response: its codings and the heads that were written of each, until
//! the response goes.

use std::sync::Arc;

use bytes::Bytes;
use popnet_wire::delivery::Coding;
use popnet_wire::rollout::Epoch;

use super::account::Charge;
use super::content::Content;

/// A head as it was written last, without what differs each time, and by whose rules.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) epoch: Epoch,
    pub(crate) octets: Bytes,
    /// By these rules there may be codings of it.
    pub(crate) varies: bool,
    pub(crate) _charge: Charge,
}

/// The octets of `head`, if it was written under the rules of `epoch`.
pub(crate) fn kept(head: Option<&Head>, epoch: Epoch) -> Option<&Head> {
    head.filter(|head| head.epoch == epoch)
}

/// One coding of a stored response.
///
/// ```text
/// Absent ──► Making ──► Ready      and away with the response
///    ▲          ├─────► Vain       spares too little, or found no room
///    └──────────┘                  too many were waiting
/// ```
#[derive(Debug, Default)]
pub(crate) enum Slot {
    #[default]
    Absent,
    Making,
    Vain,
    Ready(Box<Made>),
}

/// A coding that has been made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) content: Arc<Content>,
    pub(crate) length: u64,
    pub(crate) head: Option<Head>,
}

/// Every coding of a stored response.
#[derive(Debug, Default)]
pub(crate) struct Codings([Slot; Coding::ALL.len()]);

impl Codings {
    pub(crate) fn of(&self, coding: Coding) -> &Slot {
        let [zstd, br, gzip] = &self.0;
        match coding {
            Coding::Zstd => zstd,
            Coding::Br => br,
            Coding::Gzip => gzip,
        }
    }

    pub(crate) fn of_mut(&mut self, coding: Coding) -> &mut Slot {
        let [zstd, br, gzip] = &mut self.0;
        match coding {
            Coding::Zstd => zstd,
            Coding::Br => br,
            Coding::Gzip => gzip,
        }
    }

    /// Forgets the heads, which speak of what the response was before.
    pub(crate) fn behead(&mut self) {
        for slot in &mut self.0 {
            if let Slot::Ready(made) = slot {
                made.head = None;
            }
        }
    }

    /// Whether somebody reads one of them just now.
    pub(crate) fn is_read(&self) -> bool {
        self.0.iter().any(|slot| match slot {
            Slot::Ready(made) => Arc::strong_count(&made.content) > 1,
            Slot::Absent | Slot::Making | Slot::Vain => false,
        })
    }
}
