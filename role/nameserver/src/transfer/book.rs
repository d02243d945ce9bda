//! What the configuration says about zones that travel, with the keys that lie on this node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use popnet_config::Held;
use popnet_config::network::{Network, Peer, TlsPrimary, UpdateGrant, Who, Zone};
use popnet_dns::Name;
use popnet_transfer::{Access, Grant, Grants, Key, Keys, Limits};

use super::Members;
use super::tls::{Authorities, TlsRule};
use crate::views::ZoneKey;
use crate::zones::ZoneProblem;

/// No key file is longer.
const KEY_FILE_MAX: u64 = 64 << 10;

/// What a zone may bring at most, unless the configuration says else.
const RECORDS_MAX: u64 = 10_000_000;
const OCTETS_MAX: u64 = 256 << 20;
/// Octets of differences kept for secondaries, unless the configuration says else.
const HISTORY: u64 = 4 << 20;

/// One configuration, read for transfers.
#[derive(Debug, Default)]
pub(crate) struct Book {
    zones: BTreeMap<Name, Arc<ZoneBook>>,
    /// Of the zones that views have of their own.
    in_views: BTreeMap<ZoneKey, Arc<ZoneBook>>,
    pub(crate) keys: Keys,
    /// Whose certificates count.
    pub(crate) authorities: Option<Arc<Authorities>>,
    /// Whether a certificate of a client could be of use.
    pub(crate) asks_certificates: bool,
    /// Whether updates of any zone are passed on.
    pub(crate) forwards: bool,
    /// Keys and authorities that are not as they should be.
    pub(crate) problems: Vec<ZoneProblem>,
}

/// A primary, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) at: SocketAddr,
    /// `None`: without TLS.
    pub(crate) tls: Option<TlsRule>,
}

/// What is agreed about one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ZoneBook {
    pub(crate) primaries: Vec<Source>,
    pub(crate) secondaries: Vec<SocketAddr>,
    /// The key between primaries and secondaries.
    pub(crate) key: Option<Name>,
    pub(crate) transfer: Access,
    pub(crate) notify: Access,
    pub(crate) grants: Grants,
    pub(crate) limits: Limits,
    /// Octets of differences that are kept.
    pub(crate) history: usize,
    /// It lists zones of its primaries.
    pub(crate) is_catalog: bool,
    /// It lists zones of ours.
    pub(crate) is_listing: bool,
    /// What such lists say of it.
    pub(crate) group: Option<String>,
    /// Updates are passed on to a primary.
    pub(crate) forwards: bool,
}

impl Book {
    /// Reads `held`, with the zones that have `files` and the `members` of its catalogs, and the
    /// keys that it names from the folder `keys`.
    pub(crate) fn read(
        held: &Held,
        files: Option<&BTreeSet<Name>>,
        members: &Members,
        keys: &Path,
    ) -> Self {
        let mut book = Self::default();
        for (name, zone) in &held.network.zones {
            let Ok(apex) = name.parse::<Name>() else { continue };
            book.zones.insert(apex, Arc::new(ZoneBook::of(zone, held)));
        }
        book.add_files(held, files);
        let mut named = BTreeSet::new();
        for view in &held.network.views {
            named.extend(view.keys.iter().filter_map(|key| key.parse().ok()));
            let name: Arc<str> = view.name.as_str().into();
            for (apex, zone) in &view.zones {
                let Ok(apex) = apex.parse::<Name>() else { continue };
                let key = ZoneKey { view: Some(Arc::clone(&name)), apex };
                book.in_views.insert(key, Arc::new(ZoneBook::of(zone, held)));
            }
        }
        for zone in book.zones.values().chain(book.in_views.values()) {
            let shown = &zone.transfer;
            book.forwards |= zone.forwards;
            book.asks_certificates |= !shown.tls_names.is_empty() || !shown.pins.is_empty();
            named.extend(zone.keys().cloned());
        }
        for (member, catalog) in members {
            let Some(rules) = book.zones.get(catalog) else { continue };
            let rules = Arc::new(ZoneBook { is_catalog: false, ..(**rules).clone() });
            // A zone that the configuration names goes before what a catalog says.
            book.zones.entry(member.clone()).or_insert(rules);
        }
        if let Some(path) = &held.network.dns.transfer_ca {
            let path = held.base_dir.join(path);
            match Authorities::read(&path) {
                Ok(authorities) => book.authorities = Some(Arc::new(authorities)),
                Err(why) => {
                    let what = format!(
                        "{}: {why}; nobody is known by name in transfers over TLS; next: put the \
                         authorities' certificates there as PEM",
                        path.display()
                    );
                    tracing::error!("{what}");
                    let zone = "dns.transfer_ca".to_owned();
                    book.problems.push(ZoneProblem { zone, mistakes: vec![what], kept: false });
                }
            }
        }
        for name in named {
            let path = keys.join(format!("{}.key", super::file_name(&name)));
            match read_key(&name, &path) {
                Ok(key) => book.keys.add(key),
                Err(why) => {
                    let (file, host) = (path.display(), name.to_host());
                    let what = format!(
                        "{file}: {why}; whoever signs with this key is refused; next: \
                         tsig-keygen {host} > {file}"
                    );
                    tracing::error!(key = %name, "{what}");
                    let zone = format!("key {host}");
                    book.problems.push(ZoneProblem { zone, mistakes: vec![what], kept: false });
                }
            }
        }
        book
    }

