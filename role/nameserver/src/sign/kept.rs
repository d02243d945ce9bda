//! What was signed last, on disk: a restart keeps signatures, and serials never go back.

use std::path::{Path, PathBuf};

use popnet_dns::{Name, Rtype, ZoneFile, ZoneRecord};
use popnet_runtime::files::{Kind, create_private_dir, read_framed, write_framed};
use serde::{Deserialize, Serialize};

const KIND: Kind = Kind { name: *b"SIGN", version: 1 };

#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    #[serde(borrow)]
    apex: &'a [u8],
    #[serde(borrow)]
    records: Vec<(&'a [u8], u16, u32, &'a [u8])>,
}

/// Where the zone's signed records are kept.
pub(crate) fn path(role_dir: &Path, zone: &Name) -> PathBuf {
    role_dir.join("signed").join(zone.to_host().replace('/', "%2f"))
}

/// The zone as it was signed last; nothing when there is no file or it is damaged.
pub(crate) fn load(path: &Path, zone: &Name) -> Option<ZoneFile> {
    let octets = match read_framed(path, KIND) {
        Ok(octets) => octets?,
        Err(error) => {
            tracing::warn!(%error, "signatures of the last run are lost and made again");
            return None;
        }
    };
    let found = parse(&octets).filter(|found| found.apex == *zone);
    if found.is_none() {
        tracing::warn!(path = %path.display(), "signatures of the last run do not decode");
    }
    found
}

/// What a file of signed records holds. `None`: the octets are something else.
#[must_use]
pub fn parse(octets: &[u8]) -> Option<ZoneFile> {
    let kept: Kept<'_> = postcard::from_bytes(octets).ok()?;
    let apex = Name::from_wire(kept.apex)?;
    let mut records = Vec::with_capacity(kept.records.len());
    for (owner, rtype, ttl, rdata) in kept.records {
        let owner = Name::from_wire(owner).filter(|owner| owner.is_within(&apex))?;
        let rtype = Rtype::from_int(rtype);
        records.push(ZoneRecord { owner, rtype, ttl, rdata: rdata.into(), line: 0 });
    }
    Some(ZoneFile { apex, records })
}

pub(crate) fn save(path: &Path, zone: &ZoneFile) {
    let records = zone
        .records
        .iter()
        .map(|record| (record.owner.as_wire(), record.rtype.to_int(), record.ttl, &*record.rdata));
    let kept = Kept { apex: zone.apex.as_wire(), records: records.collect() };
    let Ok(octets) = postcard::to_allocvec(&kept) else { return };
    let folder = path.parent().unwrap_or(path);
    let made = create_private_dir(folder).map_err(|error| error.to_string());
    let written =
        made.and_then(|()| write_framed(path, KIND, &octets).map_err(|error| error.to_string()));
    if let Err(error) = written {
        tracing::warn!(%error, zone = %zone.apex, "the signed zone is not kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_and_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let zone: Name = "example.test".parse().unwrap();
        let file = path(folder.path(), &zone);
        assert_eq!(load(&file, &zone), None);
        let record = ZoneRecord {
            owner: zone.clone(),
            rtype: Rtype::A,
            ttl: 60,
            rdata: Box::new([192, 0, 2, 1]),
            line: 0,
        };
        let signed = ZoneFile { apex: zone.clone(), records: vec![record] };
        save(&file, &signed);
        assert_eq!(load(&file, &zone), Some(signed));
        assert_eq!(load(&file, &"other.test".parse().unwrap()), None);
        std::fs::write(&file, b"junk").unwrap();
        assert_eq!(load(&file, &zone), None);
        assert_eq!(parse(&[0xff; 40]), None);
    }
}
