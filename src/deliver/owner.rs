//! Asks the registered owner of a key "Was it you?", by mail or through a service of the operator.
//!
//! The channel is none of "all channels": a rule of the policy must name it. It asks once about an
//! incident, never more often than the limits allow, and only about a use that was proven: whoever
//! merely names a key has no mail sent. An owner who cannot be asked is no fault of the delivery.

use std::sync::Arc;

use lettre::Address;
use lettre::message::Mailbox;
use metrics::counter;
use serde_json::json;

use super::email::OwnerMail;
use super::post::{Post, PostError};
use super::signature::Signer;
use super::{Channel, ChannelError, DeliveryError, delivery_id};
use crate::alert::{Alert, AlertType, OwnerAnswer, Restraint};
use crate::config::{Config, OWNER_CHANNEL, OwnerConfig};
use crate::event::{DAY_SECONDS, EventTime};
use crate::workflow::{Act, Asked, Kind, Limits, Link, Links, Origin, Seen, Use};

/// Everything that the channel looks up and notes. Reasons are for the log.
pub trait OwnerBook: Send + Sync + 'static {
    /// The revision about which the owner was asked.
    fn asked_at(&self, incident: &str) -> impl Future<Output = Result<Option<u32>, String>> + Send;

    /// The questions of all processes within a day.
    fn questions(&self) -> impl Future<Output = Result<Vec<Asked>, String>> + Send;

    /// The owner, as the key registry names them.
    fn owner_of(&self, key_id: &str)
    -> impl Future<Output = Result<Option<String>, String>> + Send;

    /// The proven use of the key at this time.
    fn use_at(
        &self,
        key_id: &str,
        time: EventTime,
    ) -> impl Future<Output = Result<Option<Use>, String>> + Send;

    /// Notes that an owner is asked.
    fn note(&self, act: Act) -> impl Future<Output = Result<(), String>> + Send;
}

/// One question, as it is sent.
pub(super) struct Question {
    /// The same for every attempt.
    pub(super) id: String,
    pub(super) incident: String,
    pub(super) key_id: String,
    pub(super) owner: String,
    pub(super) used: Use,
    pub(super) ends: EventTime,
    pub(super) it_was_me: String,
    pub(super) it_was_not_me: String,
}

enum Way {
    Mail(Box<OwnerMail>),
    Service { post: Box<Post>, signer: Signer },
}

pub struct OwnerChannel<B> {
    book: B,
    links: Links,
    limits: Limits,
    way: Way,
}

/// The links of this configuration.
///
/// # Errors
/// The fault of `owner.secret`.
pub fn links(owner: &OwnerConfig, console_url: Option<&str>) -> Result<Links, String> {
    let base = console_url.unwrap_or_default();
    Links::new(owner.secret.reveal(), base, owner.answer_hours * 3_600.0)
}

/// The address of an owner who is registered by one, and by nothing beside it: a name would be a text
/// of the registry in the header of a mail.
pub(super) fn address(owner: &str) -> Option<Address> {
    let is_plain = !owner.contains(char::is_control);
    owner.parse::<Mailbox>().ok().filter(|_| is_plain).map(|mailbox| mailbox.email)
}

impl<B: OwnerBook> OwnerChannel<B> {
    /// # Errors
    /// When the configuration cannot be used.
    pub fn new(config: &Config, owner: &OwnerConfig, book: B) -> Result<Self, ChannelError> {
        let links = links(owner, config.console.url.as_deref())
            .map_err(|reason| ChannelError::Config { key: "owner.secret", reason })?;
        let limits = Limits {
            of_owner_per_day: owner.max_per_owner_per_day,
            of_key_per_day: owner.max_per_key_per_day,
            per_hour: owner.max_per_hour,
        };
        Ok(Self { book, links, limits, way: Way::new(config, owner)? })
    }

    async fn ask(&self, alert: &Alert) -> Result<String, DeliveryError> {
        let question = self.question(alert).await?;
        let said = self.way.send(&question).await?;
        counter!("keywatch_owner_questions_total", "outcome" => "sent").increment(1);
        Ok(said)
    }

    /// Composes the question, and notes that it is asked before it is sent: an answer may come at once.
    async fn question(&self, alert: &Alert) -> Result<Question, DeliveryError> {
        let key_id = alert.key_id.as_deref().unwrap_or_default();
        let now = EventTime::now();
        let asked = self.book.asked_at(&alert.id).await.map_err(later)?;
        if asked.is_some_and(|revision| revision != alert.revision) {
            return Err(declined("asked_before", "the owner was asked about this incident before"));
        }
        let owner = self.book.owner_of(key_id).await.map_err(later)?;
        let owner = owner.filter(|owner| self.way.reaches(owner));
        let Some(owner) = owner else {
            return Err(declined("no_address", "the registry names no owner who can be reached"));
        };
        if asked.is_none() {
            let earlier = self.book.questions().await.map_err(later)?;
            if let Some(limit) = self.limits.reached(&earlier, &owner, key_id, now) {
                return Err(declined("limit", &format!("{limit} is reached")));
            }
        }
        let used = self.book.use_at(key_id, alert.detected_event_time).await.map_err(later)?;
        let Some(used) = used else {
            return Err(declined("no_use", "the evidence has no proven use to ask about"));
        };
        if asked.is_none() {
            self.book.note(note(alert, &owner)).await.map_err(later)?;
        }
        Ok(self.compose(alert, owner, used, now))
    }

