//! Builds a mail: headers, and text and HTML as alternatives.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

use super::content::Report;
use super::digest::Digest;
use super::{html, text};
use crate::alert::{Alert, AlertType, Severity};
use crate::deliver::delivery_id;

/// Sender and recipients of the mails.
pub(super) struct Envelope {
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
}

/// Builds the mail about one revision of an incident. Mails of one incident refer to the mail that
/// opened it, so that they form a thread. A repeated attempt has the same `Message-ID`, by which
/// mail programs drop duplicates.
pub(super) fn alert_mail(
    envelope: &Envelope,
    alert: &Alert,
    database: &str,
    date: SystemTime,
) -> Result<Message, lettre::error::Error> {
    let report = Report::new(alert, database);
    let domain = envelope.from.email.domain();
    let incident = Alert { revision: 0, ..alert.clone() };
    let thread = format!("<{}@{domain}>", delivery_id(&incident));
    let mut builder = builder(envelope, &report.subject, report.severity, date)
        .raw_header(header("X-Keywatch-Alert", &delivery_id(alert)));
    builder = if alert.alert_type == AlertType::Opened {
        builder.message_id(Some(thread))
    } else {
        builder
            .message_id(Some(format!("<{}@{domain}>", delivery_id(alert))))
            .in_reply_to(thread.clone())
            .references(thread)
    };
    builder
        .multipart(MultiPart::alternative_plain_html(text::report(&report), html::report(&report)))
}

pub(super) fn digest_mail(
    envelope: &Envelope,
    alerts: &[Arc<Alert>],
    date: SystemTime,
) -> Result<Message, lettre::error::Error> {
    let digest = Digest::new(alerts);
    let domain = envelope.from.email.domain();
    let first = alerts.first().map(|alert| delivery_id(alert)).unwrap_or_default();
    builder(envelope, &digest.subject, digest.severity, date)
        .message_id(Some(format!("<digest-{first}-{}@{domain}>", alerts.len())))
        .multipart(MultiPart::alternative_plain_html(text::digest(&digest), html::digest(&digest)))
}

fn builder(
    envelope: &Envelope,
    subject: &str,
    severity: Severity,
    date: SystemTime,
) -> lettre::message::MessageBuilder {
    let severity_header = header("X-Keywatch-Severity", severity.as_str());
    let builder = plain_builder(envelope, subject, date).raw_header(severity_header);
    if severity >= Severity::High {
        return builder.raw_header(header("Importance", "high"));
    }
    builder
}

/// Begins a mail that says nothing of an alert.
pub(super) fn plain_builder(
    envelope: &Envelope,
    subject: &str,
    date: SystemTime,
) -> lettre::message::MessageBuilder {
    let builder = Message::builder()
        .from(envelope.from.clone())
        .date(date)
        .raw_header(subject_header(subject))
        // RFC 3834: asks for no automatic replies, such as holiday notices.
        .raw_header(header("Auto-Submitted", "auto-generated"))
        // Exchange uses this header for the same request.
        .raw_header(header("X-Auto-Response-Suppress", "All"));
    envelope.to.iter().fold(builder, |builder, to| builder.to(to.clone()))
}

/// The mailer leaves plain ASCII as it is, and a reader would decode what looks like an encoded word
/// (RFC 2047) in it: whoever names keys would write subjects. Such a subject is encoded as a whole.
fn subject_header(subject: &str) -> HeaderValue {
    if !subject.contains("=?") {
        return header("Subject", subject);
    }
    let name = HeaderName::new_from_ascii_str("Subject");
    HeaderValue::dangerous_new_pre_encoded(name, subject.to_owned(), encoded_words(subject))
}

