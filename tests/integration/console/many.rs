//! Many incidents, page by page.

use std::collections::BTreeSet;

use crate::support::clickhouse::database;
use crate::support::console::Console;

const INCIDENTS: usize = 100_000;

/// Incidents whose times and risks repeat, so that pages end among equals.
const SQL: &str = "INSERT INTO alerts (id, revision, type, key_id, severity, risk, confidence, action, \
        title, detectors, detected_at, alert) \
    SELECT concat('inc_', leftPad(toString(number), 6, '0')), 1, 'alert.opened', \
        concat('key-', toString(number % 977)), ['low', 'medium', 'high', 'critical'][number % 4 + 1], \
        number % 90, 0.5, 'notify', concat('Title ', toString(number)), ['rate.spike'], \
        now64(6) - toIntervalSecond(intDiv(number, 7)), '{}' FROM numbers(100000)";

fn ids(page: &str) -> Vec<String> {
    let links = page.split("href=\"/incidents/inc_").skip(1);
    links.map(|link| link.split('"').next().unwrap().to_owned()).collect()
}

fn next(page: &str) -> Option<String> {
    let link = page.split("rel=\"next\" href=\"").nth(1)?;
    Some(link.split('"').next().unwrap().replace("&amp;", "&"))
}

#[tokio::test]
async fn pages_of_a_long_list_leave_nothing_out_and_repeat_nothing() {
    let database = database().await;
    database.store.query_table(SQL, &[]).await.unwrap();
    let console = Console::start(&database.config);
    for sort in ["", "risk"] {
        let mut address = format!("/incidents?severity=high&key=key-97&sort={sort}");
        let mut seen = Vec::new();
        loop {
            let page = console.get(&address);
            assert_eq!(page.status, 200, "{}", page.body);
            seen.extend(ids(&page.body));
            match next(&page.body) {
                Some(next) => address = next,
                None => break,
            }
        }
        let expected =
            (0..INCIDENTS).filter(|n| n % 4 == 2 && (n % 977).to_string().starts_with("97"));
        assert_eq!(seen.len(), expected.count(), "{sort}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len());
    }
    let page = console.get("/incidents");
    assert!(page.body.contains("100,000 incidents"), "{}", page.body);
    assert!(page.body.len() < 100_000, "{}", page.body.len());
    assert_eq!(ids(&page.body).len(), 50);
    assert_eq!(console.get("/").status, 200);
}
