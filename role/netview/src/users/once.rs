//! One-time links: `/login?once=TOKEN` opens a session once, within an hour.

use std::time::Duration;

use popnet_terms::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::store::{User, Users, UsersError, token, token_hash, user};

/// How long a link is good.
pub const ONCE_LIFE: Duration = Duration::from_secs(3600);

impl Users {
    /// Makes a token for `/login?once=TOKEN`; it is shown this once, its hash is kept.
    ///
    /// # Errors
    /// Nobody is called so, or the file fails.
    pub fn once(&self, name: &str, now: Timestamp) -> Result<String, UsersError> {
        let (text, hash) = token()?;
        let mut file = self.file();
        let change = file.transaction()?;
        let known: bool = change.query_row(
            "SELECT EXISTS (SELECT 1 FROM user WHERE name = ?1)",
            [name],
            |row| row.get(0),
        )?;
        if !known {
            return Err(UsersError::Unknown(name.to_owned()));
        }
        change.execute("DELETE FROM once WHERE expires < ?1", [now.0])?;
        change.execute(
            "INSERT INTO once (hash, user, expires) VALUES (?1, ?2, ?3)",
            params![hash, name, now.after(ONCE_LIFE).0],
        )?;
        change.commit()?;
        Ok(text)
    }

    /// The user that `token` stands for; the token is used up by asking.
    ///
    /// # Errors
    /// The file fails.
    pub fn redeem(&self, token: &str, now: Timestamp) -> Result<Option<User>, UsersError> {
        let found: Option<(String, String, i64)> = self
            .file()
            .query_row(
                "DELETE FROM once WHERE hash = ?1
                 RETURNING user, (SELECT role FROM user WHERE name = once.user), expires",
                [token_hash(token)],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        Ok(found
            .filter(|(_, _, expires)| now.0 <= *expires)
            .and_then(|(name, role, _)| user(name, &role)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use popnet_terms::Timestamp;

    use super::{ONCE_LIFE, Users};
    use crate::users::UserRole;

    #[test]
    fn a_link_is_good_once_and_for_an_hour() {
        let dir = tempfile::tempdir().unwrap();
        let users = Users::open(dir.path()).unwrap();
        let now = Timestamp(5_000_000);
        users.create("ada", &UserRole::Owner, None, now).unwrap();
        let token = users.once("ada", now).unwrap();
        assert_eq!(users.redeem(&token, now).unwrap().unwrap().name, "ada");
        assert!(users.redeem(&token, now).unwrap().is_none());
        let late = users.once("ada", now).unwrap();
        let after = now.after(ONCE_LIFE + Duration::from_secs(1));
        assert!(users.redeem(&late, after).unwrap().is_none());
        assert!(users.once("eve", now).is_err());
        assert!(users.redeem("", now).unwrap().is_none());
    }
}
