//! Zones and where to listen, as BIND's inheritance has it: zone, then view, then options.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use popnet_dns::Name;

use crate::access::{Access, access, key_name};
use crate::bind::{Top, find, note, settle, short, word_of};
use crate::report::{Kind, Note};
use crate::tree::Statement;
use crate::updates;

/// A key's file; its content is for nobody's eyes.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// `NAME.key`.
    pub name: String,
    /// What it holds, in the form of `tsig-keygen`.
    pub content: String,
}

impl KeyFile {
    pub(crate) fn new(name: &str, algorithm: &str, secret: &str) -> Self {
        let algorithm = algorithm.to_ascii_lowercase();
        let content =
            format!("key \"{name}\" {{\n\talgorithm {algorithm};\n\tsecret \"{secret}\";\n}};\n");
        Self { name: format!("{name}.key"), content }
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) key: Option<String>,
}

/// How a zone is to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signing {
    /// Our word for the algorithm; `None` is our default.
    pub(crate) algorithm: Option<&'static str>,
}

/// Somebody who may change records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) key: Option<String>,
    pub(crate) from: Vec<IpNet>,
    /// At and below which name; `None`: the whole zone.
    pub(crate) name: Option<String>,
    pub(crate) types: Vec<String>,
}

/// What a zone's statement comes to.
#[derive(Debug)]
pub(crate) struct ZonePlan<'t> {
    pub(crate) statement: &'t Statement,
    pub(crate) name: String,
    pub(crate) file: Option<String>,
    pub(crate) primaries: Vec<Server>,
    /// To be notified.
    pub(crate) notified: Vec<Server>,
    pub(crate) key: Option<String>,
    pub(crate) transfer: Option<Access>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) notify: Option<Access>,
    pub(crate) query: Option<Access>,
    pub(crate) signing: Option<Signing>,
    /// It lists zones (RFC 9432).
    pub(crate) is_catalog: bool,
}

impl ZonePlan<'_> {
    /// Whether it comes to a zone of ours.
    pub(crate) fn is_taken(&self) -> bool {
        self.file.is_some() == self.primaries.is_empty()
    }
}

/// Where BIND's inheritance looks.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'t> {
    pub(crate) zone: &'t [Statement],
    pub(crate) view: &'t [Statement],
    pub(crate) options: &'t [Statement],
}

impl<'t> Scope<'t> {
    pub(crate) fn find(&self, name: &str) -> Option<&'t Statement> {
        [self.zone, self.view, self.options].into_iter().find_map(|block| find(block, name))
    }
}

/// Statements of a zone that are looked at here.
const ZONE: &[&str] = &[
    "type",
    "file",
    "masters",
    "primaries",
    "allow-transfer",
    "allow-query",
    "allow-update",
    "allow-notify",
    "also-notify",
    "notify",
    "update-policy",
    "dnssec-policy",
    "masterfile-format",
    "in-view",
];

/// The zones of `statements`, each with where it inherits from. `own`: of a view that not everybody
/// sees.
pub(crate) fn plan<'t>(
    top: &Top<'t>,
    statements: &[(&'t Statement, Scope<'t>)],
    own: bool,
    notes: &mut Vec<Note>,
) -> Vec<ZonePlan<'t>> {
    let mut plans: Vec<ZonePlan<'t>> = Vec::new();
    for (statement, scope) in statements {
        let Some((statement, scope)) = in_view(top, statement, *scope, notes) else { continue };
        let Some(plan) = one(top, statement, scope, own, notes) else { continue };
        if plans.iter().any(|other| other.name == plan.name) {
            notes.push(note(Kind::Left, statement, "this zone is given twice"));
        } else {
            plans.push(plan);
        }
    }
    plans
}

/// Zones that list zones; those that they list come from the same primaries here.
pub(crate) fn catalogs(top: &Top<'_>, plans: &mut [ZonePlan<'_>], notes: &mut Vec<Note>) {
    let options = top.options.unwrap_or_default();
    let Some(statement) = find(options, "catalog-zones") else { return };
    notes.push(note(Kind::Taken, statement, "catalog"));
    for one in statement.block().unwrap_or_default() {
        let name = zone_name(one);
        let listed = plans.iter_mut().find(|plan| Some(&plan.name) == name.as_ref());
        let Some(plan) = listed.filter(|plan| !plan.primaries.is_empty()) else {
            notes.push(note(Kind::Left, one, "a catalog has to be a secondary zone of its own"));
            continue;
        };
        plan.is_catalog = true;
        let mut from = Vec::new();
        if one.block().is_some() {
            gather(top, one, 53, 0, &mut from, notes);
        }
        let known = |server: &Server| plan.primaries.iter().any(|p| p.address == server.address);
        notes.push(if from.iter().all(known) {
            note(Kind::Taken, one, "its zones come from its own primaries")
        } else {
            let why = "its zones come from the catalog's own primaries, not from these";
            note(Kind::Left, one, why)
        });
    }
}

