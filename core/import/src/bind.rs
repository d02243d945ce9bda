//! The statements of a `named.conf`, each put where it belongs or spoken about.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use popnet_dns::Mistake;

use crate::access::{Acls, key_name};
use crate::listen;
use crate::places::Place;
use crate::report::{Kind, Note};
use crate::settings;
use crate::toml;
use crate::tree::{Item, Open, Reader, Statement, is_secret};
use crate::views;
use crate::zones::{KeyFile, ZonePlan};

/// What a `named.conf` does not say and a configuration of ours needs.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The network's short name.
    pub network: &'a str,
    /// Our own zone, in which nodes have their names.
    pub domain: &'a str,
    /// Addresses of the machine; empty: those that it listens on.
    pub addresses: &'a [IpAddr],
}

/// What became of a configuration.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Ours.
    pub toml: String,
    /// What became of each statement, in the order in which they were read.
    pub notes: Vec<Note>,
    /// Keys, to be written as files; `toml` has none of their secrets.
    pub keys: Vec<KeyFile>,
    /// Zones taken.
    pub zones: usize,
}

/// Everything at the top, by what it is.
#[derive(Default)]
pub(crate) struct Top<'t> {
    pub(crate) options: Option<&'t [Statement]>,
    pub(crate) acls: Acls<'t>,
    /// Lists of servers: `primaries`, `remote-servers` and their kin.
    pub(crate) lists: BTreeMap<String, &'t Statement>,
    pub(crate) keys: BTreeMap<String, KeyFile>,
    /// The key that a `server` statement gives for an address.
    pub(crate) peers: BTreeMap<IpAddr, String>,
    /// Certificates and their like.
    pub(crate) tls: BTreeMap<String, &'t [Statement]>,
    /// Signing policies.
    pub(crate) policies: BTreeMap<String, &'t [Statement]>,
    pub(crate) views: Vec<(String, &'t Statement)>,
    pub(crate) zones: Vec<&'t Statement>,
    /// Where the top-level file lies, with the folder that `directory` names.
    pub(crate) folder: std::path::PathBuf,
}

/// Reads `file` with what it includes. `open` gives a file's text.
///
/// # Errors
/// The place where the text is no configuration at all.
pub fn bind(file: &Path, wanted: &Wanted<'_>, open: Open<'_>) -> Result<Imported, Mistake> {
    let mut reader = Reader::new(open);
    let tree = reader.file(file)?;
    let mut notes = reader.notes;
    let top = sort(&tree, file, &mut notes);
    let (zones, views) = views::plan(&top, &mut notes);
    let listen = listen::listen(&top, &mut notes);
    sweep(&top, &mut notes);
    let toml = toml::write(wanted, &listen, (&zones, &views), &mut notes);
    let mut keys: Vec<KeyFile> = top.keys.into_values().collect();
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    let notes = in_order(notes);
    let all = zones.iter().chain(views.iter().flat_map(|view| &view.zones));
    Ok(Imported { toml, notes, keys, zones: all.filter(|zone| zone.is_taken()).count() })
}

/// Speaks about statements of `options` that hold for zones and that no zone asked for.
fn sweep(top: &Top<'_>, notes: &mut Vec<Note>) {
    for statement in top.options.unwrap_or_default() {
        if notes.iter().any(|note| note.place == statement.place) {
            continue;
        }
        notes.push(match statement.name().as_str() {
            "directory" => note(Kind::Taken, statement, "paths are written out"),
            "port" | "tls-port" | "https-port" => {
                note(Kind::Taken, statement, "ports are written out")
            }
            _ => note(Kind::Unneeded, statement, "no zone that was taken asks for it"),
        });
    }
}

