//! Decides who a request comes from, and what that account may do.
//!
//! People log in with a password and get a session; programs send a token. Both are accounts with a
//! name and a role, kept in ClickHouse, so that all processes know them. Only the command line adds
//! them: whoever can write to the database is trusted, and nothing over HTTP makes an account.

mod account;
mod directory;
mod login;
mod password;
mod secret;
mod throttle;

pub use self::account::{Account, Kind, Role, check_name};
pub use self::directory::{Directory, Pass, SESSION_SECONDS, Unknown, Visit};
pub use self::login::LoginRefused;
pub use self::password::{LEAST_PASSWORD, hash};
pub use self::secret::Secret;
