#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use tokio::sync::Semaphore;

use super::super::memory::MemoryLog;
use super::super::{DeliveryError, fixtures};
use super::*;
use crate::alert::{AlertType, CloseReason, DetectorId, Severity};
use crate::deliver::record::DeliveryOutcome;
use crate::workflow::{Act, Kind, Origin, Scope, Seen, Suppression};

type Answer = Result<String, DeliveryError>;

/// A receiver that gives the prepared replies in order, then accepts everything.
#[derive(Default)]
struct Receiver {
    answers: Mutex<VecDeque<Answer>>,
    calls: Mutex<Vec<(Instant, Vec<String>)>>,
}

impl Receiver {
    fn answering(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() })
    }

    /// The ids of the alerts in each call.
    fn calls(&self) -> Vec<Vec<String>> {
        self.calls.lock().unwrap().iter().map(|(_, ids)| ids.clone()).collect()
    }

    fn seconds_between_calls(&self) -> Vec<u64> {
        let calls = self.calls.lock().unwrap();
        calls.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs()).collect()
    }
}

struct Scripted {
    name: &'static str,
    parallel: usize,
    receiver: Arc<Receiver>,
    /// Each delivery takes one permit.
    permits: Arc<Semaphore>,
}

impl Scripted {
    fn new(receiver: &Arc<Receiver>) -> Self {
        let permits = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { name: "scripted", parallel: 1, receiver: Arc::clone(receiver), permits }
    }
}

impl Channel for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parallel(&self) -> usize {
        self.parallel
    }

    fn declines(&self, alert: &Alert) -> Option<&'static str> {
        (alert.risk < 50.0).then_some("too mild")
    }

    async fn deliver(&self, alerts: &[Arc<Alert>]) -> Answer {
        self.permits.acquire().await.unwrap().forget();
        let ids = alerts.iter().map(|alert| alert.id.clone()).collect();
        self.receiver.calls.lock().unwrap().push((Instant::now(), ids));
        let answer = self.receiver.answers.lock().unwrap().pop_front();
        answer.unwrap_or_else(|| Ok("taken".into()))
    }
}

fn alert(id: &str) -> Alert {
    Alert { id: id.into(), detected_at: EventTime::now(), ..fixtures::alert("impossible_travel") }
}

fn retryable() -> Answer {
    Err(DeliveryError::Retryable { reason: "busy".into(), retry_after: None })
}

/// Waits in tokio's paused time, which advances whenever no task is ready.
async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    for _ in 0..200_000 {
        if reached() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {what}");
}

fn outcomes(log: &MemoryLog) -> Vec<(String, u32, DeliveryOutcome)> {
    log.rows().into_iter().map(|row| (row.alert_id, row.attempt, row.outcome)).collect()
}

fn start(receiver: &Arc<Receiver>, log: &Arc<MemoryLog>) -> Outbox {
    let mut outbox = Outbox::default();
    outbox.add(Scripted::new(receiver), log, OutboxSettings::default());
    outbox
}

fn send(outbox: &Outbox, log: &MemoryLog, alert: &Alert) {
    log.store(alert);
    outbox.enqueue(alert.clone());
}

#[tokio::test(start_paused = true)]
async fn a_failed_delivery_is_retried_later_and_later_under_the_same_id() {
    let receiver = Receiver::answering([retryable(), retryable(), retryable()]);
    let log = Arc::default();
    let outbox = start(&receiver, &log);
    send(&outbox, &log, &alert("a"));
    until("four attempts", || log.rows().len() == 4).await;

    use DeliveryOutcome::{Delivered, Failed};
    let expected = [(1, Failed), (2, Failed), (3, Failed), (4, Delivered)];
    assert_eq!(outcomes(&log), expected.map(|(attempt, outcome)| ("a".into(), attempt, outcome)));
    assert!(log.rows().iter().all(|row| row.webhook_id == "a-1"));
    // 1, 2 and 4 seconds, and up to as much again at random.
    for (waited, least) in receiver.seconds_between_calls().into_iter().zip([1, 2, 4]) {
        assert!((least..=2 * least).contains(&waited), "{waited} s instead of {least}");
    }
    assert_eq!(outbox.shutdown(Duration::from_secs(1)).await, []);
}

