//! Rules as queries, and why others are none.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::error::Problem;
use super::{SigmaError, query};

/// A rule with this `detection`, indented by four.
fn rule(detection: &str) -> String {
    format!("title: A rule\nlogsource:\n    category: webserver\ndetection:\n{detection}")
}

/// A rule whose only selection has these lines.
fn selecting(lines: &str) -> String {
    rule(&format!("    selection:\n        {lines}\n    condition: selection\n"))
}

fn problem(text: &str) -> Problem {
    query(text, 7, 10).unwrap_err().problem
}

/// The condition of the selection.
fn selection(lines: &str) -> Result<String, SigmaError> {
    let sql = query(&selecting(lines), 7, 10)?.sql;
    let (_, rest) = sql.split_once("WITH\n    (").unwrap();
    Ok(rest.split_once(") AS `is selection`").unwrap().0.to_owned())
}

#[test]
fn fields_and_values_become_conditions() {
    for (lines, sql) in [
        ("cs-method: POST", "method ILIKE 'POST'"),
        ("cs-uri|startswith: /v1/", "path ILIKE '/v1/%'"),
        ("path|endswith|cased: .env", "path LIKE '%.env'"),
        ("path|contains: ['..', 'a_b%']", r"(path ILIKE '%..%' OR path ILIKE '%a\\_b\\%%')"),
        ("path|contains|all: [a, b]", "(path ILIKE '%a%' AND path ILIKE '%b%')"),
        ("sc-status: [401, '403']", "(status = 401 OR status = 403)"),
        ("status: 4*", "ifNull(toString(status), '') ILIKE '4%'"),
        ("sc-bytes|gte: 1000000", "ifNull(bytes_out >= 1000000, false)"),
        ("latency_ms|lt: 0.5", "ifNull(latency_ms < 0.5, false)"),
        ("sourceIPAddress: 203.0.113.7", "client_ip = toIPv6('203.0.113.7')"),
        ("c-ip: 10.*", "client_address ILIKE '10.%'"),
        (
            "c-ip|cidr: 10.0.0.0/8",
            "client_ip BETWEEN toIPv6('10.0.0.0') AND toIPv6('10.255.255.255')",
        ),
        ("userAgent|re: curl/[0-9]+", "match(user_agent, '(?-s)curl/[0-9]+')"),
        ("userAgent|re|i|s: a.b", "match(user_agent, '(?is)a.b')"),
        ("eventName: DeleteTrail", "splitByChar(':', path)[2] ILIKE 'DeleteTrail'"),
        ("tenant: null", "tenant = ''"),
        ("bytes_in|exists: false", "isNull(bytes_in)"),
        ("scope|exists: true", "NOT (scope = '')"),
        ("authenticated: false", "ifNull(authenticated = false, false)"),
        ("- sqlmap", "(path ILIKE '%sqlmap%' OR user_agent ILIKE '%sqlmap%')"),
    ] {
        assert_eq!(selection(lines).as_deref(), Ok(sql), "{lines}");
    }
    let both = "- method: GET\n          status: 200\n        - asn: 5";
    assert_eq!(selection(both).unwrap(), "((method ILIKE 'GET' AND status = 200) OR asn = 5)");
}

#[test]
fn conditions_join_selections_by_name() {
    let text = rule(
        "    time:\n        status: 1\n    filter_a:\n        status: 2\n    filter_b:\n        \
         status: 3\n    condition: time and not 1 of filter_*\n",
    );
    let query = query(&text, 30, 5).unwrap();
    let parts = [
        "(status = 1) AS `is time`",
        "toIntervalDay(30)\n    AND ((`is time` AND NOT (`is filter_a` OR `is filter_b`)))",
        "LIMIT 5\n",
    ];
    for part in parts {
        assert!(query.sql.contains(part), "no {part} in {}", query.sql);
    }
}

#[test]
fn values_are_literals_whatever_is_in_them() {
    let value = r#"cs-uri|contains: "'; DROP TABLE x --\\\n\0\u001b{a:String}`""#;
    let sql = selection(value).unwrap();
    let escaped = r"path ILIKE '%\'; DROP TABLE x --\\\\\n\0\x1b\x7ba:String\x7d`%'";
    assert_eq!(sql, escaped);
    let title = "title: \"x\\n; DROP TABLE access_events\\u2028\"\n";
    let text = selecting("status: 1").replace("title: A rule\n", title);
    let sql = query(&text, 7, 10).unwrap().sql;
    assert!(sql.starts_with("-- x"), "{sql}");
    assert!(sql.lines().nth(1) == Some("WITH") && !sql.contains('\u{2028}'), "{sql}");
}

