//! Checks that the traffic of every character matches its name.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, HashSet};

use super::super::places::PLACES;
use super::super::{AccessRecord, ClientNonce, Generator};
use super::*;
use crate::event::EventTime;

const DAY: f64 = 86_400.0;

/// The records of every key, in a plan with this character only.
fn keys_of(character: Character, keys: u32, days: f64) -> Vec<Vec<AccessRecord>> {
    let mut plan = Plan::new(keys, days * DAY, 17);
    plan.characters = Selection(vec![character]);
    plan.attacks = Selection::none();
    plan.confusers = Selection::none();
    let mut by_key = BTreeMap::<_, Vec<_>>::new();
    for event in Generator::new(&plan) {
        by_key.entry(event.record.key_id.clone()).or_default().push(event.record);
    }
    by_key.into_values().collect()
}

fn distinct<T: std::hash::Hash + Eq>(
    records: &[AccessRecord],
    of: impl Fn(&AccessRecord) -> T,
) -> usize {
    records.iter().map(of).collect::<HashSet<_>>().len()
}

fn place(record: &AccessRecord) -> &'static Place {
    PLACES.iter().find(|place| place.prefix.contains(&record.client_ip)).unwrap()
}

fn place_names(records: &[AccessRecord]) -> usize {
    distinct(records, |record| place(record).prefix)
}

/// Changes of place, with km and seconds since the last request at the previous place.
fn moves(records: &[AccessRecord]) -> Vec<(f64, f64)> {
    let pairs = records.windows(2).filter(|pair| pair[0].time < pair[1].time);
    pairs
        .map(|pair| {
            let km = place(&pair[0]).distance_km(place(&pair[1]));
            (km, pair[1].time.seconds_since(pair[0].time))
        })
        .filter(|(km, _)| *km > 1.0)
        .collect()
}

fn numbers(records: &[AccessRecord]) -> Vec<u64> {
    let number = |record: &AccessRecord| match record.nonce {
        Some(ClientNonce::Number(number)) => number,
        ref other => panic!("{other:?} is not a number"),
    };
    records.iter().map(number).collect()
}

fn day_of(time: EventTime) -> i64 {
    time.as_micros().div_euclid(86_400_000_000)
}

/// Number of requests in each hour that has any.
fn by_hour(records: &[AccessRecord]) -> BTreeMap<i64, usize> {
    let mut hours = BTreeMap::new();
    for record in records {
        *hours.entry(record.time.as_micros().div_euclid(3_600_000_000)).or_default() += 1;
    }
    hours
}

fn own_offset(record: &AccessRecord) -> f64 {
    record.client_time.unwrap().seconds_since(record.time)
}

#[test]
fn every_character_has_a_home_and_a_name_of_its_own() {
    let names: HashSet<_> = Character::ALL.iter().map(|character| character.name()).collect();
    assert_eq!(names.len(), Character::ALL.len());
    for character in Character::ALL {
        let homes = PLACES.iter().filter(|place| character.suits(place)).count();
        assert!(homes >= 2, "{character:?} has {homes} homes");
    }
}

