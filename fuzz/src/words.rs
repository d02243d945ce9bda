//! What nodes tell each other, and what they keep on disk.

use std::time::Duration;

use bytes::BytesMut;
use popnet_config::network::StreamFormat;
use popnet_probe::manifest::{self, Next};
use popnet_probe::{
    FtpLine, Gauges, Prober, Ring, extended_port, ftp_code, ftp_line, load_in, passive_port,
    plugin_output,
};
use popnet_runtime::{files, identity, journal, link, ship};
use popnet_steering::{
    Atlas, Bindings, Board, Client, Family, Ledger, Question, Replay, Rules, View, choose, rivals,
};
use popnet_store::{Limits, Recovery, SegmentId, read_head, segment};
use popnet_terms::Timestamp;
use popnet_wire::control::{Ask, Reply};
use popnet_wire::frame::{Conversation, decode, encode, take_frame};
use popnet_wire::logging::Batch;
use popnet_wire::probing::{Binding, Datagram, RANGES_MAX, Report};

use super::names::NETWORK;

/// Control messages and their frames on a stream. What is read must come out again as it was.
pub fn wire(octets: &[u8]) {
    if let Ok(ask) = link::decode_ask(octets) {
        let _ = format!("{ask:?}");
        let again = decode::<Ask>(Conversation::Control, &encode(Conversation::Control, &ask));
        assert_eq!(again.as_ref(), Ok(&ask));
    }
    if let Ok(reply) = link::decode_reply(octets) {
        let _ = format!("{reply:?}");
        let again = decode::<Reply>(Conversation::Control, &encode(Conversation::Control, &reply));
        assert_eq!(again.as_ref(), Ok(&reply));
    }
    let mut buffer = BytesMut::from(octets);
    while let Ok(Some(_)) = take_frame(&mut buffer) {}
    let _ = identity::hostname_in(octets);
}

/// A datagram of a probe or to one, with what follows from it.
pub fn measurements(octets: &[u8]) {
    // From noon of some day, so that times before and after are possible.
    let now = Timestamp(1_700_049_600_000_000);
    match popnet_netprobe::decode(octets) {
        Ok(Datagram::Report(report)) => recorded(report, now),
        Ok(Datagram::Needs(needs)) => {
            let mut prober = prober(now);
            prober.handle_needs(&needs, now);
            drive(&mut prober, now);
        }
        Ok(Datagram::Hits(hits)) => {
            let mut prober = prober(now);
            prober.handle_hits(&hits);
            drive(&mut prober, now);
        }
        Ok(Datagram::Digest(digest)) => {
            let mut ledger = Ledger::default();
            ledger.heard(&digest.publisher, digest.boot, digest.low, now);
            ledger.digest(&digest, now);
            ledger.heard(&digest.publisher, digest.boot, digest.high, now);
            let missing = ledger.missing(now.after(Duration::from_secs(1)));
            assert!(missing.iter().all(|missing| missing.ranges.len() <= RANGES_MAX));
        }
        Ok(Datagram::Repair(repair)) => {
            let mut ring = Ring::default();
            for _ in 0..100 {
                ring.add([].into(), now);
            }
            assert!(ring.answer(&repair).len() <= 128);
        }
        Ok(Datagram::Bound(bound)) => bind(&bound.rows, now),
        Err(_) => {}
    }
}

/// What comes out of a table makes the same one again.
fn bind(rows: &[Binding], now: Timestamp) {
    let table = |rows: &mut dyn Iterator<Item = &Binding>| {
        let mut table = Bindings::new(1_000_000);
        for row in rows {
            table.record(row, now);
        }
        let mut all: Vec<String> = table.shown().all(now).map(|row| format!("{row:?}")).collect();
        all.sort();
        (all, table)
    };
    let (one, mut first) = table(&mut rows.iter());
    let (again, _) = table(&mut first.shown().all(now).collect::<Vec<_>>().iter());
    assert_eq!(one, again);
    first.expire(Timestamp(i64::MAX));
    assert!(first.shown().is_empty());
}

