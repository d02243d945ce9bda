//! Which coding of a stored response a request gets, where the shelf makes codings.

use http::{HeaderMap, Method};
use popnet_cache::coding::{Choice, vary};
use popnet_cache::serve::{self, Answer};
use popnet_cache::stored::Stored;
use popnet_http::body::Body;
use popnet_terms::CodingReason;
use popnet_wire::delivery::{Coding, Compression};
use popnet_wire::sheet::SiteSheet;

use crate::content;
use crate::delivery::delivery_of;
use crate::shelf::{Coded, Entry, Reader, Shelf};
use crate::tier::Tier;
use crate::upstream::Upstream;

/// A request for something stored.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) fields: &'a HeaderMap,
    pub(crate) path: &'a str,
    pub(crate) site: &'a SiteSheet,
}

impl<S: Shelf, U: Upstream> Tier<S, U> {
    /// The head that answers `asked` with `entry`, and what follows; `None` when that has gone.
    pub(crate) async fn represented(
        &self,
        asked: &Asked<'_>,
        entry: &Entry,
    ) -> Option<(Answer, Body)> {
        let Asked { method, fields, .. } = asked;
        let stored = &entry.stored;
        let choice = self.choice(asked, stored);
        if let Choice::Coded(coding) = choice {
            match self.shelf.coded(entry.id, coding) {
                Coded::Ready(reader, length) => {
                    let made = serve::coded(method, fields, stored, coding, Some(length));
                    return body(reader, made).await;
                }
                Coded::Not(CodingReason::NotYet) => {
                    self.shelf.code(entry.id, coding);
                }
                Coded::Not(_) => {}
            }
        }
        let made = unmade(asked, stored, choice);
        if made.octets.is_none() {
            return Some((made, Body::empty()));
        }
        body(self.shelf.open(entry.id).await.ok()?, made).await
    }

    /// The head that answers `asked` with what is arriving, or without a coding being at hand.
    pub(crate) fn arriving(&self, asked: &Asked<'_>, stored: &Stored) -> Answer {
        unmade(asked, stored, self.choice(asked, stored))
    }

    fn choice(&self, asked: &Asked<'_>, stored: &Stored) -> Choice {
        let rules = self.compression(asked.site, asked.path);
        Choice::of(asked.method, asked.fields, stored, rules)
    }

    fn compression<'a>(&self, site: &'a SiteSheet, path: &str) -> Option<&'a Compression> {
        self.shelf.codes().then(|| delivery_of(site, path).compress.as_ref()).flatten()
    }

    /// Why a GET of `asked` goes out as it does; nothing is begun.
    pub(crate) fn why_coded(&self, asked: &Asked<'_>, entry: &Entry) -> String {
        let say = |reason: CodingReason, coding: Coding| format!("{reason} ({})", coding.name());
        match self.choice(asked, &entry.stored) {
            Choice::AsItCame { reason, .. } => reason.to_string(),
            Choice::Held(coding) => say(CodingReason::Held, coding),
            Choice::Coded(coding) => match self.shelf.coded(entry.id, coding) {
                Coded::Ready(_, length) => {
                    format!("{}, {length} octets", say(CodingReason::Coded, coding))
                }
                Coded::Not(reason) => say(reason, coding),
            },
        }
    }
}

async fn body(reader: impl Reader, made: Answer) -> Option<(Answer, Body)> {
    let body = match made.octets.clone() {
        None => Body::empty(),
        Some(octets) => content::of(reader, octets).await.ok()?,
    };
    Some((made, body))
}

/// The head without a coding being at hand.
fn unmade(asked: &Asked<'_>, stored: &Stored, choice: Choice) -> Answer {
    let Asked { method, fields, .. } = asked;
    let varies = match choice {
        Choice::Held(coding) => return serve::coded(method, fields, stored, coding, None),
        Choice::AsItCame { varies, .. } => varies,
        Choice::Coded(_) => true,
    };
    let mut made = serve::answer(method, fields, stored, stored.length);
    if varies {
        vary(&mut made.fields);
    }
    made
}
