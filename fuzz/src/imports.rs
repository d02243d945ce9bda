//! Other name servers' configurations.

use std::path::Path;

use popnet_import::{Wanted, bind};

/// A `named.conf`; one that is taken comes to a configuration that can be read, or whose mistakes
/// can. It may include itself and one other file.
pub fn named_conf(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let mut opened = 0;
    let mut open = |path: &Path| {
        opened += 1;
        match path.to_str() {
            _ if opened > 100 => Err("enough".to_owned()),
            Some("named.conf") => Ok(text.clone().into_owned()),
            Some("other") => Ok("zone other { type primary; file f; };".to_owned()),
            Some(_) | None => Err("no such file".to_owned()),
        }
    };
    let wanted = Wanted { network: "imported", domain: "popnet.internal", addresses: &[] };
    let Ok(imported) = bind(Path::new("named.conf"), &wanted, &mut open) else { return };
    let _ = imported.notes.iter().map(ToString::to_string).collect::<Vec<_>>();
    match popnet_config::load(&imported.toml, "popnet.toml") {
        Ok(loaded) => assert_eq!(loaded.network.zones.len(), imported.zones),
        // What is no name in ours is said so, with its place; the text itself has to be TOML.
        Err(found) => {
            let broken = found.iter().find(|one| ["E0101", "E0102"].contains(&&*one.code));
            assert!(broken.is_none(), "{broken:?}");
        }
    }
}