fn prober(now: Timestamp) -> Prober {
    let mut prober = Prober::new("fra1".into(), 7);
    prober.configure(&NETWORK, now);
    prober
}

fn drive(prober: &mut Prober, now: Timestamp) {
    prober.handle_timeout(now);
    while prober.poll_action().is_some() {}
    prober.handle_timeout(Timestamp(prober.poll_timeout().0.saturating_add(60_000_000)));
    while prober.poll_action().is_some() {}
}

fn recorded(report: Report, now: Timestamp) {
    // As if from a probe that the network has; others are not listened to.
    let report = Report { publisher: "probe1.fra1".into(), ..report };
    let mut board = Board::new();
    board.configure(&NETWORK, None, now);
    let _ = board.record(&report, now);
    let _ = board.view(now);
    let _ = board.view(Timestamp(now.0.saturating_add(600_000_000)));
    let mut after = Board::new();
    after.configure(&NETWORK, None, now);
    let _ = after.import(&board.export());
    after.forget(now);
}

/// What a probed server answers: a resolver's packet, a load, an FTP reply, a manifest, a plug-in's
/// output, an echo.
pub fn probe_answers(octets: &[u8]) {
    let id = octets.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id));
    let _ = popnet_netprobe::resolver::answers(octets, id);
    let _ = load_in(octets, "/load");
    let _ = load_in(octets, "/a~1b/0/c");
    let load = Gauges::of_text(octets).load();
    assert!(load.is_none_or(|load| load <= 1_000));
    let _ = plugin_output(octets);
    let _ = popnet_netprobe::icmp::is_back(octets, &[7; 16]);
    let mut open = None;
    for line in octets.split(|octet| *octet == b'\n') {
        if let FtpLine::Last(_, text) = ftp_line(line, open) {
            let _ = (extended_port(text), passive_port(text));
        }
        open = open.or_else(|| ftp_code(line));
    }
    for format in [StreamFormat::Hls, StreamFormat::Dash] {
        if let Ok(Next::Manifest(reference) | Next::Media(reference)) =
            manifest::next(format, octets)
        {
            let _ = manifest::resolve("/live/low/index.m3u8?token=1", &reference);
            let _ = manifest::resolve(&reference, "../segment.ts");
        }
    }
}

/// What an SNMP agent answers, in both versions: the reader is a library's.
pub fn snmp_reply(octets: &[u8]) {
    if let Ok(pdu) = snmp2::Pdu::from_bytes(octets) {
        let values = pdu.varbinds.map(|(_, value)| matches!(value, snmp2::Value::Integer(_)));
        assert!(values.take(octets.len() + 1).count() <= octets.len(), "each takes an octet");
    }
    let mut security = snmp2::v3::Security::new(b"popnet", b"a password");
    let _ = snmp2::Pdu::from_bytes_with_security(octets, Some(&mut security));
}

/// A segment of the disk tier, scanned and recovered from.
pub fn disk_segment(octets: &[u8]) {
    let _ = segment::scan(octets);
    let _ = read_head(octets);
    if let Some(limits) = Limits::for_disk(8 << 20) {
        let mut recovery = Recovery::new(limits);
        let _ = recovery.summary(SegmentId(1), octets.len() as u64, octets);
        recovery.segment(SegmentId(2), octets);
        let _ = recovery.finish(1);
    }
}

/// Log batches on the wire and on disk, and their acknowledgements.
pub fn log_batch(octets: &[u8]) {
    let _ = ship::unpack(octets);
    let _ = ship::unseal(octets);
    let _ = ship::decode_ack(octets);
    let _ = popnet_logserver::entries(octets);
    // What lies under the compression, whose checksum nobody guesses.
    if let Ok(batch) = decode::<Batch>(Conversation::Logging, octets)
        && let Ok(packed) = ship::pack(&batch)
        && let Ok(again) = ship::unpack(&packed)
    {
        assert_eq!(again, batch);
    }
}

