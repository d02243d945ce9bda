//! The demo's network as configuration text: what `popnet config show` prints there.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A demo POP.
pub(crate) struct DemoPop {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    /// Last octet of its address.
    host: u8,
    lat: f64,
    lon: f64,
    region: &'static str,
    cost: f64,
    /// A small site has no name server of its own.
    pub(crate) nameserver: bool,
}

/// A simulated city with its proxy.
pub(crate) struct DemoCity {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    /// Third octet of its resolver: each city is a client unit (a /24) of its own.
    third: u8,
    /// Port of its proxy.
    port: u16,
    /// Milliseconds to Ashburn, Frankfurt, Tokyo and to acme's own server in California: round
    /// trips between cloud regions near these places, with 4 ms for the last mile.
    rtt_ms: [u32; 4],
}

/// The POPs, in the order in which they are shown.
pub(crate) const POPS: [DemoPop; 3] = [
    DemoPop {
        key: "iad1",
        title: "Ashburn",
        host: 11,
        lat: 39.04,
        lon: -77.49,
        region: "na",
        cost: 1.0,
        nameserver: true,
    },
    DemoPop {
        key: "fra1",
        title: "Frankfurt",
        host: 12,
        lat: 50.11,
        lon: 8.68,
        region: "eu",
        cost: 1.0,
        nameserver: true,
    },
    DemoPop {
        key: "nrt1",
        title: "Tokyo",
        host: 13,
        lat: 35.76,
        lon: 140.39,
        region: "ap",
        cost: 1.6,
        nameserver: false,
    },
];

/// The cities.
pub(crate) const CITIES: [DemoCity; 3] = [
    DemoCity { key: "tokyo", title: "Tokyo", third: 1, port: 7681, rtt_ms: [168, 223, 4, 111] },
    DemoCity {
        key: "frankfurt",
        title: "Frankfurt",
        third: 2,
        port: 7682,
        rtt_ms: [98, 4, 223, 163],
    },
    DemoCity { key: "ashburn", title: "Ashburn", third: 3, port: 7683, rtt_ms: [4, 98, 167, 75] },
];

/// The control node: master, logs, NetView.
pub(crate) const CONTROL: &str = "ctl1.ctl";
/// The node of a POP.
pub(crate) const NODE: &str = "edge1";
/// The network's own zone.
pub(crate) const DOMAIN: &str = "lab.test";
/// The DNS port of the demo: no root needed, and not mDNS's.
pub(crate) const DNS_PORT: u16 = 5300;
/// The HTTP port of the demo's POPs.
pub(crate) const HTTP_PORT: u16 = 8080;

/// Which loopback addresses a demo uses: all below one /16, so that two demos can run side by
/// side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    second: u8,
}

impl std::str::FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let second = text.strip_prefix("127.").and_then(|rest| rest.parse().ok());
        second.map(|second| Self { second }).ok_or_else(|| "write 127.0 to 127.255".to_owned())
    }
}

impl Plan {
    fn at(self, third: u8, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.second, third, host)
    }

    fn socket(self, host: u8, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.at(0, host)), port)
    }

    /// A POP's address.
    pub(crate) fn pop(self, pop: &DemoPop) -> Ipv4Addr {
        self.at(0, pop.host)
    }

    /// The control node's address.
    pub(crate) fn control(self) -> Ipv4Addr {
        self.at(0, 10)
    }

    /// Where NetView answers.
    pub(crate) fn netview(self) -> SocketAddr {
        self.socket(1, 7600)
    }

    /// Where a city's resolver asks from.
    pub(crate) fn resolver(self, city: &DemoCity) -> IpAddr {
        IpAddr::V4(self.at(city.third, 1))
    }

    /// Where a city's proxy listens.
    pub(crate) fn proxy(self, city: &DemoCity) -> SocketAddr {
        self.socket(1, city.port)
    }

    /// Acme's own server: static content.
    pub(crate) fn acme(self) -> SocketAddr {
        self.socket(21, 9001)
    }

    /// One of globex's servers: an application of its own.
    pub(crate) fn globex_east(self) -> SocketAddr {
        self.socket(22, 9001)
    }

    /// The other one.
    pub(crate) fn globex_west(self) -> SocketAddr {
        self.socket(23, 9001)
    }
}

/// The whole configuration.
pub(crate) fn text(plan: Plan) -> String {
    let mut text = format!(
        r#"# The demo network: three POPs, two customers, three simulated cities.
[network]
name    = "lab"
schema  = 1
domain  = "{DOMAIN}"

[masters]
allow = ["{CONTROL}"]

[masters.relay]
"{CONTROL}" = [{children}]

[pops.ctl]
title = "control"
[pops.ctl.nodes]
ctl1 = {{ roles = ["master", "logserver", "netview"], address = ["{control}"], listen = {{ netview = ["{netview}"] }} }}
"#,
        children = list(POPS.iter().map(|pop| format!("{NODE}.{}", pop.key))),
        control = plan.control(),
        netview = plan.netview(),
    );
    for pop in &POPS {
        pop_text(&mut text, plan, pop);
    }
    text.push_str(probes_text());
    text.push_str(&services_text(plan));
    for city in &CITIES {
        city_text(&mut text, plan, city);
    }
    text
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ")
}

