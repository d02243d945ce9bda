//! One of each message and of each kept state, as this program makes them.

use popnet_nameserver::segment_of_inputs;
use popnet_probe::Prober;
use popnet_rollout::Ledger;
use popnet_runtime::files::{Kind, frame};
use popnet_runtime::ship;
use popnet_steering::{Board, Input, Start};
use popnet_terms::{
    Because, CacheReason, Micros, NodeName, OriginId, PopId, Removed, Role, RttSource,
    ScopeBecause, Seconds, TargetId, Timestamp, TtlBecause,
};
use popnet_wire::asking::{Question, RecordKind, Scope, What};
use popnet_wire::control::{Ask, Problem, PushOrder, Reply};
use popnet_wire::counting::{DnsCounts, Group, TapCounts};
use popnet_wire::explaining::{DnsStory, ExplainDns, ExplainUrl};
use popnet_wire::frame::{Conversation, encode, encode_stream};
use popnet_wire::inquiring::{
    Assumed, Assumption, Change, Explanation, Inquiry, Move, Moves, Reasons, Rival, SiteMoves,
};
use popnet_wire::logging::{
    Access, Ack, Batch, BatchId, CacheResult, Candidate, Counter, Decision, Event, Receipt, Record,
    Score,
};
use popnet_wire::probing::{
    Binding, Bound, Cause, Datagram, Digest as Said, Finding, Health, Hits, Latency, Method, Need,
    Needs, Repair, Report, Sample, Service, Shed, Subject, Traffic,
};
use popnet_wire::purging::{Purge, PurgeId, PurgeKind, PurgeOrder, PurgeWhat};
use popnet_wire::rollout::{Digest, Down, Epoch, Outcome, Up, Version};
use popnet_wire::sheet::{
    CacheRules, Masking, OriginAddress, PathRule, SetCookie, Sheet, SheetAsk, SiteSheet,
};
use popnet_wire::zoning::{ZoneSource, ZoneStanding};

/// Target, file name, octets.
type Seed = (&'static str, &'static str, Vec<u8>);

const NOON: Timestamp = Timestamp(1_700_049_600_000_000);

pub(crate) fn all() -> Vec<Seed> {
    let mut seeds = asks();
    seeds.extend(replies());
    seeds.extend(datagrams());
    seeds.extend(batches());
    seeds.extend(kept());
    seeds
}

fn asks() -> Vec<Seed> {
    let asks = [
        ("ask_status.bin", Ask::NodeStatus),
        ("ask_why.bin", Ask::Inquire(Box::new(inquiry()))),
        ("ask_moves.bin", Ask::Moves("[network]\n".to_owned())),
        ("ask_sheet.bin", Ask::Sheet(SheetAsk { have: Some(Epoch(7)), wait_ms: 1_000 })),
        ("ask_prepare.bin", Ask::Rollout(Down::Prepare(version()))),
        ("ask_purge.bin", Ask::Purge(purge())),
        (
            "ask_dns.bin",
            Ask::ExplainDns(ExplainDns {
                name: "www.example.test".into(),
                qtype: 1,
                resolver: [192, 0, 2, 1].into(),
                subnet: Some("198.51.100.0/24".parse().unwrap()),
                assume: vec![(TargetId::Pop("fra1".into()), false)],
            }),
        ),
        (
            "ask_url.bin",
            Ask::ExplainUrl(ExplainUrl {
                scheme: "http".into(),
                host: "www.example.test".into(),
                path: "/a?b".into(),
                fields: vec![("accept-encoding".into(), "gzip".into())],
            }),
        ),
        (
            "ask_at.bin",
            Ask::At(
                "log1.fra1".into(),
                Box::new(Ask::Question(Question {
                    scope: Scope::Customer("acme".into()),
                    what: What::Records {
                        kind: RecordKind::Decision,
                        site: Some("www.example.test".into()),
                        before: Some(NOON),
                        limit: 50,
                    },
                })),
            ),
        ),
        (
            "ask_push.bin",
            Ask::Push(PushOrder {
                text: "[network]\n".to_owned(),
                author: "noc".to_owned(),
                message: "why".to_owned(),
                expect: Some(Epoch(6)),
            }),
        ),
    ];
    asks.map(|(name, ask)| ("wire", name, encode(Conversation::Control, &ask))).into()
}