/// A role sheet kept on disk.
pub fn kept_sheet(octets: &[u8]) {
    let _ = popnet_directory::read_sheet(octets);
    let _ = popnet_directory::read_without_codings(octets);
    let _ = popnet_directory::read_without_delivery(octets);
}

/// State that roles keep over a restart, in its frame and out of it.
pub fn kept_state(octets: &[u8]) {
    let _ = files::unframe(files::Kind { name: *b"BORD", version: 1 }, octets);
    let _ = journal::records(octets);
    let _ = popnet_configd::decode_ledger(octets);
    let _ = popnet_configd::decode_version(octets);
    let _ = popnet_configd::decode_purge(octets);
    if let Some(kept) = popnet_nameserver::parse_kept(octets) {
        let now = Timestamp(1_700_049_600_000_000);
        let mut board = Board::new();
        board.configure(&NETWORK, None, now);
        let _ = board.import(&kept);
        let _ = (board.view(now), board.export());
    }
    latencies(octets);
    bill(octets);
    let (kept, whole) = popnet_nameserver::parse_bindings(octets);
    assert!(whole <= octets.len());
    let rows: Vec<Binding> = kept.into_iter().map(|kept| kept.row).collect();
    bind(&rows, Timestamp(1_700_049_600_000_000));
}

/// What a probing node wrote down of its POP's bill.
fn bill(octets: &[u8]) {
    let mut prober = Prober::new("fra1".into(), 1);
    prober.configure(&NETWORK, Timestamp(1_700_049_600_000_000));
    if prober.restore_bill(octets).is_some() {
        let kept = prober.bill().unwrap_or_default();
        assert!(prober.restore_bill(&kept).is_some());
        assert_eq!(prober.bill(), Some(kept));
    }
}

/// What a name server wrote down of its measurements: a whole segment, and a board by itself.
pub fn kept_inputs(octets: &[u8]) {
    if let Some((start, inputs)) = popnet_nameserver::parse_inputs(octets)
        && let Ok(mut replay) = Replay::begin(&start, Atlas::default())
    {
        for input in &inputs {
            if replay.take(input).is_err() {
                return;
            }
        }
        ask_all(&Rules::compile(replay.configuration().0), replay.view());
    }
    if let Some(mut board) = Board::from_octets(octets, &NETWORK) {
        let now = Timestamp(1_700_049_600_000_000);
        ask_all(&Rules::compile(&NETWORK), &board.view(now));
        board.forget(now);
        board.fit_models(now);
        let again = board.to_octets();
        let read = Board::from_octets(&again, &NETWORK).map(|board| board.to_octets());
        assert_eq!(read, Some(again));
    }
}

fn ask_all(rules: &Rules, view: &View) {
    for site in rules.sites() {
        for unit in view.units_among(4) {
            let question = Question { client: Client::Unit(unit), family: Family::V4, bound: None };
            let choice = choose(view, site, &question);
            let _ = rivals(view, site, &question, &choice);
        }
    }
}

/// A part of the kept latencies, and a database of places by which they are grouped.
fn latencies(octets: &[u8]) {
    let now = Timestamp(1_700_049_600_000_000);
    let mut board = Board::new();
    board.configure(&NETWORK, None, now);
    let _ = board.restore_latencies(1, octets);
    if board.restore_latencies(Board::LATENCY_VERSION, octets).is_some_and(|rows| rows > 0) {
        board.forget(now);
        let parts = board.changed_latencies(usize::from(Board::LATENCY_PARTS));
        for (_, part) in parts {
            assert!(board.restore_latencies(Board::LATENCY_VERSION, &part).is_some());
        }
    }
    if let Ok(atlas) = Atlas::read(Some(octets.to_vec()), Some(octets.to_vec())) {
        for client in ["192.0.2.0/24", "203.0.113.0/24", "2001:db8::/48", "0.0.0.0/0"] {
            let _ = client.parse().ok().and_then(|client| atlas.place(client));
        }
        board.use_atlas(atlas);
        board.fit_models(now);
    }
}