fn pop_text(text: &mut String, plan: Plan, pop: &DemoPop) {
    let DemoPop { key, title, lat, lon, region, cost, nameserver, .. } = pop;
    let address = plan.pop(pop);
    let (dns_role, dns) = if *nameserver {
        ("\"nameserver\", ", format!("dns = [\"{address}:{DNS_PORT}\"], "))
    } else {
        ("", String::new())
    };
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        r#"
[pops.{key}]
title    = "{title}"
location = {{ lat = {lat}, lon = {lon}, region = "{region}" }}
cost     = {cost:.1}
capacity = {{ bandwidth = "10 Gbps", requests = 30_000 }}
[pops.{key}.nodes.{NODE}]
roles   = [{dns_role}"netprobe", "webcache", "webserver"]
address = ["{address}"]
listen  = {{ {dns}http = ["{address}:{HTTP_PORT}"] }}
workers = {{ dns = 1, http = 1 }}
memory  = "64 MiB"
disk    = "256 MiB"
"#
    );
}

fn probes_text() -> &'static str {
    r#"
[probes.edge-http]                # is a cache healthy, how loaded is it
kind     = "http"
target   = { role = "webcache" }
request  = { path = "/.popnet/health", host = "health.popnet.invalid" }
expect   = { status = [200], body_contains = "ok", load_header = "popnet-load" }
interval = "1s"
timeout  = "1s"
fall     = 2
rise     = 3
from     = { pops = ["iad1", "fra1", "nrt1"], agree = 2 }

[probes.acme-www]                 # acme's own server
kind     = "http"
target   = { origin_group = "acme-www" }
request  = { path = "/health.txt", host = "static.acme.test" }
expect   = { status = [200], body_contains = "acme ok" }
interval = "1s"
timeout  = "1s"
fall     = 2
rise     = 2
from     = { pops = ["*"], agree = 2 }

[probes.globex-app]               # globex's servers
kind     = "http"
target   = { origin_group = "globex-app" }
request  = { path = "/health.txt", host = "app.globex.test" }
expect   = { status = [200], body_contains = "globex ok" }
interval = "1s"
timeout  = "1s"
fall     = 2
rise     = 2
from     = { pops = ["*"], agree = 2 }

[probes.resolver-rtt]             # how far is a resolver from each POP
kind    = "latency"
methods = ["dns-query", "tcp-53"]
samples = 3
refresh = "1m"
expire  = "1d"
budget  = { per_pop = 200, per_resolver = "60/m" }
"#
}

fn services_text(plan: Plan) -> String {
    let (acme, east, west) = (plan.acme(), plan.globex_east(), plan.globex_west());
    format!(
        r#"
[logs]
default = ["{CONTROL}"]

[policies.nearest]
preset = "fastest"
score  = {{ latency = 1.0, loss = 1.0, load = 1.0, cost_ms = 5.0 }}
answer = {{ max = 1, ttl_min = "2s", ttl_max = "2s" }}

[customers.acme]
title   = "Acme Outdoor"
billing = {{ model = "p95", commit = "400 Mbps" }}
logs    = {{ client_ip = "full" }}

[customers.globex]
title   = "Globex Search"
billing = {{ model = "queries" }}

[origin_groups.acme-www.servers]
main = {{ address = "{acme}", probe = "acme-www", cost = 20.0, location = {{ lat = 37.4, lon = -122.0 }} }}

[sites."static.acme.test"]
customer = "acme"
kind     = "cached"
policy   = "nearest"
pops     = ["iad1", "fra1", "nrt1"]
origins  = "acme-www"
answer_with_origins = true        # acme's own server competes with the POPs

[sites."static.acme.test".cache]
default_ttl            = "60s"
stale_while_revalidate = "10s"
stale_if_error         = "1h"

[origin_groups.globex-app.servers]
east = {{ address = "{east}", probe = "globex-app", location = {{ lat = 40.7, lon = -74.0 }} }}
west = {{ address = "{west}", probe = "globex-app", location = {{ lat = 37.4, lon = -122.0 }} }}

[sites."app.globex.test"]
customer = "globex"
kind     = "direct"               # answers name globex's own servers
policy   = "nearest"
origins  = "globex-app"
"#
    )
}

fn city_text(text: &mut String, plan: Plan, city: &DemoCity) {
    let [iad1, fra1, nrt1, west] = city.rtt_ms;
    let DemoCity { key, title, .. } = city;
    let resolver = plan.resolver(city);
    let _ = write!(
        text,
        r#"
[simulate.cities.{key}]
title   = "{title}"
clients = ["{resolver}/32"]
rtt     = {{ iad1 = "{iad1}ms", fra1 = "{fra1}ms", nrt1 = "{nrt1}ms", "acme-www/main" = "{west}ms", "globex-app/east" = "{iad1}ms", "globex-app/west" = "{west}ms" }}
"#
    );
}