fn counts() -> DnsCounts {
    let group =
        |name: &str, of: &str| Group { name: name.into(), counts: vec![(of.into(), 1 << 40)] };
    DnsCounts {
        since: NOON,
        workers: vec![("udp 0".into(), vec![group("transport", "udp"), group("type", "AAAA")])],
        node: vec![group("cookies", "good")],
        taps: vec![TapCounts {
            name: "dnstap".into(),
            place: "/run/dnstap.sock".into(),
            written: 7,
            dropped: 1,
            trouble: Some("Connection refused".into()),
        }],
    }
}

fn replies() -> Vec<Seed> {
    let outcomes = vec![
        (NodeName::from("edge1.fra1"), Outcome::Prepared),
        ("edge2.fra1".into(), Outcome::Refused("no".to_owned())),
    ];
    let nothing = DnsStory::Nothing { rcode: "NXDOMAIN".into(), why: "no such name".into() };
    let standing = ZoneStanding {
        source: ZoneSource::File,
        serial: Some(7),
        is_signed: false,
        is_frozen: false,
        secondaries: vec!["192.0.2.9:53".to_owned()],
    };
    let replies = [
        ("reply_problem.bin", Reply::Problem(Problem::new("N0030", "no such customer", "popnet"))),
        ("reply_sheet.bin", Reply::Sheet(Some(Box::new(sheet())))),
        ("reply_rollout.bin", Reply::Rollout(Up::Outcomes(outcomes.clone()))),
        ("reply_purges.bin", Reply::Purges(vec![purge(), purge()])),
        ("reply_dns.bin", Reply::Dns(DnsStory::Steered(Box::new(decision())))),
        ("reply_dns_in_view.bin", Reply::DnsInView { view: "inside".into(), story: nothing }),
        ("reply_zone_in_views.bin", Reply::ZoneInViews(vec![(Some("inside".into()), standing)])),
        ("reply_progress.bin", Reply::Progress { phase: "prepare".into(), outcomes }),
        ("reply_counts.bin", Reply::DnsCounts(Box::new(counts()))),
        ("reply_versions.bin", Reply::Versions(vec![version()])),
        ("reply_why.bin", Reply::Explained(Box::new(explanation()))),
        ("reply_moves.bin", Reply::Moves(Box::new(moves()))),
    ];
    let mut seeds: Vec<Seed> = replies
        .into_iter()
        .map(|(name, reply)| ("wire", name, encode(Conversation::Control, &reply)))
        .collect();
    let stream = [Ask::NodeStatus, Ask::NetworkStatus]
        .iter()
        .flat_map(|ask| encode_stream(Conversation::Control, ask))
        .collect();
    seeds.push(("wire", "stream.bin", stream));
    seeds
}

fn datagrams() -> Vec<Seed> {
    let needs = Needs {
        asker: "ns1.fra1".into(),
        sent: NOON,
        needs: vec![
            Need { resolver: [198, 51, 100, 7].into(), client: "198.51.100.0/24".parse().unwrap() },
            Need {
                resolver: "2001:db8::7".parse().unwrap(),
                client: "2001:db8::/56".parse().unwrap(),
            },
        ],
    };
    let hits = Hits {
        asker: "ns1.fra1".into(),
        sites: vec![("static.acme.test".into(), 12), ("*".into(), 1)],
    };
    let digest = Said { publisher: "edge1.fra1".into(), boot: 7, low: 2, high: 90 };
    let ranges = vec![(3, 3), (17, 90)];
    let repair = Repair { asker: "ns1.fra1".into(), boot: 7, ranges, all: false };
    let bound = Bound {
        publisher: "ns1.fra1".into(),
        boot: 7,
        seq: 3,
        low: 1,
        high: 3,
        rows: vec![Binding {
            site: "static.acme.test".into(),
            client: "198.51.100.0/24".parse().unwrap(),
            target: TargetId::Pop("fra1".into()),
            issued: NOON,
            issuer: "ns1.fra1".into(),
            round: 0,
            left: 1_800,
        }],
    };
    let target = TargetId::Pop("fra1".into());
    let shed = Finding::Shed(Shed { target, shed: 120, load: Some(870), period: 150 });
    let shed = Report { samples: vec![Sample { at: NOON, finding: shed }], ..report() };
    let traffic = Finding::Traffic(Traffic {
        pop: "fra1".into(),
        rate: 90_000_000,
        paid: 100_000_000,
        aim: 120_000_000,
        price: 2_500,
    });
    let traffic = Report { samples: vec![Sample { at: NOON, finding: traffic }], ..report() };
    let datagrams = [
        ("report.bin", Datagram::Report(report())),
        ("needs.bin", Datagram::Needs(needs)),
        ("hits.bin", Datagram::Hits(hits)),
        ("digest.bin", Datagram::Digest(digest)),
        ("repair.bin", Datagram::Repair(repair)),
        ("bound.bin", Datagram::Bound(bound)),
        ("shed.bin", Datagram::Report(shed)),
        ("traffic.bin", Datagram::Report(traffic)),
    ];
    datagrams.map(|(name, one)| ("measurements", name, encode(Conversation::Probing, &one))).into()
}

