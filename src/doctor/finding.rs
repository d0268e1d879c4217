//! Draws conclusions from the counts of a sample: what is wrong with a log, and what to do about it.

use serde::Serialize;

use super::addresses::Front;
use super::partitions::{tombstones, unnamed_format, unpartitioned};
use super::tally::Tally;
use super::times::{clock, clocks_of_keys, future, old, whole_seconds};
use crate::config::Config;
use crate::decode::{Decoder, RejectReason, ToLog};
use crate::event::EventTime;
use crate::text::{count, number, plural, share};

/// More rejections than this share are worth a warning.
const REJECTED_SHARE: f64 = 0.01;
/// Repeated or shared ids above this share are worth a word.
const REPEATED_SHARE: f64 = 0.001;
/// Fewer events say nothing about how many keys there should be.
const MANY_EVENTS: u64 = 200;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing can be judged.
    Stop,
    /// Some detectors are blind, or judge wrongly.
    Warn,
    /// Good to know.
    Note,
}

/// A conclusion.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub level: Level,
    pub title: String,
    /// What follows from it, or how it was found.
    pub detail: String,
    /// What to do, if something can be done.
    pub remedy: Option<String>,
}

/// What the conclusions depend on beside the log.
pub(super) struct Settings<'a> {
    pub config: &'a Config,
    /// Knows the settings of all gateways.
    pub decoder: &'a Decoder,
    pub now: EventTime,
}

impl Settings<'_> {
    /// The setting of the gateway that adds a field, in a sentence.
    pub fn to_log(&self, format: &str, field: &str) -> Option<String> {
        match self.decoder.to_log(format, field) {
            ToLog::Setting(setting) => Some(format!("{format}: {setting}")),
            ToLog::Impossible => Some(format!("{format} cannot log it")),
            ToLog::Unknown => None,
        }
    }
}

pub(super) fn finding(
    level: Level,
    title: impl Into<String>,
    detail: impl Into<String>,
    remedy: impl Into<Option<String>>,
) -> Finding {
    Finding { level, title: title.into(), detail: detail.into(), remedy: remedy.into() }
}

/// All findings, the gravest first.
pub(super) fn findings(tally: &Tally, settings: &Settings<'_>) -> Vec<Finding> {
    let mut findings = vec![other_format(tally)];
    if tally.events == 0 {
        findings.push(nothing_read(tally, settings));
    } else {
        findings.extend([
            rejected(tally),
            raw_keys(tally, settings.config),
            key_of_each_request(tally),
            refused_without_key(tally),
            unpartitioned(tally, settings.config),
            unnamed_format(tally, settings.config),
            tombstones(tally.record_keys),
            proxy(tally, settings),
            sampled(tally),
            whole_seconds(tally, settings),
            clock(tally),
            clocks_of_keys(tally),
            shared_ids(tally, settings),
            repeated(tally),
            future(tally, settings),
            old(tally, settings),
            unreadable_fields(tally),
            without_databases(settings.config),
            without_registry(settings.config),
        ]);
    }
    let mut findings: Vec<Finding> = findings.into_iter().flatten().collect();
    findings.sort_by_key(|finding| finding.level);
    findings
}

fn other_format(tally: &Tally) -> Option<Finding> {
    let choice = tally.looks_like.as_ref()?;
    let better = choice.found > 0.6 && tally.rejected() > tally.events;
    better.then(|| {
        let title = format!("the log looks like {}, and not {}", choice.format, tally.format());
        let remedy = format!("--format {}, or leave the format out", choice.format);
        finding(Level::Warn, title, choice.sentence(), remedy)
    })
}

fn nothing_read(tally: &Tally, settings: &Settings<'_>) -> Option<Finding> {
    let keyless = tally.rejected_for(RejectReason::MissingKeyId);
    if let Some(keyless) = keyless.filter(|kind| 2 * kind.number >= tally.rejected()) {
        let title = "the log names no API key, so that nothing can be judged";
        let remedy = settings.to_log(tally.format(), "key_id");
        return Some(finding(Level::Stop, title, keyless.detail.clone(), remedy));
    }
    if let Some(kind) = tally.most_frequent_rejection() {
        let title = "not one record could be read";
        let remedy = "`keywatch formats list` names the formats; [decode.mapping] describes others";
        let detail = format!("{}: {}", kind.reason, kind.detail);
        return Some(finding(Level::Stop, title, detail, remedy.to_owned()));
    }
    (tally.skipped > 0).then(|| {
        let title = "the format leaves out every record of the log";
        let detail = "the records are not requests of API clients".to_owned();
        finding(Level::Stop, title, detail, None)
    })
}

fn rejected(tally: &Tally) -> Option<Finding> {
    let rejected = tally.rejected();
    let of_all = rejected as f64 / (tally.events + rejected) as f64;
    (of_all > REJECTED_SHARE).then(|| {
        let title = format!("{} of the requests cannot be judged", share(of_all));
        let detail = "the table of rejections says why".to_owned();
        finding(Level::Warn, title, detail, None)
    })
}

fn raw_keys(tally: &Tally, config: &Config) -> Option<Finding> {
    let is_set = !config.decode.pepper.reveal().is_empty();
    (tally.raw_keys > 0 && !is_set).then(|| {
        let share = share(tally.raw_keys as f64 / tally.events as f64);
        let title = format!("{share} of the requests carry a raw key, and there is no pepper");
        let detail =
            "without one they are rejected, because raw keys must not be stored".to_owned();
        let remedy = "export KEYWATCH__DECODE__PEPPER=\"$(openssl rand -hex 32)\", and keep it";
        finding(Level::Warn, title, detail, remedy.to_owned())
    })
}

