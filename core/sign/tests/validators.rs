//! Zones signed here, judged by the validators of BIND and of NLnet Labs.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use popnet_dns::{Name, ZoneFile, rdata_text, read_zone};
use popnet_sign::{Algorithm, Denial, Duty, Key, Plan, sign_zone};
use popnet_terms::{Seconds, Timestamp};

/// Every case that chains and signatures trip over: delegations with and without DS, glue, empty
/// names, wildcards, capitals, many records of a type, unknown types, odd octets in labels.
const ZONE: &str = r#"$TTL 1h
@            SOA  ns1 Hostmaster 2024 2h 15m 2w 5m
@            NS   ns1
@            NS   ns2.Sub
@            MX   10 Mail
@            CAA  0 issue "ca.example"
@            TYPE65280 \# 3 abcdef
ns1     300  A    192.0.2.1
ns1          AAAA 2001:db8::1
Mail         A    192.0.2.2
Mail         A    192.0.2.3
Mail         A    192.0.2.250
sub          NS   ns2.sub
sub          NS   NS3.Elsewhere.Test.
ns2.sub      A    192.0.2.4
secure       NS   ns.secure
secure       DS   55648 13 2 b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17
ns.secure    A    192.0.2.5
a.b.c        TXT  "deep" "down"
*.wild       A    192.0.2.6
*.wild       TXT  "any"
x.y.wild     A    192.0.2.7
alias        CNAME WWW.Elsewhere.test.
tree         DNAME Other.Test.
_sip._udp    SRV  0 5 5060 Sip
sip          HTTPS 1 . alpn=h2 ipv4hint=192.0.2.8
\000\001     TXT  "odd"
*            MX   20 Mail
naptr        NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:a@b!" Repl.Example
"#;

fn zone(more: &str) -> ZoneFile {
    let apex: Name = "example.test".parse().unwrap();
    let text = format!("{ZONE}{more}");
    read_zone(&apex, Path::new("zone"), text.as_bytes(), &mut |_| Err("no".to_owned())).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the validators read the clock, too")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_micros()).unwrap())
}

fn plan(duties: &[Duty], denial: Denial) -> Plan<'_> {
    Plan {
        duties,
        denial,
        validity: Seconds(14 * 86_400),
        jitter: Seconds(86_400),
        refresh: Seconds(4 * 86_400),
        key_ttl: Seconds(3_600),
        now: now(),
        made: &[],
    }
}

fn duty(zone: &ZoneFile, algorithm: Algorithm, is_entry: bool, signs: (bool, bool)) -> Duty {
    let (key, _) = Key::generate(&zone.apex, algorithm, is_entry).unwrap();
    let (signs_keys, signs_zone) = signs;
    let is_announced = is_entry;
    Duty { key: Arc::new(key), is_published: true, signs_keys, signs_zone, is_announced }
}

fn write(zone: &ZoneFile, path: &Path) {
    let line = |record: &popnet_dns::ZoneRecord| {
        let data = rdata_text(record.rtype, &record.rdata);
        format!("{} {} IN {} {data}\n", record.owner, record.ttl, record.rtype)
    };
    std::fs::write(path, zone.records.iter().map(line).collect::<String>()).unwrap();
}

/// What each validator says to the zone; empty where both accept it.
fn judge(zone: &ZoneFile, duties: &[Duty]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zone");
    write(zone, &file);
    let file = file.to_str().unwrap();
    let apex = zone.apex.to_host();
    // `-z`: one key for everything is no mistake.
    let is_one = duties.iter().all(|duty| duty.key.is_entry());
    let form = if is_one { "-zo" } else { "-o" };
    let commands: [&[&str]; 2] =
        [&["dnssec-verify", form, &apex, file], &["ldns-verify-zone", file]];
    let mut said = String::new();
    for words in commands {
        let ran = Command::new(words[0])
            .args(&words[1..])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}; cargo xtask setup", words[0]));
        if !ran.status.success() {
            let (out, err) =
                (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            said.push_str(&format!("{}: {out}{err}\n", words[0]));
        }
    }
    said
}

#[test]
fn validators_accept_every_arrangement() {
    let zone = zone("");
    for algorithm in [Algorithm::Ecdsap256sha256, Algorithm::Ed25519] {
        let one = vec![duty(&zone, algorithm, true, (true, true))];
        let split = vec![
            duty(&zone, algorithm, true, (true, false)),
            duty(&zone, algorithm, false, (false, true)),
        ];
        for (duties, denial) in [
            (&one, Denial::Nsec),
            (&one, Denial::Nsec3),
            (&split, Denial::Nsec),
            (&split, Denial::Nsec3),
        ] {
            let signed = sign_zone(&zone, &plan(duties, denial), None).unwrap();
            let said = judge(&signed.zone, duties);
            assert!(said.is_empty(), "{algorithm:?} {denial:?} {}:\n{said}", duties.len());
        }
    }
}

#[test]
fn validators_accept_a_zone_signed_in_parts() {
    let (first, duties) = (zone(""), vec![duty(&zone(""), Algorithm::Ed25519, true, (true, true))]);
    for denial in [Denial::Nsec, Denial::Nsec3] {
        let plan = plan(&duties, denial);
        let signed = sign_zone(&first, &plan, None).unwrap();
        let next = zone("new A 192.0.2.9\nmail A 192.0.2.251\n");
        let again = sign_zone(&next, &plan, Some(&signed.zone)).unwrap();
        assert!(again.kept > again.made && again.serial == 2025, "{again:?}");
        assert_eq!(judge(&again.zone, &duties), "");
        let back = sign_zone(&first, &plan, Some(&again.zone)).unwrap();
        assert_eq!(judge(&back.zone, &duties), "");
    }
}

#[test]
fn validators_accept_a_change_of_keys() {
    let zone = zone("");
    let old = duty(&zone, Algorithm::Ecdsap256sha256, true, (true, true));
    let new = duty(&zone, Algorithm::Ecdsap256sha256, true, (true, false));
    let mut before = None;
    for duties in [
        vec![old.clone()],
        vec![old.clone(), new.clone()],
        vec![
            Duty { signs_zone: false, is_announced: false, ..old },
            Duty { signs_zone: true, ..new.clone() },
        ],
        vec![Duty { signs_zone: true, ..new }],
    ] {
        let signed = sign_zone(&zone, &plan(&duties, Denial::Nsec), before.as_ref()).unwrap();
        assert_eq!(judge(&signed.zone, &duties), "");
        before = Some(signed.zone);
    }
}

#[test]
fn validators_find_what_is_wrong() {
    let zone = zone("");
    let duties = vec![duty(&zone, Algorithm::Ed25519, true, (true, true))];
    let mut signed = sign_zone(&zone, &plan(&duties, Denial::Nsec), None).unwrap().zone;
    let record = signed.records.iter_mut().find(|r| r.rtype == popnet_dns::Rtype::A).unwrap();
    record.rdata[3] ^= 1;
    let said = judge(&signed, &duties);
    assert!(said.contains("dnssec-verify") && said.contains("ldns-verify-zone"), "{said}");
}
