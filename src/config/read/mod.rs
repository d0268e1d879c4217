//! Reads the configuration: TOML and environment to structs, every problem with its place.

mod deserialize;
mod load;
mod tree;

pub(super) use self::tree::Place;
