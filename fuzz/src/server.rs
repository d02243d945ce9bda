//! The name server as a whole: a datagram, or a connection in pieces, goes in where the worker and
//! the listener hand it on, and what comes out is held against what any answer must be.
//!
//! The first octet says who asks and what the asker can do that octets alone cannot (sign with a
//! key, show a fresh cookie); for connections, the second says in what pieces it comes.

use std::cell::RefCell;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use domain::base::Message;
use domain::base::name::ToLabelIter as _;
use domain::base::rdata::ComposeRecordData as _;
use domain::rdata::AllRecordData;
use popnet_config::Held;
use popnet_dns::{Parsed, Rcode, Response, parse_query};
use popnet_guard::Front;
use popnet_nameserver::Rehearsal;
use popnet_runtime::Context;
use popnet_runtime::identity::Authority;
use popnet_transfer::{Concern, concern};
use popnet_wire::rollout::{Digest, Epoch};

/// Askers with a cookie must show ours, and nobody is answered often.
const STRICT: &str = "require_cookie = true\n\
    rate_limit = { responses = \"200/s\", errors = \"50/s\", exempt = [\"198.51.100.0/24\"] }\n";
const ZONE: &str = include_str!("example.zone");
const KEY: &str = "key \"xfr\" { algorithm hmac-sha256; secret \"c2VjcmV0c2VjcmV0c2VjcmV0\"; };\n";

thread_local! {
    // A server is the state of one fuzzer; tests run a thread each.
    static SERVERS: RefCell<[Rehearsal; 2]> = RefCell::new([server(""), server(STRICT)]);
}

/// Who asks: a front, somebody who may do much, somebody the limits do not count, anybody.
const ASKERS: [&str; 4] = ["192.0.2.7", "192.0.2.65", "198.51.100.9", "2001:db8:7::9"];

/// What the first octet says.
struct Manner {
    from: SocketAddr,
    is_strict: bool,
    signs: bool,
    shows_cookie: bool,
}

impl Manner {
    fn of(octet: u8) -> Self {
        let from = ASKERS.get(usize::from(octet & 3)).expect("two bits, four askers");
        Self {
            from: SocketAddr::new(from.parse().expect("an address"), 4_053),
            is_strict: octet & 4 != 0,
            signs: octet & 8 != 0,
            shows_cookie: octet & 16 != 0,
        }
    }

    /// What the asker makes of a message before it is sent.
    fn dress(&self, server: &Rehearsal, message: &mut Vec<u8>) {
        if self.shows_cookie {
            let head = [0, 10, 0, 24];
            let at = message.windows(4).position(|octets| octets == head);
            let place = at.and_then(|at| message.get_mut(at + 4..at + 28));
            if let Some(place) = place {
                let client = *place.first_chunk::<8>().expect("it has 24 octets");
                place.copy_from_slice(&server.cookie(client, self.from.ip()));
            }
        }
        if self.signs && message.len() >= 12 {
            server.sign(message, &"xfr".parse().expect("a name"));
        }
    }
}

/// A datagram.
pub fn dns_udp(octets: &[u8]) {
    let Some((manner, packet)) = octets.split_first() else { return };
    let manner = Manner::of(*manner);
    SERVERS.with_borrow_mut(|servers| {
        let [open, strict] = servers;
        let server = if manner.is_strict { strict } else { open };
        let mut packet = packet.to_vec();
        manner.dress(server, &mut packet);
        let Some(answer) = server.datagram(&packet, manner.from) else { return };
        check(&packet, &answer);
        assert!(answer.len() <= 1_232, "longer than any that we send");
        let limit = match parse_query(&packet) {
            Parsed::Query(query) => popnet_answer::udp_limit(&query),
            // What is signed has its signature behind the EDNS part.
            Parsed::Refuse(_) | Parsed::Drop(_) => 512,
        };
        assert!(answer.len() <= limit, "{} octets are more than {limit}", answer.len());
    });
}

/// A connection.
pub fn dns_stream(octets: &[u8]) {
    let [manner, cut, said @ ..] = octets else { return };
    let manner = Manner::of(*manner);
    SERVERS.with_borrow_mut(|servers| {
        let [open, strict] = servers;
        let server = if manner.is_strict { strict } else { open };
        let (head, rest) = match Front::read(said) {
            Front::Whole(length, _) if is_front(manner.from.ip()) => said.split_at(length),
            Front::Whole(..) | Front::More | Front::Foreign => (&[][..], said),
        };
        let (mut sent, mut asked) = (head.to_vec(), Vec::new());
        let mut rest = rest;
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some((message, after)) = after.split_at_checked(length) else { break };
            let mut message = message.to_vec();
            manner.dress(server, &mut message);
            sent.extend(u16::try_from(message.len()).expect("it is short").to_be_bytes());
            sent.extend_from_slice(&message);
            asked.push(message);
            rest = after;
        }
        sent.extend_from_slice(rest);
        let heard = server.connection(pieces(&sent, *cut), manner.from);
        // Answers come in their order, each with its length before it; a transfer is several.
        let (mut heard, mut asked, mut last) = (&heard[..], asked.iter(), None);
        while let Some((length, after)) = heard.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let (answer, after) = after.split_at_checked(length).expect("whole answers");
            heard = after;
            let fits = |message: &&Vec<u8>| message.get(..2) == answer.get(..2);
            let next = asked.as_slice().first().filter(fits);
            let message = match next {
                Some(message) => {
                    asked.next();
                    last = Some(message);
                    message
                }
                None => last.filter(fits).expect("an answer to what was asked"),
            };
            check(message, answer);
        }
        assert!(heard.is_empty(), "half an answer");
    });
}

