//! Composes the service from the pure core and the I/O rooms. No other room knows both.
//!
//! ```text
//! source --> intake --> scoring --> writer ----> outbox --> channels
//!   ^        (claims,   (decode,    (rows and      ^
//!   |         ledger)    engine)     alerts)       |
//!   |                                  |       responder (revocations),
//!   +-------- stored offsets ----------+       watchdog (the monitor itself),
//!                                              presence (gone processes)
//! ```
//!
//! The pipeline reads and scores in one task, and the writer stores in another: while some
//! batches are being stored, the next one is scored. The queue between them is short, so that a
//! slow store slows reading down and memory stays flat.

mod announce;
mod batch;
pub mod check;
mod checkpoints;
mod clerk;
mod dead_letters;
mod degraded;
mod error;
mod intake;
mod key_feed;
mod looks;
mod notary;
mod owners;
mod patient;
mod pipeline;
mod presence;
mod registrar;
mod requests;
mod responder;
mod startup;
mod suspects;
mod watchdog;
mod writer;

/// The number of full batches that are scored and not yet stored before the next one is read.
const HELD_BATCHES: usize = 5;

pub use self::error::AppError;
pub use self::startup::{run, run_from};
pub use self::writer::Summary;
