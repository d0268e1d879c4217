#![allow(clippy::unwrap_used)]

use super::*;

fn report() -> Compliance {
    let rows = [["=cmd()<script>", "3", NULL], ["production", "4", "2.5"]];
    let table = Table {
        columns: ["environment", "issued", "median_minutes"].map(String::from).to_vec(),
        rows: rows.iter().map(|row| row.map(String::from).to_vec()).collect(),
    };
    let section = Section { name: "keys", title: "Keys", explanation: "By environment.", table };
    let at = EventTime::from_seconds;
    Compliance {
        from: at(0),
        to: at(86_400),
        made_at: at(90_000),
        rotate_every_days: 90,
        audit_head: None,
        sections: vec![section],
    }
}

#[test]
fn all_forms_have_the_same_figures_and_no_value_is_markup_or_a_formula() {
    let report = report();
    assert_eq!(report.sum("keys", "issued"), 7.0);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["sections"]["keys"][1]["median_minutes"], 2.5);
    assert!(json["sections"]["keys"][0]["median_minutes"].is_null());
    let csv = csv::render(&report).unwrap();
    assert!(csv.contains("\nkeys,production,issued,4\n"), "{csv}");
    assert!(csv.contains("\nkeys,'=cmd()<script>,issued,3\n"), "{csv}");
    let page = page::render(&report);
    assert!(page.contains("=cmd()&lt;script&gt;") && page.contains("2.5</td>"), "{page}");
    assert!(text::render(&report).contains("production"));
}
