//! Address match lists: who may do something, as prefixes and keys.
//!
//! BIND's lists are read from the front and the first match decides, also for what is excluded;
//! ours are sets of prefixes. So each prefix is taken without what was excluded before it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::tree::{Item, Statement};

/// Lists of lists of lists: BIND refuses rings, we stop here.
const DEPTH_MAX: usize = 8;
/// Prefixes of one list: what is taken out of a large prefix leaves up to 128 pieces.
const PREFIXES_MAX: usize = 4_096;

/// Who may do something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    /// From where.
    pub(crate) prefixes: Vec<IpNet>,
    /// Or with which key.
    pub(crate) keys: Vec<String>,
    /// What could not be said, in words; the list is narrower for it.
    pub(crate) lost: Vec<String>,
}

impl Access {
    pub(crate) fn everybody() -> Self {
        Self { prefixes: everything().into(), ..Self::default() }
    }

    /// Whether it is everybody.
    pub(crate) fn is_any(&self) -> bool {
        everything().iter().all(|all| self.prefixes.contains(all))
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        if self.is_any() {
            return "any".to_owned();
        }
        let prefixes = self.prefixes.iter().map(show);
        let keys = self.keys.iter().map(|key| format!("key {key}"));
        let all: Vec<String> = prefixes.chain(keys).collect();
        if all.is_empty() { "nobody".to_owned() } else { all.join(", ") }
    }
}

/// A prefix; one address without its length.
pub(crate) fn show(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// Named lists.
pub(crate) type Acls<'t> = BTreeMap<String, &'t [Statement]>;

/// What the list in `block` says.
pub(crate) fn access(block: &[Statement], acls: &Acls<'_>) -> Access {
    read(block, acls, false)
}

/// What the list in `block` says of a view's clients. Where it takes keys, whoever signs with
/// another one is out without being named.
pub(crate) fn clients(block: &[Statement], acls: &Acls<'_>) -> Access {
    let found = read(block, acls, true);
    if found.keys.is_empty() { read(block, acls, false) } else { found }
}

fn read(block: &[Statement], acls: &Acls<'_>, others_are_out: bool) -> Access {
    let (found, excluded) = (Access::default(), Vec::new());
    let mut reader = Reader { acls, found, excluded, wide: false, others_are_out };
    reader.list(block, false, 0);
    let mut found = reader.found;
    if reader.wide {
        // Something was excluded that we cannot name: nobody gets in by his address.
        found.prefixes.clear();
    }
    found.prefixes.truncate(PREFIXES_MAX);
    found
}

struct Reader<'a> {
    acls: &'a Acls<'a>,
    found: Access,
    excluded: Vec<IpNet>,
    /// Something unknown was excluded.
    wide: bool,
    /// Keys that are excluded need no word.
    others_are_out: bool,
}

impl Reader<'_> {
    fn list(&mut self, block: &[Statement], not: bool, depth: usize) {
        for statement in block {
            let bangs = statement.items.iter().take_while(|item| matches!(item, Item::Not)).count();
            let not = not ^ (bangs % 2 == 1);
            self.element(statement.items.get(bangs..).unwrap_or_default(), not, depth);
        }
    }

    fn element(&mut self, items: &[Item], not: bool, depth: usize) {
        let (first, second) = match items {
            [Item::Block(inner)] => return self.nested(inner, not, depth, "a list in a list"),
            [Item::Word(first)] => (first, None),
            [Item::Word(first), Item::Word(second), ..] => (first, Some(second)),
            _ => return self.lose("an element that is no address", not),
        };
        let word = first.text.to_ascii_lowercase();
        match (word.as_str(), second) {
            ("key", Some(key)) if !not => self.found.keys.push(key_name(&key.text)),
            ("key", Some(_)) if self.others_are_out => {}
            ("key", Some(key)) => self.lose(&format!("key {}", key.text), true),
            ("any", None) => everything().into_iter().for_each(|net| self.take(net, not)),
            ("none", None) => everything().into_iter().for_each(|net| self.take(net, !not)),
            ("localhost", None) => loopback().into_iter().for_each(|net| self.take(net, not)),
            ("localnets", None) => {
                self.lose("localnets (write the networks out)", not);
            }
            (word, None) => match (prefix(word), self.acls.get(word).copied()) {
                (Some(net), _) => self.take(net, not),
                (None, Some(inner)) => self.nested(inner, not, depth, word),
                (None, None) => self.lose(&format!("{word:?}, which no acl names"), not),
            },
            (word, Some(second)) => self.lose(&format!("{word} {}", second.text), not),
        }
    }

    /// A list in the list. What it excludes counts inside it only: BIND takes a "no" of an inner
    /// list as no match, and goes on behind it.
    fn nested(&mut self, inner: &[Statement], not: bool, depth: usize, name: &str) {
        if depth >= DEPTH_MAX {
            return self.lose(&format!("{name}, which lies too deep"), not);
        }
        if !not {
            let before = self.excluded.len();
            self.list(inner, false, depth + 1);
            self.excluded.truncate(before);
            return;
        }
        let inner = access(inner, self.acls);
        if !inner.lost.is_empty() || !inner.keys.is_empty() {
            self.lose(name, true);
        }
        inner.prefixes.into_iter().for_each(|net| self.take(net, true));
    }

    fn take(&mut self, net: IpNet, not: bool) {
        if not {
            self.excluded.push(net);
            return;
        }
        let mut pieces = vec![net];
        for hole in &self.excluded {
            pieces = pieces.into_iter().flat_map(|piece| without(piece, *hole)).collect();
            if pieces.len() > PREFIXES_MAX {
                self.lose(&show(&net), false);
                return;
            }
        }
        for piece in pieces {
            if self.found.prefixes.len() < PREFIXES_MAX && !self.found.prefixes.contains(&piece) {
                self.found.prefixes.push(piece);
            }
        }
    }

    fn lose(&mut self, what: &str, not: bool) {
        self.wide |= not;
        let not = if not { "not " } else { "" };
        self.found.lost.push(format!("{not}{what}"));
    }
}

