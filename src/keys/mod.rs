//! Takes rows into the key registry, whichever way they come: files, the HTTP API, a Kafka topic.

mod check;
mod rows;
mod server;
mod taking;

pub use self::check::check;
pub use self::server::{bind, open, serve};
pub use self::taking::{TakeError, Taking};
