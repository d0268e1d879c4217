//! The page of the policy.

use keywatch::alert::{Action, Alert, AlertType, Restraint};
use keywatch::detect::Family;
use keywatch::event::EventTime;
use keywatch::respond::Spent;
use keywatch::workflow::{Scope, Suppression};
use tempfile::TempDir;

use super::store_alerts;
use crate::clickhouse::samples::alert;
use crate::support::clickhouse::database;
use crate::support::console::{Answer, Console};
use crate::support::settings::Settings;

const RULES: &str = "
[[rule]]
name = \"machines that trade\"
match.tenants = [\"acme\"]
match.min_confidence = 0.9
action = \"suspend\"
approval = true

[[rule]]
name = \"developers <b>travel</b>\"
match.detectors = [\"geo.*\"]
action = \"notify\"

[exempt]
keys = [\"key/of a\u{202e}partner\"]
tenants = [\"bank\"]
";

/// The part of the page with this id.
fn part<'a>(page: &'a Answer, id: &str) -> &'a str {
    let (_, rest) = page.body.split_once(&format!("id=\"{id}\"")).unwrap();
    rest.split("</section>").next().unwrap()
}

#[track_caller]
fn says(part: &str, words: &[&str]) {
    for word in words {
        assert!(part.contains(word), "no {word} in {part}");
    }
}

/// Three incidents of the second rule, one of a rule that is gone, and one of none.
fn incidents(now: EventTime) -> Vec<Alert> {
    let made = |id: &str, rule: Option<&str>, action, restraint| {
        let mut alert = alert(id, 1, &format!("key-{id}"), now);
        (alert.action, alert.restraint) = (action, restraint);
        alert.guidance.rule = rule.map(str::to_owned);
        alert
    };
    let travel = Some("developers <b>travel</b>");
    vec![
        made("inc_1", travel, Action::Notify, Some(Restraint::Rule)),
        made("inc_2", travel, Action::Notify, Some(Restraint::Rule)),
        made("inc_3", travel, Action::Observe, None),
        made("inc_4", Some("of last year"), Action::Suspend, None),
        made("inc_5", None, Action::Revoke, Some(Restraint::Budget)),
    ]
}

fn suppression(id: &str, now: EventTime) -> Suppression {
    Suppression {
        id: id.into(),
        who: "alice".into(),
        note: "load test <i>".into(),
        scope: Scope { tenants: vec!["acme".into()], ..Scope::default() },
        from: now.plus_seconds(-60.0),
        until: now.plus_seconds(3_600.0),
        hides_critical: true,
        ended: None,
    }
}

#[tokio::test]
async fn the_policy_page_tells_rules_budgets_exemptions_and_what_is_kept_quiet() {
    let database = database().await;
    let store = &database.store;
    let now = EventTime::now();
    store_alerts(store, 0, &incidents(now)).await;
    let proposal = Alert { action: Action::Revoke, dry_run: false, ..alert("inc_6", 1, "k", now) };
    let request = Alert { alert_type: AlertType::RevocationRequested, revision: 2, ..proposal };
    let spent = Spent {
        time: now,
        action: Action::Revoke,
        key_id: "k".into(),
        tenant: Some("acme".into()),
        family: Some(Family::Place),
        is_kept: false,
    };
    store.record_request(1, &request, &spent).await.unwrap();
    store.begin_suppression(&suppression("sup_now", now)).await.unwrap();
    let over = suppression("sup_over", now);
    store.begin_suppression(&over).await.unwrap();
    store.end_suppression(&over, "bob", "done").await.unwrap();

    let directory = TempDir::new().unwrap();
    let rules = directory.path().join("policy.toml");
    std::fs::write(&rules, RULES).unwrap();
    let settings = Settings::new(&database.config)
        .set("policy.rules_file", rules.to_str().unwrap())
        .set("policy.dry_run", false)
        .set("source.http.token", "a token of the tests alone")
        .set("policy.exempt_tenants", vec!["charity"]);
    let console = Console::start_with(settings);
    let page = console.get("/policy");
    assert_eq!(page.status, 200, "{}", page.body);

    says(&page.body, &["In force: suspensions and revocations are requested."]);
    let rules = part(&page, "rules");
    says(
        rules,
        &["1. &quot;machines that trade&quot;: incidents of confidence 0.9 or more, and of tenant"],
    );
    says(rules, &["0 incidents in 30 days", "3 incidents in 30 days: 2 notify, 1 observe"]);
    says(
        rules,
        &["No rule applied.", "Rules of another policy", "1 incident in 30 days: 1 revoke"],
    );
    says(rules, &["Whatever the rules say, nothing but a notice for keys"]);
    says(
        part(&page, "restraints"),
        &[
            "Evidence without proof asks for no more than <strong>throttle</strong>",
            "<td>a rule of the policy bounds it</td><td class=\"number\">2<",
        ],
    );
    let row = "<td class=\"action\">revoke</td><td class=\"number\">10</td><td class=\"number\">1</td>\
               <td class=\"number\"><strong>9</strong></td><td class=\"number\">2<";
    says(part(&page, "budgets"), &[row, "The next request leaves the hour at"]);
    says(part(&page, "breakers"), &["None is open."]);
    says(part(&page, "exempt"), &["key%2Fof%20a%E2%80%AEpartner", "⟨U+202E⟩", "bank", "charity"]);
    says(part(&page, "approvals"), &["machines that trade", "keys with more than 100,000"]);
    let quiet = part(&page, "quiet");
    says(quiet, &["Maintenance window", "acme", "critical alerts too", "end <bdi>sup_now"]);
    assert!(!quiet.contains("sup_over"), "{quiet}");
    says(part(&page, "ladder"), &["revoke</td>", "5,000"]);
    says(part(&page, "change"), &["keywatch diff -c keywatch.toml --days 30"]);
    for hostile in ["<b>", "<i>", "\u{202e}"] {
        assert!(!page.body.contains(hostile), "{hostile}");
    }
}

#[tokio::test]
async fn a_policy_without_rules_says_so() {
    let database = database().await;
    let console = Console::start(&database.config);
    let page = console.get("/policy");
    assert_eq!(page.status, 200, "{}", page.body);
    says(
        &page.body,
        &["Dry run: actions are recorded", "No rules: whatever the evidence asks for"],
    );
    says(&page.body, &["None: any key may be suspended", "Nothing is suppressed.", "aria-current"]);
}
