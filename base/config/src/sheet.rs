//! Draws role sheets: what one cache needs to know of its sites, defaults filled in (G6).

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use popnet_terms::{NodeName, Octets, OriginGroupId, OriginId, Role, Seconds, SiteName, Span};
use popnet_wire::delivery as sheet;
use popnet_wire::rollout::{Digest, Epoch};
use popnet_wire::sheet::{
    CacheRules, Masking, OriginAddress, PathRule, SetCookie, Sheet, SiteSheet,
};

use crate::network::{
    CacheSettings, ClientIp, CodingName, Compress, CookieRule, Delivery, FieldChanges, Network,
    OriginServer, PlainHttp, Rule, RuleAction, Site,
};

/// Longest lifetime kept when the site does not say: a month, as most networks have it.
const MAX_TTL: Span = Span::seconds(30 * 86_400);
/// Variants of one URL kept when the site does not say.
const VARY_LIMIT: u32 = 8;
/// Largest stored response when the site does not say: 2 GiB.
const MAX_OBJECT: Octets = Octets(2 << 30);
/// Smallest response that is given codings when the site does not say: what is smaller travels in
/// one packet either way.
const COMPRESS_MIN: Octets = Octets(256);
/// Largest when the site does not say: what is larger is seldom text that somebody waits for.
pub(crate) const COMPRESS_MAX: Octets = Octets(8 << 20);

impl Network {
    /// The sheet of `node`, when it is one of ours and caches.
    #[must_use]
    pub fn sheet(&self, epoch: Epoch, digest: Digest, node: &NodeName) -> Option<Sheet> {
        let of = self.node(node)?;
        if !of.runs(Role::Webcache) && !of.runs(Role::Webserver) {
            return None;
        }
        let pop = node.pop();
        Some(Sheet {
            epoch,
            digest,
            node: node.clone(),
            domain: Arc::from(self.network.domain.as_str()),
            nameservers: self.dns_addresses(&pop),
            sites: self.sites_of(&pop).map(|(name, site)| self.site_sheet(name, site)).collect(),
        })
    }

    fn site_sheet(&self, name: &SiteName, site: &Site) -> SiteSheet {
        SiteSheet {
            site: name.clone(),
            customer: site.customer.clone(),
            cache: cache_rules(&site.cache),
            paths: site.rules.iter().map(|rule| path_rule(rule, &site.delivery)).collect(),
            delivery: Arc::new(delivery(&site.delivery)),
            origins: self.origin_addresses(&site.origins),
            client_ip: self.masking(site),
            certificate: site.tls.as_ref().map(|tls| Arc::from(tls.certificate.as_str())),
        }
    }

    /// The servers of `group` with ports filled in, in order of their keys; or its folder.
    #[must_use]
    pub fn origin_addresses(&self, group: &OriginGroupId) -> Vec<OriginAddress> {
        let found = self.origin_groups.get(group);
        if let Some(folder) = found.and_then(|found| found.directory.as_deref()) {
            let id = OriginId { group: group.clone(), server: Arc::from("directory") };
            return vec![OriginAddress { id, host: Arc::from(folder), port: 0, tls: false }];
        }
        let servers = found.map(|group| &group.servers);
        let address = |(key, server): (&String, &OriginServer)| {
            let (host, port) = server.endpoint()?;
            Some(OriginAddress {
                id: OriginId { group: group.clone(), server: Arc::from(key.as_str()) },
                host,
                port,
                tls: server.speaks_tls(),
            })
        };
        servers.into_iter().flatten().filter_map(address).collect()
    }

    /// How the addresses of a site's clients are written down; shortened when nobody says.
    fn masking(&self, site: &Site) -> Masking {
        let logs = self.customers.get(&site.customer).and_then(|customer| customer.logs.as_ref());
        match logs.and_then(|logs| logs.client_ip) {
            Some(ClientIp::Full) => Masking::Full,
            Some(ClientIp::Prefix) | None => Masking::Prefix,
            Some(ClientIp::Hash) => Masking::Hash,
            Some(ClientIp::None) => Masking::None,
        }
    }
}

