//! The file: its layout, its users.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use popnet_terms::Timestamp;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::password::{self, PasswordError};
use super::role::UserRole;

/// Layout of the file; a program refuses a newer one.
const SCHEMA: i64 = 1;

/// How long a command waits for another process that writes.
const BUSY: Duration = Duration::from_secs(2);

/// The users of one NetView.
#[derive(Debug)]
pub struct Users {
    file: Mutex<Connection>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// What the user may see and do.
    pub role: UserRole,
}

/// Why users cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The name is taken.
    #[error("there is a user {0:?} already")]
    Taken(String),
    /// Nobody is called so.
    #[error("no user is called {0:?}")]
    Unknown(String),
    /// A name that is empty, longer than 64 octets, or has control characters.
    #[error("a user name has 1 to 64 letters, digits or any of . _ @ + -")]
    Name,
    /// The password is not taken.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The file is of a newer program.
    #[error("the users' file has layout {0}; this program knows {SCHEMA}")]
    Newer(i64),
    /// The file cannot be read or written.
    #[error("the users' file: {0}")]
    Store(#[from] rusqlite::Error),
    /// The folder cannot be made, or the random source failed.
    #[error("the users' file: {0}")]
    Io(#[from] io::Error),
}

impl Users {
    /// Opens `DIR/users.db`, made when there is none; `dir` is NetView's role folder.
    ///
    /// # Errors
    /// The folder or the file cannot be made, read or understood.
    pub fn open(dir: &Path) -> Result<Self, UsersError> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join("users.db");
        // Hashes of passwords and sessions are nobody else's: created closed, not closed later.
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let mut file = Connection::open(&path)?;
        file.busy_timeout(BUSY)?;
        file.pragma_update(None, "journal_mode", "wal")?;
        file.pragma_update(None, "synchronous", "normal")?;
        file.pragma_update(None, "foreign_keys", true)?;
        // The command line may open a new file at the same moment: whoever writes first lays
        // it out.
        let change = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let layout: i64 = change.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match layout {
            0 => change.execute_batch(LAYOUT)?,
            SCHEMA => {}
            other => return Err(UsersError::Newer(other)),
        }
        change.commit()?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Makes a user. Without a password the user logs in by one-time links only.
    ///
    /// # Errors
    /// The name is taken or no name, the password is not taken, or the file fails.
    pub fn create(
        &self,
        name: &str,
        role: &UserRole,
        password: Option<&str>,
        now: Timestamp,
    ) -> Result<(), UsersError> {
        if !is_name(name) {
            return Err(UsersError::Name);
        }
        let hash = password.map(password::hash).transpose()?;
        let made = self.file().execute(
            "INSERT INTO user (name, role, password, created) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO NOTHING",
            params![name, role.to_string(), hash, now.0],
        )?;
        if made == 0 { Err(UsersError::Taken(name.to_owned())) } else { Ok(()) }
    }

    /// Gives a user another password (or none) and ends all its sessions and links.
    ///
    /// # Errors
    /// Nobody is called so, the password is not taken, or the file fails.
    pub fn reset(&self, name: &str, password: Option<&str>) -> Result<(), UsersError> {
        let hash = password.map(password::hash).transpose()?;
        let mut file = self.file();
        let change = file.transaction()?;
        let found =
            change.execute("UPDATE user SET password = ?2 WHERE name = ?1", params![name, hash])?;
        if found == 0 {
            return Err(UsersError::Unknown(name.to_owned()));
        }
        change.execute("DELETE FROM session WHERE user = ?1", [name])?;
        change.execute("DELETE FROM once WHERE user = ?1", [name])?;
        Ok(change.commit()?)
    }

    /// Removes a user with its sessions and links.
    ///
    /// # Errors
    /// Nobody is called so, or the file fails.
    pub fn remove(&self, name: &str) -> Result<(), UsersError> {
        let gone = self.file().execute("DELETE FROM user WHERE name = ?1", [name])?;
        if gone == 0 { Err(UsersError::Unknown(name.to_owned())) } else { Ok(()) }
    }

    /// Every user, by name.
    ///
    /// # Errors
    /// The file fails.
    pub fn list(&self) -> Result<Vec<User>, UsersError> {
        let file = self.file();
        let mut query = file.prepare("SELECT name, role FROM user ORDER BY name")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        let mut users = Vec::new();
        for row in rows {
            let (name, role) = row?;
            users.extend(user(name, &role));
        }
        Ok(users)
    }

    /// The user with this name and password. Takes the same time whether the name is known or not.
    ///
    /// # Errors
    /// The file fails.
    pub fn check(&self, name: &str, password: &str) -> Result<Option<User>, UsersError> {
        let found: Option<(String, Option<String>)> = self
            .file()
            .query_row("SELECT role, password FROM user WHERE name = ?1", [name], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let stored = found.as_ref().and_then(|(_, hash)| hash.as_deref());
        // The file is not locked while the slow hash runs.
        let good = password::verify(password, stored);
        Ok(found.filter(|_| good).and_then(|(role, _)| user(name.to_owned(), &role)))
    }

    pub(super) fn file(&self) -> MutexGuard<'_, Connection> {
        // Each change is a transaction: a panic elsewhere leaves nothing half done.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A user as it stands in a row; `None` when its role is none that we know.
pub(super) fn user(name: String, role: &str) -> Option<User> {
    role.parse().ok().map(|role| User { name, role })
}

/// 256 random bits in hexadecimal, and the hash under which they are kept.
pub(super) fn token() -> io::Result<(String, [u8; 32])> {
    let mut octets = [0_u8; 32];
    getrandom::fill(&mut octets).map_err(|error| io::Error::other(error.to_string()))?;
    let text = hex(&octets);
    let hash = token_hash(&text);
    Ok((text, hash))
}

/// The hash under which a token is kept: a stolen file opens nothing.
pub(super) fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Lower-case hexadecimal.
pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._@+-".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}

const LAYOUT: &str = "
CREATE TABLE user (
    name     TEXT PRIMARY KEY,
    role     TEXT NOT NULL,
    password TEXT,
    created  INTEGER NOT NULL
) STRICT;
CREATE TABLE session (
    hash    BLOB PRIMARY KEY,
    user    TEXT NOT NULL REFERENCES user ON DELETE CASCADE,
    created INTEGER NOT NULL,
    seen    INTEGER NOT NULL
) STRICT;
CREATE TABLE once (
    hash    BLOB PRIMARY KEY,
    user    TEXT NOT NULL REFERENCES user ON DELETE CASCADE,
    expires INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 1;
";

#[cfg(test)]
mod tests {
    use popnet_terms::Timestamp;

    use super::{UserRole, Users, UsersError};

    #[test]
    fn a_user_lives() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp(1_000_000);
        let users = Users::open(dir.path()).unwrap();
        users.create("ada", &UserRole::Owner, Some("a long password"), now).unwrap();
        assert!(matches!(
            users.create("ada", &UserRole::Owner, None, now),
            Err(UsersError::Taken(_))
        ));
        assert!(matches!(users.create("<b>", &UserRole::Owner, None, now), Err(UsersError::Name)));
        assert!(users.check("ada", "a long password").unwrap().is_some());
        assert!(users.check("ada", "another password").unwrap().is_none());
        assert!(users.check("eve", "a long password").unwrap().is_none());

        let again = Users::open(dir.path()).unwrap();
        assert_eq!(again.list().unwrap().len(), 1);
        again.reset("ada", Some("quite another one")).unwrap();
        assert!(users.check("ada", "a long password").unwrap().is_none());
        assert!(users.check("ada", "quite another one").unwrap().is_some());
        again.remove("ada").unwrap();
        assert!(matches!(again.remove("ada"), Err(UsersError::Unknown(_))));
    }

    #[test]
    fn several_processes_open_a_new_file_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Users::open(dir.path()).map(|users| users.list().unwrap().len());
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
            for one in all {
                assert_eq!(one.join().unwrap().unwrap(), 0);
            }
        });
    }

    #[test]
    fn a_newer_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Users::open(dir.path()).unwrap().file().pragma_update(None, "user_version", 9).unwrap();
        assert!(matches!(Users::open(dir.path()), Err(UsersError::Newer(9))));
    }
}
