//! When and for whom targets serve: the hours can be read, and the places exist.

use super::{At, Checker};
use crate::network::{Hours, Serve};
use crate::path::TreePath;

/// More lines of hours than a week needs: each is looked through for each answer.
const HOURS_MAX: usize = 32;

pub(super) fn check(checker: &mut Checker<'_>, serve: &Serve, path: &TreePath) {
    hours(checker, serve, &path.key("hours"));
    for (key, places) in [("only_to", &serve.only_to), ("never_to", &serve.never_to)] {
        for (at, place) in places.iter().enumerate() {
            known(checker, place, &path.key(key).index(at));
        }
    }
}

fn hours(checker: &mut Checker<'_>, serve: &Serve, path: &TreePath) {
    if serve.hours.len() > HOURS_MAX {
        let message = format!("{} entries of hours", serve.hours.len());
        let found = checker.error("E0452", message, path, At::Value);
        found.help = format!("at most {HOURS_MAX}: name several days in one, as in mon-fri");
    }
    for (at, text) in serve.hours.iter().enumerate() {
        if let Err((_, why)) = Hours::read(std::slice::from_ref(text)) {
            let message = format!("{text:?} is {why}");
            let found = checker.error("E0453", message, &path.index(at), At::Value);
            found.help = "days: daily, mon … sun, or two with a hyphen; times in UTC, from 00:00 \
                          to 24:00; an end before the beginning is on the next day"
                .into();
        }
    }
}

/// Two capital letters are a country; every other word is a region that a POP is in.
fn known(checker: &mut Checker<'_>, place: &str, path: &TreePath) {
    if place.len() == 2 && place.bytes().all(|octet| octet.is_ascii_uppercase()) {
        return;
    }
    let pops = checker.network.pops.values();
    let mut regions = pops.filter_map(|pop| pop.location.as_ref()?.region.as_deref());
    if regions.any(|region| region == place) {
        return;
    }
    let message = format!("{place:?} is no country and no region");
    let found = checker.error("E0454", message, path, At::Value);
    found.help =
        "write a country in two capital letters (DE), or the region of a POP's location".into();
}