impl OriginServer {
    /// Whether it is spoken to over TLS.
    #[must_use]
    pub fn speaks_tls(&self) -> bool {
        self.tls.unwrap_or(false)
    }

    /// Host (an IPv6 address without brackets) and port; `None` when `address` is neither
    /// `HOST`, `HOST:PORT`, an IP address nor `[IPV6]:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> Option<(Arc<str>, u16)> {
        let usual = if self.speaks_tls() { 443 } else { 80 };
        let text = self.address.as_str();
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Some((Arc::from(ip.to_string()), usual));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (ip, rest) = rest.split_once(']')?;
            let ip: std::net::Ipv6Addr = ip.parse().ok()?;
            let port = if rest.is_empty() { usual } else { port(rest.strip_prefix(':')?)? };
            return Some((Arc::from(ip.to_string()), port));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, digits)) => (host, port(digits)?),
            None => (text, usual),
        };
        crate::names::is_hostname(host).then(|| (Arc::from(host), port))
    }
}

fn port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|octet| octet.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port > 0)
}

fn cache_rules(settings: &CacheSettings) -> CacheRules {
    let seconds = |span: Option<Span>, unset: Span| Seconds(span.unwrap_or(unset).as_seconds());
    let words = |list: &[String]| list.iter().map(|word| Arc::from(word.as_str())).collect();
    let listed = |list: Option<&Vec<String>>, unset: [&str; 2]| match list {
        Some(list) => words(list),
        None => unset.map(Arc::from).to_vec(),
    };
    let query = settings.query.clone().unwrap_or_default();
    CacheRules {
        default_ttl: seconds(settings.default_ttl, Span(0)),
        max_ttl: seconds(settings.max_ttl, MAX_TTL),
        // RFC 9111 4.2.2 allows guessing; a network that keeps pages by a guess surprises, so
        // it has to be asked for.
        heuristic: settings.heuristic.unwrap_or(false),
        stale_while_revalidate: seconds(settings.stale_while_revalidate, Span(0)),
        stale_if_error: seconds(settings.stale_if_error, Span(0)),
        // RFC 9213: the field for us comes before the field for everybody.
        obey: listed(settings.obey.as_ref(), ["CDN-Cache-Control", "Cache-Control"]),
        query_ignore: words(&query.ignore),
        query_sort: query.sort,
        vary_limit: settings.vary_limit.unwrap_or(VARY_LIMIT),
        // RFC 9111 7.3: a cookie does not keep a response out of caches, and who wants it out says
        // so. What an origin does not date is not kept for a cookie's sake, though.
        set_cookie: settings.set_cookie.map_or(SetCookie::Obey, cookie),
        tags: listed(settings.tags.as_ref(), ["Surrogate-Key", "Cache-Tag"]),
        max_object: settings.max_object.unwrap_or(MAX_OBJECT).0,
    }
}

fn cookie(rule: CookieRule) -> SetCookie {
    match rule {
        CookieRule::Bypass => SetCookie::Bypass,
        CookieRule::Strip => SetCookie::Strip,
        CookieRule::Obey => SetCookie::Obey,
    }
}

fn path_rule(rule: &Rule, of_site: &Delivery) -> PathRule {
    PathRule {
        path: Arc::from(rule.path.as_str()),
        bypass: rule.action == Some(RuleAction::Bypass),
        set_cookie: rule.set_cookie.map(cookie),
        default_ttl: rule.default_ttl.map(|span| Seconds(span.as_seconds())),
        delivery: rule.delivery.as_ref().map(|own| Arc::new(delivery(&own.over(of_site)))),
    }
}

