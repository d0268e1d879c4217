//! Feeds hostile bytes to what reads input. libFuzzer runs these functions (`make fuzz`), and the
//! tests of the engine run them over the corpora (`tests/engine/corpora.rs`).
//!
//! A panic, an abort or a hang is a finding. So is a broken promise that a function asserts.

#![allow(clippy::unwrap_used, clippy::panic)]

pub mod decode;
pub mod registry;
pub mod state;
pub mod template;

#[allow(dead_code)]
#[path = "../../tests/engine/scene.rs"]
mod scene;
