//! The secrets of server cookies in one small file: a restart makes no cookie worthless. Or in one
//! that the operator puts on every name server, so that a cookie of one is good at the others.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;
use popnet_guard::{Secret, Secrets};
use popnet_runtime::files::{Kind, read_framed, write_framed};
use popnet_terms::Timestamp;

const KIND: Kind = Kind { name: *b"COOK", version: 1 };

/// The file's name in the role's folder.
const FILE: &str = "cookies";

/// Most octets of a file of shared secrets: two lines, and room for remarks.
const SHARED_MAX: u64 = 4_096;

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

/// The secrets in the operator's file at `path`. `Err`: why not, without a word of them.
pub(crate) fn read_shared(path: &Path, now: Timestamp) -> Result<Secrets, String> {
    use std::os::unix::fs::MetadataExt as _;
    let data = std::fs::metadata(path).map_err(|error| error.to_string())?;
    // To open a pipe would wait for whoever writes to it.
    if !data.is_file() {
        return Err("not a file".to_owned());
    }
    if data.mode() & 0o077 != 0 {
        tracing::warn!("{}: others can read the secrets: chmod 600", path.display());
    }
    let mut octets = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(SHARED_MAX + 1).read_to_end(&mut octets).map_err(|error| error.to_string())?;
    if u64::try_from(octets.len()).map_or(true, |length| length > SHARED_MAX) {
        return Err(format!("more than {SHARED_MAX} octets are too many for two secrets"));
    }
    parse_shared(&octets, now)
}

/// What a file of shared secrets says: one or two lines of 32 hexadecimal digits. The first makes
/// cookies; those of the second are good as well (RFC 9018 section 5). `Err`: why not.
pub fn parse_shared(octets: &[u8], now: Timestamp) -> Result<Secrets, String> {
    let text = std::str::from_utf8(octets).map_err(|_| "not a text".to_owned())?;
    let lines = text.lines().map(str::trim).enumerate();
    let mut said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut secret = || said.next().map(|(at, line)| secret_of(line, at + 1)).transpose();
    let current = secret()?.ok_or("no secret in it")?;
    let previous = secret()?;
    match said.next() {
        Some((at, _)) => Err(format!("line {}: more than two secrets", at + 1)),
        None => Ok(Secrets { previous, ..Secrets::new(current, now) }),
    }
}

fn secret_of(line: &str, at: usize) -> Result<Secret, String> {
    let octets = HEXLOWER_PERMISSIVE.decode(line.as_bytes()).ok();
    let secret = octets.and_then(|octets| octets.try_into().ok());
    secret.map(Secret).ok_or_else(|| format!("line {at}: not 32 hexadecimal digits"))
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

    #[test]
    fn shared_ones_are_read_or_said_to_be_wrong_without_being_told() {
        let now = Timestamp(1_700_000_000_000_000);
        let (one, other) = ("00112233445566778899aabbccddeeff", "FFEEDDCCBBAA99887766554433221100");
        let read = |text: &str| parse_shared(text.as_bytes(), now);
        let alone = read(one).unwrap();
        assert_eq!((alone.current.0[1], alone.previous), (0x11, None));
        let two = read(&format!("# since May\n\n{one}\r\n  {other}\n")).unwrap();
        assert_eq!(two.current, alone.current);
        assert_eq!(two.previous.unwrap().0[0], 0xff);
        assert_eq!(read("# none\n").unwrap_err(), "no secret in it");
        assert_eq!(read(&one[1..]).unwrap_err(), "line 1: not 32 hexadecimal digits");
        let long = format!("{one}\n{other}00");
        assert_eq!(read(&long).unwrap_err(), "line 2: not 32 hexadecimal digits");
        let many = format!("{one}\n{other}\n{one}");
        assert_eq!(read(&many).unwrap_err(), "line 3: more than two secrets");
        assert!(parse_shared(&[0xff; 32], now).is_err());

        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_shared(folder.path(), now).unwrap_err(), "not a file");
        let path = folder.path().join("shared");
        assert!(read_shared(&path, now).is_err());
        std::fs::write(&path, one).unwrap();
        assert_eq!(read_shared(&path, now).unwrap().current, alone.current);
        std::fs::write(&path, "#".repeat(5_000)).unwrap();
        assert!(read_shared(&path, now).unwrap_err().contains("too many"));
    }
}
