//! What compact denials say (RFC 9824); that validators believe them is shown with all others.

use crate::start;
use crate::validators::dig;

const RULES: &str = r#", denial = "compact""#;

/// Code of the response, and the NSEC records in it.
fn denial(said: &str) -> (String, Vec<String>) {
    let status = said.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
    let lines = said.lines().filter(|line| !line.starts_with(';'));
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let nsec = words.filter(|words| words.get(3) == Some(&"NSEC")).map(|words| words.join(" "));
    (status.unwrap_or(said).to_owned(), nsec.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_do_not_exist_say_so_in_their_types() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(RULES, "", folder.path()).await;
    let ask = |flags: &[&str], name: &str, rtype: &str| {
        let name = format!("{name}.example.test");
        denial(&dig(&server, &[flags, &[name.as_str(), rtype]].concat()))
    };
    // What is there, and what is said of it: types that are there in the order of their numbers.
    for (name, rtype, types) in [
        ("nope", "A", "RRSIG NSEC TYPE128"),
        ("under.mail", "A", "RRSIG NSEC TYPE128"),
        // Names with others below them exist.
        ("c", "A", "RRSIG NSEC"),
        ("wild", "TXT", "RRSIG NSEC"),
        ("text", "A", "TXT RRSIG NSEC"),
        // A wildcard's types are those of the names that it stands in for.
        ("any.wild", "MX", "A TXT RRSIG NSEC"),
        ("any.alias", "CNAME", ""),
        ("geo", "MX", "A AAAA RRSIG NSEC"),
        ("half", "AAAA", "A RRSIG NSEC TYPE65401"),
    ] {
        let (code, nsec) = ask(&["+dnssec"], name, rtype);
        let types = types.replace("TYPE65401", &format!("TYPE{}", popnet_dns::ALIAS.to_int()));
        let nsec = nsec.join("; ").replace("NXNAME", "TYPE128");
        let expected = if types.is_empty() {
            String::new()
        } else {
            format!("{name}.example.test. 60 IN NSEC \\000.{name}.example.test. {types}")
        };
        assert_eq!((code.as_str(), nsec), ("NOERROR", expected), "{name} {rtype}");
    }
    // What lies below a delegation is not ours to speak of.
    let (code, nsec) = ask(&["+dnssec"], "sub", "DS");
    let expected = "sub.example.test. 60 IN NSEC sub\\000.example.test. NS RRSIG NSEC";
    assert_eq!((code.as_str(), nsec), ("NOERROR", vec![expected.to_owned()]));
    let (_, nsec) = ask(&["+dnssec"], "x.sub", "A");
    assert_eq!(nsec, [expected]);

    // Who takes the code beside the proof gets it, and so does who wants no proof (RFC 9824 5).
    let said = dig(&server, &["+dnssec", "+coflag", "nope.example.test", "A"]);
    assert!(said.contains("status: NXDOMAIN") && said.contains("RRSIG NSEC"), "{said}");
    assert!(said.contains("flags: do co"), "{said}");
    assert_eq!(ask(&[], "nope", "A"), ("NXDOMAIN".into(), vec![]));
    assert_eq!(ask(&["+dnssec", "+coflag"], "c", "A").0, "NOERROR");

    // The record that is made is an answer to who asks for it.
    let said = dig(&server, &["+dnssec", "nope.example.test", "NSEC"]);
    assert!(said.contains("ANSWER: 2, AUTHORITY: 0"), "{said}");

    // An exact name's signature: as many labels as the name has, not as the wildcard.
    let said = dig(&server, &["+dnssec", "+noall", "+answer", "any.wild.example.test", "A"]);
    let rrsig = said.lines().find(|line| line.contains("RRSIG")).unwrap_or(&said);
    assert!(rrsig.contains("A 13 4 300 "), "{rrsig}");

    // Nobody may ask for the type that says so (RFC 9824 3.5).
    let said = dig(&server, &["nope.example.test", "TYPE128"]);
    assert!(said.contains("status: FORMERR") && said.contains("EDE: 30"), "{said}");

    // The same denial again has the same signature: ECDSA would make another one.
    let rrsigs = || dig(&server, &["+dnssec", "+noall", "+authority", "nope.example.test", "A"]);
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(rrsigs()), sorted(rrsigs()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_names_are_denied() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(RULES, "", folder.path()).await;
    let label = "x".repeat(63);
    // 255 and 254 octets: no name is left below either.
    for first in [48, 47] {
        let name = format!("{}.{label}.{label}.{label}.example.test", "y".repeat(first));
        let (code, nsec) = denial(&dig(&server, &["+dnssec", &name, "A"]));
        assert_eq!((code.as_str(), nsec.len()), ("NOERROR", 1), "{name}");
    }
    server.stop().await;
}