/// `net` without `hole`.
fn without(net: IpNet, hole: IpNet) -> Vec<IpNet> {
    if hole.contains(&net) {
        return Vec::new();
    }
    if !net.contains(&hole) {
        return vec![net];
    }
    let halves: Vec<IpNet> = net.subnets(net.prefix_len() + 1).into_iter().flatten().collect();
    halves.into_iter().flat_map(|half| without(half, hole)).collect()
}

/// Every address.
fn everything() -> [IpNet; 2] {
    [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]
}

/// This machine.
fn loopback() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"].iter().filter_map(|net| net.parse().ok()).collect()
}

/// An address or a prefix; BIND takes `10/8`, and an address without length as a host.
pub(crate) fn prefix(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.into());
    }
    if let Ok(net) = text.parse::<IpNet>() {
        return Some(net.trunc());
    }
    let (address, length) = text.split_once('/')?;
    let missing = 3usize.checked_sub(address.matches('.').count())?;
    format!("{address}{}/{length}", ".0".repeat(missing)).parse().ok().map(|net: IpNet| net.trunc())
}

/// A key's name as keys' files have it.
pub(crate) fn key_name(text: &str) -> String {
    text.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tree::Reader as Files;

    fn check(text: &str, expected: &str, lost: &[&str]) {
        let text = format!(
            "x {{ {text} }}; acl lan {{ !10.1/16; 10.0/15; }}; acl home {{ lan; ::1; }}; acl ring {{ ring; }};"
        );
        let mut open = |_: &Path| Ok(text.clone());
        let tree = Files::new(&mut open).file(Path::new("f")).unwrap();
        let acls: Acls<'_> = tree[1..]
            .iter()
            .map(|acl| (acl.word(1).unwrap().text.clone(), acl.block().unwrap()))
            .collect();
        let found = access(tree[0].block().unwrap(), &acls);
        assert_eq!(found.words(), expected, "{text}");
        assert_eq!(found.lost, lost, "{text}");
    }

    #[test]
    fn lists() {
        check("192.0.2.1; 2001:db8::/32;", "192.0.2.1, 2001:db8::/32", &[]);
        check("any;", "any", &[]);
        check("none;", "nobody", &[]);
        check("!any;", "nobody", &[]);
        check("172.16/12; key a.B.;", "172.16.0.0/12, key a.b", &[]);
        check("localhost;", "127.0.0.0/8, ::1", &[]);
        // The first match decides.
        check("!192.0.2.1; 192.0.2.0/30;", "192.0.2.0, 192.0.2.2/31", &[]);
        check("192.0.2.0/30; !192.0.2.1;", "192.0.2.0/30", &[]);
        check("!192.0.2.0/24; 192.0.2.1; 198.51.100.1;", "198.51.100.1", &[]);
        check("home;", "10.0.0.0/16, ::1", &[]);
        check("!lan; 10.0.0.0/14;", "10.1.0.0/16, 10.2.0.0/15", &[]);
        check("lan; 10.1.2.3;", "10.0.0.0/16, 10.1.2.3", &[]);
        check("lan; 10/14; !10.3.2.4;", "10.0.0.0/16, 10.0.0.0/14", &[]);
        check("!{ 10.0.0.0/9; }; 10.0.0.0/8;", "10.128.0.0/9", &[]);
        // What cannot be said makes the list narrower, never wider.
        check("localnets; 10.1.2.3;", "10.1.2.3", &["localnets (write the networks out)"]);
        check("!localnets; any;", "nobody", &["not localnets (write the networks out)"]);
        check("!key a; any;", "nobody", &["not key a"]);
        check("geoip country US; ::1;", "::1", &["geoip country"]);
        check("friends;", "nobody", &["\"friends\", which no acl names"]);
        check("ring;", "nobody", &["ring, which lies too deep"]);
    }
}
