//! Who may look: users, their passwords, sessions and one-time links, in one SQLite file in the
//! role's folder. Users are not part of the network's configuration, which is copied everywhere.
//!
//! The command line opens the same file while NetView runs (`popnet user …`, `popnet demo`), so
//! every change is one transaction and nothing is remembered outside the file.

mod once;
mod password;
mod role;
mod session;
mod store;
mod throttle;

pub use once::ONCE_LIFE;
pub use password::{PASSWORD_MIN, PasswordError};
pub use role::{UnknownUserRole, UserRole};
pub use session::{SESSION_IDLE, SESSION_LIFE, Session};
pub use store::{User, Users, UsersError};
pub(crate) use throttle::{Throttle, Verdict};
