//! Keywatch: an anomaly-detecting usage monitor for API keys.
//!
//! One way through the house:
//!
//! ```text
//! source -> decode -> enrich -> profile -> detect -> decide -> store -> deliver
//! bytes     event     +geo,asn  per-key    signals   alerts    rows     e-mail, webhook, topic
//! ```
//!
//! Everything from `decode` to `decide` is pure and synchronous: time is an
//! argument, there is no clock and no I/O. `app` alone knows both sides.

pub mod alert;
pub mod app;
pub mod backtest;
mod cache;
pub mod cli;
pub mod config;
pub mod decide;
pub mod decode;
pub mod deliver;
pub mod delivery;
pub mod demo;
pub mod detect;
pub mod embedded;
pub mod engine;
pub mod enrich;
pub mod event;
pub mod generate;
mod kafka;
pub mod problem;
pub mod profile;
pub mod rate;
pub mod registry;
pub mod report;
pub mod source;
pub mod store;
pub mod telemetry;
#[cfg(feature = "train")]
pub mod train;
