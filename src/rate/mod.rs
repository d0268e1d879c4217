//! The rate model: how many requests are usual, and how unusual a count is.
//!
//! Pure, synchronous, one pass, causal: what is said of a row rests on that
//! row and those before it.
//!
//! ```text
//! value -> season -> ladder -> surprise -> incident -> score
//!          expected  residual  p-values    return      in [0, 1]
//!          by hour   over 1 to in the      period, one
//!          of week   256 rows  own history alert each
//! ```
//!
//! [`SeasonalCount`] and [`Prediction`] are cheap enough to keep for each key;
//! [`SeriesScorer`] adds the evidence that needs a history of scores and is for
//! one series at a time.

mod history;
mod incident;
mod ladder;
mod predictive;
mod score;
mod season;
mod surprise;

pub use predictive::Prediction;
pub use score::{ScoredRow, SeriesScorer};
pub use season::SeasonalCount;
