//! What holds of every state (steering model, section 14; experience, U4): an explanation is the
//! next real answer, octet for octet where answers have octets of it, and asking for it changes
//! nothing; client subnets' scopes never contradict each other.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use popnet_config::network::Network;
use popnet_dns::{Response, Rtype, build_query};
use popnet_nameserver::Rehearsal;
use popnet_runtime::Context;
use popnet_runtime::identity::Authority;
use popnet_steering::Board;
use popnet_terms::{Micros, NodeName, PopId, ProbeId, TargetId, Timestamp};
use popnet_wire::explaining::{DnsStory, ExplainDns};
use popnet_wire::logging::Decision;
use popnet_wire::probing::{
    Cause, Finding, Health, Latency, Method, Report, Sample, Service, Shed, Subject,
};
use popnet_wire::rollout::Epoch;
use tokio_util::sync::CancellationToken;

use crate::common::{held, name};

const POPS: [&str; 4] = ["a", "b", "c", "d"];

/// Each preset has a site of its own.
const PRESETS: [&str; 7] =
    ["fastest", "cheapest-within", "failover-order", "weighted", "geo-only", "sum-ns", "spread"];

fn text() -> String {
    let mut text = String::from(
        "[network]\nname = \"lab\"\nschema = 1\ndomain = \"cdn.lab.test\"\n[customers.acme]\n\
         [pops.a.nodes.ns1]\nroles = [\"nameserver\"]\naddress = [\"127.0.0.1\"]\n\
         [probes.edge]\nkind = \"http\"\ntarget = { role = \"webcache\" }\n\
         request = { path = \"/\" }\n[probes.rtt]\nkind = \"latency\"\n\
         [origin_groups.www.servers]\nalpha = { address = \"203.0.113.1:80\" }\n",
    );
    for preset in PRESETS {
        text += &format!(
            "[policies.{preset}]\npreset = \"{preset}\"\nscore = {{ cost_ms = 5 }}\n\
             [sites.\"{preset}.test\"]\ncustomer = \"acme\"\nkind = \"cached\"\norigins = \"www\"\n\
             policy = \"{preset}\"\nanswer_with_origins = true\n"
        );
    }
    for (n, pop) in POPS.iter().enumerate() {
        text += &format!(
            "[pops.{pop}]\ncost = {}.5\nlocation = {{ lat = {}.5, lon = {}.0 }}\n\
             [pops.{pop}.nodes.edge1]\nroles = [\"webcache\", \"webserver\"]\n\
             address = [\"192.0.2.{}\"{}]\n\
             [pops.{pop}.nodes.probe1]\nroles = [\"netprobe\"]\naddress = [\"127.0.0.{}\"]\n",
            n % 2,
            11 * n,
            17 * n,
            n + 1,
            if n % 2 == 0 { format!(", \"2001:db8::{}\"", n + 1) } else { String::new() },
            n + 2,
        );
    }
    text
}

/// Numbers from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(limit)).unwrap()
    }

    fn of(&mut self, all: &[&'static str]) -> &'static str {
        all[self.below(u32::try_from(all.len()).unwrap()) as usize]
    }
}

fn client(n: u32) -> IpNet {
    format!("10.{}.{n}.0/24", n % 2).parse().unwrap()
}

fn finding(chance: &mut Chance) -> Finding {
    match chance.below(8) {
        0..=3 => Finding::Latency(Latency {
            client: client(chance.below(6)),
            rtt: (chance.below(8) > 0).then(|| Micros(1_000 * chance.below(60))),
            spread: Micros(100 * chance.below(40)),
            loss: if chance.below(3) == 0 { 30 } else { 0 },
            samples: 3,
            method: Method::DnsQuery,
        }),
        4 => Finding::Shed(Shed {
            target: TargetId::Pop(PopId::new(chance.of(&POPS))),
            shed: u16::try_from(chance.below(1_001)).unwrap(),
            load: None,
            period: 20,
        }),
        _ => Finding::Service(Service {
            probe: ProbeId::new("edge"),
            subject: Subject::Node(NodeName::of("edge1", &PopId::new(chance.of(&POPS)))),
            health: if chance.below(4) == 0 { Health::Down } else { Health::Up },
            cause: Cause::Refused,
            detail: "http refused".into(),
            streak: u16::try_from(chance.below(9)).unwrap(),
            connect: Micros(100 * chance.below(900)),
            total: Micros(2_000),
            load: (chance.below(2) == 0).then(|| u16::try_from(chance.below(1_001)).unwrap()),
            epoch: None,
        }),
    }
}

/// A board that has heard some reports.
fn board(chance: &mut Chance, network: &Network, now: Timestamp) -> Board {
    let mut board = Board::new();
    board.configure(network, None, now);
    for seq in 1..=u64::from(chance.below(12)) {
        let pop = chance.of(&POPS);
        let samples = (0..=chance.below(6)).map(|_| Sample { at: now, finding: finding(chance) });
        let report = Report {
            publisher: NodeName::of("probe1", &PopId::new(pop)),
            boot: 1,
            seq,
            epoch: Epoch(0),
            sent: now,
            samples: samples.collect(),
        };
        board.record(&report, now);
        board.record_path(&PopId::new(pop), Micros(chance.below(90_000)));
    }
    board
}

struct Lab {
    _folder: tempfile::TempDir,
    network: Network,
    server: Rehearsal,
    asker: SocketAddr,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let held = held(&text(), 1, folder.path());
        let node = NodeName::new("ns1.a");
        let hostname = held.network.hostname(&node);
        let authority = Authority::create(&folder.path().join("authority"), "lab").unwrap();
        let context = Context {
            node,
            identity: authority.identity(&hostname).unwrap(),
            hostname,
            domain: held.network.network.domain.as_str().into(),
            state_dir: folder.path().join("state"),
            run_dir: folder.path().join("run"),
            shutdown: CancellationToken::new(),
        };
        let network = held.network.clone();
        let server = Rehearsal::new(&context, held).unwrap();
        let asker = SocketAddr::from(([10, 0, 4, 53], 4_242));
        Self { _folder: folder, network, server, asker }
    }

    fn answer(&mut self, site: &str, qtype: Rtype, subnet: Option<IpNet>) -> Response {
        let query = build_query(7, &name(site), qtype, subnet);
        let octets = self.server.datagram(&query, self.asker).expect("an answer");
        Response::parse(&octets).unwrap()
    }

    fn explain(&self, site: &str, qtype: Rtype, subnet: Option<IpNet>) -> Decision {
        let ask = ExplainDns {
            name: site.into(),
            qtype: qtype.to_int(),
            resolver: self.asker.ip(),
            subnet,
            assume: Vec::new(),
        };
        let story = self.server.explain(&ask).unwrap();
        let DnsStory::Steered(decision) = story else { panic!("{story:?}") };
        *decision
    }
}