fn batches() -> Vec<Seed> {
    let id = BatchId {
        sender: "edge1.fra1".into(),
        role: Role::Webcache,
        customer: "acme".into(),
        seq: 9,
    };
    let batch = Batch {
        id: id.clone(),
        closed: NOON,
        counters: vec![Counter::new(28_334_160, "static.acme.test".into(), "fra1".into())],
        records: vec![
            Record::Access(access()),
            Record::Decision(decision()),
            Record::Event(Event {
                ts: NOON,
                kind: "health".into(),
                subject: "edge1.fra1".into(),
                from: "up".into(),
                to: "down".into(),
                reason: "refused".into(),
            }),
        ],
        dropped: 1,
    };
    let packed = ship::pack(&batch).unwrap();
    let mut sealed = 9u64.to_be_bytes().to_vec();
    sealed.extend_from_slice(&packed);
    let ack = Ack { id, result: Receipt::Taken { last: 9 } };
    vec![
        ("log_batch", "batch.bin", encode(Conversation::Logging, &batch)),
        ("log_batch", "packed.bin", packed.clone()),
        ("log_batch", "ack.bin", encode(Conversation::Logging, &ack)),
        ("log_batch", "sealed.bin", frame(Kind { name: *b"LOGB", version: 1 }, &sealed)),
        ("log_batch", "raw.bin", frame(Kind { name: *b"LOGR", version: 1 }, &packed)),
    ]
}

fn kept() -> Vec<Seed> {
    let ledger = Ledger::seeded(version());
    let reports = vec![(NOON, report())];
    let reports = postcard::to_stdvec(&reports).unwrap();
    let purge = postcard::to_stdvec(&purge()).unwrap();
    // A journal's record: length and checksum before it.
    let mut journal = u32::try_from(purge.len()).unwrap().to_be_bytes().to_vec();
    journal.extend_from_slice(&crc32fast::hash(&purge).to_be_bytes());
    journal.extend_from_slice(&purge);
    let stored = |text: &str| super::targets::head_of(text.as_bytes()).unwrap();
    vec![
        ("kept_inputs", "segment.bin", segment_of_inputs(&start(), &inputs()).unwrap()),
        ("kept_inputs", "board.bin", start().board),
        ("kept_sheet", "sheet.bin", encode(Conversation::Control, &sheet())),
        ("kept_state", "ledger.bin", postcard::to_stdvec(&ledger).unwrap()),
        ("kept_state", "version.bin", postcard::to_stdvec(&version()).unwrap()),
        ("kept_state", "measurements.bin", reports.clone()),
        ("kept_state", "framed.bin", frame(Kind { name: *b"BORD", version: 1 }, &reports)),
        ("kept_state", "purge.bin", purge),
        ("kept_state", "bill.bin", bill()),
        ("kept_state", "latencies_packed.bin", latencies()),
        ("kept_state", "journal.bin", journal),
        (
            "stored_head",
            "tagged.bin",
            stored(
                "GET /a?b 200 0\naccept-encoding: gzip\n\ncache-control: max-age=60\nvary: \
                 accept-encoding\netag: \"a\"\nage: 3\nsurrogate-key: one two",
            ),
        ),
        (
            "stored_head",
            "heuristic.bin",
            stored(
                "GET / 404 0\n\nlast-modified: Tue, 14 Nov 2023 12:00:00 GMT\ndate: Wed, 15 Nov \
                 2023 12:00:00 GMT",
            ),
        ),
    ]
}

