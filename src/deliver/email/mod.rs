//! Sends alerts to the security team by e-mail.
//!
//! A person reads these mails, so most revisions of an incident cause none. The channel sends a
//! mail when an incident is new or has become worse (a higher severity or a stronger action than
//! any mail about it had), when its action waits for something new, or when new evidence reopens what
//! people had closed. It always sends one for a request. It reports the end of an incident only if
//! `email.send_resolved` is set. The channel remembers in memory which mails it
//! sent: after a restart, the next revision of an open incident may cause one more mail.

mod content;
mod digest;
mod html;
mod message;
mod pace;
mod question;
mod text;
mod transport;
mod wording;

use std::sync::Arc;
use std::time::SystemTime;

use lettre::message::Mailbox;
use parking_lot::Mutex;
use tokio::time::Instant;

use self::message::{Envelope, alert_mail, digest_mail};
use self::pace::Pace;
pub(super) use self::question::OwnerMail;
use self::transport::Transport;
use super::recent::Recent;
use super::{Allowance, Channel, ChannelError, DeliveryError};
use crate::alert::{Action, Alert, AlertType, Restraint, Severity};
use crate::config::EmailConfig;
use crate::event::EventTime;

/// The number of incidents whose mails are remembered.
const MOST_INCIDENTS: usize = 10_000;

pub struct EmailChannel {
    transport: Transport,
    envelope: Envelope,
    database: String,
    min_severity: Severity,
    send_resolved: bool,
    state: Mutex<State>,
}

/// The rate so far, and which mails were sent.
struct State {
    pace: Pace,
    mailed: Recent<String, Mailed>,
}

/// The worst that the mails about an incident have told.
#[derive(Clone, Copy)]
struct Mailed {
    severity: Severity,
    action: Action,
    /// The reason why the action waits.
    wait: Option<Restraint>,
    /// When people had closed the incident that evidence has reopened.
    reopened_after: Option<EventTime>,
}

impl EmailChannel {
    /// `database` is the ClickHouse database that queries in mails name.
    ///
    /// # Errors
    /// When an address cannot be read, TLS cannot be set up, or a password would
    /// leave unencrypted.
    pub fn new(config: &EmailConfig, database: &str) -> Result<Self, ChannelError> {
        let error = |key, reason: &str| ChannelError::Config { key, reason: reason.to_owned() };
        if config.to.is_empty() {
            return Err(error("email.to", "names nobody"));
        }
        if config.max_per_minute == 0 {
            return Err(error("email.max_per_minute", "must be at least 1"));
        }
        let to = config.to.iter().map(|address| mailbox("email.to", address));
        Ok(Self {
            transport: Transport::new(config)?,
            envelope: Envelope {
                from: mailbox("email.from", &config.from)?,
                to: to.collect::<Result<_, _>>()?,
            },
            database: database.to_owned(),
            min_severity: config.min_severity,
            send_resolved: config.send_resolved,
            state: Mutex::new(State {
                pace: Pace::new(config.max_per_minute, Instant::now()),
                mailed: Recent::new(MOST_INCIDENTS),
            }),
        })
    }

    fn remember(&self, alert: &Alert) {
        let mut state = self.state.lock();
        let reopened_after = alert.handling.reopened_after;
        let (severity, action, wait) = (alert.severity, alert.action, wait(alert));
        let news = Mailed { severity, action, wait, reopened_after };
        let known = state.mailed.get(&alert.id).copied().unwrap_or(news);
        let worst = Mailed {
            severity: news.severity.max(known.severity),
            action: news.action.max(known.action),
            wait: news.wait.or(known.wait),
            reopened_after: reopened_after.max(known.reopened_after),
        };
        state.mailed.insert(alert.id.clone(), worst);
    }
}

fn wait(alert: &Alert) -> Option<Restraint> {
    alert.restraint.filter(|restraint| restraint.is_wait())
}

fn mailbox(key: &'static str, address: &str) -> Result<Mailbox, ChannelError> {
    address.parse().map_err(|error| ChannelError::Config {
        key,
        reason: format!("`{address}` is not an e-mail address: {error}"),
    })
}

