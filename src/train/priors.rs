//! Learns priors by folding the history through the engine, as a shard of the service would.

use super::TrainError;
use super::exclusions::Exclusions;
use super::source::Source;
use crate::config::Config;
use crate::detect::outlier::Model;
use crate::detect::priors::Priors;
use crate::engine::HistoryScorer;
use crate::profile::behaviour::window_of;

/// Reads the history once more, with `model` judging behaviour, so that its own scores are
/// calibrated as well. Hours that `exclusions` cover are left out.
///
/// # Errors
/// The errors of [`Source::read`].
pub fn learn(
    source: &Source<'_>,
    config: &Config,
    model: &Model,
    exclusions: &Exclusions,
    mut on_progress: impl FnMut(u64, u64),
) -> Result<Priors, TrainError> {
    let mut scorer = HistoryScorer::new(config, model);
    source.read(&mut on_progress, &mut |mut events| {
        events.retain(|enriched| {
            let event = &enriched.event;
            exclusions.of_window(&event.key_id, window_of(event.time)).is_none()
        });
        scorer.score(events);
        Ok(())
    })?;
    if scorer.quarantined() > 0 {
        tracing::warn!(
            events = scorer.quarantined(),
            "left out of the priors: their time could not be trusted"
        );
    }
    Ok(scorer.priors())
}