fn inquiry() -> Inquiry {
    let fra = TargetId::Pop("fra1".into());
    let assumed = [Assumed::Drained, Assumed::Load(900), Assumed::Rtt(Micros(20_000))];
    let assume = assumed.map(|what| Assumption { target: fra.clone(), what });
    Inquiry {
        name: "www.example.test".into(),
        qtype: 28,
        resolver: [192, 0, 2, 1].into(),
        subnet: None,
        assume: assume.into(),
        at: Some(NOON),
        config: Some("[network]\n".to_owned()),
    }
}

fn explanation() -> Explanation {
    let to = Assumption { target: TargetId::Pop("iad1".into()), what: Assumed::Load(700) };
    let rival = Rival {
        target: to.target.clone(),
        points: Micros(113_200),
        removed: None,
        change: Some(Change { to, from: Some(910), points: Micros(90_000) }),
    };
    Explanation {
        story: DnsStory::Steered(Box::new(decision())),
        view: Some("inside".into()),
        at: NOON,
        reasons: Some(Reasons {
            ttl: TtlBecause::Unsure,
            scope: 24,
            scope_because: ScopeBecause::ByClient,
        }),
        rivals: vec![rival],
        notes: vec!["zones' own records are those of now".into()],
    }
}

fn moves() -> Moves {
    let one = Move {
        from: Some(TargetId::Pop("fra1".into())),
        to: Some(TargetId::Pop("iad1".into())),
        units: 12,
        because: Because::BestScore,
        removed: Some(Removed::Drained),
        demand: 700,
    };
    let moves = vec![one];
    let site = SiteMoves { site: "www.example.test".into(), units: 40, moves, demand: 900 };
    Moves { units: 40, known: 90, sites: vec![site] }
}

/// What a probing node keeps of its POP's bill, under the network of the fuzz targets.
fn bill() -> Vec<u8> {
    let text = include_str!("../../../../fuzz/src/network.toml");
    let network = popnet_config::load(text, "popnet.toml").unwrap().network;
    let mut prober = Prober::new("fra1".into(), 1);
    prober.configure(&network, NOON);
    prober.bill().unwrap()
}

/// A board that has heard a report, under the network of the fuzz targets.
fn start() -> Start {
    let text = include_str!("../../../../fuzz/src/network.toml");
    let network = popnet_config::load(text, "popnet.toml").unwrap().network;
    let mut board = Board::new();
    board.configure(&network, None, NOON);
    board.record(&report(), NOON);
    let _ = board.view(NOON);
    Start { at: NOON, epoch: Epoch(0), text: text.into(), board: board.to_octets() }
}

fn inputs() -> Vec<Input> {
    vec![
        Input::Heard { at: NOON, report: report() },
        Input::Path { pop: "fra1".into(), rtt: Micros(900) },
        Input::Forgot { at: NOON },
        Input::Fitted { at: NOON },
        Input::Viewed { at: NOON },
    ]
}

fn version() -> Version {
    Version {
        epoch: Epoch(7),
        digest: Digest([7; 32]),
        text: "[network]\nname = \"lab\"\n".to_owned(),
        author: "noc".to_owned(),
        message: "a site more".to_owned(),
        at: NOON,
        master: "conf1.fra1".into(),
    }
}

fn purge() -> Purge {
    Purge {
        id: PurgeId(3),
        at: NOON,
        order: PurgeOrder {
            customer: "acme".into(),
            what: PurgeWhat::Prefix { site: "static.acme.test".into(), path: "/img/".into() },
            kind: PurgeKind::Soft,
            actor: "noc".into(),
        },
    }
}

fn origin() -> OriginId {
    OriginId { group: "www".into(), server: "east".into() }
}

fn sheet() -> Sheet {
    let cache = CacheRules {
        default_ttl: Seconds(60),
        max_ttl: Seconds(86_400),
        heuristic: true,
        stale_while_revalidate: Seconds(10),
        stale_if_error: Seconds(60),
        obey: vec!["cache-control".into()],
        query_ignore: vec!["utm_*".into()],
        query_sort: false,
        vary_limit: 8,
        set_cookie: SetCookie::Strip,
        tags: vec!["surrogate-key".into()],
        max_object: 1 << 30,
    };
    let path = PathRule {
        path: "/api/*".into(),
        bypass: true,
        set_cookie: Some(SetCookie::Bypass),
        default_ttl: Some(Seconds(5)),
        delivery: None,
    };
    Sheet {
        epoch: Epoch(7),
        digest: Digest([7; 32]),
        node: "edge1.fra1".into(),
        domain: "cdn.lab.test".into(),
        nameservers: vec!["192.0.2.53:53".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap()],
        sites: vec![SiteSheet {
            site: "static.acme.test".into(),
            customer: "acme".into(),
            cache,
            paths: vec![path],
            origins: vec![OriginAddress {
                id: origin(),
                host: "203.0.113.1".into(),
                port: 8_080,
                tls: false,
            }],
            client_ip: Masking::Prefix,
            certificate: Some("acme".into()),
            delivery: std::sync::Arc::default(),
        }],
    }
}

