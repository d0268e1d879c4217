//! Defines characters that run jobs: nightly, weekly, monthly, on business days, or irregularly.

use rand::RngExt;

use super::super::agents::{self, Agents};
use super::super::calendar::{Calendar, Days};
use super::super::client::Client;
use super::super::products::{self, Product};
use super::super::random::{Random, log_normal, pick};
use super::super::rhythm::{Burst, Rhythm, Starts};
use super::super::season::Curve;
use super::super::site::Site;
use super::super::whereabouts::Whereabouts;
use super::{Character, Habits, Setting, burst};

const HOUR: f64 = 3_600.0;

pub(super) fn habits(character: Character, setting: &Setting<'_>, random: &mut Random) -> Habits {
    let clients = match character {
        Character::DailyInventory => vec![service(setting, random), inventory(setting, random)],
        Character::NewHourlyJob => vec![service(setting, random), hourly(setting, random)],
        Character::LlmCustomer => language_model(setting, random),
        Character::IrregularBatch => vec![irregular(setting, random)],
        _ => vec![calendar_job(character, setting, random)],
    };
    let mut clients = clients;
    // All of them run on the same machine.
    let machine = clients[0].whereabouts.clone();
    for client in &mut clients[1..] {
        client.whereabouts = machine.clone();
    }
    Habits::bearer(clients)
}

fn client(setting: &Setting<'_>, rhythm: Rhythm, product: Product, random: &mut Random) -> Client {
    let machine = Whereabouts::Fixed(Site::hosts(setting.home, 1, random));
    let agents = Agents::any(agents::JOBS, random);
    setting.client(rhythm, machine, agents, product, random)
}

fn ordinary(random: &mut Random) -> Product {
    pick(random, &products::ORDINARY)
}

/// The traffic of the key besides its job.
fn service(setting: &Setting<'_>, random: &mut Random) -> Client {
    let per_second = log_normal(random, 0.01, 0.5);
    let rhythm = setting.seasonal(per_second, Curve::Daytime, Burst::ONE);
    let mut service = client(setting, rhythm, ordinary(random), random);
    service.agents = Agents::any(agents::SERVER, random);
    service
}

fn on(days: Days, hour: f64, setting: &Setting<'_>, random: &mut Random) -> Starts {
    Starts::Calendar(Calendar {
        days,
        second_of_day: (hour * HOUR + random.random_range(0.0..HOUR)).floor(),
        utc_offset_seconds: i64::from(setting.home.utc_offset_minutes) * 60,
        lateness: 20.0,
    })
}

fn calendar_job(character: Character, setting: &Setting<'_>, random: &mut Random) -> Client {
    let night = random.random_range(0.0..5.0);
    let (days, hour, requests, gap) = match character {
        Character::WeeklyReport => (Days::Weekly(random.random_range(0..5)), 6.0, 900.0, 0.8),
        Character::MonthlyBatch => (some_day(setting, random), night, 5_000.0, 0.3),
        Character::BusinessDayJob => (Days::Business, 7.0, 400.0, 1.0),
        _ => (Days::Every, night, 200.0, 0.25),
    };
    let requests = log_normal(random, requests, 0.5);
    let starts = on(days, hour, setting, random);
    client(setting, Rhythm::new(starts, burst(requests, 0.1, gap)), ordinary(random), random)
}

/// A day of the month that falls within the log, if there is one.
fn some_day(setting: &Setting<'_>, random: &mut Random) -> Days {
    let time = setting.plan.window().at(random.random_range(0.1..0.9));
    let date = jiff::Timestamp::from_microsecond(time.as_micros())
        .map_or(1, |time| time.to_zoned(jiff::tz::TimeZone::UTC).day());
    Days::Monthly(date.clamp(1, 28))
}

fn inventory(setting: &Setting<'_>, random: &mut Random) -> Client {
    let starts = on(Days::Every, random.random_range(0.0..23.0), setting, random);
    let rhythm = Rhythm::new(starts, burst(log_normal(random, 400.0, 0.3), 0.05, 0.6));
    client(setting, rhythm, products::INVENTORY, random)
}

/// The job begins when the log has run for a while.
fn hourly(setting: &Setting<'_>, random: &mut Random) -> Client {
    let phase = random.random_range(0.0..HOUR).floor();
    let starts = Starts::Periodic { every: HOUR, phase, lateness: 3.0 };
    let rhythm = Rhythm::new(starts, burst(log_normal(random, 60.0, 0.5), 0.1, 0.3));
    let mut job = client(setting, rhythm, ordinary(random), random);
    job.active.start = setting.plan.window().at(random.random_range(0.04..0.4));
    job
}

fn irregular(setting: &Setting<'_>, random: &mut Random) -> Client {
    let every_hours = random.random_range(18.0..90.0);
    let batch = burst(log_normal(random, 800.0, 0.6), 0.8, 0.5);
    let rhythm = setting.seasonal(1.0 / (every_hours * HOUR), Curve::Daytime, batch);
    client(setting, rhythm, ordinary(random), random)
}

/// A product that people use by day, with evaluations that last some hours.
fn language_model(setting: &Setting<'_>, random: &mut Random) -> Vec<Client> {
    let by_day = setting.seasonal(log_normal(random, 0.01, 0.6), Curve::Daytime, Burst::ONE);
    let every_hours = random.random_range(16.0..60.0);
    let evaluation = burst(log_normal(random, 5_000.0, 0.4), 0.6, 1.2);
    let runs = setting.seasonal(1.0 / (every_hours * HOUR), Curve::Office, evaluation);
    [by_day, runs]
        .into_iter()
        .map(|rhythm| {
            let mut client = client(setting, rhythm, products::INFERENCE, random);
            client.agents = Agents::One("acme-sdk-python/2.9.0 python/3.12.8");
            client
        })
        .collect()
}
