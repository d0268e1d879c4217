//! Holds the parts that all HTTP endpoints share: the listener, connections within limits, TLS, who
//! may send something, errors as problem documents, the limits of a request's body, and the check
//! of URLs that the service calls.

pub mod access;
pub mod body;
pub mod connections;
pub mod listener;
pub mod names;
pub mod problem;
pub mod server;
pub mod stallable;
pub mod tls;
pub mod tokens;
pub mod url;

pub use self::access::Access;
pub use self::names::Names;
pub use self::problem::{LineError, Problem};
pub use self::tokens::Tokens;
