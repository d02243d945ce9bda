//! What whoever finds our packets in a log is told: who sends them, why, how many, and how to get
//! none (steering model, section 5: a first-rank requirement).

use std::fmt::Write;

use popnet_config::network::{LatencyMethod, Network, Probe, ProbeKind};
use popnet_terms::NodeName;

use crate::plan::{bursts, pause};
use crate::turns::{GAP, Turns};

/// The page that `node` serves.
#[must_use]
pub fn page(network: &Network, node: &NodeName) -> String {
    let name = escaped(&network.network.name);
    let host = escaped(&network.hostname(node));
    let latency = |probe: &&Probe| probe.kind == ProbeKind::Latency;
    let never: usize = network
        .probes
        .values()
        .filter(latency)
        .filter_map(|probe| probe.budget.as_ref())
        .map(|budget| budget.never.len())
        .sum();
    let mut body = format!(
        "<h1>Packets from {host}</h1>\n\
         <p>This machine belongs to the content delivery network <b>{name}</b> ({domain}). It \
         measures how long packets take to DNS resolvers whose users ask for our customers' \
         names, so that they are sent to a server near them.</p>\n",
        domain = escaped(&network.network.domain),
    );
    if let Some((plan, probe)) = bursts(network, &node.pop()) {
        let ways: Vec<&str> = plan.methods.iter().map(|method| words(*method)).collect();
        let minutes = pause(probe).as_secs().div_ceil(60);
        let _ = write!(
            body,
            "<h2>What is sent</h2>\n<ul>\n\
             <li>{samples} small packets a burst, {gap} ms apart; one burst to a resolver in \
             {minutes} minutes from this place</li>\n\
             <li>from all our places together two packets a second at most</li>\n\
             <li>twice the pause after each burst that is not answered, up to a day</li>\n\
             <li>in this order, until one is answered: {ways}</li>\n\
             <li>only to addresses that have asked our name servers</li>\n</ul>\n\
             <p>The DNS query asks for <code>{asked}</code> (TXT), without recursion: it costs \
             you no lookup. No answer's content is looked at or kept.</p>\n",
            samples = plan.samples,
            gap = GAP.as_millis(),
            ways = ways.join(", "),
            asked = escaped(&plan.asked),
        );
        let turns = Turns::of(network, node);
        if turns.slot().is_some() {
            let seconds = turns.cycle().as_secs_f64();
            let _ = writeln!(body, "<p>It is this machine's turn every {seconds} s.</p>");
        }
    }
    let _ = write!(
        body,
        "<h2>How to get none</h2>\n<p>Write to {contact} and name the addresses or networks. They \
         are put on a list of networks that no probe of ours sends anything to; it holds {never} \
         now.</p>\n",
        contact = contact(network),
    );
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Packets from {host}</title>\n\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:2rem auto;\
         padding:0 1rem}}</style>\n{body}</html>\n"
    )
}

/// The contact as a link; without one the usual mailbox of a zone (RFC 2142 7).
fn contact(network: &Network) -> String {
    let given = network.network.contact.clone();
    let to = escaped(&given.unwrap_or_else(|| format!("hostmaster@{}", network.network.domain)));
    if to.contains('@') { format!("<a href=\"mailto:{to}\">{to}</a>") } else { to }
}

fn words(method: LatencyMethod) -> &'static str {
    match method {
        LatencyMethod::DnsQuery => "a DNS query to port 53",
        LatencyMethod::Tcp53 => "opening TCP port 53",
        LatencyMethod::Icmp => "an ICMP echo",
        LatencyMethod::Trace => "a trace of the way",
    }
}

/// Text in HTML: the configuration's words are its author's, not the reader's.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_why_how_often_and_how_to_get_none() {
        let text = include_str!("../../../examples/network.toml");
        let mut network = popnet_config::load(text, "network.toml").unwrap().network;
        let node = NodeName::new("probe1.fra1");
        let told = page(&network, &node);
        for words in [
            "probe1.fra1.cdn.northlight.example",
            "<b>northlight</b>",
            "mailto:noc@northlight.example",
            "3 small packets",
            "one burst to a resolver in 20 minutes",
            "a DNS query to port 53, opening TCP port 53, an ICMP echo",
            "latency-probe.cdn.northlight.example",
            "it holds 0 now",
            "turn every 4.5 s",
        ] {
            assert!(told.contains(words), "{words:?} is missing in\n{told}");
        }
        network.network.contact = Some("<script>x</script>".into());
        assert!(!page(&network, &node).contains("<script"), "words are no tags");
        network.network.contact = None;
        network.probes.clear();
        let told = page(&network, &node);
        assert!(told.contains("hostmaster@cdn.northlight.example"), "{told}");
        assert!(!told.contains("What is sent"), "{told}");
    }
}