fn report() -> Report {
    let service = |subject, health, cause| {
        Finding::Service(Service {
            probe: "http".into(),
            subject,
            health,
            cause,
            detail: "http 192.0.2.11:80".into(),
            streak: 3,
            connect: Micros(900),
            total: Micros(2_000),
            load: Some(120),
            epoch: Some(Epoch(7)),
        })
    };
    let latency = Finding::Latency(Latency {
        client: "198.51.100.0/24".parse().unwrap(),
        rtt: Some(Micros(12_000)),
        spread: Micros(500),
        loss: 10,
        samples: 3,
        method: Method::DnsQuery,
    });
    let up = service(Subject::Node("edge1.fra1".into()), Health::Up, Cause::Passed);
    let down = service(Subject::Origin(origin()), Health::Down, Cause::Timeout);
    let sample = |finding| Sample { at: Timestamp(NOON.0 - 1_000_000), finding };
    Report {
        publisher: "probe1.fra1".into(),
        boot: 1,
        seq: 2,
        epoch: Epoch(7),
        sent: NOON,
        samples: [up, down, latency].map(sample).into(),
    }
}

/// A part of the latencies as it is kept now; `latencies.bin` has the first form.
fn latencies() -> Vec<u8> {
    let text = include_str!("../../../../fuzz/src/network.toml");
    let text = format!("{text}\n[probes.rtt]\nkind = \"latency\"\n");
    let network = popnet_config::load(&text, "network.toml").unwrap().network;
    let mut board = Board::new();
    board.configure(&network, None, NOON);
    assert_eq!(board.record(&report(), NOON).accepted, 1, "the client");
    board.changed_latencies(1).remove(0).1
}

fn decision() -> Decision {
    let score = Score {
        points: Micros(12_000),
        rtt: Micros(12_000),
        rtt_source: RttSource::Measured,
        rtt_age: Some(Seconds(5)),
        rtt_via: None,
        latency: Micros(12_000),
        loss_permille: 10,
        loss: Micros(100),
        load_permille: 120,
        load: Micros(0),
        cost: Micros(0),
        penalty: Micros(0),
    };
    let target = TargetId::Pop(PopId::from("fra1"));
    Decision {
        id: 5,
        ts: NOON,
        ns: "ns1.fra1".into(),
        config: Epoch(7),
        resolver: [192, 0, 2, 1].into(),
        ecs: Some("198.51.100.0/24".parse().unwrap()),
        client: "198.51.100.0/24".parse().unwrap(),
        qname: "static.acme.test".into(),
        qtype: 1,
        site: "static.acme.test".into(),
        policy: "default".into(),
        answers: [[192, 0, 2, 11].into()].into(),
        ttl: Seconds(20),
        chosen: [target.clone()].into(),
        because: Because::BestScore,
        margin: Some(Micros(3)),
        candidates: [Candidate { target, removed: None, score: Some(score) }].into(),
    }
}

fn access() -> Access {
    Access {
        ts: NOON,
        id: "r1".into(),
        site: "static.acme.test".into(),
        client_ip: Some([198, 51, 100, 7].into()),
        method: "GET".into(),
        scheme: "http".into(),
        host: "static.acme.test".into(),
        path: "/a".into(),
        query: "b=1".into(),
        protocol: "HTTP/1.1".into(),
        status: 200,
        req_bytes: 200,
        resp_bytes: 1_200,
        body_bytes: 1_000,
        duration: Micros(900),
        ttfb: Micros(300),
        cache: CacheResult::Miss,
        reason: CacheReason::NeverSeen,
        stored: true,
        age: Some(Seconds(0)),
        ttl: Some(60),
        origin: Some(origin()),
        origin_bytes: 1_100,
        aborted: false,
        config: Epoch(7),
    }
}
