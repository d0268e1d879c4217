//! A map with the places of a key, and the journey between two of them.

use maud::{Markup, PreEscaped, html};

use super::land;
use crate::page::draw::anchor;

/// A place on the map.
pub struct Spot {
    pub latitude: f64,
    pub longitude: f64,
    pub name: String,
    /// A further line below the name.
    pub note: String,
}

/// The part of the world that is shown, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
struct View {
    west: f64,
    north: f64,
    width: f64,
    height: f64,
}

/// A map is this many times as wide as high.
const SHAPE: f64 = 2.2;
const LEAST_WIDTH: f64 = 150.0;
const MARGIN: f64 = 22.0;
/// Width of the drawing in its own units, in which text has a fixed size.
const WIDTH: f64 = 720.0;

/// The journey from one spot to the other, on the part of the world around them.
pub fn journey(from: &Spot, to: &Spot, words: &str) -> Markup {
    let view = View::around(from, to);
    let (a, b) = (view.point(from.latitude, from.longitude), view.point(to.latitude, to.longitude));
    let height = WIDTH / SHAPE;
    html! {
        svg.map viewBox={ "0 0 " (WIDTH) " " (format!("{height:.0}")) } role="img" aria-label=(words) {
            title { (words) }
            path.land d=(PreEscaped(view.land())) stroke-width=(f(view.unit() * land::STEP * 0.62)) {}
            path.journey d=(arc(a, b)) {}
            (spot(from, a, "first", a.1 < b.1))
            (spot(to, b, "second", b.1 <= a.1))
        }
    }
}

fn spot(spot: &Spot, (x, y): (f64, f64), class: &str, is_above: bool) -> Markup {
    // Names stand away from the line between the spots.
    let line = if is_above { -26.0 } else { 24.0 };
    html! {
        g class={ "spot " (class) } {
            circle.ring cx=(f(x)) cy=(f(y)) r="9" {}
            circle.point cx=(f(x)) cy=(f(y)) r="4.5" {}
            text.place x=(f(x)) y=(f(y + line)) text-anchor=(anchor(x / WIDTH)) { (spot.name) }
            text.note x=(f(x)) y=(f(y + line + 14.0)) text-anchor=(anchor(x / WIDTH)) { (spot.note) }
        }
    }
}

fn f(value: f64) -> String {
    format!("{value:.1}")
}

/// A curve that bends to the north, so that it can be told from the grid.
fn arc((x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> String {
    let lift = (x2 - x1).hypot(y2 - y1) * 0.22;
    let (cx, cy) = (f64::midpoint(x1, x2), (f64::midpoint(y1, y2) - lift).max(8.0));
    format!("M{x1:.1} {y1:.1}Q{cx:.1} {cy:.1} {x2:.1} {y2:.1}")
}

impl View {
    fn around(from: &Spot, to: &Spot) -> Self {
        let west = from.longitude.min(to.longitude) - MARGIN;
        let east = from.longitude.max(to.longitude) + MARGIN;
        let north = from.latitude.max(to.latitude) + MARGIN;
        let south = from.latitude.min(to.latitude) - MARGIN;
        let width = (east - west).max((north - south) * SHAPE).clamp(LEAST_WIDTH, 360.0);
        let height = width / SHAPE;
        let (x, y) = (f64::midpoint(west, east), f64::midpoint(north, south));
        Self {
            west: (x - width / 2.0).clamp(-180.0, 180.0 - width),
            // The grid of land ends at 80 degrees north.
            north: (y + height / 2.0).clamp(-60.0 + height.min(140.0), 80.0),
            width,
            height,
        }
    }

    /// Units of the drawing for a degree.
    fn unit(&self) -> f64 {
        WIDTH / self.width
    }

    fn point(&self, latitude: f64, longitude: f64) -> (f64, f64) {
        ((longitude - self.west) * self.unit(), (self.north - latitude) * self.unit())
    }

    /// Land as dots: strokes without length and with round ends.
    fn land(&self) -> String {
        let inside = land::cells().filter(|(latitude, longitude)| {
            (self.west..=self.west + self.width).contains(longitude)
                && (self.north - self.height..=self.north).contains(latitude)
        });
        let dots = inside.map(|(latitude, longitude)| {
            let (x, y) = self.point(latitude, longitude);
            format!("M{x:.0} {y:.0}h0")
        });
        dots.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Spot {
        Spot { latitude, longitude, name: "<b>".into(), note: String::new() }
    }

    #[test]
    fn both_spots_are_inside_the_view() {
        for (from, to) in [
            (at(52.5, 13.4), at(-23.5, -46.6)),
            (at(47.4, 8.5), at(47.5, 8.6)),
            (at(64.0, -21.0), at(-41.0, 175.0)),
            (at(-36.8, 174.8), at(37.8, -122.4)),
        ] {
            let view = View::around(&from, &to);
            for spot in [&from, &to] {
                let (x, y) = view.point(spot.latitude, spot.longitude);
                assert!(
                    (0.0..=WIDTH).contains(&x) && (0.0..=WIDTH / SHAPE).contains(&y),
                    "{x} {y}"
                );
            }
        }
    }

    #[test]
    fn names_are_escaped_and_a_map_stays_small() {
        let map = journey(&at(64.0, -150.0), &at(-41.0, 175.0), "far").into_string();
        assert!(map.contains("&lt;b&gt;") && !map.contains("<b>"));
        assert!(map.len() < 30_000, "{}", map.len());
    }
}
