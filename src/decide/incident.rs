//! Holds one open incident of a subject, and writes its revisions as alerts.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::policy::{Policy, Verdict};
use super::rules::Case;
use super::subject::{KnownKey, Occurrence, Subject};
use super::{Moment, position};
use crate::alert::{
    Action, Alert, AlertType, Attacks, Ceiling, DetectorId, Evidence, Guidance, Handling,
    KeyTraits, Restraint,
};
use crate::config::Rule;
use crate::detect::Signal;
use crate::event::{EventTime, HOUR_SECONDS, KeyId, PartitionId};

/// For this many hours evidence of a detector may come again. The incident stays open for that long;
/// otherwise each window of behaviour, each run of a new program and each burst of an hourly job
/// would open an incident of its own. A broken rule of the registry stays broken until a person
/// mends it, and the job that breaks it may run once a day.
const fn hours_between(detector: DetectorId) -> f64 {
    match detector {
        DetectorId::ExpiredKeyUse
        | DetectorId::RetiredKeyUse
        | DetectorId::RevokedKeyUse
        | DetectorId::EnvironmentMismatch
        | DetectorId::IpNotAllowed => 26.0,
        DetectorId::BehaviourOutlier | DetectorId::NewAgent | DetectorId::NewFingerprint => 3.0,
        DetectorId::RateSpike => 1.25,
        _ => 0.0,
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Incident {
    id: String,
    subject: Subject,
    tenant: Option<String>,
    source_ip: Option<IpAddr>,
    affected_keys: Vec<KeyId>,
    partition: PartitionId,
    revision: u32,
    /// Strongest first, one for each item of evidence.
    findings: Vec<Finding>,
    #[serde(with = "super::as_json")]
    evidence: Vec<Evidence>,
    /// The key's traits, and the channels that were told so far: they hear of the end too.
    #[serde(with = "super::as_json")]
    guidance: Guidance,
    first_offset: i64,
    last_offset: i64,
    first_event_time: EventTime,
    last_event_time: EventTime,
    detected_event_time: EventTime,
    /// The event time that the partition had reached at the last evidence. With the time of the
    /// evidence itself, a late record (hours old) would open an incident that closes at once, and
    /// the next late record would open another.
    quiet_since: EventTime,
}

#[derive(Debug, Serialize, Deserialize)]
struct Finding {
    headline: String,
    sentence: String,
}

impl Incident {
    pub fn open(
        subject: &Subject,
        occurrence: Occurrence<'_>,
        detector: DetectorId,
        moment: Moment<'_>,
    ) -> Self {
        let Occurrence { time, offset, .. } = occurrence;
        Self {
            id: incident_id(subject, occurrence.named_after, detector),
            subject: subject.clone(),
            tenant: occurrence.known.tenant().map(ToString::to_string),
            source_ip: None,
            affected_keys: Vec::new(),
            partition: moment.partition.clone(),
            revision: 0,
            findings: Vec::new(),
            evidence: Vec::new(),
            guidance: Guidance { key: occurrence.known.traits(), ..Guidance::default() },
            first_offset: offset,
            last_offset: offset,
            first_event_time: time,
            last_event_time: time,
            detected_event_time: time,
            quiet_since: time.max(moment.watermark),
        }
    }

    /// Adds signals. A signal replaces an earlier one of the same detector and ceiling, unless the
    /// earlier one is stronger.
    pub fn add(&mut self, occurrence: Occurrence<'_>, signals: Vec<Signal>, moment: Moment<'_>) {
        if signals.iter().any(proves_use) || !self.has_proof() {
            self.touch(occurrence, moment);
        }
        self.detected_event_time = occurrence.time;
        self.learn_key(occurrence);
        self.source_ip = occurrence.source_ip;
        self.affected_keys = occurrence.affected_keys.to_vec();
        for signal in signals {
            let same = |e: &Evidence| e.detector == signal.detector && e.ceiling == signal.ceiling;
            let known = self.evidence.iter().position(same);
            if let Some(place) = known {
                if self.evidence[place].p_value < signal.p_value {
                    continue;
                }
                self.evidence.remove(place);
                self.findings.remove(place);
            }
            let finding =
                Finding { headline: signal.headline.clone(), sentence: signal.sentence.clone() };
            let place = self.evidence.partition_point(|e| e.p_value <= signal.p_value);
            self.evidence.insert(place, signal.into_evidence());
            self.findings.insert(place, finding);
        }
    }

    /// Takes over the facts of the registry, which may have changed. What was learned of the key when
    /// the incident began stands: its requests since then may be a thief's.
    fn learn_key(&mut self, occurrence: Occurrence<'_>) {
        let known = occurrence.known;
        let registered = KnownKey::new(known.registered, None).tenant();
        let tenant = registered.map(ToString::to_string).or(self.tenant.take());
        self.tenant = tenant.or_else(|| known.tenant().map(ToString::to_string));
        let so_far = std::mem::take(&mut self.guidance.key);
        let traffic = so_far.requests_per_day;
        let key = known.registered_traits().or_else(&so_far.or_else(&known.traits()));
        // Requests since the incident began are not the key's usual traffic.
        self.guidance.key = KeyTraits { requests_per_day: traffic, ..key };
    }

    /// Notes that this event shows the unusual behaviour too.
    pub fn touch(&mut self, occurrence: Occurrence<'_>, moment: Moment<'_>) {
        let Occurrence { time, offset, .. } = occurrence;
        let now = time.max(moment.watermark);
        if self.partition == *moment.partition {
            self.quiet_since = self.quiet_since.max(now);
        } else {
            // The positions of an alert name one partition: the latest.
            self.partition = moment.partition.clone();
            self.first_offset = offset;
            self.last_offset = offset;
            self.quiet_since = now;
        }
        self.last_event_time = self.last_event_time.max(time);
        self.first_event_time = self.first_event_time.min(time);
        self.last_offset = self.last_offset.max(offset);
    }

    pub fn closes_at(&self, quiet_seconds: f64) -> EventTime {
        let detectors = self.evidence.iter().map(|evidence| &evidence.detector);
        self.quiet_since.plus_seconds(self::quiet_seconds(detectors, quiet_seconds))
    }

    /// The score of the known evidence of this detector under the same ceiling. Evidence that may
    /// do little must not hide later evidence of the same detector that may do more.
    pub fn score_under(&self, detector: DetectorId, ceiling: Option<Ceiling>) -> Option<f64> {
        let same = |e: &&Evidence| e.detector == detector && e.ceiling == ceiling;
        self.evidence.iter().find(same).map(|e| e.score)
    }

    /// Whether any of the evidence is of proven use. Attempts may then not keep the incident open:
    /// later evidence would be weighed together with evidence that is long over.
    fn has_proof(&self) -> bool {
        self.evidence.iter().any(|e| Ceiling::is_of_proven_use(e.ceiling))
    }

    /// The incident as the policy judges it.
    pub fn case(&self) -> Case<'_> {
        Case {
            key_id: self.subject.key_id().map(KeyId::as_str),
            tenant: self.tenant.as_deref(),
            traits: &self.guidance.key,
            evidence: &self.evidence,
        }
    }

    pub fn partition(&self) -> &PartitionId {
        &self.partition
    }

    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Skips revision numbers, which are reserved for the response to a proposal. Two revisions then
    /// never have the same number, and numbers rise whenever the response is made.
    pub fn reserve_revisions(&mut self, count: u32) {
        self.revision += count;
    }

    /// The next revision of this incident as an alert.
    pub fn revise(
        &mut self,
        alert_type: AlertType,
        verdict: &Verdict,
        policy: &Policy,
        moment: Moment<'_>,
    ) -> Alert {
        self.follow(verdict.rule.map(|place| policy.rule(place)));
        self.revision += 1;
        Alert {
            id: self.id.clone(),
            revision: self.revision,
            alert_type,
            key_id: self.subject.key_id().cloned(),
            source_ip: self.source_ip,
            affected_keys: self.affected_keys.clone(),
            tenant: self.tenant.clone(),
            severity: verdict.severity,
            risk: round(verdict.risk, 10.0),
            confidence: round(verdict.confidence, 1_000.0),
            action: verdict.action,
            restraint: verdict.restraint,
            dry_run: policy.is_dry_run(),
            title: self.title(),
            explanation: self.explanation(alert_type, verdict, policy),
            detectors: self.detectors(),
            evidence: self.evidence.clone(),
            first_event_time: self.first_event_time,
            last_event_time: self.last_event_time,
            detected_event_time: self.detected_event_time,
            detected_at: moment.now.unwrap_or(self.last_event_time),
            position: position(&self.partition, self.first_offset, self.last_offset),
            policy_version: policy.version().to_owned(),
            model_version: moment.model_version.to_owned(),
            guidance: Guidance { attacks: Attacks::of(&self.detectors()), ..self.guidance.clone() },
            handling: Handling::default(),
        }
    }

    /// Notes the rule that applies. A channel that was told once is told of all that follows, for
    /// else it would never hear of the end.
    fn follow(&mut self, rule: Option<&Rule>) {
        let is_first = self.revision == 0;
        let guidance = &mut self.guidance;
        guidance.rule = rule.map(|rule| rule.name.clone());
        guidance.playbook = rule.and_then(|rule| rule.playbook.clone());
        let wanted = rule.map_or(&[][..], |rule| &rule.channels);
        if wanted.is_empty() {
            guidance.channels.clear();
        } else if is_first || !guidance.channels.is_empty() {
            guidance.channels.extend_from_slice(wanted);
            guidance.channels.sort();
            guidance.channels.dedup();
        }
    }

    /// The detectors of the evidence, strongest first, each once.
    fn detectors(&self) -> Vec<DetectorId> {
        let mut detectors: Vec<DetectorId> = Vec::new();
        for item in &self.evidence {
            if !detectors.contains(&item.detector) {
                detectors.push(item.detector);
            }
        }
        detectors
    }

    fn title(&self) -> String {
        let headline = self.findings.first().map_or("", |finding| finding.headline.as_str());
        format!("{}: {headline}", self.subject)
    }

    fn explanation(&self, alert_type: AlertType, verdict: &Verdict, policy: &Policy) -> String {
        let mut sentences: Vec<&str> = self.findings.iter().map(|f| f.sentence.as_str()).collect();
        let advice = advice(&self.subject, verdict.action, policy.is_dry_run());
        if alert_type == AlertType::Resolved {
            sentences.push("No further evidence was seen; the incident is closed.");
        } else {
            sentences.push(&advice);
        }
        let restraint = verdict.restraint.map(|reason| {
            let because = match (reason, &self.guidance.rule) {
                (Restraint::Rule, Some(name)) => format!("the policy's rule \"{name}\" bounds it"),
                _ => reason.because().to_owned(),
            };
            format!("A stronger action is not advised, because {because}.")
        });
        if let Some(restraint) = &restraint {
            sentences.push(restraint);
        }
        sentences.join(" ")
    }
}

fn advice(subject: &Subject, action: Action, dry_run: bool) -> String {
    let (thing, whom) = match subject {
        Subject::Key(_) => ("key", "ask the key's owner"),
        Subject::Source(_) => ("source", "block it if nobody claims it"),
    };
    let wanted = match action {
        Action::Observe => return "Watch it; no action is needed yet.".into(),
        Action::Notify => return format!("Look at it and {whom}."),
        Action::Throttle => "throttled",
        Action::Suspend => "suspended until its owner answers",
        Action::Revoke => "revoked",
    };
    if dry_run {
        format!("The {thing} should be {wanted}; this is a dry run, and no action was taken.")
    } else {
        format!("The {thing} should be {wanted}.")
    }
}

fn proves_use(signal: &Signal) -> bool {
    Ceiling::is_of_proven_use(signal.ceiling)
}

/// Seconds without new evidence after which an incident with evidence of these detectors closes.
pub fn quiet_seconds<'a>(
    detectors: impl IntoIterator<Item = &'a DetectorId>,
    policy_seconds: f64,
) -> f64 {
    let hours = detectors.into_iter().map(|id| hours_between(*id)).fold(0.0, f64::max);
    policy_seconds.max(hours * HOUR_SECONDS)
}

/// The id of an incident. The same log gives the same id, wherever it was read from.
fn incident_id(subject: &Subject, time: EventTime, detector: DetectorId) -> String {
    let mut hash = Sha256::new();
    match subject {
        Subject::Key(key_id) => {
            hash.update(b"keywatch incident\0");
            hash.update(key_id.as_bytes());
        }
        Subject::Source(net) => {
            hash.update(b"keywatch source incident\0");
            hash.update(net.to_string());
        }
    }
    hash.update([0]);
    hash.update(time.as_micros().to_be_bytes());
    hash.update(detector.as_str());
    format!("inc_{}", hex::encode(&hash.finalize()[..12]))
}

fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
