//! Takes reports of leaked keys: from GitHub's secret scanning over HTTP, and from the command line.

mod check;
mod report;
mod server;
mod signature;

pub use self::check::check;
pub use self::report::{Finding, Intake, Named};
pub use self::server::{bind, open, serve};
