//! Zones in a few words, for tests.

use std::path::Path;

use popnet_dns::{Name, read_zone};

use crate::content::Content;
use crate::record::Rr;

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The zone `example.` with this serial number and these lines of a zone file.
pub(crate) fn zone(serial: u32, lines: &[&str]) -> Content {
    let head = format!("$TTL 60\n@ SOA ns h {serial} 10 5 100 30\n@ NS ns\n");
    let text = lines.iter().fold(head, |text, line| text + line + "\n");
    Content::from(
        &read_zone(&name("example."), Path::new("t"), text.as_bytes(), &mut none).unwrap(),
    )
}

/// One record of `example.`
pub(crate) fn rr(line: &str) -> Rr {
    let text = format!("$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS nobody.invalid.\n{line}\n");
    let zone = read_zone(&name("example."), Path::new("t"), text.as_bytes(), &mut none).unwrap();
    Rr::from(zone.records.last().unwrap().clone())
}

fn none(_: &Path) -> Result<Vec<u8>, String> {
    Err("no files".into())
}
