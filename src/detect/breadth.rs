//! Finds a key that walks through many routes in its first hour, far more than keys begin with:
//! `scope.unexpected_endpoint`.
//!
//! This needs no past of the key. Whoever finds a key tries what it may do, operation after
//! operation; so do consoles and scanners of the owner.

use serde_json::json;
use statrs::function::erf::erfc;

use super::Signal;
use crate::alert::DetectorId;
use crate::event::AccessEvent;
use crate::profile::breadth::Breadth;

/// A walk through many routes.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    pub p_value: f64,
    routes: u16,
}

/// Judges the number of `routes` in a key's first hour against those of other keys. `breadth`
/// contains them too.
pub fn find_walk(breadth: &Breadth, routes: u16) -> Walk {
    let deviations = breadth.deviations(routes, routes);
    Walk { p_value: erfc(deviations / std::f64::consts::SQRT_2) / 2.0, routes }
}

impl Walk {
    pub fn into_signal(self, breadth: &Breadth, route: &str, event: &AccessEvent) -> Signal {
        let usual = breadth.usual();
        Signal {
            detector: DetectorId::UnexpectedEndpoint,
            p_value: self.p_value,
            observed: Some(f64::from(self.routes)),
            expected: Some(usual),
            headline: format!("used {} routes in its first hour", self.routes),
            sentence: format!(
                "Used {} routes in its first hour, most recently {route}; keys usually use about \
                 {usual:.0} in theirs. The answer was {}.",
                self.routes, event.status
            ),
            fields: json!({
                "route": route,
                "routes": self.routes,
                "usual_routes_of_a_first_hour": usual.round(),
                "status": event.status,
                "probability": self.p_value,
            }),
            ceiling: None,
        }
    }
}