fn delivery(form: &Delivery) -> sheet::Delivery {
    let words = |list: &[String]| list.iter().map(|word| Arc::from(word.as_str())).collect();
    let list = |list: &Option<Vec<IpNet>>| list.clone().unwrap_or_default();
    sheet::Delivery {
        https: form.http == Some(PlainHttp::Redirect),
        hsts: form.hsts.map(|span| Seconds(span.as_seconds())),
        allow: list(&form.allow),
        deny: list(&form.deny),
        referrers: form.referrers.as_deref().map(words).unwrap_or_default(),
        rate: form.rate,
        cors: form.cors.as_ref().map(|cors| sheet::Cors {
            origins: words(&cors.origins),
            methods: words(&cors.methods),
            headers: words(&cors.headers),
            expose: words(&cors.expose),
            credentials: cors.credentials,
            max_age: cors.max_age.map(|span| Seconds(span.as_seconds())),
        }),
        request: changes(&form.request_headers),
        response: changes(&form.response_headers),
        compress: compression(form.compress.clone().unwrap_or_default()),
    }
}

fn compression(form: Compress) -> Option<sheet::Compression> {
    let Compress { codings, types, min, max } = form;
    let mut codings = match codings {
        Some(codings) => codings.into_iter().map(coding).collect(),
        None => sheet::Coding::ALL.to_vec(),
    };
    let mut seen = Vec::new();
    codings.retain(|coding| {
        let is_new = !seen.contains(coding);
        seen.push(*coding);
        is_new
    });
    let lower = |word: String| Arc::from(word.to_ascii_lowercase());
    (!codings.is_empty()).then(|| sheet::Compression {
        codings,
        types: types.map(|list| list.into_iter().map(lower).collect()),
        min: min.unwrap_or(COMPRESS_MIN).0,
        max: max.unwrap_or(COMPRESS_MAX).0,
    })
}

fn coding(name: CodingName) -> sheet::Coding {
    match name {
        CodingName::Zstd => sheet::Coding::Zstd,
        CodingName::Br => sheet::Coding::Br,
        CodingName::Gzip => sheet::Coding::Gzip,
    }
}

