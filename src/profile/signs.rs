//! Weak signs that came together in one session of a key: what was new at once.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::silence::Waking;
use crate::event::{EventTime, HOUR_SECONDS, SitePrefix};

/// Signs further apart than this did not come together.
const SESSION_SECONDS: f64 = HOUR_SECONDS;

/// What can be new about the use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// A country, or a region of a cloud.
    Place,
    /// An autonomous system.
    Network,
    /// People at a rented machine, or servers at somebody's home.
    Kind,
    Agent,
    Fingerprint,
    Route,
    Silence,
    Errors,
    Rate,
    /// An hour of the week at which the key is hardly ever used.
    Hours,
}

pub const SIGNS: usize = 10;

impl Sign {
    pub const ALL: [Self; SIGNS] = [
        Self::Place,
        Self::Network,
        Self::Kind,
        Self::Agent,
        Self::Fingerprint,
        Self::Route,
        Self::Silence,
        Self::Errors,
        Self::Rate,
        Self::Hours,
    ];

    /// Whether it speaks of one client, and not of all that the key does.
    const fn is_of_client(self) -> bool {
        matches!(
            self,
            Self::Place
                | Self::Network
                | Self::Kind
                | Self::Agent
                | Self::Fingerprint
                | Self::Route
        )
    }
}

/// How surprising one sign is, alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Oddity {
    /// Probability that a session of this key shows such a sign at all.
    pub chance: f32,
    /// Given that it does, the probability of one at least as rare as this.
    pub rarity: f32,
}

impl Oddity {
    const NONE: Self = Self { chance: 1.0, rarity: 1.0 };

    pub fn p_value(self) -> f64 {
        f64::from(self.chance) * f64::from(self.rarity)
    }
}

/// The signs of a request, or of a session, each with its oddity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signs([Oddity; SIGNS]);

impl Default for Signs {
    fn default() -> Self {
        Self([Oddity::NONE; SIGNS])
    }
}

impl Signs {
    /// Takes note of a sign with the p-value `p_value` that shows with probability `chance`.
    pub fn note(&mut self, sign: Sign, chance: f64, p_value: f64) {
        let chance = chance.clamp(f64::from(f32::MIN_POSITIVE), 1.0);
        let rarity = (p_value / chance).clamp(f64::from(f32::MIN_POSITIVE), 1.0);
        self.0[sign as usize] = Oddity { chance: chance as f32, rarity: rarity as f32 };
    }

    pub const fn of(&self, sign: Sign) -> Oddity {
        self.0[sign as usize]
    }

    pub fn has(&self, sign: Sign) -> bool {
        self.of(sign) != Oddity::NONE
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|oddity| *oddity == Oddity::NONE)
    }

    pub fn present(&self) -> impl Iterator<Item = Sign> + '_ {
        Sign::ALL.into_iter().filter(|sign| self.has(*sign))
    }

    /// Keeps the stronger of the two for each sign; says whether `other` had a stronger one.
    fn raise_to(&mut self, other: &Self) -> bool {
        let mut is_raised = false;
        for (own, other) in self.0.iter_mut().zip(other.0) {
            if other.p_value() < own.p_value() {
                (*own, is_raised) = (other, true);
            }
        }
        is_raised
    }
}

/// An hour of a key in which something was new.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Session {
    began: EventTime,
    /// Whose signs of a client are kept: two clients that are new at once are not one.
    ip: IpAddr,
    pub signs: Signs,
    pub waking: Option<Waking>,
    /// Something of it was told.
    pub is_suspected: bool,
}

impl Session {
    fn new(time: EventTime, ip: IpAddr) -> Self {
        Self { began: time, ip, signs: Signs::default(), waking: None, is_suspected: false }
    }

    /// The session with the signs of one more request, and whether it is stranger for them.
    pub fn with(
        earlier: Option<&Self>,
        time: EventTime,
        ip: IpAddr,
        signs: &Signs,
        waking: Option<Waking>,
    ) -> (Self, bool) {
        let open = earlier.filter(|session| !session.is_over(time));
        let mut session = open.copied().unwrap_or_else(|| Self::new(time, ip));
        if !SitePrefix::is_shared(session.ip, ip) {
            session.ip = ip;
            for sign in Sign::ALL.into_iter().filter(|sign| sign.is_of_client()) {
                session.signs.0[sign as usize] = Oddity::NONE;
            }
        }
        session.waking = waking.or(session.waking);
        let is_stranger = session.signs.raise_to(signs);
        (session, is_stranger)
    }

    pub fn is_over(&self, time: EventTime) -> bool {
        time.seconds_since(self.began) > SESSION_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_seconds(seconds)
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, last, 1])
    }

    fn signs(noted: &[Sign]) -> Signs {
        let mut signs = Signs::default();
        noted.iter().for_each(|sign| signs.note(*sign, 0.1, 0.01));
        signs
    }

    #[test]
    fn signs_of_one_hour_and_client_come_together() {
        let (first, _) = Session::with(None, at(0), ip(1), &signs(&[Sign::Silence]), None);
        let place = signs(&[Sign::Place]);
        let (both, is_stranger) = Session::with(Some(&first), at(60), ip(1), &place, None);
        assert!(is_stranger);
        assert_eq!(both.signs.present().collect::<Vec<_>>(), [Sign::Place, Sign::Silence]);
        let (_, is_stranger) = Session::with(Some(&both), at(120), ip(1), &place, None);
        assert!(!is_stranger);
        let (later, _) = Session::with(Some(&both), at(3_700), ip(1), &place, None);
        assert_eq!(later.signs.present().collect::<Vec<_>>(), [Sign::Place]);
    }

    #[test]
    fn two_new_clients_are_not_one() {
        let begun = signs(&[Sign::Place, Sign::Silence]);
        let (first, _) = Session::with(None, at(0), ip(1), &begun, None);
        let agent = signs(&[Sign::Agent]);
        let (other, _) = Session::with(Some(&first), at(60), ip(2), &agent, None);
        assert_eq!(other.signs.present().collect::<Vec<_>>(), [Sign::Agent, Sign::Silence]);
    }

    #[test]
    fn signs_are_kept_in_the_order_of_the_list() {
        assert_eq!(Sign::ALL.map(|sign| sign as usize), std::array::from_fn(|place| place));
    }
}