/// A zone that another view has: that one.
fn in_view<'t>(
    top: &Top<'t>,
    statement: &'t Statement,
    scope: Scope<'t>,
    notes: &mut Vec<Note>,
) -> Option<(&'t Statement, Scope<'t>)> {
    let block = statement.block()?;
    let Some(other) = word_of(block, "in-view") else {
        return Some((statement, Scope { zone: block, ..scope }));
    };
    let (_, view) = top.views.iter().find(|(name, _)| name == other)?;
    let there = view.block()?;
    let wanted = zone_name(statement)?;
    let same =
        |zone: &&Statement| zone.name() == "zone" && zone_name(zone).as_ref() == Some(&wanted);
    let Some(zone) = there.iter().find(same) else {
        notes.push(note(Kind::Left, statement, format!("view {other:?} has no such zone")));
        return None;
    };
    notes.push(note(Kind::Taken, statement, format!("as it stands at {}", zone.place)));
    Some((zone, Scope { zone: zone.block()?, view: there, options: scope.options }))
}

/// A zone's name as ours are written.
pub(crate) fn zone_name(statement: &Statement) -> Option<String> {
    let name: Name = statement.word(1)?.text.parse().ok()?;
    Some(name.to_host())
}

fn one<'t>(
    top: &Top<'t>,
    statement: &'t Statement,
    scope: Scope<'t>,
    own: bool,
    notes: &mut Vec<Note>,
) -> Option<ZonePlan<'t>> {
    let Some(name) = zone_name(statement) else {
        notes.push(note(Kind::Unknown, statement, "its name is no domain name"));
        return None;
    };
    let class = statement.word(2).map_or("in", |word| word.text.as_str());
    if !class.eq_ignore_ascii_case("in") {
        notes.push(note(
            Kind::Left,
            statement,
            format!("popnet serves class IN only, not {class}"),
        ));
        return None;
    }
    let kind = word_of(scope.zone, "type").unwrap_or("").to_ascii_lowercase();
    let secondary = match kind.as_str() {
        "primary" | "master" => false,
        "secondary" | "slave" => true,
        other => {
            let (kind, why) = not_ours(other);
            notes.push(note(kind, statement, why));
            return None;
        }
    };
    if own && secondary {
        let why = "a zone of a view comes from a file: its clients see what everybody sees; \
                   transfer it to a file, or give it to everybody";
        notes.push(note(Kind::Left, statement, why));
        return None;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if name == "." || !name.chars().all(plain) {
        notes.push(note(Kind::Left, statement, "popnet takes no zone of this name"));
        return None;
    }
    settle(scope.zone, ZONE, notes);
    let mut plan = ZonePlan {
        statement,
        name,
        file: None,
        primaries: Vec::new(),
        notified: Vec::new(),
        key: None,
        transfer: list(top, scope, "allow-transfer", notes),
        grants: Vec::new(),
        notify: list(top, scope, "allow-notify", notes),
        query: list(top, scope, "allow-query", notes),
        signing: None,
        is_catalog: false,
    };
    if secondary {
        plan.pull(top, scope, notes);
    } else {
        plan.read(top, scope, notes);
        plan.change(top, scope, own, notes);
    }
    plan.push(top, scope, notes);
    plan.lock(top, notes);
    if plan.is_taken() {
        let form = if secondary { "secondary" } else { "primary" };
        notes.push(note(Kind::Taken, statement, format!("{form} zone {}", plan.name)));
    }
    Some(plan)
}

/// Zones that are none of an authoritative server.
fn not_ours(kind: &str) -> (Kind, String) {
    match kind {
        "hint" => (Kind::Unneeded, "hints are for resolvers".to_owned()),
        "forward" | "stub" | "static-stub" | "delegation-only" => {
            (Kind::Left, format!("type {kind} is resolver work: keep a resolver beside popnet"))
        }
        "mirror" | "redirect" => (Kind::Left, format!("popnet has no zones of type {kind}")),
        "" => (Kind::Unknown, "the zone has no type".to_owned()),
        other => (Kind::Unknown, format!("type {other} is none that BIND's manual names")),
    }
}

