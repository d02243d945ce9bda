//! Views: which of them a question belongs to, and what is seen there. A view has all zones of
//! everybody, but in place of those that it has itself, its own.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use popnet_answer::{Catalog, Image, Zone};
use popnet_config::network::{View, Who};
use popnet_dns::Name;
use popnet_guard::{Access, Gate};

/// Which zone: of everybody, or of one view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ZoneKey {
    /// The view's name; `None`: it is everybody's.
    pub(crate) view: Option<Arc<str>>,
    pub(crate) apex: Name,
}

impl ZoneKey {
    /// A zone of everybody.
    pub(crate) fn common(apex: Name) -> Self {
        Self { view: None, apex }
    }
}

impl fmt::Display for ZoneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.apex.to_host())?;
        self.view.iter().try_for_each(|view| write!(f, " (view {view})"))
    }
}

/// One view. A copy shares all but the list of zones.
#[derive(Clone, Debug)]
pub(crate) struct ZoneView {
    /// Its place in the list, from 1: 0 is what everybody sees.
    pub(crate) number: u16,
    pub(crate) catalog: Catalog,
    rules: Arc<Rules>,
}

#[derive(Debug)]
struct Rules {
    name: Arc<str>,
    clients: Access,
    keys: BTreeSet<Name>,
    /// The zones that are its own.
    own: BTreeSet<Name>,
    gate: Gate,
}

impl ZoneView {
    /// `view` with these zones of its `own` in the `catalog`.
    pub(crate) fn new(
        view: &View,
        number: u16,
        own: &[Arc<Image>],
        catalog: Catalog,
        gate: Gate,
    ) -> Self {
        let nets: Vec<IpNet> = view.clients.iter().flat_map(nets).collect();
        let rules = Rules {
            name: view.name.as_str().into(),
            clients: Access::of(&nets),
            keys: view.keys.iter().filter_map(|key| key.parse().ok()).collect(),
            own: own.iter().map(|image| image.apex().clone()).collect(),
            gate,
        };
        Self { number, catalog, rules: Arc::new(rules) }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.rules.name
    }

    /// Who may ask for what in it.
    pub(crate) fn gate(&self) -> &Gate {
        &self.rules.gate
    }

    /// Whether a question from `from` that was signed with `key` belongs to it. A key says more
    /// than an address: whoever signs with the key of another view wants that one.
    pub(crate) fn is_for(&self, from: IpAddr, key: Option<&Name>) -> bool {
        match key.filter(|_| !self.rules.keys.is_empty()) {
            Some(key) => self.rules.keys.contains(key),
            None => self.rules.clients.has(from),
        }
    }

    /// Whether it has a zone of this name that is not everybody's.
    pub(crate) fn owns(&self, apex: &[u8]) -> bool {
        self.rules.own.contains(apex)
    }

    /// What `apex` is in it.
    pub(crate) fn key(&self, apex: &Name) -> ZoneKey {
        let view = self.owns(apex.as_wire()).then(|| Arc::clone(self.name()));
        ZoneKey { view, apex: apex.clone() }
    }

    /// The zones that are its own.
    pub(crate) fn own(&self) -> impl Iterator<Item = (ZoneKey, &Zone)> {
        self.rules.own.iter().filter_map(|apex| Some((self.key(apex), self.catalog.zone(apex)?)))
    }

    /// Takes up the zones of everybody as they stand in `common` now.
    pub(crate) fn follow(&mut self, common: &Catalog) {
        let own = &self.rules.own;
        self.catalog.follow(common, |apex| own.contains(apex));
    }
}

fn nets(who: &Who) -> Vec<IpNet> {
    match who {
        Who::Any => vec![Ipv4Net::default().into(), Ipv6Net::default().into()],
        Who::Net(net) => vec![*net],
        // The configuration's checks refuse them.
        Who::Key(_) | Who::Tls(_) | Who::Pin(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(clients: &[&str], keys: &[&str]) -> ZoneView {
        let view = View {
            name: "v".to_owned(),
            clients: clients.iter().map(|who| who.parse().unwrap()).collect(),
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
            zones: std::collections::BTreeMap::new(),
        };
        ZoneView::new(&view, 1, &[], Catalog::default(), Gate::default())
    }

    #[test]
    fn by_address_or_by_key() {
        let near = "10.0.0.1";
        for (clients, keys, from, key, expected) in [
            (&["10.0.0.0/8"][..], &[][..], near, None, true),
            (&["10.0.0.0/8"], &[], "::ffff:10.0.0.1", None, true),
            (&["10.0.0.0/8"], &[], "192.0.2.1", None, false),
            // Without keys of its own, it does not look at them.
            (&["10.0.0.0/8"], &[], near, Some("a"), true),
            (&["10.0.0.0/8"], &[], "192.0.2.1", Some("a"), false),
            (&["10.0.0.0/8"], &["a"], near, None, true),
            (&["10.0.0.0/8"], &["a"], near, Some("b"), false),
            (&["10.0.0.0/8"], &["a"], "192.0.2.1", Some("a"), true),
            (&[], &["a"], near, None, false),
            (&[], &["a", "b"], near, Some("B"), true),
            (&["any"], &[], "2001:db8::1", None, true),
            (&["any"], &["a"], near, Some("b"), false),
        ] {
            let key: Option<Name> = key.map(|key| key.parse().unwrap());
            let is_for = view(clients, keys).is_for(from.parse().unwrap(), key.as_ref());
            assert_eq!(is_for, expected, "{clients:?} {keys:?} {from} {key:?}");
        }
    }
}
