//! Decides which proposed suspensions and revocations are requested, for the whole installation.
//!
//! The core proposes: an alert with `action: suspend` or `revoke`. This room grants proposals within
//! budgets, while no breaker is open, and with the approval of a person where the loss would be
//! large. It is pure: the caller passes the stored alerts and the time. The service passes the tables
//! of ClickHouse, a backtest the alerts of its run ([`replay`]).

mod breaker;
mod budget;
mod compare;
mod decision;
mod replay;

pub use self::breaker::{Breaker, Cause};
pub use self::budget::{Budget, Room, Spent};
pub use self::compare::{Change, Comparison, Outcome, Totals, compare};
pub use self::decision::{Approval, Decision, KeyFacts, Rules, decide, notice, spent};
pub use self::replay::{Granted, replay, with_requests};
