//! Weak signs of one session weighed together, before any of them is held against a threshold.
//!
//! Each sign has a chance to show in a session of this key, and a rarity given that it does. The
//! chances multiply as in the chain rule: each further sign counts with the probability that it
//! shows beside those that showed already, which the fleet has taught ([`Dependence`]), and with
//! the less of its rarity the closer it goes together with one of them. So a network that is new
//! because the country is counts once.
//!
//! Given which signs show, their combination is as rare as this with the probability that a
//! product of uniform variables is as small as theirs (Fisher 1932). Together this is the truncated
//! product of Zaykin et al. (Genetic Epidemiology 22, 2002), with the truncation points of each
//! key's own. Brown's method (Biometrics 31, 1975) assumes that all p-values vary evenly, where
//! nearly all of these are 1; the harmonic mean (Wilson, PNAS 116, 2019) is never smaller than the
//! smallest p-value, and so does not find what only together is rare.

use serde_json::json;

use super::Signal;
use crate::alert::{ALONE_P_VALUE, Action, Ceiling, Restraint};
use crate::profile::Dependence;
use crate::profile::signs::{Oddity, Sign, Signs};

/// Of an oddity that is known by its p-value alone, only what is as rare as this is one.
const TAIL: f64 = 0.05;

/// Signs that together are rare.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    pub p_value: f64,
    /// The strongest first.
    pub signs: Vec<Sign>,
}

/// Takes note of a sign that is known by the p-value of a session alone.
pub fn note_tail(signs: &mut Signs, sign: Sign, p_value: f64) {
    if p_value < TAIL {
        signs.note(sign, TAIL, p_value);
    }
}

/// Weighs the signs of a session; `None` when they are not of kinds that tell of another holder.
pub fn find_joint(signs: &Signs, dependence: &Dependence) -> Option<Joint> {
    let mut present: Vec<Sign> = signs.present().collect();
    if !is_of_another_holder(&present) {
        return None;
    }
    present.sort_by(|a, b| signs.of(*a).p_value().total_cmp(&signs.of(*b).p_value()));
    let (first, rest) = present.split_first()?;
    let mut joint = Chain::of(*first, signs.of(*first));
    for sign in rest {
        let longer = joint.with(*sign, signs.of(*sign), dependence);
        if longer.p_value() < joint.p_value() {
            joint = longer;
        }
    }
    let p_value = joint.p_value();
    is_of_another_holder(&joint.signs).then_some(Joint { p_value, signs: joint.signs })
}

/// Whether somewhere or somebody else comes with something else again. Where and who alone are a
/// journey with a new laptop, or a deploy to another cloud; hours go with the place.
fn is_of_another_holder(signs: &[Sign]) -> bool {
    let has = |any: &[Sign]| any.iter().any(|sign| signs.contains(sign));
    let is_elsewhere = has(&[Sign::Place, Sign::Network, Sign::Kind]);
    let is_other_client = has(&[Sign::Agent, Sign::Fingerprint]);
    let does_otherwise = has(&[Sign::Route, Sign::Errors, Sign::Rate]);
    let woke_up = has(&[Sign::Silence]);
    (is_elsewhere && (does_otherwise || woke_up))
        || (is_other_client && woke_up)
        || (is_other_client && has(&[Sign::Kind]))
}

/// Signs so far, the probability that they show together, and how rare they are then.
#[derive(Clone, Debug)]
struct Chain {
    signs: Vec<Sign>,
    chance: f64,
    rarity: f64,
}

impl Chain {
    fn of(sign: Sign, oddity: Oddity) -> Self {
        let Oddity { chance, rarity } = oddity;
        Self { signs: vec![sign], chance: f64::from(chance), rarity: f64::from(rarity) }
    }

    fn with(&self, sign: Sign, oddity: Oddity, dependence: &Dependence) -> Self {
        let beside = self.signs.iter().map(|given| dependence.chance(sign, *given));
        let beside = beside.fold(0.0, f64::max);
        let rarity = f64::from(oddity.rarity).powf(1.0 - beside);
        Self {
            signs: self.signs.iter().copied().chain([sign]).collect(),
            chance: self.chance * beside.max(f64::from(oddity.chance)),
            rarity: self.rarity * rarity,
        }
    }

    fn p_value(&self) -> f64 {
        self.chance * product_tail(self.rarity, self.signs.len())
    }
}

/// Probability that the product of `count` uniform variables is at most `product`.
fn product_tail(product: f64, count: usize) -> f64 {
    let log = -product.max(f64::MIN_POSITIVE).ln();
    let terms = (1..count).scan(1.0, |term, n| {
        *term *= log / n as f64;
        Some(*term)
    });
    (product * (1.0 + terms.sum::<f64>())).min(1.0)
}

/// What each sign is called in a sentence.
const fn words(sign: Sign) -> &'static str {
    match sign {
        Sign::Place => "a new place",
        Sign::Network => "a new network",
        Sign::Kind => "a kind of network unlike its own",
        Sign::Agent => "a new program",
        Sign::Fingerprint => "a new TLS client",
        Sign::Route => "a route that it never used",
        Sign::Silence => "the end of its longest silence",
        Sign::Errors => "more failures than usual",
        Sign::Rate => "more requests than usual",
        Sign::Hours => "an hour at which it is hardly used",
    }
}

