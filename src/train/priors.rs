//! Priors by folding the history through the engine itself: what a shard would have learned.

use super::TrainError;
use super::exclusions::Exclusions;
use super::source::Source;
use crate::app::Retrospect;
use crate::config::Config;
use crate::detect::outlier::Model;
use crate::detect::priors::Priors;
use crate::profile::behaviour::window_of;

/// Reads the history once more, with `model` judging behaviour, so that its own scores are
/// calibrated too. Hours that `exclusions` cover are left out.
///
/// # Errors
/// As [`Source::read`].
pub fn learn(
    source: &Source<'_>,
    config: &Config,
    model: &Model,
    exclusions: &Exclusions,
    mut on_progress: impl FnMut(u64, u64),
) -> Result<Priors, TrainError> {
    let mut retrospect = Retrospect::new(config, model);
    source.read(&mut on_progress, &mut |mut events| {
        events.retain(|enriched| {
            let event = &enriched.event;
            exclusions.of_window(&event.key_id, window_of(event.time)).is_none()
        });
        retrospect.tell(events);
        Ok(())
    })?;
    Ok(retrospect.priors())
}
