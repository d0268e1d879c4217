//! Decides what the acts of people mean for an incident and for its alerts.
//!
//! An act is one thing that a person did to an incident: acknowledge, assign, comment, confirm,
//! dismiss, reopen, approve, reject. Acts are only added, and the standing of an incident is a fold over them
//! ([`Course`]). New evidence of a closed incident is kept quiet, or reopens it ([`judge`]). People may also suppress some
//! evidence for a time ([`hidden_by`]). The
//! registered owner of a key may be asked "Was it you?" by signed links ([`Links`]) and within limits
//! ([`Limits`]); the answer is an act that decides nothing. This room is pure: the caller passes what is stored.

mod act;
mod link;
mod question;
mod standing;
mod suppression;
mod verdict;

pub use self::act::{Act, Kind, Origin, Seen, brings_evidence};
pub use self::link::{BadLink, Link, Links};
pub use self::question::{Asked, Limits, Use};
pub use self::standing::{Beyond, Closing, Course, Held, Obstacle, Ruling, Standing};
pub use self::suppression::{Scope, Suppression, hidden_by};
pub use self::verdict::{Verdict, annotated, judge, withdraws};