#[test]
fn shares_add_up_and_rates_are_heavy_tailed_across_keys() {
    let total: f64 = Character::ALL.iter().map(|character| character.share()).sum();
    assert!((total - 1.0).abs() < 1e-9);
    let mut plan = Plan::new(1_500, DAY, 9);
    plan.characters = Character::settled();
    plan.attacks = Selection::none();
    plan.confusers = Selection::none();
    let mut counts = BTreeMap::<_, usize>::new();
    for event in Generator::new(&plan) {
        *counts.entry(event.record.key_id).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_values().collect();
    counts.sort_unstable();
    let (all, busiest) =
        (counts.iter().sum::<usize>(), counts[counts.len() - 75..].iter().sum::<usize>());
    assert!(busiest * 4 > all, "75 keys make {busiest} of {all}");
}

#[test]
fn a_fleet_is_in_several_places_and_a_phone_in_its_city() {
    for records in keys_of(Character::Fleet, 3, 1.0) {
        assert!(place_names(&records) >= 2);
    }
    for records in keys_of(Character::Mobile, 6, 2.0) {
        assert!(moves(&records).iter().all(|(km, _)| *km < 60.0));
    }
}

#[test]
fn a_crowd_has_thousands_of_addresses_in_one_or_two_countries() {
    for character in [Character::AppCrowd, Character::WebCrowd] {
        for records in keys_of(character, 3, 1.0) {
            let addresses = distinct(&records, |record| record.client_ip);
            let countries = distinct(&records, |record| &place(record).country);
            assert!(addresses > 700, "{character:?}: {addresses} of {}", records.len());
            assert!(countries <= 2 && distinct(&records, |record| record.user_agent) >= 6);
            let hosted = records.iter().filter(|r| place(r).kind == NetworkKind::Hosting).count();
            assert_eq!(hosted, 0);
        }
    }
}

#[test]
fn no_member_of_a_crowd_stands_out() {
    for records in keys_of(Character::AppCrowd, 3, 1.0) {
        let mut counts = BTreeMap::<_, usize>::new();
        for record in &records {
            *counts.entry(record.client_ip).or_default() += 1;
        }
        let most = counts.values().max().unwrap();
        assert!(most * 50 < records.len(), "{most} of {}", records.len());
    }
}

#[test]
fn builds_and_functions_use_ever_new_addresses_of_one_cloud() {
    for (character, days) in [(Character::Ci, 7.0), (Character::Serverless, 1.0)] {
        for records in keys_of(character, 3, days) {
            let half = records.len() / 2;
            let known: HashSet<_> = records[..half].iter().map(|r| r.client_ip).collect();
            let new = records[half..].iter().filter(|r| !known.contains(&r.client_ip)).count();
            assert!(new * 3 > half, "{character:?}: {new} of {half}");
            assert!(records.iter().all(|record| place(record).country == "US"));
        }
    }
}

#[test]
fn a_service_scales_by_day_within_its_region() {
    for records in keys_of(Character::Autoscaling, 3, 2.0) {
        assert!(moves(&records).iter().all(|(km, _)| *km < 120.0));
        assert_eq!(distinct(&records, |record| place(record).asn), 1);
        assert!(distinct(&records, |record| record.client_ip) > 15);
    }
}

#[test]
fn a_laptop_jumps_to_its_vpn_and_back_without_a_journey() {
    let keys = keys_of(Character::LaptopVpn, 8, 10.0);
    let jumps = |records: &Vec<_>| moves(records).iter().any(|(km, s)| *km > 300.0 && *s < 7_200.0);
    assert!(keys.iter().filter(|records| jumps(records)).count() >= 4);
    let at_vpn = |r: &&AccessRecord| place(r).kind == NetworkKind::Vpn;
    let share = |records: &Vec<AccessRecord>| {
        records.iter().filter(at_vpn).count() as f64 / records.len() as f64
    };
    assert!(keys.iter().all(|records| (0.02..0.6).contains(&share(records))));
}

#[test]
fn a_line_fails_over_now_and_then_and_a_hot_spot_often() {
    for (character, shares) in
        [(Character::FailoverLine, 0.002..0.12), (Character::HotSpot, 0.05..0.4)]
    {
        for records in keys_of(character, 4, 7.0) {
            let over = records.iter().filter(|r| place(r).kind == NetworkKind::Mobile).count();
            let share = over as f64 / records.len() as f64;
            assert!(shares.contains(&share), "{character:?}: {share}");
        }
    }
}

#[test]
fn somebody_on_trains_sees_several_cities_and_is_never_faster_than_a_train() {
    for records in keys_of(Character::RailTraveller, 4, 5.0) {
        assert!(place_names(&records) >= 3);
        for (km, seconds) in moves(&records) {
            assert!(km / seconds * 3_600.0 < 130.0, "{km} km in {seconds} s");
        }
    }
}

#[test]
fn privacy_addresses_change_within_one_subscribers_network() {
    for records in keys_of(Character::Ipv6Privacy, 4, 7.0) {
        let v6: Vec<_> = records.iter().filter(|r| r.client_ip.is_ipv6()).cloned().collect();
        let network = |record: &AccessRecord| match record.client_ip {
            std::net::IpAddr::V6(address) => u128::from(address) >> 64,
            std::net::IpAddr::V4(_) => 0,
        };
        assert_eq!(distinct(&v6, network), 1);
        assert!(distinct(&v6, |record| record.client_ip) >= 5);
    }
}

#[test]
fn a_relay_changes_its_exit_within_the_country() {
    for records in keys_of(Character::PrivateRelay, 4, 5.0) {
        let relayed: Vec<_> =
            records.iter().filter(|r| place(r).kind == NetworkKind::Relay).cloned().collect();
        assert!(relayed.len() * 5 > records.len());
        assert!(place_names(&relayed) >= 2);
        assert_eq!(distinct(&records, |record| &place(record).country), 1);
    }
}

#[test]
fn somebody_who_flies_works_on_board_and_a_satellite_household_stays_in_its_country() {
    let flying = keys_of(Character::InFlight, 8, 10.0);
    let on_board = |records: &Vec<AccessRecord>| {
        records.iter().any(|r| place(r).kind == NetworkKind::Inflight)
    };
    assert!(flying.iter().filter(|records| on_board(records)).count() >= 5);
    for records in keys_of(Character::Satellite, 4, 7.0) {
        assert!(records.iter().all(|r| place(r).kind == NetworkKind::Satellite));
        assert_eq!(distinct(&records, |record| &place(record).country), 1);
    }
}

#[test]
fn jobs_run_on_their_days_alone() {
    let days = |records: &[AccessRecord]| distinct(records, |record| day_of(record.time));
    for (character, expected) in [
        (Character::NightlyJob, 13..=15),
        (Character::BusinessDayJob, 9..=12),
        (Character::WeeklyReport, 1..=3),
        (Character::MonthlyBatch, 1..=2),
    ] {
        for records in keys_of(character, 4, 14.0) {
            assert!(expected.contains(&days(&records)), "{character:?}: {}", days(&records));
            assert!(records.len() > 60, "{character:?}: {}", records.len());
        }
    }
}

#[test]
fn a_nightly_job_is_over_within_minutes() {
    for records in keys_of(Character::NightlyJob, 4, 7.0) {
        assert!(by_hour(&records).len() <= 14 && records.len() > 7 * 50);
    }
}

#[test]
fn an_inventory_walks_over_forty_routes_once_a_day() {
    for records in keys_of(Character::DailyInventory, 3, 5.0) {
        let walk: Vec<_> =
            records.iter().filter(|r| r.path.starts_with("/v1/inventory/")).cloned().collect();
        assert!(by_hour(&walk).len() <= 11, "{}", by_hour(&walk).len());
        let depth = |record: &AccessRecord| {
            let parts: Vec<_> = record.path.split('/').collect();
            (record.method, parts[3].to_owned(), parts.len(), parts.last().unwrap().len() > 9)
        };
        assert!(distinct(&walk, depth) >= 30, "{}", distinct(&walk, depth));
        assert!(records.len() > walk.len());
    }
}

#[test]
fn a_new_hourly_job_begins_within_the_log_and_then_never_stops() {
    for records in keys_of(Character::NewHourlyJob, 4, 4.0) {
        let is_job = |r: &&AccessRecord| super::super::agents::JOBS.contains(&r.user_agent);
        let job: Vec<_> = records.iter().filter(is_job).cloned().collect();
        let jobs: Vec<_> = by_hour(&job).into_iter().collect();
        let (first, last) = (jobs[0].0, jobs[jobs.len() - 1].0);
        let begin = by_hour(&records).into_keys().next().unwrap();
        assert!(first >= begin + 3 && last - first > 48, "{begin} {first} {last}");
        assert!(jobs.len() as i64 * 10 > (last - first) * 9);
    }
}

#[test]
fn batches_come_irregularly_and_evaluations_last_for_hours() {
    for records in keys_of(Character::IrregularBatch, 4, 20.0) {
        let days = distinct(&records, |record| day_of(record.time));
        assert!((2..=19).contains(&days), "{days} days");
    }
    let longest = |records: &Vec<AccessRecord>| {
        let busy: Vec<_> = by_hour(records).into_iter().filter(|(_, n)| *n > 800).collect();
        busy.windows(2).filter(|pair| pair[1].0 == pair[0].0 + 1).count()
    };
    let keys = keys_of(Character::LlmCustomer, 5, 7.0);
    assert!(keys.iter().filter(|records| longest(records) >= 1).count() >= 3);
}

#[test]
fn monitors_ask_from_several_countries_and_pollers_keep_time() {
    for records in keys_of(Character::HealthCheck, 3, 0.5) {
        assert!(distinct(&records, |record| &place(record).country) >= 2);
        assert!(records.iter().all(|record| record.path == "/health"));
        assert!(records.len() >= 1_400);
    }
    for records in keys_of(Character::Poller, 3, 0.5) {
        let mut gaps: Vec<_> =
            records.windows(2).map(|pair| pair[1].time.seconds_since(pair[0].time)).collect();
        gaps.sort_by(f64::total_cmp);
        let (low, high) = (gaps[gaps.len() / 20], gaps[gaps.len() * 19 / 20]);
        assert!(high - low < 1.5, "{low} to {high}");
    }
}

#[test]
fn a_polite_client_is_throttled_and_comes_again_later() {
    for records in keys_of(Character::PoliteBackoff, 3, 2.0) {
        let throttled = records.iter().filter(|record| record.status == 429).count();
        assert!(throttled * 30 > records.len(), "{throttled} of {}", records.len());
        assert!(throttled * 2 < records.len());
    }
}

#[test]
fn a_new_key_has_no_past() {
    let begin = Plan::new(1, DAY, 1).start;
    for records in keys_of(Character::ColdStart, 4, 2.0) {
        assert!(records[0].time.seconds_since(begin) > 0.1 * 2.0 * DAY);
    }
}

#[test]
fn workers_collide_in_one_millisecond_with_other_signatures() {
    for records in keys_of(Character::CollidingWorkers, 3, 2.0) {
        let numbers = numbers(&records);
        let distinct_nonces = numbers.iter().collect::<HashSet<_>>().len();
        let collisions = numbers.len() - distinct_nonces;
        assert!(collisions * 50 > numbers.len(), "{collisions} of {}", numbers.len());
        assert!(collisions * 2 < numbers.len());
        assert_eq!(distinct(&records, |r| r.signature.unwrap().0), records.len());
    }
}

#[test]
fn every_worker_has_its_own_counter() {
    for records in keys_of(Character::SeveralCounters, 3, 2.0) {
        let numbers = numbers(&records);
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), numbers.len());
        let backwards = numbers.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!(backwards * 10 > numbers.len(), "{backwards} of {}", numbers.len());
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        let counters = 1 + sorted.windows(2).filter(|pair| pair[1] > pair[0] + 10).count();
        assert!((2..=6).contains(&counters), "{counters} counters");
    }
}

