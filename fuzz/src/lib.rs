//! What the fuzz targets call, one plain function each: the octets go where strangers' octets go,
//! and what comes out goes as far as it would in the program. The fuzzer and the test that replays
//! the committed seeds share this list.

mod imports;
mod names;
mod requests;
mod rules;
mod server;
mod signing;
pub(crate) mod travels;
mod ways;
mod words;

pub use imports::named_conf;
pub use names::{dns_answer, dns_query, dns_response, zone_file};
pub use requests::{http_requests, http3};
pub use rules::{caching, configuration, head_of, http_fields, scenario, stored_head};
pub use server::{dns_stream, dns_udp};
pub use signing::signing;
pub use travels::{dns_update, kept_history, kept_zone, zone_transfer};
pub use ways::dns_ways;
pub use words::{
    disk_segment, kept_inputs, kept_sheet, kept_state, log_batch, measurements, probe_answers,
    snmp_reply, wire,
};

/// One target.
pub type Entry = fn(&[u8]);

/// Every target by its name.
pub const ENTRIES: [(&str, Entry); 29] = [
    ("caching", caching),
    ("configuration", configuration),
    ("disk_segment", disk_segment),
    ("dns_answer", dns_answer),
    ("dns_query", dns_query),
    ("dns_response", dns_response),
    ("dns_stream", dns_stream),
    ("dns_udp", dns_udp),
    ("dns_update", dns_update),
    ("dns_ways", dns_ways),
    ("http3", http3),
    ("http_fields", http_fields),
    ("http_requests", http_requests),
    ("kept_history", kept_history),
    ("kept_inputs", kept_inputs),
    ("kept_sheet", kept_sheet),
    ("kept_state", kept_state),
    ("kept_zone", kept_zone),
    ("log_batch", log_batch),
    ("measurements", measurements),
    ("named_conf", named_conf),
    ("probe_answers", probe_answers),
    ("scenario", scenario),
    ("signing", signing),
    ("snmp_reply", snmp_reply),
    ("stored_head", stored_head),
    ("wire", wire),
    ("zone_file", zone_file),
    ("zone_transfer", zone_transfer),
];
