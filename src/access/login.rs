//! Lets a person in.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use metrics::counter;
use tracing::{debug, info, warn};

use super::account::check_name;
use super::directory::Directory;
use super::password;
use super::secret::Secret;
use crate::store::UseRow;

/// The reason for which a person is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefused {
    #[error("The name or the password is wrong.")]
    Wrong,
    #[error("There were too many tries. Wait a minute, and try again.")]
    TooOften,
    #[error("Many people log in just now. Try again.")]
    Busy,
    #[error("ClickHouse does not answer. Try again.")]
    Unavailable,
}

impl Directory {
    /// Compares name and password, and begins a session. Returns its cookie, which exists here and in
    /// the browser alone. A wrong name takes as long as a wrong
    /// password, and gets the same answer.
    ///
    /// # Errors
    /// [`LoginRefused`].
    pub async fn login(
        &self,
        name: &str,
        password: String,
        address: Option<IpAddr>,
    ) -> Result<Secret, LoginRefused> {
        let session = self.try_login(name, password, address).await;
        let outcome = match &session {
            Ok(_) => "let_in",
            Err(LoginRefused::Wrong) => "wrong",
            Err(LoginRefused::TooOften) => "too_often",
            Err(LoginRefused::Busy) => "busy",
            Err(LoginRefused::Unavailable) => "unavailable",
        };
        counter!("keywatch_logins_total", "outcome" => outcome).increment(1);
        session
    }

    async fn try_login(
        &self,
        name: &str,
        password: String,
        address: Option<IpAddr>,
    ) -> Result<Secret, LoginRefused> {
        if check_name(name).is_err() {
            return Err(LoginRefused::Wrong);
        }
        if !self.throttle.lock().admits(address, name, Instant::now()) {
            // Whoever tries too often must not fill the log.
            debug!(?address, "too many tries to log in");
            return Err(LoginRefused::TooOften);
        }
        let unavailable = |_| LoginRefused::Unavailable;
        let known = self.snapshot(Duration::ZERO).await.map_err(unavailable)?;
        let account = known.person(name).cloned();
        let hash = account.as_ref().map(|account| account.secret.clone());
        let is_right = password::verify(password, hash).await.ok_or(LoginRefused::Busy)?;
        let Some(account) = account.filter(|_| is_right) else {
            // A name that is not known may be a password in the wrong field: it is not logged.
            warn!(?address, name = known.person(name).map(|it| &it.name), "a login was refused");
            return Err(LoginRefused::Wrong);
        };
        let cookie = Secret::random("");
        let session = cookie.digest();
        let (name, account) = (account.name, account.id);
        let row = UseRow { name: &name, account: &account, session: &session, kind: "login" };
        self.store.record_use(row).await.map_err(|_| LoginRefused::Unavailable)?;
        self.forget().await;
        info!(%name, ?address, "logged in");
        Ok(cookie)
    }
}
