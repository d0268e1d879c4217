//! Name resolution fails while the service runs: it says which name, waits, and loses nothing.

use crate::support::clickhouse::{lines, start};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::{Broker, Place};
use crate::support::mailbox::Mailbox;
use crate::support::names::Names;
use crate::support::receiver::Receiver;
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::skip::skip;
use crate::support::stored::{assert_exact, wait_for_rows};
use crate::support::topic::{produce, topic_of};
use crate::support::traffic::Traffic;

const STORES: &str = "localhost";
const ALL: &str = "localhost mail.test hooks.test";

/// A revision that a later one has replaced is skipped.
const UNDELIVERED: &str = "SELECT count() FROM alerts WHERE (id, revision) NOT IN (SELECT \
    alert_id, revision FROM deliveries WHERE channel = 'webhook' \
    AND outcome IN ('delivered', 'skipped'))";
const UNRESOLVED: &str = "SELECT DISTINCT channel FROM deliveries WHERE channel IN ('email', \
    'webhook') AND detail LIKE concat('%', if(channel = 'email', 'mail', 'hooks'), '.test%') \
    ORDER BY channel";
const DELIVERED_TWICE: &str = "SELECT count() FROM (SELECT alert_id, revision FROM deliveries \
    WHERE outcome = 'delivered' GROUP BY channel, alert_id, revision HAVING count() > 1)";

/// The servers are started again meanwhile, so that each connection must be opened anew. The names
/// of the receivers are gone before the first alert, and those of the stores in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_cannot_be_resolved_are_named_and_waited_for() {
    if !Names::are_possible() {
        return skip("mount namespaces are not allowed here");
    }
    let names = Names::new(STORES);
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(folder.path(), None).await;
    let config = server.config();
    let port: u16 = config.url.rsplit(':').next().unwrap().parse().unwrap();
    let store = keywatch::store::Store::new(&config);
    let place = Place::named("localhost");
    let mut broker = Broker::start_and_keep_data(place.clone());
    let (mailbox, receiver) = (Mailbox::start(&[]), Receiver::start([]).await);
    let (all, rest) = (Traffic::attacks(), Traffic::generated(20, 1.0, 1.0, 31));
    let topic = topic_of(&broker, &all).await;
    let settings = Settings::new(&config)
        .kafka(&topic)
        .batch_records(100)
        .set("source.kafka.brokers", place.named_address())
        .set("clickhouse.url", format!("http://localhost:{port}"))
        .mail_to(&mailbox, "alice@example.com")
        .set("email.host", "mail.test")
        .webhook(
            &receiver.url.replace("127.0.0.1", "hooks.test"),
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        );
    let service = Service::start_among(&settings, &names);
    wait_for_rows(&store, "access_events", all.events.len()).await;
    eventually("the names are told", LIMIT, async || {
        let told = lines(&store, UNRESOLVED).await;
        (told == ["email", "webhook"]).then_some(()).ok_or(told)
    })
    .await;
    assert_eq!((receiver.received().len(), mailbox.mails().len()), (0, 0));
    assert!(
        service.is_ready(),
        "a receiver that is away is no reason to send the traffic elsewhere"
    );

    names.set("");
    drop((server, broker));
    server = start(folder.path(), Some(port)).await;
    broker = Broker::start(place.clone());
    produce(&broker, &topic, &rest);
    service.wait_until_it_waits_for("source").await;
    service.wait_for_log(&format!("ClickHouse at http://localhost:{port} is unavailable"));
    let told = service.wait_for_log("the name of a Kafka broker cannot be resolved");
    assert!(told.contains(&place.named_address()), "{told}");
    assert_eq!(service.get("/healthz").0, 200);

    names.set(ALL);
    let all = all.joined(rest);
    wait_for_rows(&store, "access_events", all.events.len()).await;
    assert_exact(&store, &all).await;
    eventually("ready again", LIMIT, async || service.is_ready()).await;
    eventually("delivered", LIMIT, async || lines(&store, UNDELIVERED).await == ["0"]).await;
    assert_eq!(lines(&store, DELIVERED_TWICE).await, ["0"]);
    mailbox.wait_for(1).await;
    assert!(service.terminate().0.success());
    drop((server, broker));
}
