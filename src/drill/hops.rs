//! The hops of a drill, and how far it has come.

use std::time::Duration;

use serde::Serialize;

/// The result of a drill.
#[derive(Clone, Debug, Serialize)]
pub struct Drill {
    pub key_id: String,
    pub incident: Option<String>,
    /// In the order of the path: `registered`, `sent`, `stored`, `alert`, then the channels.
    pub hops: Vec<Hop>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Hop {
    pub name: String,
    #[serde(flatten)]
    pub state: State,
    /// What is said of it: an answer, or the last error.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It has arrived, so long after the hop before.
    Arrived {
        milliseconds: f64,
    },
    Missing,
}

impl Drill {
    pub fn new(key_id: String, channels: Vec<&str>) -> Self {
        let path = ["registered", "sent", "stored", "alert"].map(str::to_owned);
        let channels = channels.into_iter().map(|channel| format!("channel {channel}"));
        let hop = |name| Hop { name, state: State::Missing, detail: String::new() };
        Self { key_id, incident: None, hops: path.into_iter().chain(channels).map(hop).collect() }
    }

    pub fn has_passed(&self) -> bool {
        self.missing().next().is_none()
    }

    /// The hops that were not reached.
    pub fn missing(&self) -> impl Iterator<Item = &Hop> {
        self.hops.iter().filter(|hop| hop.state == State::Missing)
    }

    pub fn registered(&mut self, after: Duration) {
        self.arrive("registered", after.as_secs_f64());
    }

    /// Counts the first arrival.
    pub fn arrive(&mut self, name: &str, seconds: f64) {
        let milliseconds = (seconds.max(0.0) * 1e4).round() / 10.0;
        if let Some(hop) = self.hop(name).filter(|hop| hop.state == State::Missing) {
            hop.state = State::Arrived { milliseconds };
        }
    }

    pub fn say(&mut self, name: &str, detail: &str) {
        if let Some(hop) = self.hop(name) {
            detail.clone_into(&mut hop.detail);
        }
    }

    fn hop(&mut self, name: &str) -> Option<&mut Hop> {
        self.hops.iter_mut().find(|hop| hop.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_passes_when_each_hop_was_reached_and_counts_the_first_arrival() {
        let mut drill = Drill::new("k".into(), vec!["email"]);
        drill.registered(Duration::from_millis(5));
        for hop in ["sent", "stored", "alert"] {
            drill.arrive(hop, 0.25);
        }
        let missing: Vec<_> = drill.missing().map(|hop| hop.name.as_str()).collect();
        assert_eq!(missing, ["channel email"]);
        drill.arrive("channel email", -1.0);
        drill.arrive("channel email", 9.0);
        assert!(drill.has_passed());
        assert_eq!(drill.hops[4].state, State::Arrived { milliseconds: 0.0 });
    }
}
