//! ClickHouse away.

use keywatch::config::ClickHouseConfig;
use keywatch::event::EventTime;
use keywatch::store::Store;

use super::store_alerts;
use crate::clickhouse::samples::alert;
use crate::support::clickhouse::start;
use crate::support::console::Console;
use crate::support::eventually::{LIMIT, eventually};

#[tokio::test]
async fn a_page_shows_what_it_last_knew_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path(), None).await;
    let config = ClickHouseConfig { database: "away".into(), ..server.config() };
    let store = Store::new(&config);
    store.migrate().await.unwrap();
    store_alerts(&store, 0, &[alert("inc_1", 1, "key-a", EventTime::now())]).await;
    let console = Console::start(&config);
    assert_eq!(console.get("/incidents").status, 200);
    let port = config.url.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap();
    drop(server);

    // The last rendering counts as fresh for a second.
    eventually("the page says that ClickHouse is away", LIMIT, async || {
        console.get("/incidents").status == 503
    })
    .await;
    let page = console.get("/incidents");
    assert!(page.body.contains("ClickHouse does not answer."), "{}", page.body);
    assert!(page.body.contains("This is what Keywatch knew at"), "{}", page.body);
    assert!(page.body.contains("Impossible travel of key-a"), "{}", page.body);
    let unknown = console.get("/key?id=key-a");
    assert_eq!(unknown.status, 503);
    assert!(unknown.body.contains("Nothing to show yet"), "{}", unknown.body);

    let _server = start(directory.path(), Some(port)).await;
    eventually("the page is current again", LIMIT, async || {
        console.get("/incidents").status == 200
    })
    .await;
}
