//! Models one program that uses a key: its schedule, location, routes and behaviour. Most keys have
//! one client. A nightly job beside a service is a second one.

use rand::RngExt;

use super::agents::Agents;
use super::products::Route;
use super::random::{Random, chance};
use super::rhythm::Rhythm;
use super::whereabouts::Whereabouts;
use super::window::Window;
use crate::event::EventTime;

#[derive(Clone, Debug)]
pub(super) struct Client {
    pub rhythm: Rhythm,
    /// The span in which it makes requests.
    pub active: Window,
    pub whereabouts: Whereabouts,
    pub agents: Agents,
    pub routes: Vec<(&'static Route, f64)>,
    /// Index of the key's signer that it uses.
    pub signer: usize,
    /// Share of requests that fail in ordinary operation.
    pub error_share: f64,
    pub errors: &'static [(u16, f64)],
    pub retries: Retries,
    pub changes: Changes,
}

/// Changes that happen to a client during the log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changes {
    /// From this time on, every request is refused with this status.
    pub refused: Option<(EventTime, u16)>,
    /// The client makes no requests during the window, for example on a long weekend.
    pub away: Option<Window>,
    /// The client makes fewer and fewer requests during the window, and none after it.
    pub fades_out: Option<Window>,
    /// The client makes no requests before the window, and more and more during it.
    pub fades_in: Option<Window>,
    /// The client moves to the next version of the API during the window.
    pub next_version: Option<Window>,
}

/// How a client reacts to a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retries {
    /// Sends the same signed request once more, seconds after a 5xx.
    Once,
    /// Sends the same request again at once, up to ten times.
    Eager,
    /// Doubles its waiting time after every 429 or 5xx.
    Polite,
}

pub(super) const ORDINARY_ERRORS: &[(u16, f64)] = &[
    (400, 2.0),
    (401, 0.1),
    (404, 4.0),
    (409, 0.8),
    (422, 1.5),
    (429, 0.3),
    (500, 1.2),
    (503, 0.6),
];
/// Statuses of a client that uses its quota to the full.
pub(super) const THROTTLED: &[(u16, f64)] = &[(429, 20.0), (404, 1.0), (500, 0.3)];

impl Client {
    /// Whether the client makes the request that its rhythm schedules.
    pub fn shows_up(&self, time: EventTime, random: &mut Random) -> bool {
        let Changes { away, fades_out, fades_in, .. } = &self.changes;
        if away.is_some_and(|window| window.contains(time)) {
            return false;
        }
        let out = fades_out.map_or(1.0, |window| 1.0 - window.progress(time));
        let share = out * fades_in.map_or(1.0, |window| window.progress(time));
        share >= 1.0 || chance(random, share)
    }

    pub fn refusal(&self, time: EventTime) -> Option<u16> {
        self.changes.refused.filter(|(from, _)| *from <= time).map(|(_, status)| status)
    }

    pub fn uses_next_version(&self, time: EventTime, random: &mut Random) -> bool {
        let Some(window) = self.changes.next_version else { return false };
        chance(random, window.progress(time))
    }
}

impl Retries {
    /// Delays in seconds after the failed request at which it is repeated, and whether the
    /// repetition succeeds. The last entry ends the series.
    pub fn after(self, status: u16, random: &mut Random) -> Vec<(f64, bool)> {
        match self {
            Self::Once if status >= 500 && chance(random, 0.6) => {
                vec![(random.random_range(1.0..10.0), chance(random, 0.9))]
            }
            Self::Eager if status >= 500 => repeat(10, 0.5, |_| 0.3, random),
            Self::Polite if status >= 500 || status == 429 => {
                repeat(6, 0.7, |tries| f64::from(1 << tries), random)
            }
            _ => Vec::new(),
        }
    }
}

fn repeat(
    most: u32,
    succeeds: f64,
    wait: impl Fn(u32) -> f64,
    random: &mut Random,
) -> Vec<(f64, bool)> {
    let mut tries = Vec::new();
    let mut seconds = 0.0;
    for number in 0..most {
        seconds += wait(number) * random.random_range(0.8..1.4);
        let is_well = chance(random, succeeds);
        tries.push((seconds, is_well));
        if is_well {
            break;
        }
    }
    tries
}

#[cfg(test)]
mod tests {
    use super::super::random::stream;
    use super::*;

    #[test]
    fn a_polite_client_waits_longer_each_time() {
        let mut random = stream(3, 0);
        let longest = (0..2_000)
            .map(|_| Retries::Polite.after(429, &mut random))
            .max_by_key(Vec::len)
            .unwrap_or_default();
        assert!(longest.len() >= 4, "{longest:?}");
        let waits: Vec<_> = longest.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(waits.windows(2).all(|pair| pair[1] > pair[0]), "{waits:?}");
    }

    #[test]
    fn an_eager_client_tries_ten_times_within_seconds_and_others_let_404_be() {
        let mut random = stream(3, 0);
        let tries: Vec<_> = (0..5_000).map(|_| Retries::Eager.after(503, &mut random)).collect();
        assert_eq!(tries.iter().map(Vec::len).max(), Some(10));
        assert!(tries.iter().flatten().all(|(seconds, _)| *seconds < 6.0));
        for retries in [Retries::Once, Retries::Eager, Retries::Polite] {
            assert!(retries.after(404, &mut random).is_empty());
        }
    }
}