/// The text as encoded words, one a line. A line holds 78 characters, the first one with the name of
/// the header.
fn encoded_words(text: &str) -> String {
    const MOST_BYTES: usize = 42;
    let mut words = vec![String::new()];
    for letter in text.chars() {
        if words.last().is_some_and(|word| word.len() + letter.len_utf8() > MOST_BYTES) {
            words.push(String::new());
        }
        words.last_mut().into_iter().for_each(|word| word.push(letter));
    }
    let encoded = words.iter().map(|word| format!("=?utf-8?b?{}?=", STANDARD.encode(word)));
    encoded.collect::<Vec<_>>().join("\r\n ")
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mailparse::{MailHeaderMap, ParsedMail, parse_mail};

    use super::super::super::fixtures;
    use super::*;

    fn bytes(alert: &Alert) -> Vec<u8> {
        let envelope = Envelope {
            from: "Keywatch <keywatch@example.com>".parse().unwrap(),
            to: vec!["a@example.com".parse().unwrap(), "b@example.com".parse().unwrap()],
        };
        alert_mail(&envelope, alert, "keywatch", SystemTime::UNIX_EPOCH).unwrap().formatted()
    }

    fn header(mail: &ParsedMail<'_>, name: &str) -> Option<String> {
        mail.headers.get_first_value(name)
    }

    #[test]
    fn a_key_id_that_looks_encoded_reaches_the_subject_as_it_is() {
        for key in
            ["=?utf-8?q?Please_ignore?=", "=?utf-8?b?SGVsbG8=?=", "=?", "a=?é?= =?utf-8?q?=41?="]
        {
            let mut alert = fixtures::alert("impossible_travel");
            alert.title =
                format!("Key {key}: requests from two places 8,900 km apart within 4 minutes");
            let bytes = bytes(&alert);
            let mail = parse_mail(&bytes).unwrap();
            let subject = header(&mail, "Subject").unwrap();
            assert_eq!(subject, format!("[HIGH] {}", alert.title));
            let lines = String::from_utf8_lossy(&bytes).into_owned();
            assert!(lines.lines().take(20).all(|line| line.len() <= 78), "{lines}");
        }
    }

    #[test]
    fn a_key_id_cannot_add_headers() {
        let bytes = bytes(&fixtures::alert("hostile"));
        let mail = parse_mail(&bytes).unwrap();
        let names: Vec<_> = mail.headers.iter().map(|header| header.get_key()).collect();
        assert!(!names.iter().any(|name| name == "Bcc" || name == "X-Injected"), "{names:?}");
        assert_eq!(
            header(&mail, "Subject").unwrap(),
            "[MEDIUM] Key <script>alert(1)</script> Bcc: victim@example.org <b>owned</b>"
        );
        assert_eq!(mail.subparts.len(), 2);
    }

    #[test]
    fn mails_of_one_incident_form_a_thread() {
        let opened = fixtures::alert("impossible_travel");
        let mut later = fixtures::alert("revocation_requested");
        later.id = opened.id.clone();
        let (opened, later) = (bytes(&opened), bytes(&later));
        let (opened, later) = (parse_mail(&opened).unwrap(), parse_mail(&later).unwrap());
        let first = header(&opened, "Message-ID").unwrap();
        assert_eq!(header(&opened, "References"), None);
        assert_eq!(header(&later, "References").unwrap(), first);
        assert_eq!(header(&later, "In-Reply-To").unwrap(), first);
        assert_ne!(header(&later, "Message-ID").unwrap(), first);
    }

    #[test]
    fn mails_say_that_a_machine_wrote_them() {
        let bytes = bytes(&fixtures::alert("impossible_travel"));
        let mail = parse_mail(&bytes).unwrap();
        assert_eq!(header(&mail, "Auto-Submitted").unwrap(), "auto-generated");
        assert_eq!(header(&mail, "Importance").unwrap(), "high");
        assert_eq!(header(&mail, "To").unwrap(), "a@example.com, b@example.com");
        let types: Vec<_> = mail.subparts.iter().map(|part| part.ctype.mimetype.clone()).collect();
        assert_eq!(types, ["text/plain", "text/html"]);
    }
}
