//! Does what people want with stored incidents: the acts of the workflow, and suppressions. The
//! commands, the console and the API are edges of it: they have the same operations, words and
//! refusals.

mod act;
mod case;
mod owner;
mod preview;
mod suppress;
mod texts;
mod words;

pub use self::act::{Order, Outcome, Reading, Told, act_on_all, act_once, told_of};
pub use self::case::{Case, Version, load};
pub use self::owner::{Answered, answer_as_owner};
pub use self::preview::Preview;
pub use self::suppress::{NoSuppression, Wish};
pub use self::texts::{comment, person};
pub use self::words::{quiet_seconds, remedy};
