//! Limits the rate of mails with a token bucket.

use std::time::Duration;

use tokio::time::Instant;

use super::super::Allowance;

/// Lets a burst of `per_minute` mails leave at once, then one mail every `60 / per_minute` seconds.
/// The last mail of a burst, and each later one, carries all waiting alerts, so no alert waits
/// longer than that interval.
pub(super) struct Pace {
    per_minute: f64,
    /// Mails that may leave now, from 0 to `per_minute`.
    tokens: f64,
    counted_at: Instant,
}

impl Pace {
    pub(super) fn new(per_minute: u32, now: Instant) -> Self {
        let per_minute = f64::from(per_minute);
        Self { per_minute, tokens: per_minute, counted_at: now }
    }

    pub(super) fn allowance(&mut self, now: Instant) -> Allowance {
        let elapsed = now.saturating_duration_since(self.counted_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.per_minute / 60.0).min(self.per_minute);
        self.counted_at = now;
        if self.tokens >= 2.0 {
            Allowance::One
        } else if self.tokens >= 1.0 {
            Allowance::All
        } else {
            let wait = (1.0 - self.tokens) * 60.0 / self.per_minute;
            // The added millisecond outweighs rounding, after which a caller would have to ask
            // twice.
            Allowance::NotBefore(now + Duration::from_secs_f64(wait) + Duration::from_millis(1))
        }
    }

    pub(super) fn spend(&mut self) {
        self.tokens = (self.tokens - 1.0).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;

    #[test]
    fn a_burst_leaves_singly_and_the_rest_bundled_at_the_pace() {
        let mut now = Instant::now();
        let mut pace = Pace::new(3, now);
        for expected in [Allowance::One, Allowance::One, Allowance::All] {
            assert_eq!(pace.allowance(now), expected);
            pace.spend();
        }
        for _ in 0..5 {
            let Allowance::NotBefore(next) = pace.allowance(now) else { panic!("too fast") };
            assert!((19..=21).contains(&(next - now).as_secs()));
            now = next;
            assert_eq!(pace.allowance(now), Allowance::All);
            pace.spend();
        }
    }

    #[test]
    fn quiet_time_brings_the_burst_back_but_no_more() {
        let now = Instant::now();
        let mut pace = Pace::new(2, now);
        pace.spend();
        pace.spend();
        let later = now + Duration::from_secs(3_600);
        assert_eq!(pace.allowance(later), Allowance::One);
        pace.spend();
        assert_eq!(pace.allowance(later), Allowance::All);
    }
}