    /// Adds zones that come from a folder. Zones with files that nobody is said to have from us go
    /// to whoever has the list of them.
    fn add_files(&mut self, held: &Held, files: Option<&BTreeSet<Name>>) {
        let each = held.network.zones_from.as_ref().map(|from| ZoneBook::of(&from.each(), held));
        let each = each.map(Arc::new);
        let listing = self.zones.values().find(|zone| zone.is_listing).cloned();
        for apex in files.into_iter().flatten() {
            if let Some(each) = &each {
                self.zones.entry(apex.clone()).or_insert_with(|| Arc::clone(each));
            }
            if let (Some(list), Some(zone)) = (&listing, self.zones.get_mut(apex))
                && zone.transfer.is_empty()
            {
                let zone = Arc::make_mut(zone);
                zone.secondaries.clone_from(&list.secondaries);
                zone.key.clone_from(&list.key);
                zone.transfer = list.transfer.clone();
            }
        }
    }

    /// Of a zone of everybody, or of a view.
    pub(crate) fn rules(&self, key: &ZoneKey) -> Option<&Arc<ZoneBook>> {
        if key.view.is_some() { self.in_views.get(key) } else { self.zones.get(&key.apex) }
    }

    /// Every zone, those of views, too.
    pub(crate) fn all(&self) -> impl Iterator<Item = (ZoneKey, &Arc<ZoneBook>)> {
        let common = self.zones.iter().map(|(apex, zone)| (ZoneKey::common(apex.clone()), zone));
        common.chain(self.in_views.iter().map(|(key, zone)| (key.clone(), zone)))
    }

    /// Of a zone of everybody.
    pub(crate) fn zone(&self, apex: &Name) -> Option<&Arc<ZoneBook>> {
        self.zones.get(apex)
    }

    /// The zones of everybody.
    pub(crate) fn zones(&self) -> impl Iterator<Item = (&Name, &Arc<ZoneBook>)> {
        self.zones.iter()
    }

    /// Whether this node keeps a state of the zone beside its file.
    pub(crate) fn keeps(&self, apex: &Name) -> bool {
        let is_kept =
            |zone: &Arc<ZoneBook>| zone.is_secondary() || zone.is_dynamic() || zone.is_listing;
        self.zones.get(apex).is_some_and(is_kept)
    }
}

