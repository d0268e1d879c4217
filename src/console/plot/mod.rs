//! Pictures, drawn on the server as SVG. Horizontal lengths are percentages, as in `page::draw`, so
//! that text keeps its size on every screen. No picture uses a style attribute: the content policy
//! forbids them.

mod band;
mod bars;
mod heat;
mod land;
mod map;
mod measure;

pub use self::band::{Band, usage};
pub use self::bars::{severities_by_hour, spark};
pub use self::heat::heat_map;
pub use self::map::{Spot, journey};
pub use self::measure::measure;
