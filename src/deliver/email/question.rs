//! The mail that asks the registered owner of a key "Was it you?". It tells nothing about the
//! detection, the state of the incident or the key's secret: a thief may read it.

use std::time::SystemTime;

use lettre::Message;
use lettre::message::{Mailbox, MultiPart};

use super::message::{Envelope, plain_builder};
use super::transport::Transport;
use super::wording::one_line;
use super::{html, mailbox, text};
use crate::config::EmailConfig;
use crate::deliver::owner::{Question, address};
use crate::deliver::{ChannelError, DeliveryError};
use crate::facts::time;

/// Sends mails to owners by the server of `[email]`.
pub(in crate::deliver) struct OwnerMail {
    transport: Transport,
    from: Mailbox,
}

impl OwnerMail {
    /// # Errors
    /// As [`super::EmailChannel::new`].
    pub(in crate::deliver) fn new(config: &EmailConfig) -> Result<Self, ChannelError> {
        let from = mailbox("email.from", &config.from)?;
        Ok(Self { transport: Transport::new(config)?, from })
    }

    pub(in crate::deliver) async fn send(
        &self,
        question: &Question,
    ) -> Result<String, DeliveryError> {
        let permanent = |reason: String| DeliveryError::Permanent { reason };
        let to = address(&question.owner);
        let to = to.ok_or_else(|| permanent("the owner has no address".to_owned()))?;
        let envelope = Envelope { from: self.from.clone(), to: vec![Mailbox::new(None, to)] };
        let message = mail(&envelope, question, SystemTime::now())
            .map_err(|error| permanent(format!("the mail cannot be written: {error}")))?;
        self.transport.send(&message).await
    }
}

/// The content of the mail. Every string is safe to show; the two links are Keywatch's own.
pub(super) struct Letter {
    pub(super) subject: String,
    pub(super) opening: String,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) links: [(&'static str, String); 2],
    pub(super) closing: Vec<String>,
}

impl Letter {
    fn new(question: &Question) -> Self {
        let (key, used) = (one_line(&question.key_id, 100), &question.used);
        let known = |text: &str, most| match one_line(text, most).as_str() {
            "" => "not known".to_owned(),
            text => text.to_owned(),
        };
        Self {
            subject: format!("Was it you? A use of the API key {key}"),
            opening: format!(
                "The API key {key} is registered in your name. It was used in a way that is unusual \
                 for it. Please say whether this was you, or a program or colleague of yours."
            ),
            facts: vec![
                ("Time", time(used.time)),
                ("Place", known(&used.place, 100)),
                ("Network", known(&used.network, 100)),
                ("Client (its own words)", known(&used.client, 100)),
            ],
            links: [
                ("It was me", question.it_was_me.clone()),
                ("It was not me", question.it_was_not_me.clone()),
            ],
            closing: vec![
                format!(
                    "Each link opens a page with one button. Nothing happens before you press it. \
                     You may change your answer until {}, when the links end.",
                    time(question.ends)
                ),
                "Your answer goes to the people who look after this key. By itself it neither blocks \
                 nor frees the key. Do not forward this mail: whoever has the links can answer for \
                 you. We never ask you for a key or a password."
                    .to_owned(),
            ],
        }
    }
}

fn mail(
    envelope: &Envelope,
    question: &Question,
    date: SystemTime,
) -> Result<Message, lettre::error::Error> {
    let letter = Letter::new(question);
    let domain = envelope.from.email.domain();
    plain_builder(envelope, &letter.subject, date)
        .message_id(Some(format!("<{}@{domain}>", question.id)))
        .multipart(MultiPart::alternative_plain_html(text::letter(&letter), html::letter(&letter)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mailparse::{MailHeaderMap, parse_mail};

    use super::*;
    use crate::event::EventTime;
    use crate::workflow::Use;

    fn question(owner: &str) -> Question {
        Question {
            id: "owner-inc_1-1".into(),
            incident: "inc_1".into(),
            key_id: "=?utf-8?q?ak?=\r\nBcc: x@evil.example".into(),
            owner: owner.into(),
            used: Use {
                place: "Berlin, DE".into(),
                network: String::new(),
                client: "<a href=\"https://evil.example\">call us</a>\r\n".into(),
                time: EventTime::from_seconds(1_800_000_000),
            },
            ends: EventTime::from_seconds(1_800_003_600),
            it_was_me: "https://keywatch.example.com/was-it-you/YES".into(),
            it_was_not_me: "https://keywatch.example.com/was-it-you/NO".into(),
        }
    }

    #[test]
    fn a_hostile_registration_writes_no_header_and_no_link() {
        let question = question("Eve <payments@example.com>");
        let to = Mailbox::new(None, address(&question.owner).unwrap());
        let envelope =
            Envelope { from: "Keywatch <keywatch@example.com>".parse().unwrap(), to: vec![to] };
        let bytes = mail(&envelope, &question, SystemTime::UNIX_EPOCH).unwrap().formatted();
        let mail = parse_mail(&bytes).unwrap();
        let header = |name: &str| mail.headers.get_first_value(name);
        assert_eq!(header("To").as_deref(), Some("payments@example.com"));
        assert_eq!(header("Bcc"), None);
        assert_eq!(
            header("Subject").as_deref(),
            Some("Was it you? A use of the API key =?utf-8?q?ak?= Bcc: x@evil.example")
        );
        let (text, html) =
            (mail.subparts[0].get_body().unwrap(), mail.subparts[1].get_body().unwrap());
        for part in [&text, &html] {
            assert_eq!(part.matches("https://keywatch.example.com/was-it-you/YES").count(), 1);
            assert_eq!(part.matches("https://").count(), 2, "{part}");
        }
        assert!(text.contains("not known"), "{text}");
        assert!(!html.contains("<a href=\"https://evil"), "{html}");
    }
}