/// Each note once, files in the order in which they were met.
fn in_order(notes: Vec<Note>) -> Vec<Note> {
    let mut files: Vec<_> = Vec::new();
    for note in &notes {
        if !files.contains(&note.place.file) {
            files.push(std::sync::Arc::clone(&note.place.file));
        }
    }
    let mut notes: Vec<(usize, Note)> = notes
        .into_iter()
        .map(|note| (files.iter().position(|file| *file == note.place.file).unwrap_or(0), note))
        .collect();
    let place = |note: &Note| (note.place.line, note.place.column);
    notes.sort_by(|(a, first), (b, second)| {
        (a, place(first), first.kind, &first.why).cmp(&(b, place(second), second.kind, &second.why))
    });
    let mut notes: Vec<Note> = notes.into_iter().map(|(_, note)| note).collect();
    notes.dedup();
    notes
}

/// A note about `statement`.
pub(crate) fn note(kind: Kind, statement: &Statement, why: impl Into<String>) -> Note {
    Note { kind, place: statement.place.clone(), what: short(statement), why: why.into() }
}

/// A statement in short, without what is secret.
pub(crate) fn short(statement: &Statement) -> String {
    const WIDE: usize = 60;
    let name = statement.name();
    if is_secret(&name) {
        return name;
    }
    let mut text = String::new();
    for item in &statement.items {
        let part = match item {
            Item::Word(word) => word.text.as_str(),
            Item::Block(_) => "{ … }",
            Item::Not => "!",
        };
        if !text.is_empty() && !text.ends_with('!') {
            text.push(' ');
        }
        text.push_str(part);
        if text.chars().count() > WIDE {
            text = text.chars().take(WIDE).collect();
            text.push('…');
            break;
        }
    }
    text.replace(char::is_control, " ")
}

fn sort<'t>(tree: &'t [Statement], file: &Path, notes: &mut Vec<Note>) -> Top<'t> {
    let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
    let mut top = Top { folder, ..Top::default() };
    for statement in tree {
        let name = statement.name();
        let called = statement.word(1).map(|word| word.text.as_str());
        match (name.as_str(), called, statement.block()) {
            ("options", _, Some(block)) => {
                if top.options.is_some() {
                    notes.push(note(Kind::Left, statement, "options are given twice"));
                    continue;
                }
                top.options = Some(block);
                settle(block, OPTIONS, notes);
                if let Some(directory) = word_of(block, "directory") {
                    top.folder.push(directory);
                }
            }
            ("acl", Some(called), Some(block)) => {
                top.acls.insert(called.to_ascii_lowercase(), block);
                notes.push(note(Kind::Taken, statement, "written out where it is used"));
            }
            ("key", Some(called), Some(block)) => key(&mut top, statement, called, block, notes),
            ("masters" | "primaries" | "parental-agents" | "remote-servers", Some(called), _) => {
                top.lists.insert(called.to_ascii_lowercase(), statement);
                notes.push(note(Kind::Taken, statement, "written out where it is used"));
            }
            ("tls", Some(called), Some(block)) => {
                top.tls.insert(called.to_owned(), block);
                notes.push(note(Kind::Taken, statement, "its files count where it is used"));
            }
            ("dnssec-policy", Some(called), Some(block)) => {
                top.policies.insert(called.to_ascii_lowercase(), block);
                notes.push(note(Kind::Taken, statement, "its algorithm counts where it is used"));
            }
            ("server", Some(address), Some(block)) => {
                server(&mut top, statement, address, block, notes)
            }
            ("view", Some(called), Some(_)) => top.views.push((called.to_owned(), statement)),
            ("zone", Some(_), Some(_)) => top.zones.push(statement),
            _ => notes.push(match settings::statement(&name) {
                Some((kind, why)) => note(kind, statement, why),
                None => note(Kind::Unknown, statement, "no statement that BIND's manual names"),
            }),
        }
    }
    top
}

/// Statements of `options` that are looked at where they matter.
const OPTIONS: &[&str] = &[
    "directory",
    "listen-on",
    "listen-on-v6",
    "allow-transfer",
    "allow-query",
    "allow-update",
    "allow-notify",
    "also-notify",
    "notify",
    "recursion",
    "dnssec-policy",
    "port",
    "tls-port",
    "https-port",
    "rate-limit",
    "catalog-zones",
    "masterfile-format",
];

