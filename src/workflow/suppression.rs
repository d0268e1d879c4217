//! Decides whether a person has asked not to be told of an alert: by a suppression of some evidence, or
//! by a maintenance window of some keys.
//!
//! An alert is hidden only if each item of its evidence is. Whoever causes evidence that nobody
//! suppressed is thus seen.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;
use serde_json::Value;

use crate::alert::{Alert, AlertType, DetectorId, Evidence, Severity};
use crate::event::EventTime;

/// The evidence that is suppressed. All parts that are given must fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scope {
    /// Empty for all detectors, as in a maintenance window.
    pub detectors: Vec<DetectorId>,
    pub keys: Vec<String>,
    pub tenants: Vec<String>,
    /// The network of the request that caused the evidence.
    pub asn: Option<u32>,
    pub cidr: Option<IpNet>,
    pub route: Option<String>,
}

/// A row of the table `suppressions`, with its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suppression {
    pub id: String,
    pub who: String,
    pub note: String,
    pub scope: Scope,
    pub from: EventTime,
    pub until: EventTime,
    /// Whether critical alerts are hidden too.
    pub hides_critical: bool,
    /// When somebody ended it early, and who.
    pub ended: Option<(EventTime, String)>,
}

impl Scope {
    /// Whether it names more than detectors. One that does not would hide a detector as a whole.
    pub fn is_bounded(&self) -> bool {
        let is_of_keys = !self.keys.is_empty() || !self.tenants.is_empty();
        let is_of_places = self.asn.is_some() || self.cidr.is_some() || self.route.is_some();
        is_of_keys || (is_of_places && !self.detectors.is_empty())
    }

    /// Whether this item of the alert's evidence is suppressed.
    fn covers(&self, alert: &Alert, item: &Evidence) -> bool {
        let names = |names: &[String], name: Option<&str>| {
            names.is_empty() || name.is_some_and(|name| names.iter().any(|it| it == name))
        };
        (self.detectors.is_empty() || self.detectors.contains(&item.detector))
            && names(&self.keys, alert.key_id.as_deref())
            && names(&self.tenants, alert.tenant.as_deref())
            && self.asn.is_none_or(|asn| asn_of(item) == Some(asn))
            && self.cidr.is_none_or(|cidr| {
                address_of(alert, item).is_some_and(|address| cidr.contains(&address))
            })
            && self
                .route
                .as_ref()
                .is_none_or(|route| item.fields.get("route").and_then(Value::as_str) == Some(route))
    }
}

/// The address of the request that caused the evidence. Of two requests it is the later one: a thief
/// must not be hidden by an owner whose network is suppressed.
fn address_of(alert: &Alert, item: &Evidence) -> Option<IpAddr> {
    let of_pair = ["to", "second_request"].into_iter().find_map(|name| item.fields.get(name));
    let address = match of_pair {
        Some(request) => request.get("ip"),
        None => item.fields.get("ip"),
    };
    let address = address.and_then(Value::as_str).and_then(|text| text.parse().ok());
    address.or(alert.source_ip)
}

fn asn_of(item: &Evidence) -> Option<u32> {
    let fields = Value::Object(item.fields.clone());
    let paths = ["/to/place/asn", "/asn", "/place/asn"];
    let found = paths.into_iter().find_map(|path| fields.pointer(path));
    found.and_then(Value::as_u64).and_then(|asn| u32::try_from(asn).ok())
}

impl Suppression {
    pub fn is_active(&self, at: EventTime) -> bool {
        let has_ended = self.ended.as_ref().is_some_and(|(end, _)| *end <= at);
        self.from <= at && at < self.until && !has_ended
    }

    /// Whether it takes part in hiding this alert, which is due at `now`.
    fn applies(&self, alert: &Alert, now: EventTime) -> bool {
        let may_hide = self.hides_critical || alert.severity < Severity::Critical;
        let is_active = self.is_active(alert.detected_at) || self.is_active(now);
        // Whoever was told of an incident must hear of its end.
        let is_in_time =
            alert.alert_type != AlertType::Resolved || self.from <= alert.first_event_time;
        may_hide && is_active && is_in_time
    }
}

/// The suppression of the alert's strongest evidence, if all of its evidence is suppressed.
pub fn hidden_by<'a>(
    suppressions: &'a [Suppression],
    alert: &Alert,
    now: EventTime,
) -> Option<&'a Suppression> {
    let active: Vec<_> = suppressions.iter().filter(|it| it.applies(alert, now)).collect();
    let covering = |item: &Evidence| active.iter().find(|it| it.scope.covers(alert, item)).copied();
    let mut strongest = None;
    for item in &alert.evidence {
        let suppression = covering(item)?;
        strongest.get_or_insert(suppression);
    }
    let is_without_evidence =
        |detector: &DetectorId| alert.evidence.iter().all(|item| item.detector != *detector);
    let unknown = alert.detectors.iter().any(is_without_evidence);
    strongest.filter(|_| !unknown)
}

/// `rate.spike of key ak_1 from 192.0.2.0/24`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detectors: Vec<&str> = self.detectors.iter().map(|it| it.as_str()).collect();
        match detectors.as_slice() {
            [] => f.write_str("all detectors")?,
            names => f.write_str(&names.join(", "))?,
        }
        for (noun, names) in [("key", &self.keys), ("tenant", &self.tenants)] {
            if !names.is_empty() {
                write!(f, " of {noun} {}", names.join(", "))?;
            }
        }
        if let Some(asn) = self.asn {
            write!(f, " from AS{asn}")?;
        }
        if let Some(cidr) = self.cidr {
            write!(f, " from {cidr}")?;
        }
        self.route.iter().try_for_each(|route| write!(f, " on {route}"))
    }
}