#[test]
fn seconds_repeat_and_decimals_do_not() {
    for records in keys_of(Character::SecondsNonce, 3, 2.0) {
        let numbers = numbers(&records);
        let distinct_nonces = numbers.iter().collect::<HashSet<_>>().len();
        assert!(distinct_nonces < numbers.len());
        assert!(numbers.iter().all(|number| (1_700_000_000..1_900_000_000).contains(number)));
    }
    for records in keys_of(Character::DecimalNonce, 3, 2.0) {
        assert!(records.iter().all(|record| matches!(
            &record.nonce,
            Some(ClientNonce::Text(text)) if text.parse::<f64>().is_ok_and(|s| s > 1.7e9)
        )));
    }
}

#[test]
fn a_wrong_clock_is_off_by_hours_all_the_time_and_a_drifting_one_until_it_is_set() {
    for records in keys_of(Character::WrongClock, 4, 2.0) {
        assert!(records.iter().all(|record| own_offset(record).abs() > 3_500.0));
    }
    for records in keys_of(Character::DriftingClock, 4, 2.0) {
        let largest = records.iter().map(own_offset).fold(0.0, f64::max);
        assert!((20.0..130.0).contains(&largest), "{largest}");
        assert!(own_offset(&records[records.len() - 1]).abs() < 3.0);
    }
}

#[test]
fn ids_in_paths_are_new_all_the_time() {
    for (character, sign) in [(Character::PrefixedIds, "cus_"), (Character::MixedIds, "@")] {
        for records in keys_of(character, 3, 1.0) {
            let with: Vec<_> = records.iter().filter(|r| r.path.contains(sign)).cloned().collect();
            assert!(with.len() > 20);
            assert_eq!(distinct(&with, |record| record.path.clone()), with.len());
        }
    }
}

#[test]
fn settled_keys_keep_their_network_without_confusers() {
    for character in [Character::SteadyServer, Character::Trader, Character::OfficeHours] {
        for records in keys_of(character, 4, 1.0) {
            assert_eq!(place_names(&records), 1, "{character:?}");
        }
    }
    for character in [Character::Cron, Character::Quiet, Character::BatchUser] {
        assert!(!keys_of(character, 3, 3.0).is_empty(), "{character:?}");
    }
}
