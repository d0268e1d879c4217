//! Judges credential stuffing: sources (addresses and networks) that try many keys.
//!
//! [`local`] judges the attempts of one log as they come. [`across`] judges the attempts of one
//! network over all partitions.

mod across;
mod attempt;
mod local;

pub use self::across::{LeakedKey, NetworkVerdict, Session, home_of, judge};
pub use self::attempt::{Caller, is_refused, is_settled};
pub use self::local::{Judge, StuffingOutcome, StuffingTables};