/// The list called `name` that holds for a zone.
pub(crate) fn list(
    top: &Top<'_>,
    scope: Scope<'_>,
    name: &str,
    notes: &mut Vec<Note>,
) -> Option<Access> {
    let statement = scope.find(name)?;
    let found = access(statement.block()?, &top.acls);
    notes.push(note(Kind::Taken, statement, found.words()));
    for lost in &found.lost {
        let why = format!("left out of the list, which is narrower for it: {lost}");
        notes.push(note(Kind::Left, statement, why));
    }
    Some(found)
}

impl<'t> ZonePlan<'t> {
    /// A primary: its file.
    fn read(&mut self, top: &Top<'t>, scope: Scope<'t>, notes: &mut Vec<Note>) {
        let Some(file) = word_of(scope.zone, "file") else {
            notes.push(note(Kind::Left, self.statement, "a primary without a file"));
            return;
        };
        let path = top.folder.join(Path::new(file));
        self.file = Some(path.display().to_string());
        let format = scope.find("masterfile-format");
        if let Some(format) = format.filter(|format| !format.word(1).is_some_and(is_text)) {
            let why = format!(
                "popnet reads text: named-compilezone -f raw -F text -o NEW {} {file}",
                self.name
            );
            notes.push(note(Kind::Left, format, why));
        }
    }

    /// How its content changes: by signing and by updates.
    fn change(&mut self, top: &Top<'t>, scope: Scope<'t>, own: bool, notes: &mut Vec<Note>) {
        let before = notes.len();
        self.sign(top, scope, notes);
        self.grants = updates::grants(top, scope, &self.name, notes);
        if own && (self.signing.is_some() || !self.grants.is_empty()) {
            (self.signing, self.grants) = (None, Vec::new());
            notes.truncate(before);
            let why = "a zone of a view is answered as its file has it: sign the file elsewhere, \
                       and change the file instead of sending updates";
            notes.push(note(Kind::Left, self.statement, why));
        }
    }

    /// A secondary: whom it is transferred from.
    fn pull(&mut self, top: &Top<'t>, scope: Scope<'t>, notes: &mut Vec<Note>) {
        let statement = scope.find("primaries").or(scope.find("masters"));
        let Some(statement) = statement else {
            notes.push(note(Kind::Left, self.statement, "a secondary without primaries"));
            return;
        };
        self.primaries = servers(top, scope, statement, notes);
        if self.primaries.is_empty() {
            notes.push(note(Kind::Left, statement, "no address of a primary is in it"));
        } else {
            notes.push(note(Kind::Taken, statement, "primaries"));
        }
        if let Some(file) = find(scope.zone, "file") {
            notes.push(note(Kind::Unneeded, file, "popnet keeps its copy in its own folder"));
        }
    }

    /// Whom to tell of changes.
    fn push(&mut self, top: &Top<'t>, scope: Scope<'t>, notes: &mut Vec<Note>) {
        let says_no = scope.find("notify").filter(|statement| {
            let word = statement.word(1).map(|word| word.text.to_ascii_lowercase());
            matches!(word.as_deref(), Some("no" | "false" | "0"))
        });
        if let Some(statement) = says_no {
            notes.push(note(Kind::Taken, statement, "nobody is notified"));
            return;
        }
        if let Some(statement) = scope.find("notify") {
            let why = "popnet notifies those that it is told to: secondaries";
            notes.push(note(Kind::Unneeded, statement, why));
        }
        if let Some(statement) = scope.find("also-notify") {
            self.notified = servers(top, scope, statement, notes);
            notes.push(note(Kind::Taken, statement, "secondaries"));
        }
    }

    fn sign(&mut self, top: &Top<'t>, scope: Scope<'t>, notes: &mut Vec<Note>) {
        let Some(statement) = scope.find("dnssec-policy") else { return };
        let called = statement.word(1).map(|word| word.text.to_ascii_lowercase());
        let called = called.unwrap_or_default();
        let algorithm = match called.as_str() {
            "none" => return,
            "insecure" => {
                let why = "leave the zone unsigned once its DS is gone from the parent";
                notes.push(note(Kind::Left, statement, why));
                return;
            }
            "default" => Ok(None),
            other => match top.policies.get(other) {
                Some(policy) => algorithm(policy),
                None => Err(format!("there is no policy {other:?}")),
            },
        };
        match algorithm {
            Ok(algorithm) => {
                self.signing = Some(Signing { algorithm });
                let why = "dnssec.sign; popnet makes keys of its own: before the change, put its \
                           DS beside the old one at the parent";
                notes.push(note(Kind::Left, statement, why));
            }
            Err(why) => notes.push(note(Kind::Left, statement, why)),
        }
    }