/// Ten thousand states: the explanation is the next real answer, through the same entry as a real
/// query, and nothing is counted by asking for it.
#[test]
fn an_explanation_is_the_next_real_answer() {
    let mut lab = Lab::new();
    let mut chance = Chance(1);
    let mut because: BTreeMap<&str, u32> = BTreeMap::new();
    for state in 0..10_000 {
        let now = popnet_runtime::clock::now();
        let view = board(&mut chance, &lab.network.clone(), now).view(now);
        lab.server.see(view);
        let site = format!("{}.test", chance.of(&PRESETS));
        let qtype = if chance.below(4) == 0 { Rtype::AAAA } else { Rtype::A };
        let subnet = (chance.below(3) > 0).then(|| client(chance.below(7)));
        let counted = lab.server.counted();
        let told = lab.explain(&site, qtype, subnet);
        assert_eq!(lab.server.counted(), counted, "state {state}");
        let real = lab.answer(&site, qtype, subnet);
        let addresses: Vec<IpAddr> = real.addresses().collect();
        assert_eq!(addresses, told.answers.to_vec(), "state {state}, {site} {qtype}: {told:?}");
        if !addresses.is_empty() {
            assert_eq!(real.ttl(), Some(told.ttl.0), "state {state}: {told:?}");
        }
        *because.entry(told.because.code()).or_default() += 1;
    }
    assert!(because.len() >= 7, "states of all kinds: {because:?}");
}

/// What an answer says, but for how long.
fn data(answer: &Response) -> String {
    let records = answer.answers.iter().map(|record| (record.rtype, &record.data));
    format!("{:?} {:?}", answer.rcode, records.collect::<Vec<_>>())
}

/// No two answers with overlapping scopes and different data under one view, whatever lengths are
/// asked with (RFC 7871 section 7.2.1; steering model, section 8).
#[test]
fn scopes_do_not_contradict_each_other() {
    let mut lab = Lab::new();
    let mut chance = Chance(2);
    for state in 0..150 {
        let now = popnet_runtime::clock::now();
        let view = board(&mut chance, &lab.network.clone(), now).view(now);
        lab.server.see(view);
        let site = format!("{}.test", chance.of(&PRESETS));
        let mut told: Vec<(IpNet, String)> = Vec::new();
        let qtype = if chance.below(4) == 0 { Rtype::HTTPS } else { Rtype::A };
        for n in 0..8 {
            for length in [1, 8, 13, 16, 22, 24, 28, 32] {
                let IpNet::V4(unit) = client(n) else { unreachable!() };
                let subnet = IpNet::new(unit.addr().into(), length).unwrap().trunc();
                let answer = lab.answer(&site, qtype, Some(subnet));
                let (echoed, scope) = answer.edns.as_ref().unwrap().subnet.unwrap();
                assert_eq!(echoed, subnet, "state {state}");
                // The answer to a subnet that is too wide is right for its first unit.
                assert!(scope == 0 || scope == 24, "state {state}: {scope}");
                let whole = IpNet::new(subnet.addr(), scope).unwrap().trunc();
                told.push((whole, data(&answer)));
            }
        }
        for (one, data) in &told {
            for (other, rest) in &told {
                let overlap = one.contains(other) || other.contains(one);
                assert!(!overlap || data == rest, "state {state}, {site}: {one} {other}");
            }
        }
        // No length says "do not look at the client": the resolver's own unit, for everybody.
        let nobodys = lab.answer(&site, qtype, Some("0.0.0.0/0".parse().unwrap()));
        assert_eq!(data(&nobodys), data(&lab.answer(&site, qtype, None)), "state {state}");
        assert_eq!(nobodys.edns.unwrap().subnet.unwrap().1, 0, "state {state}");
        // Scope 0: what does not look at the client, and what is not there.
        for (site, qtype) in [(&*site, Rtype::MX), ("cdn.lab.test", Rtype::SOA)] {
            let answer = lab.answer(site, qtype, Some(client(1)));
            let scope = answer.edns.unwrap().subnet.map(|(_, scope)| scope);
            assert_eq!(scope, Some(0), "state {state}, {site} {qtype}");
        }
    }
}
