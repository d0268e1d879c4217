//! Defines the routes of a key.

use super::repertoire::Repertoire;
pub use super::repertoire::Usage;
pub use super::template::{Route, route_id};

/// Hash of a method and a path template. Among ten thousand routes, the probability that two
/// share an id is about one percent.
pub type RouteId = u32;

/// Most routes remembered for one key. A new route replaces the least used.
pub const MAX_ROUTES: usize = 400;

/// The routes of one key. Routes that create, rotate or read keys are marked.
pub type RouteProfile = Repertoire<MAX_ROUTES>;