    /// The one key of the zone, and who may be notified with it.
    fn lock(&mut self, top: &Top<'t>, notes: &mut Vec<Note>) {
        let peers = self.primaries.iter().chain(&self.notified);
        let of_peers = peers.filter_map(|server| {
            server.key.clone().or_else(|| top.peers.get(&server.address).cloned())
        });
        let of_list = self.transfer.iter().flat_map(|list| list.keys.iter().cloned());
        let wants_key = self.primaries.len() + self.notified.len() > 0;
        let mut keys: Vec<String> = of_peers.chain(of_list.filter(|_| wants_key)).collect();
        let mut seen = std::collections::BTreeSet::new();
        keys.retain(|key| seen.insert(key.clone()));
        if let [first, others @ ..] = keys.as_slice() {
            self.key = Some(first.clone());
            if !others.is_empty() {
                let others = others.join(", ");
                let why = format!("a zone has one key for its servers, {first}; not: {others}");
                notes.push(note(Kind::Left, self.statement, why));
            }
        }
        for key in keys.iter().filter(|key| !top.keys.contains_key(*key)) {
            let why = format!("key {key} is not here: write keys/tsig/{key}.key on the node");
            notes.push(note(Kind::Left, self.statement, why));
        }
        self.drop_strangers(notes);
    }

    /// Who is notified by us may also transfer: those who may not are not notified.
    fn drop_strangers(&mut self, notes: &mut Vec<Note>) {
        let Some(list) = &self.transfer else { return };
        let by_key = self.key.as_ref().is_some_and(|key| list.keys.contains(key));
        let may = |server: &Server| {
            by_key || list.prefixes.iter().any(|net| net.contains(&server.address))
        };
        let (stay, go): (Vec<Server>, Vec<Server>) =
            std::mem::take(&mut self.notified).into_iter().partition(may);
        self.notified = stay;
        for server in go {
            let why = format!(
                "{} is notified there and may not transfer; ours notifies those who may",
                server.address
            );
            notes.push(note(Kind::Left, self.statement, why));
        }
    }
}

fn is_text(word: &crate::tree::Word) -> bool {
    word.text.eq_ignore_ascii_case("text")
}

/// Our word for the algorithm of a signing policy.
fn algorithm(policy: &[Statement]) -> Result<Option<&'static str>, String> {
    let Some(keys) = find(policy, "keys").and_then(Statement::block) else { return Ok(None) };
    let mut chosen = None;
    for key in keys {
        let Some(word) = key.after("algorithm") else { continue };
        chosen = Some(match word.text.to_ascii_lowercase().as_str() {
            "13" | "ecdsap256sha256" | "ecdsa256" => "ecdsap256sha256",
            "15" | "ed25519" => "ed25519",
            other => {
                return Err(format!("popnet signs with ecdsap256sha256 or ed25519, not {other}"));
            }
        });
    }
    Ok(chosen)
}

/// The servers of a list such as `primaries`, named lists written out.
fn servers(
    top: &Top<'_>,
    scope: Scope<'_>,
    statement: &Statement,
    notes: &mut Vec<Note>,
) -> Vec<Server> {
    let usual = word_of(scope.options, "port").and_then(|port| port.parse().ok()).unwrap_or(53);
    let mut found = Vec::new();
    gather(top, statement, usual, 0, &mut found, notes);
    found.dedup();
    found
}

fn gather(
    top: &Top<'_>,
    statement: &Statement,
    usual: u16,
    depth: usize,
    found: &mut Vec<Server>,
    notes: &mut Vec<Note>,
) {
    /// Lists in lists, and servers of one list.
    const DEPTH_MAX: usize = 8;
    const SERVERS_MAX: usize = 1_024;
    let port_of = |one: &Statement| one.after("port").and_then(|port| port.text.parse().ok());
    let usual = port_of(statement).unwrap_or(usual);
    for element in statement.block().unwrap_or_default() {
        let Some(first) = element.word(0) else { continue };
        if found.len() >= SERVERS_MAX || depth > DEPTH_MAX {
            notes.push(note(Kind::Left, statement, "too many servers, or lists without end"));
            return;
        }
        if element.after("tls").is_some() {
            let why = "transfers over TLS are not taken: this server is asked without it";
            notes.push(note(Kind::Left, element, why));
        }
        if let Ok(address) = first.text.parse() {
            let key = element.after("key").map(|key| key_name(&key.text));
            let port = port_of(element).unwrap_or(usual);
            found.push(Server { address, port, key });
        } else if let Some(list) = top.lists.get(&first.text.to_ascii_lowercase()) {
            gather(top, list, usual, depth + 1, found, notes);
        } else {
            let why = format!("{:?} is neither an address nor a list", short(element));
            notes.push(note(Kind::Left, statement, why));
        }
    }
}