/// What is removed goes first: a name in both lists is set.
fn changes(form: &FieldChanges) -> Vec<sheet::FieldChange> {
    let name = |name: &str| Arc::from(name.to_ascii_lowercase());
    let removed =
        form.remove.iter().map(|gone| sheet::FieldChange { name: name(gone), value: None });
    let set = form.set.iter().map(|(field, value)| sheet::FieldChange {
        name: name(field),
        value: Some(Arc::from(value.as_str())),
    });
    removed.chain(set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(text: &str) -> Network {
        toml_edit::de::from_str(text).unwrap()
    }

    #[test]
    fn a_sheet_has_every_default() {
        let network = sample(include_str!("../../../examples/single-cache.toml"));
        let sheet = network.sheet(Epoch(3), Digest::default(), &"edge1.lab".into()).unwrap();
        let [site] = sheet.sites.as_slice() else { panic!("{sheet:?}") };
        assert_eq!(site.cache.max_ttl, Seconds(2_592_000));
        assert_eq!(site.cache.max_object, 2_147_483_648);
        assert!(site.cache.heuristic);
        assert_eq!(site.cache.obey[0].as_ref(), "CDN-Cache-Control");
        assert_eq!(site.client_ip, Masking::Prefix);
        assert_eq!(site.certificate.as_deref(), Some("lab"));
        let [origin] = site.origins.as_slice() else { panic!("{site:?}") };
        assert_eq!((origin.host.as_ref(), origin.port, origin.tls), ("127.0.0.1", 8000, false));
    }

    #[test]
    fn only_caches_have_sheets_and_only_of_their_sites() {
        let network = sample(include_str!("../../../examples/network.toml"));
        let sheet = |node: &str| network.sheet(Epoch(1), Digest::default(), &node.into());
        assert!(sheet("ns1.iad1").is_none());
        assert!(sheet("edge9.iad1").is_none());
        let sheet = sheet("edge1.fra1").unwrap();
        // app.globex.example is only steered: caches never see it.
        let names: Vec<_> = sheet.sites.iter().map(|site| site.site.as_str()).collect();
        assert_eq!(names, ["static.acme.example"]);
        assert_eq!(sheet.nameservers[0].to_string(), "198.51.100.53:53");
        assert_eq!(sheet.sites[0].paths.len(), 2);
    }

    #[test]
    fn what_the_page_about_delivery_shows() {
        let page = include_str!("../../../docs/operate/delivery.md");
        let shown = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let text = format!(
            "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n\
             [pops.lab.nodes.edge1]\nroles = [\"webcache\"]\naddress = [\"127.0.0.1\"]\n\
             [customers.acme]\ntitle = \"Acme\"\n\
             [origin_groups.o.servers]\nmain = {{ address = \"127.0.0.1:8000\" }}\n\
             [sites.\"www.acme.example\"]\ncustomer = \"acme\"\nkind = \"cached\"\n\
             origins = \"o\"\ntls = {{ certificate = \"acme\" }}\n{shown}"
        );
        let loaded = crate::load(&text, "popnet.toml").unwrap();
        let network = &loaded.network;
        let sheet = network.sheet(Epoch(1), Digest::default(), &"edge1.lab".into()).unwrap();
        let [site] = sheet.sites.as_slice() else { panic!("{sheet:?}") };
        let whole = &*site.delivery;
        assert!(whole.https && whole.cors.is_none());
        assert_eq!(whole.hsts, Some(Seconds(180 * 86_400)));
        // The rule's own keys, and the site's beside them.
        let api = site.paths[0].delivery.as_deref().unwrap();
        assert_eq!(api.rate, Some("5/s".parse().unwrap()));
        assert_eq!(api.cors.as_ref().unwrap().methods, ["PUT".into()]);
        assert_eq!((api.https, &api.deny, &api.response), (true, &whole.deny, &whole.response));
        let names: Vec<_> = api.response.iter().map(|change| &*change.name).collect();
        assert_eq!(names, ["server", "x-frame-options"]);
    }

    #[test]
    fn codings() {
        let check = |text: &str, expected: Option<(&[sheet::Coding], Option<usize>, u64, u64)>| {
            let found = compression(toml_edit::de::from_str(text).unwrap());
            let found = found.as_ref().map(|found| {
                (&*found.codings, found.types.as_ref().map(Vec::len), found.min, found.max)
            });
            assert_eq!(found, expected, "{text}");
        };
        let (zstd, br, gzip) = (sheet::Coding::Zstd, sheet::Coding::Br, sheet::Coding::Gzip);
        check("", Some((&[zstd, br, gzip], None, 256, 8 << 20)));
        check("codings = []", None);
        check("codings = [\"gzip\", \"br\", \"gzip\"]", Some((&[gzip, br], None, 256, 8 << 20)));
        let text = "types = [\"Text/HTML\"]\nmin = \"1 KiB\"\nmax = \"1 MiB\"";
        check(text, Some((&[zstd, br, gzip], Some(1), 1 << 10, 1 << 20)));
    }

    #[test]
    fn endpoints() {
        let check = |address: &str, tls: bool, expected: Option<(&str, u16)>| {
            let text = format!("address = {address:?}\ntls = {tls}");
            let server: OriginServer = toml_edit::de::from_str(&text).unwrap();
            let found = server.endpoint();
            assert_eq!(found.as_ref().map(|(h, p)| (h.as_ref(), *p)), expected, "{address}");
        };
        check("origin.example", false, Some(("origin.example", 80)));
        check("origin.example", true, Some(("origin.example", 443)));
        check("origin.example:8443", true, Some(("origin.example", 8443)));
        check("203.0.113.201", false, Some(("203.0.113.201", 80)));
        check("203.0.113.201:81", false, Some(("203.0.113.201", 81)));
        check("2001:db8::1", true, Some(("2001:db8::1", 443)));
        check("[2001:db8::1]:8080", false, Some(("2001:db8::1", 8080)));
        for wrong in ["", "origin.example:", "a b", "a:0", "a:99999", "a:+80", "[::1", "http://a"] {
            check(wrong, false, None);
        }
    }
}
