//! The secrets of server cookies in one small file: a restart makes no cookie worthless.

use std::path::Path;

use popnet_guard::{Secret, Secrets};
use popnet_runtime::files::{Kind, read_framed, write_framed};
use popnet_terms::Timestamp;

const KIND: Kind = Kind { name: *b"COOK", version: 1 };

/// The file's name in the role's folder.
const FILE: &str = "cookies";

/// The secrets of the last run, or new ones. `Err`: the machine gives no random octets.
pub(crate) fn load(folder: &Path, now: Timestamp) -> Result<Secrets, getrandom::Error> {
    let kept = match read_framed(&folder.join(FILE), KIND) {
        Ok(kept) => kept.and_then(|octets| parse(&octets)),
        Err(error) => {
            tracing::warn!(%error, "secrets of cookies are made anew");
            None
        }
    };
    match kept {
        Some(secrets) if secrets.is_due(now) => Ok(rotate(folder, secrets, now)),
        Some(secrets) => Ok(secrets),
        None => {
            let secrets = Secrets::new(fresh()?, now);
            save(folder, &secrets);
            Ok(secrets)
        }
    }
}

/// The next secrets, kept. Without random octets the old ones stay.
pub(crate) fn rotate(folder: &Path, secrets: Secrets, now: Timestamp) -> Secrets {
    match fresh() {
        Ok(next) => {
            let next = secrets.rotated(next, now);
            save(folder, &next);
            next
        }
        Err(error) => {
            tracing::error!(%error, "no random octets: the secret of cookies stays");
            secrets
        }
    }
}

/// What a file of secrets holds. `None`: the octets are something else.
#[must_use]
pub fn parse(octets: &[u8]) -> Option<Secrets> {
    let (since, current, previous): (i64, [u8; 16], Option<[u8; 16]>) =
        postcard::from_bytes(octets).ok()?;
    let previous = previous.map(Secret);
    Some(Secrets { current: Secret(current), since: Timestamp(since), previous })
}

fn save(folder: &Path, secrets: &Secrets) {
    let previous = secrets.previous.as_ref().map(|secret| secret.0);
    let Ok(octets) = postcard::to_allocvec(&(secrets.since.0, secrets.current.0, previous)) else {
        return;
    };
    if let Err(error) = write_framed(&folder.join(FILE), KIND, &octets) {
        tracing::warn!(%error, "secrets of cookies are not kept");
    }
}

fn fresh() -> Result<Secret, getrandom::Error> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret)?;
    Ok(Secret(secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use popnet_guard::ROTATE;

    #[test]
    fn kept_rotated_and_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp(1_700_000_000_000_000);
        let first = load(folder.path(), now).unwrap();
        assert_eq!(load(folder.path(), now).unwrap(), first);
        let second = load(folder.path(), now.after(ROTATE)).unwrap();
        assert_eq!(second.previous, Some(first.current.clone()));
        assert_ne!(second.current, first.current);
        std::fs::write(folder.path().join(FILE), b"junk").unwrap();
        let third = load(folder.path(), now).unwrap();
        assert!(third.previous.is_none() && third.current != second.current);
        write_framed(&folder.path().join(FILE), KIND, &[0xff; 9]).unwrap();
        assert!(load(folder.path(), now).is_ok());
    }
}
