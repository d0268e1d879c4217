//! Models the rate of a key or a series: the usual amount at each hour, and how unusual an
//! observed amount is.
//!
//! The model is pure, synchronous and causal: a result depends only on data up to its own time.
//! It has two users. [`RateProfile`] counts the requests of one key in windows of a second to an
//! hour. [`SeriesScorer`] scores rows of any step and any values.
//!
//! ```text
//! amount -> season             -> spread              -> tail probability -> evidence
//!           expected rate by      of the amounts         of a count or       the tails of several
//!           hour of the week,     around their           of an amount        references, pooled
//!           times the level of    expectation                                by their logarithms
//!           the last hour
//! ```

mod burst;
mod habit;
mod profile;
mod ramp;
pub mod season;
mod series;
mod sliding;
pub mod sparse;
mod spike;
mod tail;

pub use self::burst::BurstForecast;
pub use self::profile::{
    Forecast, HOUR_WINDOW, HourShare, MINUTE_WINDOW, RateProfile, WINDOW_SECONDS, WINDOWS,
};
pub use self::ramp::Ramp;
pub use self::series::{ScoredRow, SeriesScorer};
pub use self::spike::{MILD, MIN_HISTORY_HOURS, Rise, Spike, find_rise, find_spike};
pub use self::tail::{negative_binomial_quantile, negative_binomial_tail};

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