#[test]
fn names_of_selections_cannot_leave_their_quotes() {
    for name in ["a`b", "a b", "\"a'b\"", "ä", "\"\""] {
        let text = rule(&format!("    {name}:\n        status: 1\n    condition: 1 of them\n"));
        assert!(matches!(problem(&text), Problem::Name(_)), "{name}: {:?}", problem(&text));
    }
}

#[test]
fn what_is_not_supported_is_refused_with_its_line() {
    for (lines, expected) in [
        ("CommandLine: x", Problem::UnknownField("CommandLine".into())),
        ("cs-uri-query: x", Problem::UnknownField("cs-uri-query".into())),
        ("path|base64offset|contains: x", Problem::UnknownModifier("base64offset".into())),
        ("path|fieldref: method", Problem::UnknownModifier("fieldref".into())),
        ("path|contains|endswith: x", Problem::Modifiers("path|contains|endswith".into())),
        ("path|re|cased: x", Problem::Modifiers("path|re|cased".into())),
        ("path|i: x", Problem::Modifiers("path|i".into())),
        ("path: []", Problem::Missing("a value")),
    ] {
        assert_eq!(problem(&selecting(lines)), expected, "{lines}");
    }
    for lines in [
        "status: many",
        "status|gt: '1 OR 1'",
        "path|gt: 5",
        "bytes_in: 1e400",
        "bytes_in: NaN",
        "c-ip: 1.2.3",
        "c-ip|cidr: 1.2.3.4/99",
        "path|cidr: 10.0.0.0/8",
        "authenticated: maybe",
        "path: {a: b}",
    ] {
        let found = problem(&selecting(lines));
        assert!(matches!(found, Problem::Value { .. }), "{lines}: {found:?}");
    }
    let error = query(&selecting("method: GET\n        CommandLine: x"), 7, 10).unwrap_err();
    assert_eq!(error.line, 7, "{error}");
    assert!(error.to_string().starts_with("line 7: access logs have no field `CommandLine`"));
}

#[test]
fn rules_about_other_logs_or_several_requests_are_refused() {
    let of = |source: &str| selecting("status: 1").replace("category: webserver", source);
    for source in
        ["category: process_creation", "product: windows", "{product: aws, service: guardduty}"]
    {
        let source = of(source).replace("\n    {", " {");
        assert!(matches!(problem(&source), Problem::OtherLogs(_)), "{source}");
    }
    for source in ["product: aws\n    service: cloudtrail", "category: proxy", "product: keywatch"]
    {
        assert!(query(&of(source), 7, 10).is_ok(), "{source}");
    }
    let counting = selecting("status: 1")
        .replace("condition: selection", "condition: selection | count() > 9");
    assert!(matches!(problem(&counting), Problem::Correlation(_)));
    let correlation = "title: x\ncorrelation:\n    type: event_count\n";
    assert!(matches!(problem(correlation), Problem::Correlation(_)));
    let two = selecting("status: 1") + "---\n" + &selecting("status: 2");
    assert_eq!(problem(&two), Problem::SeveralRules);
}

#[test]
fn a_hostile_file_is_refused_before_it_costs_anything() {
    let laughs = "a: &a [x, x]\nb: [*a, *a]\n";
    assert_eq!(problem(laughs), Problem::NotPlain);
    assert!(matches!(problem(&"[".repeat(5_000)), Problem::TooDeep(_) | Problem::Yaml(_)));
    assert!(matches!(problem(&"- ".repeat(5_000)), Problem::TooDeep(_) | Problem::Yaml(_)));
    assert!(matches!(problem(&"x".repeat(300_000)), Problem::TooLarge(_)));
    let wide = format!("path|contains: [{}]", "'%%%%%%%%',".repeat(10_000));
    assert!(matches!(problem(&selecting(&wide)), Problem::LongQuery(_)));
    for empty in ["", "---", "[]", "title: x", "detection: 5", "detection: {condition: []}"] {
        assert!(query(empty, 7, 10).is_err(), "{empty}");
    }
}

proptest! {
    /// Outside of literals, a query has no text of the rule.
    #[test]
    fn no_value_ends_its_literal(value in any::<String>()) {
        let json = serde_json::to_string(&value).unwrap();
        let Ok(sql) = selection(&format!("path|contains: {json}")) else { return Ok(()) };
        let literal = sql.strip_prefix("path ILIKE '").and_then(|rest| rest.strip_suffix('\''));
        let mut chars = literal.unwrap().chars();
        while let Some(char) = chars.next() {
            prop_assert!(char != '\'' && !char.is_ascii_control(), "{}", sql);
            if char == '\\' {
                prop_assert!(chars.next().is_some(), "{}", sql);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), lines in "[a-z*:|'\"\\[\\]{}&!\n -]{0,60}") {
        let _ = query(&text, 7, 10);
        let _ = query(&selecting(&lines), 7, 10);
        let _ = query(&rule(&lines), 7, 10);
    }
}
