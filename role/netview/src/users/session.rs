//! Sessions: a random token in a cookie, its hash in the file.

use std::time::Duration;

use popnet_terms::Timestamp;
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::store::{User, Users, UsersError, hex, token, token_hash, user};

/// A session ends when nobody has used it for so long.
pub const SESSION_IDLE: Duration = Duration::from_secs(12 * 3600);

/// A session ends after so long in any case.
pub const SESSION_LIFE: Duration = Duration::from_secs(7 * 86_400);

/// Use is written down at most this often: a page with a live stream is no reason to write.
const SEEN_STEP: Duration = Duration::from_secs(60);

/// Most sessions of one user; the oldest goes.
const SESSIONS_MAX: u32 = 32;

/// A session in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub user: User,
    /// What a form of this session must carry, beside the browser's own word where it comes from.
    pub form_token: String,
}

impl Users {
    /// Opens a session for `name`; the token is shown this once.
    ///
    /// # Errors
    /// Nobody is called so, or the file fails.
    pub fn open_session(&self, name: &str, now: Timestamp) -> Result<String, UsersError> {
        let (text, hash) = token()?;
        let mut file = self.file();
        let change = file.transaction()?;
        change.execute("DELETE FROM session WHERE created < ?1", [oldest(now, SESSION_LIFE)])?;
        change.execute(
            "DELETE FROM session WHERE user = ?1 AND hash NOT IN (
                 SELECT hash FROM session WHERE user = ?1 ORDER BY seen DESC LIMIT ?2)",
            params![name, SESSIONS_MAX - 1],
        )?;
        change.execute(
            "INSERT INTO session (hash, user, created, seen) VALUES (?1, ?2, ?3, ?3)",
            params![hash, name, now.0],
        )?;
        change.commit()?;
        Ok(text)
    }

    /// The session that `token` opens, if it has not ended.
    ///
    /// # Errors
    /// The file fails.
    pub fn session(&self, token: &str, now: Timestamp) -> Result<Option<Session>, UsersError> {
        let hash = token_hash(token);
        let file = self.file();
        let found: Option<(String, String, i64)> = file
            .query_row(
                "SELECT user.name, user.role, seen FROM session JOIN user ON user.name = user
                 WHERE hash = ?1 AND session.created >= ?2 AND seen >= ?3",
                params![hash, oldest(now, SESSION_LIFE), oldest(now, SESSION_IDLE)],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        let Some((name, role, seen)) = found else { return Ok(None) };
        if now.since(Timestamp(seen)) >= SEEN_STEP {
            file.execute("UPDATE session SET seen = ?2 WHERE hash = ?1", params![hash, now.0])?;
        }
        Ok(user(name, &role).map(|user| Session { user, form_token: form_token(token) }))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The file fails.
    pub fn close_session(&self, token: &str) -> Result<(), UsersError> {
        self.file().execute("DELETE FROM session WHERE hash = ?1", [token_hash(token)])?;
        Ok(())
    }
}

/// Made of the session's token, so that nothing more is stored, and useless for opening it.
fn form_token(token: &str) -> String {
    hex(&Sha256::new().chain_update(b"popnet form ").chain_update(token).finalize())
}

fn oldest(now: Timestamp, life: Duration) -> i64 {
    now.0.saturating_sub(i64::try_from(life.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use popnet_terms::Timestamp;

    use super::{SESSION_IDLE, SESSION_LIFE, Users};
    use crate::users::UserRole;

    #[test]
    fn sessions_end() {
        let dir = tempfile::tempdir().unwrap();
        let users = Users::open(dir.path()).unwrap();
        let start = Timestamp(1_700_000_000_000_000);
        users.create("ada", &UserRole::Observer, None, start).unwrap();
        let token = users.open_session("ada", start).unwrap();
        let alive = |token: &str, at| users.session(token, at).unwrap().is_some();
        assert!(alive(&token, start));
        assert!(!alive("0123", start));
        assert!(!alive(&token, start.after(SESSION_IDLE + Duration::from_secs(1))));

        // Kept in use, it still ends after its life.
        let mut now = start;
        while now < start.after(SESSION_LIFE) {
            assert!(alive(&token, now));
            now = now.after(SESSION_IDLE / 2);
        }
        assert!(!alive(&token, now.after(Duration::from_secs(1))));

        let other = users.open_session("ada", now).unwrap();
        assert!(alive(&other, now));
        users.close_session(&other).unwrap();
        assert!(!alive(&other, now));
    }
}
