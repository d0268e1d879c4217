//! Where there is land, on a grid of three degrees: from Natural Earth's 1:110m land (public domain),
//! sampled at the middle of each cell.

pub const STEP: f64 = 3.0;
/// Latitude of the first row and longitude of the first column.
const NORTH: f64 = 78.0;
const WEST: f64 = -178.5;
const COLUMNS: u32 = 120;

/// Bits of a row, from west to east; rows from north to south.
#[rustfmt::skip]
const ROWS: [u128; 46] = [
    0x00000231cffff800d0000004000000,
    0x0000038f807ff8000001007fc03400,
    0x00003fb3e03ff000000617fffe3c00,
    0x07c204ba47e01fffc0ff2800000008,
    0x10000001e5c0f1ff00c00000000000,
    0x17fffffc081c0003dfffffffffffff,
    0x0fe7fff03a000003c3ffffffffff30,
    0x0180fffc3f0000209fffffffffc0c0,
    0x00007fffbf800051fffffffffff080,
    0x00007fffff000037fffffffffff000,
    0x00003ffffcc0001ffffffffffff000,
    0x00001ffffe00000f7df7ffffffd000,
    0x00001ffff0000078b937fffffe0000,
    0x00001fffe000007057f3ffffe20000,
    0x00001fffe000000f00fffffff26000,
    0x000007ffc000007f00fffffff10000,
    0x000007fd8000007ffff7fffff80000,
    0x000003f0000001fffefbfffff00000,
    0x000000e0000001ffff7e3fffe80000,
    0x00000072200003ffff7f1f9f000000,
    0x0000003e200001ffffbe0f1e080000,
    0x00000007000003ffffb80607080000,
    0x00000001000001ffffc00603000000,
    0x00000000df0000fffff80000000000,
    0x000000003f8000f3fff00004000000,
    0x000000003fe00001fff00008600000,
    0x000000007fe00001ffc00006e00000,
    0x000000007ffe0001ff80000268e200,
    0x000000007fff0000ff800001003800,
    0x000000003fff0000ff800000001400,
    0x000000003ffe00007f80000000d000,
    0x000000001ffe0000ffc80000039000,
    0x000000000ffe0000ff10000007f801,
    0x0000000007fc0000ff1000001ffc00,
    0x0000000007f800007f1000003ffe00,
    0x000000000ff000007e0000003ffe00,
    0x000000000fe000003c0000003ffe00,
    0x000000000fc0000038000000187e00,
    0x000000000f80000000000000003c00,
    0x000000000e00000000000000000002,
    0x000000001c00000000000000000804,
    0x000000001c00000000000000000008,
    0x000000001c00000000000000000000,
    0x000000001800000000000000000000,
    0x000000000c00000000000000000000,
    0x000000000000000000000000000000,
];

/// Latitude and longitude of every cell with land.
pub fn cells() -> impl Iterator<Item = (f64, f64)> {
    ROWS.iter().enumerate().flat_map(|(row, bits)| {
        let is_land = move |column: &u32| bits >> (COLUMNS - 1 - column) & 1 == 1;
        (0..COLUMNS)
            .filter(is_land)
            .map(move |column| (NORTH - STEP * row as f64, WEST + STEP * f64::from(column)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continents_are_where_they_are() {
        let is_land = |latitude: f64, longitude: f64| {
            cells()
                .any(|(lat, lon)| (lat - latitude).abs() <= 1.5 && (lon - longitude).abs() <= 1.5)
        };
        for (latitude, longitude) in [(51.0, 10.5), (-15.0, -55.5), (39.0, -100.5), (-24.0, 133.5)]
        {
            assert!(is_land(latitude, longitude), "{latitude} {longitude}");
        }
        for (latitude, longitude) in [(0.0, -30.0), (30.0, -40.0), (0.0, -140.0), (-30.0, 80.0)] {
            assert!(!is_land(latitude, longitude), "{latitude} {longitude}");
        }
    }
}