impl ZoneBook {
    fn of(zone: &Zone, held: &Held) -> Self {
        let secondaries: Vec<SocketAddr> = zone.secondaries.iter().map(Peer::socket).collect();
        let plain = zone.primaries.iter().map(|peer| Source { at: peer.socket(), tls: None });
        let over_tls = zone.tls_primaries.iter().map(|primary| source(primary, held));
        let primaries: Vec<Source> = over_tls.chain(plain).collect();
        let key: Option<Name> = zone.tsig_key.as_deref().and_then(|key| key.parse().ok());
        let mut transfer = access(&zone.allow_transfer);
        transfer.keys.extend(key.clone());
        // Where something is shown or signed, an address alone counts for nothing.
        if key.is_none() && transfer.tls_names.is_empty() && transfer.pins.is_empty() {
            transfer.nets.extend(secondaries.iter().map(|peer| IpNet::from(peer.ip())));
        }
        let mut notify = access(&zone.allow_notify);
        notify.keys.extend(key.clone());
        // What a notification leads to is a question to the primary, which is signed.
        notify.nets.extend(primaries.iter().map(|primary| IpNet::from(primary.at.ip())));
        let number = |value: Option<u64>, usual: u64| {
            usize::try_from(value.unwrap_or(usual)).unwrap_or(usize::MAX)
        };
        Self {
            primaries,
            secondaries,
            key,
            transfer,
            notify,
            grants: Grants(zone.allow_update.iter().map(grant).collect()),
            limits: Limits {
                records: number(zone.max_records, RECORDS_MAX),
                octets: number(zone.max_size.map(|size| size.0), OCTETS_MAX),
            },
            history: number(zone.history.map(|size| size.0), HISTORY),
            is_catalog: zone.catalog && zone.is_secondary(),
            is_listing: zone.is_listing(),
            group: zone.group.clone(),
            forwards: zone.forward_updates && zone.is_secondary(),
        }
    }

    fn keys(&self) -> impl Iterator<Item = &Name> {
        let lists = self.transfer.keys.iter().chain(&self.notify.keys);
        lists.chain(self.grants.0.iter().flat_map(|grant| &grant.who.keys))
    }

    pub(crate) fn is_secondary(&self) -> bool {
        !self.primaries.is_empty()
    }

    /// Whether it can be changed from afar.
    pub(crate) fn is_dynamic(&self) -> bool {
        !self.is_secondary() && !self.grants.is_empty()
    }
}

fn source(primary: &TlsPrimary, held: &Held) -> Source {
    let Network { certificates, .. } = &held.network;
    let own = primary.certificate.as_ref().and_then(|name| certificates.get(name));
    let place = |path: &Path| held.base_dir.join(path);
    let tls = TlsRule {
        name: primary.name.clone(),
        pins: primary.pins.iter().map(|pin| pin.0).collect(),
        own: own.map(|files| (place(&files.chain), place(&files.key))),
    };
    Source { at: primary.socket(), tls: Some(tls) }
}

fn access(list: &[Who]) -> Access {
    let mut access = Access::default();
    for who in list {
        match who {
            Who::Any => access.anyone = true,
            Who::Net(net) => access.nets.push(*net),
            Who::Key(key) => access.keys.extend(key.parse::<Name>().ok()),
            Who::Tls(name) => access.tls_names.push(name.clone()),
            Who::Pin(pin) => access.pins.push(pin.0),
        }
    }
    access
}

fn grant(grant: &UpdateGrant) -> Grant {
    let who = match grant.key.as_deref().map(str::parse) {
        Some(key) => Access { keys: key.ok().into_iter().collect(), ..Access::default() },
        None => Access { nets: grant.from.clone(), ..Access::default() },
    };
    Grant {
        who,
        from: grant.from.clone(),
        names: grant.names.iter().filter_map(|name| name.parse().ok()).collect(),
        types: grant.types.iter().filter_map(|rtype| rtype.parse().ok()).collect(),
    }
}

fn read_key(name: &Name, path: &Path) -> Result<Key, String> {
    use std::os::unix::fs::MetadataExt as _;
    let data = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if data.len() > KEY_FILE_MAX {
        return Err(format!("{} octets are too many for a key", data.len()));
    }
    if data.mode() & 0o077 != 0 {
        tracing::warn!(key = %name, "{}: others can read this key: chmod 600", path.display());
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Key::read(name, &text).map_err(|error| error.to_string())
}
