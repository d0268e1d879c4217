//! Shows progress to the user: lines on standard output and, on a terminal, a progress bar.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::event::EventTime;

/// The number of steps of the bar.
const STEPS: u64 = 1_000;

/// The user's screen. Clones share the bar and the counts.
#[derive(Clone)]
pub(super) struct Screen {
    bar: ProgressBar,
    begun: Instant,
    counts: Arc<Counts>,
}

/// Events handed to the pipeline.
#[derive(Default)]
struct Counts {
    history: AtomicU64,
    live: AtomicU64,
}

impl Screen {
    pub(super) fn new() -> Self {
        let is_terminal = io::stdout().is_terminal() && io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::new(STEPS) } else { ProgressBar::hidden() };
        Self { bar, begun: Instant::now(), counts: Arc::default() }
    }

    /// Seconds since the start of the demo.
    pub(super) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Prints a line above the bar.
    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| anstream::println!("{line}"));
    }

    pub(super) fn learning(&self) {
        self.say("Learning two days of history as a baseline ...");
        self.style("  {bar:40} {percent:>3}%  {msg}");
    }

    /// Advances the bar: `share` of the history is read, with `events` more events.
    pub(super) fn learned(&self, events: usize, share: f64) {
        let count = add(&self.counts.history, events);
        self.bar.set_position((share * STEPS as f64) as u64);
        self.bar.set_message(format!("{} events", HumanCount(count)));
    }

    /// Switches the bar to the live part.
    pub(super) fn live(&self) {
        let events = HumanCount(self.history_events());
        self.say(&format!(
            "Learned from {events} events in {:.0} s. Now live, with attacks among the requests:\n",
            self.seconds()
        ));
        self.style("  live {bar:30} {msg}");
    }

    /// Advances the bar: `share` of the live part is over, with `events` more events.
    pub(super) fn streamed(&self, events: usize, share: f64, seconds_left: f64) {
        let count = add(&self.counts.live, events);
        self.bar.set_position((share * STEPS as f64) as u64);
        let left = seconds_left.max(0.0);
        self.bar
            .set_message(format!("{} events, {left:.0} s left (Ctrl-C ends)", HumanCount(count)));
    }

    /// Removes the bar.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    pub(super) fn history_events(&self) -> u64 {
        self.counts.history.load(Ordering::Relaxed)
    }

    pub(super) fn live_events(&self) -> u64 {
        self.counts.live.load(Ordering::Relaxed)
    }

    fn style(&self, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_position(0);
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }
}

/// Formats seconds with a sign, as alerts carry them: `+12.3 s`.
pub(super) fn moment(seconds: f64) -> String {
    format!("{:>8}", format!("+{seconds:.1} s"))
}

/// Seconds from `earlier` to `later`, at least 0: the clocks of records and machine differ a
/// little.
pub(super) fn seconds_after(later: EventTime, earlier: EventTime) -> f64 {
    later.seconds_since(earlier).max(0.0)
}

fn add(count: &AtomicU64, events: usize) -> u64 {
    count.fetch_add(events as u64, Ordering::Relaxed) + events as u64
}