impl Joint {
    /// Evidence of one of the signs, told with what it came together with.
    pub fn tell(&self, alone: Signal) -> Signal {
        let together: Vec<&str> = self.signs.iter().map(|sign| words(*sign)).collect();
        let mut signal = Signal { p_value: alone.p_value.min(self.p_value), ..alone };
        signal.headline += ", among other signs";
        signal.sentence += &format!(
            " Alone this says little; within one hour there came together: {}, which has a \
             probability of {:.0e} for this key.",
            together.join(", "),
            self.p_value
        );
        if let Some(fields) = signal.fields.as_object_mut() {
            fields.insert("together".into(), json!(together));
            fields.insert(ALONE_P_VALUE.into(), json!(alone.p_value));
            fields.insert("joint_p_value".into(), json!(self.p_value));
        }
        signal.ceiling = signal.ceiling.or(MOST);
        signal
    }
}

/// What is rare only together stops nobody.
const MOST: Option<Ceiling> =
    Some(Ceiling { most: Action::Throttle, reason: Restraint::OrdinaryCause });

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::EventTime;

    fn signs(noted: &[(Sign, f64, f64)]) -> Signs {
        let mut signs = Signs::default();
        for (sign, chance, rarity) in noted {
            signs.note(*sign, *chance, chance * rarity);
        }
        signs
    }

    fn p_value(noted: &[(Sign, f64, f64)], dependence: &Dependence) -> f64 {
        find_joint(&signs(noted), dependence).map_or(1.0, |joint| joint.p_value)
    }

    const ABROAD: (Sign, f64, f64) = (Sign::Place, 0.02, 0.02);
    const NETWORK: (Sign, f64, f64) = (Sign::Network, 0.02, 0.1);
    const WOKEN: (Sign, f64, f64) = (Sign::Silence, 0.1, 0.05);
    const CLIENT: (Sign, f64, f64) = (Sign::Agent, 0.002, 0.02);
    const HOURS: (Sign, f64, f64) = (Sign::Hours, 0.2, 0.3);

    #[test]
    fn each_further_kind_of_sign_makes_it_rarer() {
        let none = Dependence::default();
        let two = p_value(&[ABROAD, WOKEN], &none);
        let three = p_value(&[ABROAD, WOKEN, CLIENT], &none);
        assert!(two < 1e-4 && three < two / 5.0, "{two} {three}");
        assert!(two > 0.02 * 0.02 * 0.1 * 0.05, "no less than the product");
    }

    #[test]
    fn two_that_usually_come_together_count_once() {
        let none = Dependence::default();
        let place = p_value(&[ABROAD, WOKEN], &none);
        let both = p_value(&[ABROAD, NETWORK, WOKEN], &none);
        assert!(both > 0.8 * place, "{both} {place}");
    }

    #[test]
    fn a_fleet_that_shows_them_together_makes_them_less_rare() {
        let (fresh, mut taught) = (Dependence::default(), Dependence::default());
        let usual = signs(&[ABROAD, WOKEN]);
        for group in 0..100 {
            taught.learn(&usual, group, false, EventTime::from_seconds(1_700_000_000));
        }
        let (before, after) =
            (p_value(&[ABROAD, WOKEN], &fresh), p_value(&[ABROAD, WOKEN], &taught));
        assert!(after > 5.0 * before, "{before} {after}");
    }

    #[test]
    fn a_journey_a_laptop_and_a_deploy_are_none() {
        let none = Dependence::default();
        for ordinary in [
            &[ABROAD, NETWORK, HOURS][..],
            &[CLIENT, (Sign::Fingerprint, 0.001, 0.01), NETWORK],
            &[ABROAD, NETWORK, CLIENT],
            &[CLIENT, (Sign::Route, 0.01, 0.001)],
            &[WOKEN, HOURS, (Sign::Rate, 0.05, 1e-6)],
        ] {
            assert_eq!(p_value(ordinary, &none), 1.0, "{ordinary:?}");
        }
    }

    #[test]
    fn a_product_of_uniform_variables_is_as_small_as_it_should_be() {
        // Two: P(UV <= x) = x (1 - ln x).
        assert!((product_tail(0.01, 2) - 0.01 * (1.0 + 100f64.ln())).abs() < 1e-12);
        assert_eq!(product_tail(0.3, 1), 0.3);
        assert_eq!(product_tail(1.0, 4), 1.0);
    }

    proptest! {
        #[test]
        fn it_is_never_rarer_than_independent_signs_and_never_above_the_rarest(
            chances in prop::array::uniform10(1e-4f64..0.9), rarities in prop::array::uniform10(1e-6f64..0.99)
        ) {
            let noted: Vec<_> = Sign::ALL
                .into_iter()
                .zip(chances.into_iter().zip(rarities))
                .map(|(sign, (chance, rarity))| (sign, chance, rarity))
                .collect();
            let signs = signs(&noted);
            if let Some(joint) = find_joint(&signs, &Dependence::default()) {
                let of = |sign: &Sign| signs.of(*sign).p_value();
                let product: f64 = joint.signs.iter().map(of).product();
                let rarest = Sign::ALL.iter().map(of).fold(1.0, f64::min);
                prop_assert!(joint.p_value >= product * 0.999);
                prop_assert!(joint.p_value <= rarest * 1.001);
            }
        }
    }
}
