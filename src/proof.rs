//! Decides whether a request proves that its sender holds the key.
//!
//! A key id is public, so anybody can send a request that names it. Only a proven use may teach
//! a key's profile or serve as evidence about its holder. Every other request is an attempt,
//! which is evidence about its source.

use crate::event::{AccessEvent, EnrichedEvent};

/// A request whose sender has shown that it holds the key.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a>(&'a EnrichedEvent);

/// A request that names a key without proof that its sender holds it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a>(&'a EnrichedEvent);

/// The result of the decision for one request.
#[derive(Clone, Copy, Debug)]
pub enum Standing<'a> {
    Accepted(Accepted<'a>),
    Attempt(Attempt<'a>),
}

impl<'a> Standing<'a> {
    /// Decides by the field `authenticated` if the gateway logged it, whatever the status.
    /// Without the field, a status of 2xx or 3xx is proof. So is the raw key in the log, if the
    /// key exists: `is_known` says whether the key is registered or was proven before.
    pub fn of(enriched: &'a EnrichedEvent, is_known: impl FnOnce() -> bool) -> Self {
        let event = &enriched.event;
        let is_accepted = match event.authenticated {
            Some(authenticated) => authenticated,
            None => is_answered(event) || (event.has_secret && is_known()),
        };
        if is_accepted {
            Self::Accepted(Accepted(enriched))
        } else {
            Self::Attempt(Attempt(enriched))
        }
    }

    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }
}

fn is_answered(event: &AccessEvent) -> bool {
    (200..400).contains(&event.status)
}

impl<'a> Accepted<'a> {
    pub fn enriched(self) -> &'a EnrichedEvent {
        self.0
    }

    pub fn event(self) -> &'a AccessEvent {
        &self.0.event
    }
}

impl<'a> Attempt<'a> {
    pub fn enriched(self) -> &'a EnrichedEvent {
        self.0
    }

    pub fn event(self) -> &'a AccessEvent {
        &self.0.event
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{EventTime, RecordPosition};

    fn request(status: u16, authenticated: Option<bool>, has_secret: bool) -> EnrichedEvent {
        let minimal =
            AccessEvent::minimal(EventTime::from_seconds(0), "key", "192.0.2.1".parse().unwrap());
        EnrichedEvent {
            event: AccessEvent { status, authenticated, has_secret, ..minimal },
            position: RecordPosition { offset: 0, index: 0 },
            origin: Arc::default(),
        }
    }

    #[test]
    fn proof_is_the_authenticated_field_or_a_success_or_the_secret_of_a_known_key() {
        for (status, authenticated, has_secret, is_known, is_accepted) in [
            (200, None, false, false, true),
            (304, None, false, false, true),
            (401, None, false, true, false),
            (404, None, false, true, false),
            (429, None, false, true, false),
            (503, None, false, true, false),
            (429, None, true, true, true),
            (401, None, true, false, false),
            (429, Some(true), false, false, true),
            (403, Some(true), false, false, true),
            (401, Some(false), true, true, false),
            (200, Some(false), false, true, false),
        ] {
            let request = request(status, authenticated, has_secret);
            let standing = Standing::of(&request, || is_known);
            assert_eq!(standing.is_accepted(), is_accepted, "{request:?}");
        }
    }
}