fn is_front(from: IpAddr) -> bool {
    from == ASKERS[0].parse::<IpAddr>().expect("an address")
}

/// Cuts what is sent, at places that follow from an octet: 0 leaves it whole.
fn pieces(sent: &[u8], cut: u8) -> Vec<Vec<u8>> {
    if cut == 0 {
        return vec![sent.to_vec()];
    }
    let mut state = u32::from(cut);
    let (mut pieces, mut rest) = (Vec::new(), sent);
    while !rest.is_empty() {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let length = 1 + (state >> 16) as usize % usize::from(cut);
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces
}

/// What holds for every answer: it is one, to this message, and others can read it.
fn check(packet: &[u8], answer: &[u8]) {
    assert_eq!(packet.get(..2), answer.get(..2), "the number comes back");
    let [bits, more] = *answer.get(2..4).and_then(|two| two.first_chunk::<2>()).expect("a header");
    assert!(bits & 0x80 != 0, "it is a response");
    let asked = packet.get(2).copied().unwrap_or_default();
    assert!(asked & 0x80 == 0, "responses are not answered");
    assert_eq!(bits & 0x79, asked & 0x79, "operation and RD come back");
    assert_eq!(more & 0x40, 0, "the reserved bit is zero");

    let message = Message::from_octets(answer).expect("it has a header");
    let counts = message.header_counts();
    if counts.qdcount() == 1 {
        let length = message.question().next().expect("a question").expect("that can be read");
        let length = usize::from(length.qname().compose_len()) + 4;
        let question = |octets: &[u8]| octets.get(12..12 + length).map(<[u8]>::to_vec);
        assert_eq!(question(packet), question(answer), "the question comes back as it came");
    } else {
        assert_eq!(counts.qdcount(), 0, "no answer has two questions");
    }
    let mut octets = 0;
    let (_, answers, authority, additional) = message.sections().expect("sections");
    for record in answers.chain(authority).chain(additional) {
        let record = record.expect("records that others can read");
        let data = record.to_record::<AllRecordData<_, _>>();
        let data = data.unwrap_or_else(|error| panic!("{}: {error}", record.rtype()));
        let data = data.expect("every type is one of all");
        octets += usize::from(data.data().rdlen(false).unwrap_or(0));
    }
    assert!(octets <= answer.len() * 300, "names make more of it than any could");

    let is_question = asked & 0x78 == 0;
    if is_question {
        let response = Response::parse(answer);
        // A cut or signed answer may hold records that the caches' own reader need not know.
        assert!(response.is_ok(), "our reader refuses it: {response:?}");
    }
    if is_question && matches!(parse_query(packet), Parsed::Refuse(_)) {
        let code = Rcode::from_parts(domain::base::iana::Rcode::masked_from_int(more), 0);
        let refused = [Rcode::FORMERR, Rcode::NOTIMP, Rcode::NOERROR, Rcode::NOTAUTH];
        // Whether the asker may have a transfer is looked at before the rest of the message.
        let is_transfer = matches!(concern(packet), Some(Concern::Transfer));
        let fits = refused.contains(&code) || is_transfer && code == Rcode::REFUSED;
        assert!(fits, "{code} to what cannot be read");
    }
}

fn server(dns: &str) -> Rehearsal {
    let folder = folder();
    fs::create_dir_all(folder.join("state/keys/tsig")).expect("a folder");
    fs::write(folder.join("example.zone"), ZONE).expect("a file");
    fs::write(folder.join("state/keys/tsig/xfr.key"), KEY).expect("a file");
    let text = include_str!("server.toml").replace("[dns]\n", &format!("[dns]\n{dns}"));
    let network = match popnet_config::load(&text, "server.toml") {
        Ok(loaded) => loaded.network,
        Err(found) => panic!("{}", popnet_config::render(&found, &text, "server.toml")),
    };
    let node = popnet_terms::NodeName::new("ns1.fra1");
    let hostname = network.hostname(&node);
    let authority = Authority::create(&folder.join("authority"), "lab").expect("an authority");
    let context = Context {
        node,
        identity: authority.identity(&hostname).expect("an identity"),
        hostname,
        domain: network.network.domain.as_str().into(),
        state_dir: folder.join("state"),
        run_dir: folder.clone(),
        shutdown: tokio_util::sync::CancellationToken::new(),
    };
    let digest = Digest::default();
    let held = Held { epoch: Epoch(1), digest, network, base_dir: folder };
    let server = Rehearsal::new(&context, held).expect("a server");
    assert_eq!(server.problems(), Vec::<String>::new());
    server
}

/// A folder in memory, for one server of this process; those of processes that are gone go.
fn folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    for entry in fs::read_dir(&place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix("popnet-fuzz-"));
        let process = process.and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let process = std::process::id();
    let free = |number: &u32| fs::create_dir(place.join(format!("popnet-fuzz-{process}-{number}")));
    let number = (0..1_000).find(|number| free(number).is_ok()).expect("a free folder");
    place.join(format!("popnet-fuzz-{process}-{number}"))
}
