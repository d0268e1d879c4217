//! Reads the configuration: TOML and environment to structs, every problem with its place.

mod deserialize;
mod load;
mod rules;
mod tree;

pub(super) use self::deserialize::hint;
pub(super) use self::tree::Place;
