//! Decides which proposed revocations are requested, for the whole installation.
//!
//! The core proposes a revocation: an alert with `action: revoke`. This room grants proposals
//! within one budget. It is pure: the caller passes the stored alerts and the time. The service
//! passes the tables of ClickHouse, a backtest the alerts of its run ([`replay`]).

mod budget;
mod replay;
mod revocation;

pub use self::replay::{Granted, replay, with_requests};
pub use self::revocation::{Decision, Rules, decide, request};