/// `suppressed by sup_… of alice until 2026-…`.
impl fmt::Display for Suppression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} until {}", self.id, self.who, self.until)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::deliver::fixtures;

    fn at(second: i64) -> EventTime {
        EventTime::from_seconds(second)
    }

    fn evidence(detector: DetectorId, fields: Value) -> Evidence {
        let fields = fields.as_object().cloned().unwrap();
        Evidence {
            detector,
            score: 50.0,
            p_value: 1e-5,
            observed: None,
            expected: None,
            ceiling: None,
            fields,
        }
    }

    /// An alert at second 100 about the key `ak` of `acme`.
    fn alert(evidence: Vec<Evidence>) -> Alert {
        Alert {
            key_id: Some("ak".into()),
            tenant: Some("acme".into()),
            severity: Severity::High,
            detectors: evidence.iter().map(|item| item.detector).collect(),
            evidence,
            first_event_time: at(90),
            detected_at: at(100),
            ..fixtures::alert("impossible_travel")
        }
    }

    fn suppression(scope: Scope) -> Suppression {
        Suppression {
            id: "sup_1".into(),
            who: "alice".into(),
            note: "deploy".into(),
            scope,
            from: at(50),
            until: at(500),
            hides_critical: false,
            ended: None,
        }
    }

    fn spikes_of_ak() -> Suppression {
        suppression(Scope {
            detectors: vec![DetectorId::RateSpike],
            keys: vec!["ak".into()],
            ..Scope::default()
        })
    }

    fn spike() -> Evidence {
        evidence(DetectorId::RateSpike, json!({}))
    }

    fn is_hidden(suppression: &Suppression, alert: &Alert) -> bool {
        hidden_by(std::slice::from_ref(suppression), alert, at(120)).is_some()
    }

    #[test]
    fn an_alert_is_hidden_only_if_all_of_its_evidence_is() {
        assert!(is_hidden(&spikes_of_ak(), &alert(vec![spike()])));
        let nonce = evidence(DetectorId::DuplicateNonce, json!({}));
        let both = alert(vec![spike(), nonce]);
        assert!(!is_hidden(&spikes_of_ak(), &both));
        let rest = suppression(Scope { tenants: vec!["acme".into()], ..Scope::default() });
        assert!(hidden_by(&[spikes_of_ak(), rest], &both, at(120)).is_some());
        let other = Alert { key_id: Some("other".into()), ..alert(vec![spike()]) };
        assert!(!is_hidden(&spikes_of_ak(), &other));
        assert!(!is_hidden(&spikes_of_ak(), &alert(Vec::new())), "no evidence, nothing to hide");
    }

    #[test]
    fn critical_alerts_are_hidden_only_on_request() {
        let critical = Alert { severity: Severity::Critical, ..alert(vec![spike()]) };
        assert!(!is_hidden(&spikes_of_ak(), &critical));
        assert!(is_hidden(&Suppression { hides_critical: true, ..spikes_of_ak() }, &critical));
    }

    #[test]
    fn a_suppression_counts_from_its_beginning_to_its_end() {
        let hides = |from, until, ended: Option<i64>| {
            let ended = ended.map(|end| (at(end), "bob".to_owned()));
            let suppression =
                Suppression { from: at(from), until: at(until), ended, ..spikes_of_ak() };
            is_hidden(&suppression, &alert(vec![spike()]))
        };
        assert!(hides(50, 500, None));
        assert!(hides(110, 500, None), "an alert that is not sent yet");
        assert!(hides(50, 101, None), "an alert of the window that is sent late");
        assert!(!hides(130, 500, None) && !hides(50, 100, None));
        assert!(!hides(50, 500, Some(95)));
        assert!(hides(50, 500, Some(105)));
    }

    #[test]
    fn of_two_requests_the_later_one_is_judged_by_its_network() {
        let travel = |from: &str, to: &str| {
            let fields = json!({
                "from": { "ip": from, "place": { "asn": 1 } },
                "to": { "ip": to, "place": { "asn": 2 } },
            });
            alert(vec![evidence(DetectorId::ImpossibleTravel, fields)])
        };
        let vpn = suppression(Scope {
            detectors: vec![DetectorId::ImpossibleTravel],
            cidr: Some("192.0.2.0/24".parse().unwrap()),
            ..Scope::default()
        });
        assert!(is_hidden(&vpn, &travel("198.51.100.1", "192.0.2.7")));
        assert!(!is_hidden(&vpn, &travel("192.0.2.7", "198.51.100.1")), "a thief elsewhere");
        let of_as = |asn| suppression(Scope { cidr: None, asn: Some(asn), ..vpn.scope.clone() });
        assert!(is_hidden(&of_as(2), &travel("192.0.2.7", "198.51.100.1")));
        assert!(!is_hidden(&of_as(1), &travel("192.0.2.7", "198.51.100.1")));
    }

    #[test]
    fn the_end_of_an_incident_that_was_told_is_told() {
        let end = Alert { alert_type: AlertType::Resolved, ..alert(vec![spike()]) };
        assert!(is_hidden(&spikes_of_ak(), &end));
        let later = Suppression { from: at(95), ..spikes_of_ak() };
        assert!(!is_hidden(&later, &end));
    }

    #[test]
    fn a_scope_without_keys_and_places_is_not_bounded() {
        assert!(!Scope { detectors: vec![DetectorId::RateSpike], ..Scope::default() }.is_bounded());
        assert!(!Scope { asn: Some(1), ..Scope::default() }.is_bounded());
        assert!(Scope { tenants: vec!["acme".into()], ..Scope::default() }.is_bounded());
        assert!(spikes_of_ak().scope.is_bounded());
        let text = spikes_of_ak().scope.to_string();
        assert_eq!(text, "rate.spike of key ak");
    }
}
