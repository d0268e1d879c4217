//! Holds the parts that all HTTP endpoints share: the listener, errors as problem documents, the
//! limits of a request's body, and the check of URLs that the service calls.

pub mod body;
pub mod listener;
pub mod problem;
pub mod url;

pub use self::problem::Problem;
