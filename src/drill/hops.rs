//! The hops of a drill, and how far it has come.

use std::time::Duration;

use serde::Serialize;

/// The hop that stands for channels when none is configured.
const NO_CHANNEL: &str = "channel";

/// The result of a drill.
#[derive(Clone, Debug, Serialize)]
pub struct Drill {
    pub key_id: String,
    pub incident: Option<String>,
    /// In the order of the path: `registered`, `sent`, `stored`, `alert`, then the channels.
    pub hops: Vec<Hop>,
    /// What the drill could not clear away.
    pub left: Vec<String>,
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
    /// It has arrived, so long after the hop before. Less than nothing tells that the clocks of the
    /// two differ, by at least so much.
    Arrived {
        milliseconds: f64,
    },
    Missing,
}

impl Drill {
    pub fn new(key_id: String, channels: Vec<&str>) -> Self {
        let path = ["registered", "sent", "stored", "alert"].map(str::to_owned);
        let mut names = path.to_vec();
        names.extend(channels.iter().map(|channel| format!("channel {channel}")));
        if channels.is_empty() {
            names.push(NO_CHANNEL.into());
        }
        let hop = |name| Hop { name, state: State::Missing, detail: String::new() };
        let hops = names.into_iter().map(hop).collect();
        let mut drill = Self { key_id, incident: None, hops, left: Vec::new() };
        drill.say(NO_CHANNEL, "none is configured");
        drill
    }

    pub fn has_passed(&self) -> bool {
        self.missing().next().is_none() && self.left.is_empty()
    }

    /// Whether there is nothing left to wait for.
    pub fn is_told(&self) -> bool {
        self.missing().all(|hop| hop.name == NO_CHANNEL)
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
        // Adding nothing makes a plain zero of a negative one.
        let milliseconds = (seconds * 1e4).round() / 10.0 + 0.0;
        if let Some(hop) = self.hop(name).filter(|hop| hop.state == State::Missing) {
            hop.state = State::Arrived { milliseconds };
        }
    }

    pub fn say(&mut self, name: &str, detail: &str) {
        if let Some(hop) = self.hop(name) {
            detail.clone_into(&mut hop.detail);
        }
    }

    /// Says at the first hop that was not reached why the drill went no further.
    pub fn end(&mut self, why: &str) {
        let is_next = |hop: &&mut Hop| hop.state == State::Missing && hop.name != NO_CHANNEL;
        if let Some(hop) = self.hops.iter_mut().find(is_next) {
            let separator = if hop.detail.is_empty() { "" } else { "; " };
            hop.detail = format!("{}{separator}{why}", hop.detail);
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
        drill.arrive("channel email", 1.0);
        drill.arrive("channel email", 9.0);
        assert!(drill.has_passed());
        assert_eq!(drill.hops[4].state, State::Arrived { milliseconds: 1_000.0 });
    }

    #[test]
    fn the_end_of_a_drill_is_told_at_the_hop_that_was_not_reached() {
        let mut drill = Drill::new("k".into(), vec!["email"]);
        drill.registered(Duration::from_millis(5));
        drill.say("sent", "no broker");
        drill.end("stopped");
        let details: Vec<_> = drill.hops.iter().map(|hop| hop.detail.as_str()).collect();
        assert_eq!(details, ["", "no broker; stopped", "", "", ""]);
    }

    #[test]
    fn a_drill_without_channels_does_not_pass_and_does_not_wait_for_one() {
        let mut drill = Drill::new("k".into(), Vec::new());
        for hop in ["registered", "sent", "stored", "alert"] {
            assert!(!drill.is_told());
            drill.arrive(hop, 0.25);
        }
        assert!(drill.is_told() && !drill.has_passed());
        let missing: Vec<_> = drill.missing().map(|hop| (&*hop.name, &*hop.detail)).collect();
        assert_eq!(missing, [("channel", "none is configured")]);
    }
}
