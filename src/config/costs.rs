//! Defines the costs of actions, from which the ladder of actions follows.

use serde::{Deserialize, Serialize};

use crate::alert::Action;

/// What an action costs. Units are arbitrary, since only ratios count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// The harm of the action if the key is honest.
    pub honest: f64,
    /// The loss that remains after the action if the key is stolen.
    pub stolen: f64,
}

/// The costs of all actions, from which the ladder of actions follows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Costs {
    pub observe: Cost,
    pub notify: Cost,
    pub throttle: Cost,
    pub suspend: Cost,
    pub revoke: Cost,
}

impl Default for Costs {
    /// A customer whose key is broken costs half as much as an emptied account.
    fn default() -> Self {
        let cost = |honest, stolen| Cost { honest, stolen };
        Self {
            observe: cost(0.0, 10_000.0),
            notify: cost(5.0, 3_000.0),
            throttle: cost(300.0, 2_000.0),
            suspend: cost(2_000.0, 300.0),
            revoke: cost(5_000.0, 100.0),
        }
    }
}

impl Costs {
    /// Mildest action first.
    pub const fn in_order(&self) -> [(Action, Cost); 5] {
        [
            (Action::Observe, self.observe),
            (Action::Notify, self.notify),
            (Action::Throttle, self.throttle),
            (Action::Suspend, self.suspend),
            (Action::Revoke, self.revoke),
        ]
    }

    /// For each action but the last, the probability of theft at which it and the next stronger
    /// one cost the same.
    pub fn steps(&self) -> [f64; 4] {
        let costs = self.in_order();
        std::array::from_fn(|place| {
            let ((_, mild), (_, strict)) = (costs[place], costs[place + 1]);
            let (harm, gain) = (strict.honest - mild.honest, mild.stolen - strict.stolen);
            harm / (harm + gain)
        })
    }

    /// The reason why no ladder follows from the costs: a stronger action must do more harm, leave
    /// less loss, and be worth it at a higher probability of theft than the milder one.
    pub fn fault(&self) -> Option<String> {
        let costs = self.in_order();
        let is_finite = |cost: &Cost| cost.honest.is_finite() && cost.stolen.is_finite();
        if let Some((action, _)) = costs.iter().find(|(_, cost)| !is_finite(cost)) {
            return Some(format!("the costs of `{action}` must be finite numbers"));
        }
        for ((mild, less), (strict, more)) in costs.iter().zip(&costs[1..]) {
            let is_ordered = less.honest < more.honest && less.stolen > more.stolen;
            if !is_ordered || less.honest < 0.0 || more.stolen < 0.0 {
                return Some(format!(
                    "`{strict}` must cost more than `{mild}` if the key is honest, and less if it is stolen"
                ));
            }
        }
        let steps = self.steps();
        let flat = steps.windows(2).position(|pair| pair[0] >= pair[1])?;
        Some(format!(
            "`{}` is never the cheapest action: make it cheaper, or its neighbours dearer",
            costs[flat + 1].0
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_without_a_ladder_are_named() {
        let mut costs = Costs::default();
        costs.suspend.honest = 100.0;
        let fault = costs.fault().unwrap_or_default();
        assert!(fault.starts_with("`suspend` must cost more than `throttle`"), "{fault}");
        let mut costs = Costs::default();
        costs.throttle.stolen = 2_990.0;
        let fault = costs.fault().unwrap_or_default();
        assert!(fault.starts_with("`throttle` is never the cheapest action"), "{fault}");
        for endless in [f64::NAN, f64::INFINITY] {
            costs.throttle.stolen = endless;
            let fault = costs.fault().unwrap_or_default();
            assert_eq!(fault, "the costs of `throttle` must be finite numbers");
        }
        let mut costs = Costs::default();
        costs.revoke.honest = f64::INFINITY;
        assert!(costs.fault().is_some());
    }
}
