//! What is kept of an exchange until it is written: its octets, and what they do not say.

use std::net::SocketAddr;
use std::sync::Arc;

use popnet_terms::{TargetId, Timestamp};

use crate::serve::{Ends, Transport};

/// A batch of exchanges. The octets lie together: one piece of memory for all.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    octets: Vec<u8>,
    copied: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    ends: Ends,
    came: Timestamp,
    left: Timestamp,
    targets: Option<Arc<[TargetId]>>,
    number: u64,
    question: usize,
    answer: usize,
}

/// One exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copied<'a> {
    pub(crate) from: SocketAddr,
    /// Where it was asked; `None` where the socket has no one address.
    pub(crate) at: Option<SocketAddr>,
    pub(crate) transport: Transport,
    /// When the question was taken.
    pub(crate) came: Timestamp,
    /// When its answer was ready.
    pub(crate) left: Timestamp,
    pub(crate) question: &'a [u8],
    /// Empty: silence, or what is told elsewhere.
    pub(crate) answer: &'a [u8],
    /// Whom a steered answer names.
    pub(crate) targets: Option<&'a [TargetId]>,
    /// Whoever wants a share takes those up to a limit.
    pub(crate) number: u64,
}

impl Batch {
    /// Adds an exchange.
    pub(crate) fn push(&mut self, copied: &Copied<'_>, targets: Option<Arc<[TargetId]>>) {
        let Copied { from, at, transport, came, left, question, answer, number, .. } = *copied;
        self.octets.extend_from_slice(question);
        self.octets.extend_from_slice(answer);
        let ends = Ends { from, at, transport };
        let (question, answer) = (question.len(), answer.len());
        self.copied.push(Kept { ends, came, left, targets, number, question, answer });
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.copied.len()
    }

    /// Octets of memory.
    pub(super) fn size(&self) -> usize {
        self.octets.capacity() + self.copied.capacity() * size_of::<Kept>()
    }

    /// All exchanges, in the order in which they were answered.
    pub(super) fn iter(&self) -> impl Iterator<Item = Copied<'_>> {
        let mut rest = self.octets.as_slice();
        self.copied.iter().map_while(move |kept| {
            let (question, more) = rest.split_at_checked(kept.question)?;
            let (answer, more) = more.split_at_checked(kept.answer)?;
            rest = more;
            let Ends { from, at, transport } = kept.ends;
            Some(Copied {
                from,
                at,
                transport,
                came: kept.came,
                left: kept.left,
                question,
                answer,
                targets: kept.targets.as_deref(),
                number: kept.number,
            })
        })
    }
}
