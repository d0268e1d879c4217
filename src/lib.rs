//! Keywatch: an anomaly-detecting usage monitor for API keys.
//!
//! One way through the house:
//!
//! ```text
//! source -> decode -> enrich -> profile -> detect -> decide -> store -> respond -> deliver
//! bytes     event     +geo,asn  per-key    signals   alerts    rows     budget     people, e-mail, webhook, topic
//! ```
//!
//! Everything from `decode` to `decide` is pure and synchronous: time is an
//! argument, there is no clock and no I/O. `app` alone knows both sides.
//!
//! Public is what the binary, the tests of `tests/` and the benchmarks use; the crate is not
//! published. Rooms that deny `disallowed_methods` are pure.

mod access;
#[deny(clippy::disallowed_methods)]
pub mod alert;
#[deny(clippy::disallowed_methods)]
pub mod answer;
mod app;
#[deny(clippy::disallowed_methods)]
pub mod audit;
mod backtest;
mod cache;
mod casework;
pub mod cli;
pub mod config;
mod console;
#[deny(clippy::disallowed_methods)]
mod decide;
#[deny(clippy::disallowed_methods)]
pub mod decode;
pub mod deliver;
mod demo;
#[deny(clippy::disallowed_methods)]
pub mod detect;
mod doctor;
mod drill;
pub mod embedded;
#[deny(clippy::disallowed_methods)]
pub mod engine;
#[deny(clippy::disallowed_methods)]
pub mod enrich;
#[deny(clippy::disallowed_methods)]
pub mod event;
#[deny(clippy::disallowed_methods)]
mod facts;
pub mod generate;
mod http;
mod instance;
pub mod kafka;
mod keys;
mod leaks;
#[deny(clippy::disallowed_methods)]
pub mod network;
mod page;
mod playbook;
#[deny(clippy::disallowed_methods)]
pub mod profile;
#[deny(clippy::disallowed_methods)]
pub mod proof;
#[deny(clippy::disallowed_methods)]
pub mod rate;
#[deny(clippy::disallowed_methods)]
pub mod record;
#[deny(clippy::disallowed_methods)]
pub mod registry;
mod report;
#[deny(clippy::disallowed_methods)]
pub mod respond;
#[deny(clippy::disallowed_methods)]
mod sigma;
pub mod source;
pub mod store;
mod telemetry;
#[deny(clippy::disallowed_methods)]
pub mod text;
#[cfg(feature = "train")]
mod train;
mod watched;
#[deny(clippy::disallowed_methods)]
pub mod workflow;
