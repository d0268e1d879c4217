//! Chooses the action with the least expected cost at a probability of theft.

use crate::alert::Action;
use crate::config::Costs;

/// The actions and where each begins.
#[derive(Clone, Copy, Debug)]
pub struct Ladder {
    costs: Costs,
    /// For each action but the last, the probability at which the next stronger one costs as much.
    steps: [f64; 4],
}

impl Ladder {
    /// `costs` must have no [`Costs::fault`]: the probabilities then rise with the actions.
    pub fn new(costs: Costs) -> Self {
        Self { costs, steps: costs.steps() }
    }

    /// The action with the least expected cost at this probability of theft.
    pub fn cheapest(&self, stolen: f64) -> Action {
        let cost = |(_, cost): &(Action, crate::config::Cost)| {
            (1.0 - stolen) * cost.honest + stolen * cost.stolen
        };
        let costs = self.costs.in_order();
        let cheapest = costs.iter().min_by(|a, b| cost(a).total_cmp(&cost(b)));
        cheapest.map_or(Action::Observe, |(action, _)| *action)
    }

    /// The highest probability that asks for no more than `action`.
    pub fn most(&self, action: Action) -> f64 {
        let place = self.costs.in_order().iter().position(|(it, _)| *it == action);
        let step = place.and_then(|place| self.steps.get(place));
        // Just below the probability at which both actions cost the same.
        step.map_or(1.0, |step| 0.999 * step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_confidence_asks_for_stronger_actions() {
        let ladder = Ladder::new(Costs::default());
        let actions: Vec<Action> =
            [0.0, 0.02, 0.4, 0.8, 0.99].into_iter().map(|stolen| ladder.cheapest(stolen)).collect();
        assert_eq!(
            actions,
            [Action::Observe, Action::Notify, Action::Throttle, Action::Suspend, Action::Revoke]
        );
        let mut last = Action::Observe;
        for percent in 0..=100 {
            let action = ladder.cheapest(f64::from(percent) / 100.0);
            assert!(action >= last, "{percent}%: {action} after {last}");
            last = action;
        }
    }

    #[test]
    fn the_most_that_asks_for_an_action_asks_for_no_more_whatever_the_costs() {
        let mut dear = Costs::default();
        (dear.revoke.honest, dear.notify.stolen) = (50_000.0, 2_500.0);
        for costs in [Costs::default(), dear] {
            assert_eq!(costs.fault(), None);
            let ladder = Ladder::new(costs);
            for (action, _) in costs.in_order() {
                assert_eq!(ladder.cheapest(ladder.most(action)), action);
            }
        }
    }
}