#[tokio::test(start_paused = true)]
async fn what_a_receiver_will_never_take_is_given_up_and_the_rest_goes_on() {
    let refusal = DeliveryError::Permanent { reason: "too large".into() };
    let receiver = Receiver::answering([Err(refusal)]);
    let log = Arc::default();
    let outbox = start(&receiver, &log);
    send(&outbox, &log, &alert("a"));
    send(&outbox, &log, &alert("b"));
    until("two rows", || log.rows().len() == 2).await;
    assert_eq!(
        outcomes(&log),
        [("a".into(), 1, DeliveryOutcome::GaveUp), ("b".into(), 1, DeliveryOutcome::Delivered)]
    );
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_found_no_receiver_for_days_is_given_up() {
    let receiver = Receiver::answering([retryable()]);
    let log = Arc::default();
    let outbox = start(&receiver, &log);
    let days_ago = EventTime::now().plus_seconds(-3.0 * 86_400.0);
    send(&outbox, &log, &Alert { detected_at: days_ago, ..alert("old") });
    until("a row", || !log.rows().is_empty()).await;
    assert_eq!(outcomes(&log), [("old".into(), 1, DeliveryOutcome::GaveUp)]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_channel_holds_up_nobody_and_loses_nothing() {
    let (fast, slow) = (Receiver::answering([]), Receiver::answering([]));
    let permits = Arc::new(Semaphore::new(0));
    let log: Arc<MemoryLog> = Arc::default();
    let mut outbox = Outbox::default();
    let settings = OutboxSettings { queue: 100, ..OutboxSettings::default() };
    outbox.add(Scripted::new(&fast), &log, settings);
    let stuck = Scripted { name: "slow", permits: Arc::clone(&permits), ..Scripted::new(&slow) };
    outbox.add(stuck, &log, OutboxSettings { queue: 2, ..settings });

    for n in 0..20 {
        send(&outbox, &log, &alert(&format!("{n:02}")));
    }
    until("the fast one has all", || fast.calls().len() == 20).await;
    assert_eq!(slow.calls().len(), 0);

    permits.add_permits(1_000);
    until("the slow one has all", || slow.calls().len() == 20).await;
    let mut ids = slow.calls().concat();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20, "each once");
}

#[tokio::test(start_paused = true)]
async fn a_restart_takes_up_what_was_left_and_nothing_else() {
    let log: Arc<MemoryLog> = Arc::default();
    let receiver = Receiver::answering([retryable()]);
    let outbox = start(&receiver, &log);
    send(&outbox, &log, &alert("left"));
    until("an attempt", || log.rows().len() == 1).await;
    send(&outbox, &log, &alert("done"));
    let remaining = outbox.shutdown(Duration::from_secs(1)).await;
    assert_eq!(remaining, [Remaining { channel: "scripted", alerts: Some(1) }]);

    let receiver = Receiver::answering([]);
    let _outbox = start(&receiver, &log);
    until("delivery", || !receiver.calls().is_empty()).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(receiver.calls(), [["left"]]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_store_and_queue_both_bring_leaves_once() {
    let log: Arc<MemoryLog> = Arc::default();
    log.store(&alert("a"));
    let receiver = Receiver::answering([]);
    let outbox = start(&receiver, &log);
    until("delivery", || receiver.calls().len() == 1).await;
    outbox.enqueue(alert("a"));
    outbox.shutdown(Duration::from_secs(1)).await;
    assert_eq!(receiver.calls(), [["a"]]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asks_for_a_pause_gets_it_for_all_alerts() {
    let pause = Some(Duration::from_secs(120));
    let busy = DeliveryError::Retryable { reason: "429".into(), retry_after: pause };
    let receiver = Receiver::answering([Err(busy)]);
    let log = Arc::default();
    let outbox = start(&receiver, &log);
    send(&outbox, &log, &alert("a"));
    until("the first call", || receiver.calls().len() == 1).await;
    send(&outbox, &log, &alert("b"));
    until("all calls", || receiver.calls().len() == 3).await;
    assert_eq!(receiver.seconds_between_calls(), [120, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_channel_keeps_its_alerts_and_is_probed_now_and_then() {
    let wrong = || Err(DeliveryError::Blocked { reason: "wrong password".into() });
    let receiver = Receiver::answering([wrong(), wrong()]);
    let log = Arc::default();
    let outbox = start(&receiver, &log);
    for id in ["a", "b", "c"] {
        send(&outbox, &log, &alert(id));
    }
    until("all delivered", || receiver.calls().len() == 5).await;
    let longest = OutboxSettings::default().longest_retry.as_secs();
    assert_eq!(receiver.seconds_between_calls(), [longest, longest, 0, 0]);
    let delivered = |row: &DeliveryRow| row.outcome == DeliveryOutcome::Delivered;
    until("records", || log.rows().iter().filter(|row| delivered(row)).count() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_is_not_called_again_and_its_alerts_are_kept() {
    let receiver = Receiver::answering([Err(DeliveryError::Gone { reason: "410".into() })]);
    let log: Arc<MemoryLog> = Arc::default();
    let outbox = start(&receiver, &log);
    send(&outbox, &log, &alert("a"));
    until("the call", || log.rows().len() == 1).await;
    send(&outbox, &log, &alert("b"));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    outbox.shutdown(Duration::from_secs(1)).await;
    assert_eq!(receiver.calls(), [["a"]]);
    let since = EventTime::now().plus_seconds(-60.0);
    assert_eq!(log.undelivered_alerts("scripted", since, 10).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn shutdown_attempts_what_waits_in_the_queue_but_not_for_ever() {
    let receiver = Receiver::answering([]);
    let log: Arc<MemoryLog> = Arc::default();
    let outbox = start(&receiver, &log);
    for n in 0..50 {
        send(&outbox, &log, &alert(&n.to_string()));
    }
    assert_eq!(outbox.shutdown(Duration::from_secs(10)).await, []);
    assert_eq!(receiver.calls().len(), 50);

    let stuck = Scripted { permits: Arc::new(Semaphore::new(0)), ..Scripted::new(&receiver) };
    let mut outbox = Outbox::default();
    outbox.add(stuck, &log, OutboxSettings::default());
    send(&outbox, &log, &alert("stuck"));
    let remaining = outbox.shutdown(Duration::from_secs(10)).await;
    assert_eq!(remaining, [Remaining { channel: "scripted", alerts: None }]);
}

#[tokio::test(start_paused = true)]
async fn a_declined_alert_is_recorded_so_that_it_is_not_asked_about_again() {
    let receiver = Receiver::answering([]);
    let log: Arc<MemoryLog> = Arc::default();
    let outbox = start(&receiver, &log);
    send(&outbox, &log, &Alert { risk: 10.0, ..alert("mild") });
    until("a row", || !log.rows().is_empty()).await;
    outbox.shutdown(Duration::from_secs(1)).await;
    assert_eq!(outcomes(&log), [("mild".into(), 0, DeliveryOutcome::Skipped)]);
    assert_eq!(receiver.calls().len(), 0);
}

fn act(incident: &str, kind: Kind, seen: &Alert) -> Act {
    let closes = kind.closes();
    Act {
        incident: incident.into(),
        id: format!("{incident} {kind:?}"),
        time: EventTime::now(),
        who: "alice".into(),
        origin: Origin::CommandLine,
        kind,
        reason: closes.then_some(CloseReason::FalseTravel),
        assignee: None,
        text: String::new(),
        seen: Seen::of(seen),
        quiet_seconds: if closes { 3_600 } else { 0 },
    }
}

fn updated(id: &str, revision: u32, detectors: &[DetectorId]) -> Alert {
    let (alert_type, detectors) = (AlertType::Updated, detectors.to_vec());
    Alert { revision, alert_type, detectors, ..alert(id) }
}

const TRAVEL: &[DetectorId] = &[DetectorId::ImpossibleTravel];
const AND_REPLAY: &[DetectorId] = &[DetectorId::DuplicateNonce, DetectorId::ImpossibleTravel];

#[tokio::test(start_paused = true)]
async fn evidence_of_a_closed_incident_is_kept_quiet_and_recorded_until_a_new_kind_reopens_it() {
    let receiver = Receiver::answering([]);
    let log: Arc<MemoryLog> = Arc::default();
    let outbox = start(&receiver, &log);
    outbox.casebook().learn(vec![act("a", Kind::Dismiss, &updated("a", 1, TRAVEL))]);
    send(&outbox, &log, &updated("a", 2, TRAVEL));
    send(&outbox, &log, &updated("a", 3, AND_REPLAY));
    send(&outbox, &log, &updated("b", 1, TRAVEL));
    until("three rows", || log.rows().len() == 3).await;
    use DeliveryOutcome::{Delivered, KeptQuiet};
    let rows = log.rows();
    let found: Vec<_> = rows.iter().map(|row| (row.revision, row.outcome)).collect();
    assert_eq!(found, [(2, KeptQuiet), (3, Delivered), (1, Delivered)]);
    assert!(rows[0].detail.starts_with("dismissed as false_travel by alice at "), "{rows:?}");
    outbox.shutdown(Duration::from_secs(1)).await;

    // After a restart nothing is sent that was kept quiet.
    let receiver = Receiver::answering([]);
    let outbox = start(&receiver, &log);
    tokio::time::sleep(Duration::from_secs(600)).await;
    outbox.shutdown(Duration::from_secs(1)).await;
    assert_eq!(receiver.calls(), [[""; 0]; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_follows_what_people_did_meanwhile() {
    let receiver = Receiver::answering([retryable()]);
    let log: Arc<MemoryLog> = Arc::default();
    let outbox = start(&receiver, &log);
    let request = Alert { alert_type: AlertType::RevocationRequested, ..updated("a", 2, TRAVEL) };
    send(&outbox, &log, &request);
    until("an attempt", || log.rows().len() == 1).await;
    outbox.casebook().learn(vec![act("a", Kind::Dismiss, &updated("a", 1, TRAVEL))]);
    until("the outcome", || log.rows().len() == 2).await;
    assert_eq!(log.rows()[1].outcome, DeliveryOutcome::Withdrawn);
    assert_eq!(receiver.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_all_revisions_gets_those_too_that_are_kept_quiet() {
    struct Record(Scripted);
    impl Channel for Record {
        fn name(&self) -> &'static str {
            "record"
        }
        fn declines(&self, _alert: &Alert) -> Option<&'static str> {
            None
        }
        fn is_record(&self) -> bool {
            true
        }
        async fn deliver(&self, alerts: &[Arc<Alert>]) -> Answer {
            assert_eq!(alerts[0].handling.close_reason, Some(CloseReason::FalseTravel));
            self.0.deliver(alerts).await
        }
    }
    let (receiver, log): (_, Arc<MemoryLog>) = (Receiver::answering([]), Arc::default());
    let mut outbox = Outbox::default();
    outbox.add(Record(Scripted::new(&receiver)), &log, OutboxSettings::default());
    outbox.casebook().learn(vec![act("a", Kind::Dismiss, &updated("a", 1, TRAVEL))]);
    send(&outbox, &log, &updated("a", 2, TRAVEL));
    until("delivery", || receiver.calls() == [["a"]]).await;
}

/// A store that loses the first record of each delivery.
#[derive(Default)]
struct Forgetful {
    inner: MemoryLog,
    calls: AtomicUsize,
}

impl DeliveryLog for Forgetful {
    type Error = std::io::Error;

    async fn record_deliveries(&self, rows: &[DeliveryRow]) -> std::io::Result<()> {
        if self.calls.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(std::io::Error::other("store is down"));
        }
        self.inner.record_deliveries(rows).await.unwrap();
        Ok(())
    }

    async fn undelivered_alerts(
        &self,
        channel: &str,
        since: EventTime,
        limit: usize,
    ) -> std::io::Result<Vec<Alert>> {
        Ok(self.inner.undelivered_alerts(channel, since, limit).await.unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_store_lost_is_repeated_without_another_delivery() {
    let receiver = Receiver::answering([]);
    let log: Arc<Forgetful> = Arc::default();
    let mut outbox = Outbox::default();
    outbox.add(Scripted::new(&receiver), &log, OutboxSettings::default());
    send(&outbox, &log.inner, &alert("a"));
    until("the record", || log.inner.rows().len() == 1).await;
    assert_eq!(receiver.calls(), [["a"]]);
}

/// A channel that holds each delivery until the test lets it go.
fn held(receiver: &Arc<Receiver>, parallel: usize) -> (Scripted, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    (Scripted { parallel, permits: Arc::clone(&permits), ..Scripted::new(receiver) }, permits)
}

fn severe(id: &str, severity: Severity) -> Alert {
    Alert { severity, ..alert(id) }
}

fn request(id: &str) -> Alert {
    Alert { alert_type: AlertType::SuspensionRequested, revision: 2, ..alert(id) }
}

#[tokio::test(start_paused = true)]
async fn requests_leave_first_then_critical_alerts_then_the_rest_each_in_order() {
    let receiver = Receiver::answering([]);
    let (channel, permits) = held(&receiver, 1);
    let log: Arc<MemoryLog> = Arc::default();
    let mut outbox = Outbox::default();
    outbox.add(channel, &log, OutboxSettings::default());
    for id in ["a", "b", "c"] {
        send(&outbox, &log, &severe(id, Severity::High));
    }
    // The first one is on its way when the others come.
    tokio::time::sleep(Duration::from_secs(1)).await;
    send(&outbox, &log, &severe("worse", Severity::Critical));
    send(&outbox, &log, &request("r"));
    send(&outbox, &log, &severe("worst", Severity::Critical));
    tokio::time::sleep(Duration::from_secs(1)).await;
    permits.add_permits(100);
    until("all calls", || receiver.calls().len() == 6).await;
    assert_eq!(receiver.calls().concat(), ["a", "r", "worse", "worst", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn as_many_deliveries_are_under_way_as_the_channel_allows_and_a_request_finds_a_slot() {
    let receiver = Receiver::answering([]);
    let (channel, permits) = held(&receiver, 3);
    let log: Arc<MemoryLog> = Arc::default();
    let mut outbox = Outbox::default();
    outbox.add(channel, &log, OutboxSettings::default());
    for n in 0..20 {
        send(&outbox, &log, &alert(&format!("{n:02}")));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    send(&outbox, &log, &request("r"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Three and the request wait for permits: four permits are taken at once, and no more.
    permits.add_permits(4);
    until("four calls", || receiver.calls().len() >= 4).await;
    assert!(receiver.calls().concat()[..4].contains(&"r".to_owned()), "{:?}", receiver.calls());
    permits.add_permits(100);
    until("all calls", || receiver.calls().len() == 21).await;
}

#[tokio::test(start_paused = true)]
async fn two_revisions_of_one_incident_are_never_under_way_at_once() {
    let receiver = Receiver::answering([]);
    let (channel, permits) = held(&receiver, 5);
    let log: Arc<MemoryLog> = Arc::default();
    let mut outbox = Outbox::default();
    outbox.add(channel, &log, OutboxSettings::default());
    for revision in 1..=3 {
        send(&outbox, &log, &Alert { revision, ..alert("a") });
    }
    send(&outbox, &log, &alert("b"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    permits.add_permits(2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut first = receiver.calls().concat();
    first.sort();
    assert_eq!(first, ["a", "b"], "revisions 2 and 3 wait for the first one");
    permits.add_permits(100);
    until("all calls", || receiver.calls().len() == 4).await;
    let delivered =
        || outcomes(&log).iter().filter(|it| it.2 == DeliveryOutcome::Delivered).count();
    until("all records", || delivered() == 4).await;
}

/// The store holds what the inbox has no room for.
#[tokio::test(start_paused = true)]
async fn a_flood_of_mild_alerts_leaves_room_for_a_request() {
    let receiver = Receiver::answering([]);
    let (channel, permits) = held(&receiver, 1);
    let log: Arc<MemoryLog> = Arc::default();
    let mut outbox = Outbox::default();
    outbox.add(channel, &log, OutboxSettings { queue: 3, ..OutboxSettings::default() });
    for n in 0..50 {
        send(&outbox, &log, &alert(&format!("{n:02}")));
    }
    send(&outbox, &log, &request("r"));
    permits.add_permits(1_000);
    until("all calls", || receiver.calls().len() == 51).await;
    let calls = receiver.calls().concat();
    let place = calls.iter().position(|id| id == "r");
    assert!(place.is_some_and(|place| place <= 1), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn what_people_have_suppressed_is_recorded_and_not_sent() {
    let receiver = Receiver::answering([]);
    let log: Arc<MemoryLog> = Arc::default();
    let outbox = start(&receiver, &log);
    let now = EventTime::now();
    let of = |key: &str| Suppression {
        id: format!("sup_{key}"),
        who: "alice".into(),
        note: String::new(),
        scope: Scope { keys: vec![key.into()], ..Scope::default() },
        from: now.plus_seconds(-60.0),
        until: now.plus_seconds(86_400.0),
        hides_critical: true,
        ended: None,
    };
    let key = alert("a").key_id.unwrap().to_string();
    outbox.casebook().set_suppressions(vec![of(&key)]);
    send(&outbox, &log, &alert("a"));
    send(&outbox, &log, &request("b"));
    send(&outbox, &log, &Alert { key_id: Some("other".into()), ..alert("c") });
    until("three rows", || log.rows().len() == 3).await;
    let mut found = outcomes(&log);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    use DeliveryOutcome::{Delivered, Suppressed, Withdrawn};
    let outcomes: Vec<_> = found.iter().map(|(id, _, outcome)| (id.as_str(), *outcome)).collect();
    assert_eq!(outcomes, [("a", Suppressed), ("b", Withdrawn), ("c", Delivered)]);
    assert!(log.rows().iter().any(|row| row.detail.starts_with(&format!("sup_{key} of alice"))));
    assert_eq!(receiver.calls(), [["c"]]);
}