    fn compose(&self, alert: &Alert, owner: String, used: Use, now: EventTime) -> Question {
        let ends = self.links.end(now);
        let address =
            |answer| self.links.address(&Link { incident: alert.id.clone(), answer, ends });
        Question {
            id: format!("owner-{}", delivery_id(alert)),
            incident: alert.id.clone(),
            key_id: alert.key_id.as_deref().unwrap_or_default().to_owned(),
            owner,
            used,
            ends,
            it_was_me: address(OwnerAnswer::ItWasMe),
            it_was_not_me: address(OwnerAnswer::ItWasNotMe),
        }
    }
}

impl Way {
    fn new(config: &Config, owner: &OwnerConfig) -> Result<Self, ChannelError> {
        if let Some(url) = &owner.webhook_url {
            let post = Post::new("owner", url, 10).map_err(|error| match error {
                PostError::Url(reason) => ChannelError::Config { key: "owner.webhook_url", reason },
                PostError::Start(reason) => ChannelError::Start { channel: "owner", reason },
            })?;
            let signer = Signer::new(&owner.webhook_secret)
                .map_err(|reason| ChannelError::Config { key: "owner.webhook_secret", reason })?;
            return Ok(Self::Service { post: Box::new(post), signer });
        }
        let reason = "needs [email], or `webhook_url`".to_owned();
        let email = config.email.as_ref();
        let email = email.ok_or(ChannelError::Config { key: "owner", reason })?;
        Ok(Self::Mail(Box::new(OwnerMail::new(email)?)))
    }

    /// Whether an owner of this name can be asked.
    fn reaches(&self, owner: &str) -> bool {
        match self {
            Self::Mail(_) => address(owner).is_some(),
            Self::Service { .. } => !owner.trim().is_empty(),
        }
    }

    async fn send(&self, question: &Question) -> Result<String, DeliveryError> {
        match self {
            Self::Mail(mail) => mail.send(question).await,
            Self::Service { post, signer } => {
                let body = body(question).to_string().into_bytes();
                let call = signer.call(post, question.id.clone(), body);
                post.send(call).await?;
                Ok(format!("accepted by {}", post.host()))
            }
        }
    }
}

/// The message to the operator's service.
fn body(question: &Question) -> serde_json::Value {
    let used = &question.used;
    json!({
        "type": "owner.question",
        "incident": question.incident,
        "key_id": question.key_id,
        "owner": question.owner,
        "use": {
            "time": used.time, "place": used.place, "network": used.network, "client": used.client,
        },
        "links": { "it_was_me": question.it_was_me, "it_was_not_me": question.it_was_not_me },
        "links_end": question.ends,
    })
}

fn note(alert: &Alert, owner: &str) -> Act {
    Act {
        incident: alert.id.clone(),
        // One for each incident, whichever process asks.
        id: format!("ask_{}", alert.id),
        time: EventTime::default(),
        who: "keywatch".to_owned(),
        origin: Origin::Service,
        kind: Kind::AskOwner,
        reason: None,
        assignee: Some(owner.to_owned()),
        text: String::new(),
        seen: Seen::of(alert),
        quiet_seconds: 0,
    }
}

fn declined(outcome: &'static str, reason: &str) -> DeliveryError {
    counter!("keywatch_owner_questions_total", "outcome" => outcome).increment(1);
    DeliveryError::Declined { reason: reason.to_owned() }
}

fn later(reason: String) -> DeliveryError {
    DeliveryError::Retryable { reason, retry_after: None }
}

impl<B: OwnerBook> Channel for OwnerChannel<B> {
    fn name(&self) -> &'static str {
        OWNER_CHANNEL
    }

    fn declines(&self, alert: &Alert) -> Option<&'static str> {
        let is_named = alert.guidance.channels.iter().any(|name| name == OWNER_CHANNEL);
        let is_evidence = matches!(alert.alert_type, AlertType::Opened | AlertType::Updated);
        let age = EventTime::now().seconds_since(alert.detected_at);
        match alert.restraint {
            _ if !is_named => Some("no rule names the owner"),
            _ if alert.key_id.is_none() => Some("it is about no key"),
            _ if !is_evidence => Some("owners are asked about evidence alone"),
            Some(Restraint::AttemptsOnly) => Some("it rests on attempts alone"),
            // The channel may be new, and its owners would be asked about what is past.
            _ if age > DAY_SECONDS => Some("it is too old to ask about"),
            _ => None,
        }
    }

    async fn deliver(&self, alerts: &[Arc<Alert>]) -> Result<String, DeliveryError> {
        let mut said = String::new();
        for alert in alerts {
            said = self.ask(alert).await?;
        }
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_reached_by_one_address_and_nothing_beside_it() {
        for (owner, expected) in [
            ("payments@example.com", Some("payments@example.com")),
            ("Security \"Urgent\" <payments@example.com>", Some("payments@example.com")),
            ("Payments <payments@example.com>", Some("payments@example.com")),
            ("payments team", None),
            ("", None),
            ("a@example.com, b@example.com", None),
            ("a@example.com\r\nBcc: b@example.com", None),
            ("a@example.com\nb@example.com", None),
            ("=?utf-8?q?a?= <a@example.com>", Some("a@example.com")),
        ] {
            let address = address(owner);
            assert_eq!(address.as_ref().map(AsRef::<str>::as_ref), expected, "{owner:?}");
        }
    }
}
