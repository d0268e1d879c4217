//! From evidence to the return period of an incident, told once.

use std::collections::VecDeque;

/// A peak is evidence above what is left of the last peak, which halves in these rows...
const PEAK_HALF_LIFE_ROWS: f64 = 100.0;
/// ...by at least this factor.
const PEAK_MARGIN: f64 = 1.05;
/// Part of the peaks that count as the tail, and the fewest.
const TAIL_PART: f64 = 0.6;
const TAIL_LEAST: usize = 5;
/// Mean excess assumed before there are peaks, and the peaks it weighs as.
const PRIOR_EXCESS: f64 = 0.5;
const PRIOR_PEAKS: f64 = 3.0;
/// Rows of the history of peaks, so that memory is bounded.
const HISTORY_ROWS: u64 = 32_768;
/// Return period, in decades of rows, at which an incident opens: once in 500 rows.
pub const ALERT_DECADES: f64 = 2.7;
/// Within an incident only what is this many decades rarer is told again.
const ESCALATION_DECADES: f64 = 1.0;
/// An incident ends after this many rows below the alert level.
const QUIET_ROWS: u64 = 150;

/// Peaks of the evidence and how often such peaks come.
#[derive(Clone, Debug, Default)]
struct Peaks {
    recent: f64,
    arrival: VecDeque<(u64, f64)>,
    sorted: Vec<f64>,
}

impl Peaks {
    /// Whether the evidence rises above what the last peak left.
    fn rises(&mut self, evidence: f64) -> bool {
        let rises = evidence > PEAK_MARGIN * self.recent;
        self.recent = (self.recent * 0.5_f64.powf(1.0 / PEAK_HALF_LIFE_ROWS)).max(evidence);
        rises
    }

    /// Decades of rows between peaks at least this high.
    fn return_decades(&self, row: u64, peak: f64) -> f64 {
        let peaks = self.sorted.len();
        let tail = ((TAIL_PART * peaks as f64) as usize).max(TAIL_LEAST).min(peaks);
        let threshold = match (peaks - tail).checked_sub(1) {
            Some(below) => self.sorted[below],
            None => self.sorted.first().copied().unwrap_or(0.0),
        };
        let count = if peak <= threshold {
            (peaks - self.sorted.partition_point(|&other| other < peak)) as f64 + 1.0
        } else {
            let excesses: f64 = self.sorted[peaks - tail..].iter().map(|s| s - threshold).sum();
            let mean = (excesses + PRIOR_PEAKS * PRIOR_EXCESS) / (tail as f64 + PRIOR_PEAKS);
            (tail as f64 + 0.5) * (-(peak - threshold) / mean).exp()
        };
        let rows = row.min(HISTORY_ROWS) as f64 + 1.0;
        (rows / count.max(f64::MIN_POSITIVE)).log10().max(0.0)
    }

    fn learn(&mut self, row: u64, peak: f64) {
        while let Some(&(at, oldest)) = self.arrival.front()
            && at + HISTORY_ROWS < row
        {
            self.arrival.pop_front();
            let at = self.sorted.partition_point(|&other| other < oldest);
            self.sorted.remove(at);
        }
        self.arrival.push_back((row, peak));
        let at = self.sorted.partition_point(|&other| other <= peak);
        self.sorted.insert(at, peak);
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
        let decades = self.peaks.return_decades(row, evidence);
        self.peaks.learn(row, evidence);
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
