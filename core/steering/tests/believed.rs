//! Whose client subnets count.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use popnet_config::network::Network;
use popnet_steering::Rules;

const LISTS: &str = "[dns]\npublic_resolvers = [\"192.0.2.0/24\", \"2001:db8:1::/48\"]\n\
    trusted_resolvers = [\"198.51.100.7/32\"]\n";

/// Of `resolvers`, those that are believed where the policy says `mode`.
fn believed<'a>(mode: &str, lists: &str, resolvers: &[&'a str]) -> Vec<&'a str> {
    let text = format!(
        "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n[customers.acme]\n\
         [origin_groups.www.servers]\none = {{ address = \"203.0.113.1:80\" }}\n\
         [sites.\"www.test\"]\ncustomer = \"acme\"\nkind = \"direct\"\norigins = \"www\"\n\
         policy = \"p\"\n[policies.p]\necs = \"{mode}\"\n{lists}"
    );
    let network: Network = toml_edit::de::from_str(&text).unwrap();
    let rules = Rules::compile(&network);
    let site = rules.site("www.test").unwrap();
    resolvers.iter().filter(|at| site.believes(at.parse().unwrap())).copied().collect()
}

const PUBLIC: [&str; 3] = ["192.0.2.53", "::ffff:192.0.2.53", "2001:db8:1::53"];
const TRUSTED: &str = "198.51.100.7";
const OTHERS: [&str; 3] = ["192.0.3.53", "2001:db8:2::53", "198.51.100.8"];

fn all() -> Vec<&'static str> {
    PUBLIC.into_iter().chain([TRUSTED]).chain(OTHERS).collect()
}

#[test]
fn each_mode_believes_its_own_list() {
    assert_eq!(believed("only-public-resolvers", LISTS, &all()), PUBLIC);
    assert_eq!(believed("require-trusted", LISTS, &all()), [TRUSTED]);
}

#[test]
fn modes_without_a_list_ask_no_list() {
    assert_eq!(believed("prefer", LISTS, &all()), all());
    assert!(believed("never", LISTS, &all()).is_empty());
}

#[test]
fn an_empty_list_believes_nobody() {
    assert!(believed("only-public-resolvers", "", &all()).is_empty());
    assert!(believed("require-trusted", "", &all()).is_empty());
}