fn key_of_each_request(tally: &Tally) -> Option<Finding> {
    let is_odd = tally.events >= MANY_EVENTS && tally.keys.len() as f64 > 0.9 * tally.events as f64;
    is_odd.then(|| {
        let title = "nearly every request has a key of its own";
        let detail = "the field is hardly the id of a key: a token of a session, or a signature?";
        let remedy =
            "key_id = \"...\" in [decode.mapping], the field that stays the same".to_owned();
        finding(Level::Warn, title, detail, remedy)
    })
}

fn refused_without_key(tally: &Tally) -> Option<Finding> {
    let keyless = tally.rejected_for(RejectReason::MissingKeyId)?;
    (tally.refused == 0).then(|| {
        let number = count(keyless.number as usize);
        let title = format!("no request with a key was refused, and {number} name no key");
        let detail = "if these are the refused ones, auth.credential_stuffing and \
                      auth.failure_burst are blind";
        finding(Level::Warn, title, detail, None)
    })
}

fn proxy(tally: &Tally, settings: &Settings<'_>) -> Option<Finding> {
    let addresses = &tally.addresses;
    let title = match addresses.front(tally.keys.len()) {
        Front::Clients => return None,
        Front::Private => {
            format!("{} of the addresses are private", share(addresses.private_share()))
        }
        Front::Few => format!(
            "all requests of {} keys come from {} {}",
            count(tally.keys.len()),
            addresses.number(),
            if addresses.number() == 1 { "address" } else { "addresses" }
        ),
    };
    let networks = addresses.networks();
    let named: Vec<String> = networks.iter().map(|network| format!("\"{network}\"")).collect();
    let option = match named.as_slice() {
        [] => "[decode] trusted_proxies: the networks of your proxies".to_owned(),
        named => format!("[decode] trusted_proxies = [{}]", named.join(", ")),
    };
    let known = addresses.forwarded_share();
    let (seen, remedy) = if known > 0.0 {
        let seen = format!("; a header names another client in {} of the requests", share(known));
        (seen, option)
    } else {
        let setting = settings.to_log(tally.format(), "forwarded_for");
        let setting = setting.map(|it| format!("{it}; then ")).unwrap_or_default();
        ("; no header in the log names the clients".to_owned(), format!("{setting}{option}"))
    };
    let detail = format!(
        "unless these are clients in a network of your own, a proxy is in front, and geo.*, \
         network.*, policy.ip_not_allowed and auth.credential_stuffing judge the proxy{seen}"
    );
    Some(finding(Level::Warn, title, detail, remedy))
}

fn sampled(tally: &Tally) -> Option<Finding> {
    let rate = tally.sample_rate.as_ref()?;
    let title = format!("the log is sampled: records have `{}` {}", rate.field, number(rate.value));
    let detail = "every count is wrong, and most replays are not in it".to_owned();
    Some(finding(Level::Warn, title, detail, "log every request".to_owned()))
}

fn shared_ids(tally: &Tally, settings: &Settings<'_>) -> Option<Finding> {
    let other = tally.repetitions.other;
    (other as f64 > REPEATED_SHARE * tally.events as f64).then(|| {
        let noun = plural(other, "request");
        let title = format!("{} {noun} have the id of another one", count(other as usize));
        let detail = "a replay under an id that is known may be taken for a redelivery".to_owned();
        let remedy = settings.to_log(tally.format(), "request_id");
        finding(Level::Warn, title, detail, remedy)
    })
}

fn repeated(tally: &Tally) -> Option<Finding> {
    let same = tally.repetitions.same;
    (same as f64 > REPEATED_SHARE * tally.events as f64).then(|| {
        let noun = plural(same, "request");
        let title = format!("{} {noun} are in the log twice", count(same as usize));
        finding(Level::Note, title, "they count once, as redelivered", None)
    })
}

fn unreadable_fields(tally: &Tally) -> Option<Finding> {
    (tally.left_out.total() > 0).then(|| {
        let fields = tally.left_out.iter();
        let fields: Vec<String> = fields
            .map(|(field, number)| format!("`{field}` of {}", count(number as usize)))
            .collect();
        let title = format!("values that cannot be read: {}", fields.join(", "));
        let detail = "the events are judged as if they had none".to_owned();
        finding(Level::Warn, title, detail, None)
    })
}

fn without_databases(config: &Config) -> Option<Finding> {
    let lacks_cities = config.enrich.city_databases.is_empty();
    let lacks_networks = config.enrich.asn_databases.is_empty();
    let title = match (lacks_cities, lacks_networks) {
        (false, false) => return None,
        (true, true) => {
            "no database of places and networks is configured: geo.* and network.* are blind"
        }
        (true, false) => "no database of places is configured: geo.* are blind",
        (false, true) => "no database of networks is configured: network.* are blind",
    };
    let remedy = "--geo-city FILE.mmdb, --geo-asn FILE, or [enrich]".to_owned();
    Some(finding(Level::Note, title, "", remedy))
}

fn without_registry(config: &Config) -> Option<Finding> {
    config.detect.registry_file.is_none().then(|| {
        let title = "no key registry is configured: policy.*, and expiry, rotation and revocation \
                     of keys are blind";
        let remedy = "--keys keys.csv, or detect.registry_file".to_owned();
        finding(Level::Note, title, "", remedy)
    })
}
