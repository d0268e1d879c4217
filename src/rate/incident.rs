//! From evidence to the return period of an incident, told once.

use std::f64::consts::LOG10_E;

/// A peak is evidence above what is left of the last peak, which halves in these rows...
const PEAK_HALF_LIFE_ROWS: f64 = 250.0;
/// ...by at least this factor.
const PEAK_MARGIN: f64 = 1.03;
/// Mean excess assumed before there are peaks, and the peaks it weighs as.
const PRIOR_EXCESS: f64 = 0.5;
const PRIOR_PEAKS: f64 = 3.0;
/// Return period, in decades of rows, at which an incident opens: once in 500 rows.
pub const ALERT_DECADES: f64 = 2.7;
/// Within an incident only what is this many decades rarer is told again.
const ESCALATION_DECADES: f64 = 1.0;
/// An incident ends after this many rows below the alert level.
const QUIET_ROWS: u64 = 150;

/// Peaks of the evidence and how often such peaks come: heights above the lowest are
/// taken as exponential, the law that logarithms of p-values follow.
#[derive(Clone, Debug, Default)]
struct Peaks {
    recent: f64,
    count: f64,
    total: f64,
    lowest: f64,
}

impl Peaks {
    /// Whether the evidence rises above what the last peak left.
    fn rises(&mut self, evidence: f64) -> bool {
        let rises = evidence > PEAK_MARGIN * self.recent;
        self.recent = (self.recent * 0.5_f64.powf(1.0 / PEAK_HALF_LIFE_ROWS)).max(evidence);
        rises
    }

    /// Decades of rows between peaks at least this high, in `rows` rows so far.
    fn return_decades(&self, rows: f64, peak: f64) -> f64 {
        let excesses = self.total - self.count * self.lowest;
        let mean = (excesses + PRIOR_PEAKS * PRIOR_EXCESS) / (self.count + PRIOR_PEAKS);
        let excess = (peak - self.lowest).max(0.0);
        let decades = (rows / (self.count + 0.5)).log10() + excess / mean * LOG10_E;
        decades.max(0.0)
    }

    fn learn(&mut self, peak: f64) {
        self.lowest = if self.count == 0.0 { peak } else { self.lowest.min(peak) };
        self.count += 1.0;
        self.total += peak;
    }
}

/// Turns evidence into the return period of an incident, and tells each incident once.
#[derive(Clone, Debug, Default)]
pub struct Incidents {
    row: u64,
    peaks: Peaks,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    last_row: u64,
    decades: f64,
}

impl Incidents {
    /// How rare the row is: decades of rows between incidents like this one, in the
    /// series' own experience. Halved for rows of an incident already told.
    pub fn push(&mut self, evidence: f64) -> f64 {
        let row = self.row;
        self.row += 1;
        if !self.peaks.rises(evidence) {
            return 0.0;
        }
        let decades = self.peaks.return_decades(self.row as f64, evidence);
        self.peaks.learn(evidence);
        self.tell_once(row, decades)
    }

    fn tell_once(&mut self, row: u64, decades: f64) -> f64 {
        let open = self.open.filter(|open| row - open.last_row <= QUIET_ROWS);
        let news = open.is_none_or(|open| decades > open.decades + ESCALATION_DECADES);
        if decades >= ALERT_DECADES {
            let told = open.filter(|_| !news).map_or(decades, |open| open.decades);
            self.open = Some(Open { last_row: row, decades: told });
        }
        if news { decades } else { decades.min(ALERT_DECADES) / 2.0 }
    }
}