impl Channel for EmailChannel {
    fn name(&self) -> &'static str {
        "email"
    }

    fn declines(&self, alert: &Alert) -> Option<&'static str> {
        if alert.severity < self.min_severity {
            return Some("below email.min_severity");
        }
        match alert.alert_type {
            AlertType::RevocationRequested | AlertType::SuspensionRequested => None,
            AlertType::Resolved if self.send_resolved => None,
            AlertType::Resolved => Some("email.send_resolved is off"),
            AlertType::Opened | AlertType::Updated => {
                let mailed = self.state.lock().mailed.get(&alert.id).copied()?;
                let worse = alert.severity > mailed.severity
                    || alert.action > mailed.action
                    || wait(alert).is_some_and(|wait| mailed.wait != Some(wait))
                    || alert.handling.reopened_after > mailed.reopened_after;
                (!worse).then_some("no worse than in an earlier mail")
            }
        }
    }

    fn allowance(&self, now: Instant) -> Allowance {
        self.state.lock().pace.allowance(now)
    }

    async fn deliver(&self, alerts: &[Arc<Alert>]) -> Result<String, DeliveryError> {
        self.state.lock().pace.spend();
        let date = SystemTime::now();
        let message = match alerts {
            [alert] => alert_mail(&self.envelope, alert, &self.database, date),
            _ => digest_mail(&self.envelope, alerts, date),
        };
        let message = message.map_err(|error| DeliveryError::Permanent {
            reason: format!("the mail cannot be written: {error}"),
        })?;
        let answer = self.transport.send(&message).await?;
        alerts.iter().for_each(|alert| self.remember(alert));
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::fixtures;
    use super::*;
    use crate::config::{Secret, SmtpTls};

    fn config() -> EmailConfig {
        EmailConfig::local(25, &["security@example.com"])
    }

    fn revision(n: u32, alert_type: AlertType, severity: Severity, action: Action) -> Alert {
        let alert = fixtures::alert("impossible_travel");
        Alert { revision: n, alert_type, severity, action, ..alert }
    }

    #[tokio::test]
    async fn a_mail_leaves_for_what_is_new_or_worse_only() {
        use {Action::*, AlertType::*, Severity::*};
        let channel = EmailChannel::new(&config(), "keywatch").unwrap();
        for (n, (alert_type, severity, action, leaves)) in [
            (Opened, High, Notify, true),
            (Updated, High, Notify, false),
            (Updated, Medium, Notify, false),
            (Updated, Critical, Notify, true),
            (Updated, Critical, Notify, false),
            (Updated, High, Suspend, true),
            (Updated, Critical, Throttle, false),
            (RevocationRequested, Critical, Suspend, true),
            (Resolved, Critical, Suspend, false),
        ]
        .into_iter()
        .enumerate()
        {
            let alert = revision(n as u32 + 1, alert_type, severity, action);
            assert_eq!(channel.declines(&alert).is_none(), leaves, "revision {}", n + 1);
            if leaves {
                channel.remember(&alert);
            }
        }
    }

    #[tokio::test]
    async fn evidence_that_reopens_an_incident_is_mailed_once_though_it_is_no_worse() {
        let channel = EmailChannel::new(&config(), "keywatch").unwrap();
        let mut alert = revision(1, AlertType::Opened, Severity::High, Action::Notify);
        channel.remember(&alert);
        for closed_at in [10, 20] {
            alert.alert_type = AlertType::Updated;
            alert.handling.reopened_after = Some(EventTime::from_seconds(closed_at));
            assert_eq!(channel.declines(&alert), None);
            channel.remember(&alert);
            assert!(channel.declines(&alert).is_some());
        }
    }

    #[tokio::test]
    async fn mild_alerts_and_resolutions_leave_when_asked_for() {
        let resolved = revision(2, AlertType::Resolved, Severity::High, Action::Notify);
        let mild = revision(1, AlertType::Opened, Severity::Low, Action::Observe);
        let quiet = EmailChannel::new(&config(), "keywatch").unwrap();
        assert!(quiet.declines(&mild).is_some() && quiet.declines(&resolved).is_some());
        let eager = EmailConfig { min_severity: Severity::Low, send_resolved: true, ..config() };
        let eager = EmailChannel::new(&eager, "keywatch").unwrap();
        assert!(eager.declines(&mild).is_none() && eager.declines(&resolved).is_none());
    }

    #[tokio::test]
    async fn unusable_configurations_are_named() {
        let password = Secret::new("hunter2");
        let named =
            |config: EmailConfig| EmailChannel::new(&config, "keywatch").err().unwrap().to_string();
        for (config, key) in [
            (EmailConfig { to: vec![], ..config() }, "email.to: names nobody"),
            (EmailConfig { to: vec!["nobody".into()], ..config() }, "email.to: `nobody`"),
            (EmailConfig { from: "@".into(), ..config() }, "email.from: `@`"),
            (EmailConfig { max_per_minute: 0, ..config() }, "email.max_per_minute"),
            (EmailConfig { username: Some("u".into()), ..config() }, "email.password"),
            (
                EmailConfig {
                    host: "mail.example.com".into(),
                    username: Some("u".into()),
                    password,
                    ..config()
                },
                "email.tls",
            ),
            (
                EmailConfig {
                    tls: SmtpTls::Starttls,
                    ca_file: Some("/does/not/exist.pem".into()),
                    ..config()
                },
                "email.ca_file: cannot read /does/not/exist.pem",
            ),
        ] {
            let message = named(config);
            assert!(message.starts_with(key), "{message}");
            assert!(!message.contains("hunter2"));
        }
    }
}
