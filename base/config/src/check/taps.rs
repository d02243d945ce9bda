//! Copies of questions and answers go to one place each, and end somewhere.

use popnet_terms::Octets;

use super::ranges::share;
use super::{At, Checker};
use crate::network::{Network, TAP_KEEP_MAX, TAP_SIZE_MIN};
use crate::path::TreePath;

pub(super) fn check(checker: &mut Checker<'_>) {
    let network: &Network = checker.network;
    let tap = TreePath::of(["dns", "tap"]);
    if let Some(said) = &network.dns.tap {
        share(checker, said.sample, &tap.key("sample"));
        file(checker, said.max_size, said.keep, &tap);
        if said.file.is_some() == said.socket.is_some() {
            let message = match said.file {
                Some(_) => "a tap into a file and a socket",
                None => "a tap that leads nowhere",
            };
            let found = checker.error("E0450", message, &tap, At::Key);
            found.help = "write one of file and socket".into();
        }
    }
    let log = TreePath::of(["dns", "query_log"]);
    if let Some(said) = &network.dns.query_log {
        share(checker, said.sample, &log.key("sample"));
        file(checker, said.max_size, said.keep, &log);
        let tapped = network.dns.tap.as_ref().and_then(|tap| tap.file.as_ref());
        if tapped == Some(&said.file) {
            let other = checker.mark(&tap.key("file"), At::Value, "in dns.tap.file");
            let message = "two logs in one file";
            let found = checker.error("E0451", message, &log.key("file"), At::Value);
            found.others.push(other);
            found.help = "name another file".into();
        }
    }
}

fn file(checker: &mut Checker<'_>, size: Option<Octets>, keep: Option<u32>, path: &TreePath) {
    if let Some(size) = size.filter(|size| *size < TAP_SIZE_MIN) {
        let path = path.key("max_size");
        let found = checker.error("E0303", format!("{size} is out of range"), &path, At::Value);
        found.help = format!("{TAP_SIZE_MIN} or more");
    }
    if let Some(keep) = keep.filter(|keep| *keep > TAP_KEEP_MAX) {
        let path = path.key("keep");
        let found = checker.error("E0303", format!("{keep} is out of range"), &path, At::Value);
        found.help = format!("0 to {TAP_KEEP_MAX}");
    }
}
