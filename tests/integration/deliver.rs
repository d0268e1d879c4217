//! Tests delivery to a real SMTP server and a real HTTP receiver, and how it handles their faults.

use std::sync::Arc;
use std::time::Duration;

use keywatch::alert::{Action, Alert, AlertType, Severity};
use keywatch::config::{EmailConfig, Secret, SmtpTls, WebhookConfig};
use keywatch::deliver::memory::MemoryLog;
use keywatch::deliver::record::{DeliveryOutcome, DeliveryRow};
use keywatch::deliver::{
    Channel, EmailChannel, Outbox, OutboxSettings, TemplateChannel, WebhookChannel,
};
use keywatch::event::EventTime;
use mailparse::MailHeaderMap;
use serde_json::Value;

use crate::support::eventually::{LIMIT, eventually};
use crate::support::mailbox::{Certificate, Mailbox};
use crate::support::receiver::{Answer, Receiver, verified};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PASSWORD: &str = "correct horse battery staple";

fn fixture(name: &str) -> Alert {
    let path = format!("{}/tests/fixtures/alerts/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let alert: Alert = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    // The outbox gives up old alerts at once, so this one is new.
    Alert { detected_at: EventTime::now(), ..alert }
}

fn numbered(n: usize) -> Alert {
    Alert { id: format!("al_{n:03}"), ..fixture("impossible_travel") }
}

/// An outbox with one channel. Alerts are stored first, as in the service.
struct Delivery {
    outbox: Outbox,
    log: Arc<MemoryLog>,
}

impl Delivery {
    fn start(channel: impl Channel) -> Self {
        Self::start_with(channel, Arc::default())
    }

    fn start_with(channel: impl Channel, log: Arc<MemoryLog>) -> Self {
        let settings = OutboxSettings {
            first_retry: Duration::from_millis(10),
            longest_retry: Duration::from_secs(3_600),
            ..OutboxSettings::default()
        };
        let mut outbox = Outbox::default();
        outbox.add(channel, &log, settings);
        Self { outbox, log }
    }

    fn send(&self, alert: &Alert) {
        self.log.store(alert);
        self.outbox.enqueue(alert.clone());
    }

    async fn wait_for(&self, rows: usize) -> Vec<DeliveryRow> {
        eventually(&format!("{rows} rows"), LIMIT, async || {
            let found = self.log.rows();
            if found.len() >= rows { Ok(found) } else { Err(found) }
        })
        .await
    }

    /// Sends one alert and returns the record of the first attempt.
    async fn first_attempt(self, alert: &Alert) -> DeliveryRow {
        self.send(alert);
        self.wait_for(1).await.swap_remove(0)
    }
}

// ---- e-mail ---------------------------------------------------------------------

fn email(mailbox: &Mailbox) -> EmailConfig {
    EmailConfig {
        host: "localhost".into(),
        max_per_minute: 100,
        ..EmailConfig::local(mailbox.smtp_port, &["alice@example.com", "bob@example.com"])
    }
}

fn channel(config: &EmailConfig) -> EmailChannel {
    EmailChannel::new(config, "keywatch").unwrap()
}

#[tokio::test]
async fn a_mail_arrives_as_text_and_html_and_can_be_looked_at() {
    let mailbox = Mailbox::start(&[]);
    let delivery = Delivery::start(channel(&email(&mailbox)));
    delivery.send(&fixture("impossible_travel"));
    let mail = mailbox.wait_for(1).await.swap_remove(0);

    assert_eq!(
        mail.subject,
        "[HIGH] Key ak_123: requests from two places 8,900 km apart within 4 minutes"
    );
    for part in [&mail.text, &mail.html] {
        for fact in ["135,754", "DRY RUN", "keywatch alerts show al_6f1d2c9b0a7e4453"] {
            assert!(part.contains(fact), "{fact} is missing in {part}");
        }
    }
    let row = delivery.wait_for(1).await.swap_remove(0);
    assert_eq!(row.outcome, DeliveryOutcome::Delivered);
    assert_eq!(row.detail, "accepted by localhost for a***@example.com, b***@example.com");

    assert!(mailbox.page("/").contains("requests from two places"));
    assert!(mailbox.page("/000001.eml").contains("<iframe sandbox"));
    assert!(mailbox.page("/../../etc/passwd").starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn what_an_attacker_chose_stays_text() {
    let mailbox = Mailbox::start(&[]);
    let delivery = Delivery::start(channel(&email(&mailbox)));
    delivery.send(&fixture("hostile"));
    let mail = mailbox.wait_for(1).await.swap_remove(0);
    let parsed = mailparse::parse_mail(mail.raw.as_bytes()).unwrap();
    assert_eq!(parsed.headers.get_first_value("Bcc"), None);
    assert_eq!(parsed.headers.get_first_value("X-Injected"), None);
    assert!(!mail.html.contains("<script") && !mail.html.contains("<img"));
    assert!(!mailbox.page("/").contains("<script"));
}

#[tokio::test]
async fn mails_travel_encrypted_and_after_login() {
    let certificate = Certificate::make();
    let (cert, key) = (certificate.certificate(), certificate.key());
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    for (mode, tls) in [("starttls", SmtpTls::Starttls), ("implicit", SmtpTls::Implicit)] {
        let mailbox = Mailbox::start(&[
            "--tls",
            mode,
            "--cert",
            cert,
            "--key",
            key,
            "--user",
            "kw",
            "--password",
            PASSWORD,
        ]);
        let right = EmailConfig {
            tls,
            ca_file: Some(certificate.certificate()),
            username: Some("kw".into()),
            password: Secret::new(PASSWORD),
            ..email(&mailbox)
        };
        let row = Delivery::start(channel(&right)).first_attempt(&numbered(1)).await;
        assert_eq!(row.outcome, DeliveryOutcome::Delivered, "{mode}: {}", row.detail);

        let stranger = EmailConfig { ca_file: None, ..right.clone() };
        let row = Delivery::start(channel(&stranger)).first_attempt(&numbered(2)).await;
        assert_eq!(row.outcome, DeliveryOutcome::Failed);
        assert!(row.detail.contains("email.ca_file"), "{mode}: {}", row.detail);

        let wrong = EmailConfig { password: Secret::new("wrong horse"), ..right };
        let row = Delivery::start(channel(&wrong)).first_attempt(&numbered(3)).await;
        assert_eq!(row.outcome, DeliveryOutcome::Failed);
        assert!(row.detail.contains("check email.username and email.password"), "{}", row.detail);
        assert!(!row.detail.contains("wrong horse"));

        assert_eq!(mailbox.mails().len(), 1, "{mode}");
    }
}

#[tokio::test]
async fn a_password_never_travels_to_a_server_without_the_asked_for_encryption() {
    let mailbox = Mailbox::start(&["--user", "kw", "--password", PASSWORD]);
    let config = EmailConfig {
        tls: SmtpTls::Starttls,
        username: Some("kw".into()),
        password: Secret::new(PASSWORD),
        ..email(&mailbox)
    };
    let row = Delivery::start(channel(&config)).first_attempt(&numbered(1)).await;
    assert_eq!(row.outcome, DeliveryOutcome::Failed);
    assert!(row.detail.contains("STARTTLS is not supported"), "{}", row.detail);
    assert_eq!(mailbox.mails().len(), 0);
}

#[tokio::test]
async fn a_busy_server_is_tried_again() {
    let mailbox = Mailbox::start(&["--fail", "451:2"]);
    let delivery = Delivery::start(channel(&email(&mailbox)));
    delivery.send(&fixture("impossible_travel"));
    let outcomes: Vec<_> =
        delivery.wait_for(3).await.into_iter().map(|row| (row.attempt, row.outcome)).collect();
    use DeliveryOutcome::{Delivered, Failed};
    assert_eq!(outcomes, [(1, Failed), (2, Failed), (3, Delivered)]);
    assert_eq!(mailbox.mails().len(), 1);
}

#[tokio::test]
async fn a_mail_that_the_server_refuses_is_given_up_with_its_words() {
    let mailbox = Mailbox::start(&["--fail", "554"]);
    let row = Delivery::start(channel(&email(&mailbox))).first_attempt(&numbered(1)).await;
    assert_eq!(row.outcome, DeliveryOutcome::GaveUp);
    assert!(row.detail.contains("554") && row.detail.contains("told to fail"), "{}", row.detail);
}

#[tokio::test]
async fn one_bad_recipient_does_not_silence_the_others() {
    let mailbox = Mailbox::start(&["--refuse", "bob@example.com"]);
    let row = Delivery::start(channel(&email(&mailbox))).first_attempt(&numbered(1)).await;
    assert_eq!(row.outcome, DeliveryOutcome::Delivered);
    assert!(row.detail.contains("accepted by localhost for a***@example.com"), "{}", row.detail);
    assert!(row.detail.contains("refused: b***@example.com"), "{}", row.detail);
    assert!(!row.detail.contains("bob@"), "{}", row.detail);
    assert_eq!(mailbox.mails().len(), 1);
}

#[tokio::test]
async fn a_storm_of_alerts_is_not_a_storm_of_mails() {
    let mailbox = Mailbox::start(&[]);
    let log: Arc<MemoryLog> = Arc::default();
    (0..30).for_each(|n| log.store(&numbered(n)));
    let config = EmailConfig { max_per_minute: 3, ..email(&mailbox) };
    let delivery = Delivery::start_with(channel(&config), log);
    let rows = delivery.wait_for(30).await;
    assert!(rows.iter().all(|row| row.outcome == DeliveryOutcome::Delivered));
    let subjects: Vec<_> = mailbox.mails().into_iter().map(|mail| mail.subject).collect();
    assert_eq!(subjects.len(), 3, "{subjects:#?}");
    assert_eq!(subjects[2], "[HIGH] 28 alerts: 28 high");
}

#[tokio::test]
async fn a_server_that_is_down_is_waited_for() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mailbox = Mailbox::start(&[]);
    let config = EmailConfig { host: "127.0.0.1".into(), port, ..email(&mailbox) };
    let delivery = Delivery::start(channel(&config));
    delivery.send(&numbered(1));
    let row = delivery.wait_for(1).await.swap_remove(0);
    assert_eq!(row.outcome, DeliveryOutcome::Failed, "{}", row.detail);
    let _late = Mailbox::start(&["--port", &port.to_string()]);
    let delivered = |row: &DeliveryRow| row.outcome == DeliveryOutcome::Delivered;
    eventually("the mail is delivered", LIMIT, async || {
        let rows = delivery.log.rows();
        if rows.iter().any(delivered) { Ok(()) } else { Err(rows) }
    })
    .await;
}

// ---- webhook --------------------------------------------------------------------

fn webhook(url: &str) -> WebhookChannel {
    signed_webhook(url, SECRET)
}

fn signed_webhook(url: &str, secrets: &str) -> WebhookChannel {
    let config = WebhookConfig {
        url: url.into(),
        secret: Secret::new(secrets),
        secret_file: None,
        min_severity: Severity::Low,
        timeout_seconds: 1,
        max_in_flight: 8,
    };
    WebhookChannel::new(&config).unwrap()
}

#[tokio::test]
async fn a_receiver_that_knows_either_of_two_secrets_verifies_our_webhooks() {
    let other = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
    let receiver = Receiver::start([]).await;
    let delivery = Delivery::start(signed_webhook(&receiver.url, &format!("{other} {SECRET}")));
    delivery.send(&fixture("revocation_requested"));
    let received = receiver.wait_for(1).await.swap_remove(0);
    assert!(received.verified(SECRET).is_some(), "the old one");
    assert!(received.verified(other).is_some(), "the new one");
    assert!(received.verified("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").is_none());
}

#[tokio::test]
async fn the_reference_implementation_verifies_our_webhooks() {
    let receiver = Receiver::start([]).await;
    let delivery = Delivery::start(webhook(&receiver.url));
    let alert = fixture("revocation_requested");
    delivery.send(&alert);
    let received = receiver.wait_for(1).await.swap_remove(0);
    assert_eq!(received.header("content-type"), "application/json");
    let body = String::from_utf8(received.body.clone()).unwrap();
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value = names.map(|name| (name, received.header(name))).into_iter().collect();

    let payload = verified(SECRET, &headers, &body).expect("a valid signature");
    assert_eq!(payload["id"], alert.id);
    assert_eq!(payload["type"], "key.revocation_requested");
    assert_eq!(serde_json::from_str::<Alert>(&body).unwrap(), alert);

    let forged = body.replace("\"dry_run\":false", "\"dry_run\":true");
    assert_ne!(forged, body);
    assert_eq!(verified(SECRET, &headers, &forged), None, "a changed body");
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(verified(other, &headers, &body), None, "another secret");
}

#[tokio::test]
async fn a_receiver_in_trouble_is_called_again_with_the_same_id() {
    let troubles = [
        Answer::Status(500),
        Answer::Status(408),
        Answer::WithHeader(429, "retry-after", "1"),
        Answer::WithHeader(503, "retry-after", "0"),
        Answer::Hang,
    ];
    let receiver = Receiver::start(troubles).await;
    let delivery = Delivery::start(webhook(&receiver.url));
    delivery.send(&fixture("impossible_travel"));
    let rows = delivery.wait_for(6).await;

    let outcomes: Vec<_> = rows.iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes[..5], [DeliveryOutcome::Failed; 5]);
    assert_eq!(outcomes[5], DeliveryOutcome::Delivered);
    assert_eq!(rows[4].detail, "127.0.0.1 did not answer within 1 s");
    let calls = receiver.received();
    for call in &calls {
        assert_eq!(call.header("webhook-id"), "al_6f1d2c9b0a7e4453-1");
        assert_eq!(call.body, calls[0].body);
    }
}

#[tokio::test]
async fn an_alert_that_the_receiver_refuses_is_given_up_and_the_next_one_sent() {
    let receiver = Receiver::start([Answer::Status(422)]).await;
    let delivery = Delivery::start(webhook(&receiver.url));
    delivery.send(&numbered(1));
    delivery.send(&numbered(2));
    let rows = delivery.wait_for(2).await;
    assert_eq!(rows[0].outcome, DeliveryOutcome::GaveUp);
    assert!(rows[0].detail.contains("422 Unprocessable Entity"), "{}", rows[0].detail);
    assert_eq!(rows[1].outcome, DeliveryOutcome::Delivered);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_said_to_be_one() {
    let elsewhere = Receiver::start([]).await;
    let target: &'static str = Box::leak(format!("{}?token=s3cr3t", elsewhere.url).into());
    let receiver = Receiver::start([Answer::WithHeader(307, "location", target)]).await;
    let delivery = Delivery::start(webhook(&receiver.url));
    delivery.send(&numbered(1));
    let rows = delivery.wait_for(1).await;
    assert_eq!(rows[0].outcome, DeliveryOutcome::Failed);
    assert!(rows[0].detail.contains("redirects are not followed"), "{}", rows[0].detail);
    assert!(!rows[0].detail.contains("s3cr3t"));

    // The alert is kept, and a restart with the corrected address delivers it.
    let mended = Delivery::start_with(webhook(&elsewhere.url), Arc::clone(&delivery.log));
    assert_eq!(mended.wait_for(2).await[1].outcome, DeliveryOutcome::Delivered);
    assert_eq!(elsewhere.received().len(), 1);
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone() {
    let receiver = Receiver::start([Answer::Status(410)]).await;
    let delivery = Delivery::start(webhook(&receiver.url));
    delivery.send(&numbered(1));
    let rows = delivery.wait_for(1).await;
    assert_eq!(rows[0].outcome, DeliveryOutcome::Failed);
    assert!(rows[0].detail.contains("410 Gone"), "{}", rows[0].detail);
    delivery.send(&numbered(2));
    delivery.outbox.shutdown(Duration::from_secs(5)).await;
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn an_unreachable_receiver_is_named_without_its_token() {
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/hook?token=s3cr3t", listener.local_addr().unwrap())
    };
    let row = Delivery::start(webhook(&url)).first_attempt(&numbered(1)).await;
    assert_eq!(row.outcome, DeliveryOutcome::Failed);
    assert!(row.detail.starts_with("cannot reach 127.0.0.1: "), "{}", row.detail);
    assert!(!row.detail.contains("s3cr3t"), "{}", row.detail);
}

// ---- answers to requests, and order -----------------------------------------------

#[tokio::test]
async fn what_the_receiver_says_about_a_request_is_recorded_and_nothing_else() {
    let receiver = Receiver::start([
        Answer::Body(r#"{"status":"revoked"}"#),
        Answer::Body(r#"{"status":"<b>gone</b>"}"#),
        Answer::Body(r#"{"status":"revoked"}"#),
    ])
    .await;
    let delivery = Delivery::start(webhook(&receiver.url));
    let alerts = [
        Alert { id: "al_1".into(), ..fixture("revocation_requested") },
        Alert { id: "al_2".into(), ..fixture("revocation_requested") },
        Alert { id: "al_3".into(), ..fixture("impossible_travel") },
    ];
    for (place, alert) in alerts.iter().enumerate() {
        delivery.send(alert);
        delivery.wait_for(place + 1).await;
    }
    let details: Vec<String> = delivery.log.rows().into_iter().map(|row| row.detail).collect();
    let plain = "accepted by 127.0.0.1";
    assert_eq!(details, [&format!("{plain}, which answered: revoked"), plain, plain]);
}

#[tokio::test]
async fn a_request_that_failed_is_not_sent_after_a_later_one() {
    let receiver = Receiver::start([Answer::WithHeader(503, "retry-after", "0")]).await;
    let delivery = Delivery::start(webhook(&receiver.url));
    let suspension = Alert {
        alert_type: AlertType::SuspensionRequested,
        action: Action::Suspend,
        ..fixture("revocation_requested")
    };
    let revocation = Alert { revision: suspension.revision + 3, ..fixture("revocation_requested") };
    delivery.send(&suspension);
    delivery.wait_for(1).await;
    delivery.send(&revocation);
    let rows = eventually("both have an end", LIMIT, async || {
        let rows = delivery.log.rows();
        let is_over = |revision: u32| {
            let ends = |row: &&DeliveryRow| row.outcome != DeliveryOutcome::Failed;
            rows.iter().filter(ends).any(|row| row.revision == revision)
        };
        match is_over(suspension.revision) && is_over(revocation.revision) {
            true => Ok(rows),
            false => Err(rows),
        }
    })
    .await;
    let types: Vec<String> = receiver
        .received()
        .iter()
        .map(|call| serde_json::from_slice::<Value>(&call.body).unwrap()["type"].to_string())
        .collect();
    let last = types.last().unwrap();
    assert_eq!(last, "\"key.revocation_requested\"", "{types:?} {rows:?}");
}

// ---- JSON of templates ------------------------------------------------------------

fn template(kind: &str, url: &str) -> TemplateChannel {
    let text = format!("kind = \"{kind}\"\nurl = \"{url}\"\nsecret = \"s3cr3t\"\n");
    TemplateChannel::new("oncall", &toml::from_str(&text).unwrap()).unwrap()
}

#[tokio::test]
async fn ready_templates_reach_their_receivers_with_the_secret_in_its_place() {
    let receiver = Receiver::start([]).await;
    let opened = fixture("impossible_travel");
    let resolved = Alert { alert_type: AlertType::Resolved, revision: 2, ..opened.clone() };
    for (kind, alerts) in [("pagerduty", [&opened, &resolved]), ("jira", [&opened, &resolved])] {
        let delivery = Delivery::start(template(kind, &receiver.url));
        for (place, alert) in alerts.into_iter().enumerate() {
            delivery.send(alert);
            let row = delivery.wait_for(place + 1).await.swap_remove(place);
            assert_eq!(row.outcome, DeliveryOutcome::Delivered, "{row:?}");
            assert_eq!(row.channel, "oncall");
            assert!(!row.detail.contains("s3cr3t"), "{row:?}");
        }
    }
    let calls = receiver.received();
    let bodies: Vec<Value> =
        calls.iter().map(|call| serde_json::from_slice(&call.body).unwrap()).collect();
    assert_eq!(
        (&bodies[0]["event_action"], &bodies[0]["routing_key"]),
        (&"trigger".into(), &"s3cr3t".into())
    );
    assert_eq!(bodies[1]["event_action"], "resolve");
    assert_eq!(bodies[0]["dedup_key"], bodies[1]["dedup_key"]);
    assert_eq!(bodies[2]["alias"], "al_6f1d2c9b0a7e4453");
    assert_eq!(calls[2].header("authorization"), "GenieKey s3cr3t");
    let addresses: Vec<&str> = calls.iter().map(|call| call.address.as_str()).collect();
    let close = "/hook/al_6f1d2c9b0a7e4453/close?identifierType=alias";
    assert_eq!(addresses, ["/hook", "/hook", "/hook", close]);
}

#[tokio::test]
async fn an_alert_goes_only_where_the_policy_routes_it_and_a_request_everywhere() {
    let receiver = Receiver::start([]).await;
    let delivery = Delivery::start(webhook(&receiver.url));
    let mut routed = fixture("impossible_travel");
    routed.guidance.channels = vec!["oncall".into()];
    let mut request = Alert { revision: 2, ..fixture("revocation_requested") };
    request.guidance.channels = vec!["oncall".into()];
    delivery.send(&routed);
    delivery.send(&request);
    let mut rows = delivery.wait_for(2).await;
    rows.sort_by_key(|row| row.revision);
    let outcomes: Vec<_> = rows.iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes, [DeliveryOutcome::Skipped, DeliveryOutcome::Delivered]);
    assert_eq!(rows[0].detail, "the policy tells other channels of it");
}