/// Speaks about the statements of a block that nobody else looks at.
pub(crate) fn settle(block: &[Statement], looked_at: &[&str], notes: &mut Vec<Note>) {
    for statement in block {
        let name = statement.name();
        if name == "recursion" && looked_at.contains(&"recursion") {
            let yes = statement.word(1).is_none_or(|word| is_yes(&word.text));
            notes.push(if yes {
                let why = "popnet answers for its own zones only; keep a resolver beside it";
                note(Kind::Left, statement, why)
            } else {
                note(Kind::Unneeded, statement, "popnet does no recursion")
            });
            continue;
        }
        if looked_at.contains(&name.as_str()) {
            continue;
        }
        notes.push(match settings::setting(&name) {
            Some((kind, why)) => note(kind, statement, why),
            None => note(Kind::Unknown, statement, "no statement of this place that is known here"),
        });
    }
}

/// BIND's words for yes.
pub(crate) fn is_yes(text: &str) -> bool {
    ["yes", "true", "1"].iter().any(|yes| text.eq_ignore_ascii_case(yes))
}

/// The first statement called `name`.
pub(crate) fn find<'t>(block: &'t [Statement], name: &str) -> Option<&'t Statement> {
    block.iter().find(|statement| statement.name() == name)
}

/// The word after `name` in a block.
pub(crate) fn word_of<'t>(block: &'t [Statement], name: &str) -> Option<&'t str> {
    find(block, name)?.word(1).map(|word| word.text.as_str())
}

/// A key for transactions (RFC 8945), as the file that will hold it.
fn key(
    top: &mut Top<'_>,
    statement: &Statement,
    called: &str,
    block: &[Statement],
    notes: &mut Vec<Note>,
) {
    let name = key_name(called);
    let (algorithm, secret) = (word_of(block, "algorithm"), word_of(block, "secret"));
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(safe) {
        notes.push(note(Kind::Left, statement, "its name cannot be a file's name"));
        return;
    }
    let (Some(algorithm), Some(secret)) = (algorithm, secret) else {
        notes.push(note(Kind::Left, statement, "it lacks an algorithm or a secret"));
        return;
    };
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let secret: String = secret.split_whitespace().collect();
    if secret.is_empty() || !secret.chars().all(base64) || !algorithm.chars().all(safe) {
        notes.push(note(Kind::Left, statement, "its secret is not base64"));
        return;
    }
    if algorithm.eq_ignore_ascii_case("hmac-md5") {
        let why = "hmac-md5 is broken and not offered (RFC 8945 6): make a new key, hmac-sha256";
        notes.push(note(Kind::Left, statement, why));
        return;
    }
    let file = KeyFile::new(&name, algorithm, &secret);
    notes.push(note(Kind::Taken, statement, format!("its file is {}", file.name)));
    top.keys.insert(name, file);
}

/// What is set for one other server.
fn server(
    top: &mut Top<'_>,
    statement: &Statement,
    address: &str,
    block: &[Statement],
    notes: &mut Vec<Note>,
) {
    for inner in block {
        let name = inner.name();
        if name != "keys" {
            let (kind, why) = match name.as_str() {
                "bogus" => (Kind::Left, "popnet has no list of whom to ignore"),
                _ => settings::setting(&name).unwrap_or((Kind::Unneeded, "popnet finds out")),
            };
            notes.push(note(kind, inner, why));
            continue;
        }
        let inside = inner.block().and_then(|keys| keys.first()).and_then(|key| key.word(0));
        let key = inside.or(inner.word(1)).map(|word| key_name(&word.text));
        match (key, address.parse()) {
            (Some(key), Ok(address)) => {
                top.peers.insert(address, key);
                notes.push(note(Kind::Taken, inner, format!("for zones with {address}")));
            }
            _ => notes.push(note(Kind::Left, statement, "one address and one key are needed")),
        }
    }
}

impl ZonePlan<'_> {
    /// Where the zone's statement stands.
    pub(crate) fn place(&self) -> &Place {
        &self.statement.place
    }
}
