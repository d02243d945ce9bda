//! Views: the one for everybody becomes the zones of everybody, those before it become views of
//! ours, and nobody ever came to those behind it.

use crate::access::{self, Access};
use crate::bind::{Top, find, note, settle};
use crate::report::{Kind, Note};
use crate::tree::Statement;
use crate::zones::{self, Scope, ZonePlan, zone_name};

/// A view that not everybody sees.
#[derive(Debug)]
pub(crate) struct ViewPlan<'t> {
    pub(crate) statement: &'t Statement,
    pub(crate) name: String,
    pub(crate) clients: Access,
    pub(crate) zones: Vec<ZonePlan<'t>>,
}

/// Statements of a view that are looked at.
const VIEW: &[&str] = &[
    "zone",
    "match-clients",
    "match-destinations",
    "match-recursive-only",
    "recursion",
    "allow-transfer",
    "allow-query",
    "allow-update",
    "allow-notify",
    "also-notify",
    "notify",
    "dnssec-policy",
    "masterfile-format",
    "server",
    "key",
    "acl",
];

/// The longest name of a view.
const NAME_MAX: usize = 63;

/// The zones of everybody, and the views before them.
pub(crate) fn plan<'t>(
    top: &Top<'t>,
    notes: &mut Vec<Note>,
) -> (Vec<ZonePlan<'t>>, Vec<ViewPlan<'t>>) {
    let options = top.options.unwrap_or_default();
    let whole = Scope { zone: &[], view: &[], options };
    let mut common: Vec<(&'t Statement, Scope<'t>)> =
        top.zones.iter().map(|zone| (*zone, whole)).collect();
    let mut views: Vec<ViewPlan<'t>> = Vec::new();
    let mut everybody: Option<&str> = None;
    for (name, view) in &top.views {
        let block = view.block().unwrap_or_default();
        let inside = block.iter().filter(|one| one.name() == "zone");
        if let Some(before) = everybody {
            let why = format!("nobody comes to it: view {before:?} before it is for everybody");
            notes.push(note(Kind::Left, view, why + &listed(inside)));
            continue;
        }
        let Some(clients) = seers(top, view, notes) else {
            let why = "its clients cannot be told from others: they see what everybody sees";
            notes.push(note(Kind::Left, view, why.to_owned() + &listed(inside)));
            continue;
        };
        settle(block, VIEW, notes);
        let zones: Vec<_> =
            inside.map(|zone| (zone, Scope { zone: &[], view: block, options })).collect();
        if clients.is_any() && clients.keys.is_empty() {
            everybody = Some(name);
            let why = format!("{name:?} is for everybody: its zones are those of everybody");
            notes.push(note(Kind::Taken, view, why));
            if !views.is_empty() {
                let why = "clients of views see its zones, too, where their view has none of \
                           that name";
                notes.push(note(Kind::Taken, view, why));
            }
            common.extend(zones);
            continue;
        }
        let ours = free_name(name, &views);
        notes.push(note(Kind::Taken, view, format!("view {ours}: {}", clients.words())));
        let zones = zones::plan(top, &zones, true, notes);
        views.push(ViewPlan { statement: view, name: ours, clients, zones });
    }
    let mut common = zones::plan(top, &common, false, notes);
    zones::catalogs(top, &mut common, notes);
    (common, views)
}

/// Who sees a view; `None` where it cannot be said.
fn seers(top: &Top<'_>, view: &Statement, notes: &mut Vec<Note>) -> Option<Access> {
    let block = view.block().unwrap_or_default();
    let mut is_known = true;
    for name in ["match-destinations", "match-recursive-only"] {
        if let Some(statement) = find(block, name) {
            is_known = false;
            let why = "popnet knows clients by their address or key alone";
            notes.push(note(Kind::Left, statement, why));
        }
    }
    let Some(statement) = find(block, "match-clients") else {
        return is_known.then(Access::everybody);
    };
    let clients = access::clients(statement.block().unwrap_or_default(), &top.acls);
    for lost in &clients.lost {
        let why = format!("left out of the list, which is narrower for it: {lost}");
        notes.push(note(Kind::Left, statement, why));
    }
    let is_somebody = !clients.prefixes.is_empty() || !clients.keys.is_empty();
    (is_known && is_somebody).then_some(clients)
}

/// A name for a view as ours are written, which no other has.
fn free_name(name: &str, others: &[ViewPlan<'_>]) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let plain: String = name
        .chars()
        .map(|c| if fits(c.to_ascii_lowercase()) { c.to_ascii_lowercase() } else { '-' })
        .take(NAME_MAX - 5)
        .collect();
    let plain = plain.trim_matches('-');
    let plain = if plain.is_empty() { "view" } else { plain };
    let is_free = |name: &String| others.iter().all(|other| other.name != *name);
    let numbered = (2..).map(|number| format!("{plain}-{number}"));
    let mut names = std::iter::once(plain.to_owned()).chain(numbered);
    names.find(is_free).unwrap_or_default()
}

/// Some of the zones that are not taken.
fn listed<'t>(zones: impl Iterator<Item = &'t Statement>) -> String {
    let names: Vec<String> = zones.filter_map(zone_name).collect();
    let some = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => String::new(),
        1..=5 => format!("; not taken: {some}"),
        all => format!("; not taken: {some} and {} more", all - 5),
    }
}
