//! Aggregates requests into the statistics of windows, with polars.

use polars::prelude::{
    Column, DataFrame, DataType, Expr, IntoLazy, LazyFrame, NamedFrom, PolarsError, Series, col,
    len, lit, when,
};

use crate::profile::behaviour::{
    Observation, PLACE_BUCKETS, ROUTE_BUCKETS, Statistics, WINDOW_SECONDS, window_of,
};
use crate::profile::outcome::{FAILURES, Failure};

/// Requests as columns, in order of arrival.
#[derive(Default)]
pub struct Requests {
    keys: Vec<u32>,
    windows: Vec<i32>,
    times: Vec<i64>,
    /// The failure's index plus 1; 0 for no failure.
    failures: Vec<u8>,
    signed: Vec<bool>,
    addresses: Vec<u8>,
    places: Vec<u8>,
    routes: Vec<u8>,
    sizes: Vec<Option<f32>>,
    skews: Vec<Option<f32>>,
}

/// The statistics of one key in one window.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyWindow {
    pub key: u32,
    pub statistics: Statistics,
}

impl Requests {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn push(&mut self, key: u32, observation: &Observation) {
        self.keys.push(key);
        self.windows.push(window_of(observation.time));
        self.times.push(observation.time.as_micros());
        self.failures.push(observation.failure.map_or(0, |failure| failure as u8 + 1));
        self.signed.push(observation.is_signed);
        self.addresses.push(observation.address);
        self.places.push(observation.place);
        self.routes.push(observation.route);
        self.sizes.push(observation.size);
        self.skews.push(observation.skew);
    }

    fn into_frame(self) -> Result<DataFrame, PolarsError> {
        let height = self.len();
        let columns: Vec<Column> = vec![
            Series::new("key".into(), self.keys).into(),
            Series::new("window".into(), self.windows).into(),
            Series::new("time".into(), self.times).into(),
            Series::new("failure".into(), self.failures).into(),
            Series::new("signed".into(), self.signed).into(),
            Series::new("address".into(), self.addresses).into(),
            Series::new("place".into(), self.places).into(),
            Series::new("route".into(), self.routes).into(),
            Series::new("size".into(), self.sizes).into(),
            Series::new("skew".into(), self.skews).into(),
        ];
        DataFrame::new(height, columns)
    }

    /// Returns the statistics of all windows that start before `before`, by key and window, and the
    /// requests of later windows.
    ///
    /// # Errors
    /// Returns an error of polars: out of memory.
    pub fn summarize(self, before: i32) -> Result<(Vec<KeyWindow>, Self), PolarsError> {
        let rest = self.later(before);
        let frame = self.into_frame()?.lazy().filter(col("window").lt(lit(before)));
        Ok((read(&aggregate(frame)?.collect()?)?, rest))
    }

    fn later(&self, before: i32) -> Self {
        let mut rest = Self::default();
        for row in (0..self.len()).filter(|row| self.windows[*row] >= before) {
            rest.keys.push(self.keys[row]);
            rest.windows.push(self.windows[row]);
            rest.times.push(self.times[row]);
            rest.failures.push(self.failures[row]);
            rest.signed.push(self.signed[row]);
            rest.addresses.push(self.addresses[row]);
            rest.places.push(self.places[row]);
            rest.routes.push(self.routes[row]);
            rest.sizes.push(self.sizes[row]);
            rest.skews.push(self.skews[row]);
        }
        rest
    }
}

/// One row for each key and window; every column is a float.
fn aggregate(requests: LazyFrame) -> Result<LazyFrame, PolarsError> {
    let float = |expression: Expr| expression.cast(DataType::Float64);
    let count = |condition: Expr| float(condition.cast(DataType::UInt32).sum());
    let failures = |failure: Failure| count(col("failure").eq(lit(failure as u8 + 1)));
    let micros = float(col("time") - col("time").shift(lit(1)));
    let gap = when(micros.clone().gt(lit(0.0))).then(micros / lit(1e6)).otherwise(lit(0.0));
    let in_window =
        col("time") - col("window").cast(DataType::Int64) * lit(WINDOW_SECONDS * 1_000_000);
    let mut columns = vec![
        float(len()).alias("requests"),
        count(col("signed")).alias("signed_requests"),
        float(col("address").n_unique()).alias("addresses"),
        float(col("minute").n_unique()).alias("minutes"),
        col("gap").sum().alias("gap_sum"),
        (col("gap") * col("gap")).sum().alias("gap_squares"),
        float(col("size").count()).alias("sized"),
        float(col("size")).sum().alias("size_sum"),
        float(col("skew").count()).alias("timed"),
        float(col("skew")).sum().alias("skew_sum"),
    ];
    let named = |failure: Failure| failures(failure).alias(format!("failure_{}", failure as u8));
    columns.extend(FAILURES.map(named));
    columns.extend(
        (0..ROUTE_BUCKETS as u8)
            .map(|bucket| count(col("route").eq(lit(bucket))).alias(format!("route_{bucket}"))),
    );
    columns.extend(
        (0..PLACE_BUCKETS as u8)
            .map(|bucket| count(col("place").eq(lit(bucket))).alias(format!("place_{bucket}"))),
    );
    // Gaps are between requests of one key within one window: `over` keeps the order of arrival.
    Ok(requests
        .with_columns([
            (in_window.cast(DataType::Float64) / lit(60e6)).cast(DataType::UInt8).alias("minute"),
            gap.over([col("key"), col("window")])?.alias("gap"),
        ])
        .group_by([col("key"), col("window")])
        .agg(columns)
        .sort(["key", "window"], Default::default()))
}

fn read(frame: &DataFrame) -> Result<Vec<KeyWindow>, PolarsError> {
    let column = |name: &str| -> Result<Vec<f64>, PolarsError> {
        Ok(frame.column(name)?.f64()?.into_no_null_iter().collect())
    };
    let buckets = |name: &str, count: usize| -> Result<Vec<Vec<f64>>, PolarsError> {
        (0..count).map(|bucket| column(&format!("{name}_{bucket}"))).collect()
    };
    let keys = frame.column("key")?.u32()?;
    let windows = frame.column("window")?.i32()?;
    let [requests, signed, addresses, minutes] =
        [column("requests")?, column("signed_requests")?, column("addresses")?, column("minutes")?];
    let [gap_sum, gap_squares] = [column("gap_sum")?, column("gap_squares")?];
    let [sized, size_sum] = [column("sized")?, column("size_sum")?];
    let [timed, skew_sum] = [column("timed")?, column("skew_sum")?];
    let failures = buckets("failure", FAILURES.len())?;
    let (routes, places) = (buckets("route", ROUTE_BUCKETS)?, buckets("place", PLACE_BUCKETS)?);
    let saturated = |counts: &[Vec<f64>], row: usize, bucket: usize| {
        counts[bucket][row].min(f64::from(u16::MAX)) as u16
    };
    let window = |(row, (key, index)): (usize, (u32, i32))| KeyWindow {
        key,
        statistics: Statistics {
            index,
            requests: requests[row],
            errors: failures[Failure::Error as usize][row],
            refused: failures[Failure::Refused as usize][row],
            throttled: failures[Failure::Throttled as usize][row],
            signed: signed[row],
            addresses: addresses[row],
            minutes: minutes[row],
            gap_sum: gap_sum[row],
            gap_squares: gap_squares[row],
            sized: sized[row],
            size_sum: size_sum[row],
            timed: timed[row],
            skew_sum: skew_sum[row],
            routes: std::array::from_fn(|bucket| saturated(&routes, row, bucket)),
            places: std::array::from_fn(|bucket| saturated(&places, row, bucket)),
        },
    };
    let named = keys.into_no_null_iter().zip(windows.into_no_null_iter());
    Ok(named.enumerate().map(window).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::event::EventTime;
    use crate::profile::behaviour::{Baseline, BehaviourProfile};

    /// Requests of two keys over eight hours, in bursts, some records late, some fields missing.
    fn observations() -> Vec<(u32, Observation)> {
        let mut state = 7u64;
        let mut draw = move |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut time = 1_767_571_200_000_000i64;
        (0..20_000)
            .map(|_| {
                time += draw(3) as i64 * draw(1_400_000) as i64;
                let late = if draw(50) == 0 { draw(4_000_000) as i64 } else { 0 };
                let failure = match draw(30) {
                    0 => Some(Failure::Error),
                    1 => Some(Failure::Refused),
                    2 => Some(Failure::Throttled),
                    _ => None,
                };
                let observation = Observation {
                    time: EventTime::from_micros(time - late),
                    failure,
                    is_signed: draw(2) == 0,
                    address: draw(64) as u8,
                    place: draw(3) as u8,
                    route: draw(11) as u8,
                    size: (draw(4) > 0).then(|| draw(1_000) as f32 / 77.0),
                    skew: (draw(3) > 0).then(|| draw(100) as f32 / 31.0 - 1.0),
                };
                (draw(2) as u32, observation)
            })
            .collect()
    }

    /// The windows as the engine computes them, one request after the other.
    fn folded() -> Vec<KeyWindow> {
        let mut windows = Vec::new();
        for wanted in 0..2 {
            let mut profile = BehaviourProfile::default();
            let of_key = observations().into_iter().filter(|(key, _)| *key == wanted);
            let end =
                Observation { time: EventTime::from_seconds(2_000_000_000), ..observations()[0].1 };
            for (key, observation) in of_key.chain([(wanted, end)]) {
                if let Some(ended) = profile.end_before(observation.time) {
                    let statistics = ended.statistics;
                    windows.push(KeyWindow { key, statistics });
                }
                profile.count(&observation);
            }
        }
        windows
    }

    #[test]
    fn polars_and_the_engine_give_the_same_statistics_and_features() {
        let mut requests = Requests::default();
        let mut latest = [i32::MIN; 2];
        for (key, observation) in observations() {
            let window = window_of(observation.time);
            // Like the collector, this leaves out a request that arrives after its window has
            // closed.
            if window >= latest[key as usize] {
                latest[key as usize] = window;
                requests.push(key, &observation);
            }
        }
        let (windows, rest) = requests.summarize(i32::MAX).unwrap();
        assert_eq!(rest.len(), 0);
        let folded = folded();
        assert_eq!(windows.len(), folded.len());
        assert!(windows.len() >= 6, "{}", windows.len());
        let mut baselines = [Baseline::default(), Baseline::default()];
        for (polars, engine) in windows.iter().zip(&folded) {
            let (ours, theirs) = (&engine.statistics, &polars.statistics);
            assert_eq!((polars.key, theirs.index), (engine.key, ours.index));
            assert_eq!((theirs.routes, theirs.places), (ours.routes, ours.places));
            let baseline = &mut baselines[engine.key as usize];
            let features = baseline.features(ours).into_iter().zip(baseline.features(theirs));
            for (which, (ours, theirs)) in features.enumerate() {
                assert!((ours - theirs).abs() < 1e-9, "feature {which}: {ours} {theirs}");
            }
            for (ours, theirs) in [
                (ours.requests, theirs.requests),
                (ours.errors, theirs.errors),
                (ours.refused, theirs.refused),
                (ours.throttled, theirs.throttled),
                (ours.signed, theirs.signed),
                (ours.addresses, theirs.addresses),
                (ours.minutes, theirs.minutes),
                (ours.gap_sum, theirs.gap_sum),
                (ours.gap_squares, theirs.gap_squares),
                (ours.size_sum, theirs.size_sum),
                (ours.skew_sum, theirs.skew_sum),
            ] {
                assert!((ours - theirs).abs() <= 1e-9 * ours.abs().max(1.0), "{ours} {theirs}");
            }
            baseline.learn(ours);
        }
    }

    #[test]
    fn windows_that_may_still_grow_are_kept() {
        let mut requests = Requests::default();
        for (key, observation) in observations() {
            requests.push(key, &observation);
        }
        let (all, first) = (requests.len(), *requests.windows.iter().min().unwrap());
        let (windows, rest) = requests.summarize(first + 1).unwrap();
        let counted: f64 = windows.iter().map(|window| window.statistics.requests).sum();
        assert_eq!(counted as usize + rest.len(), all);
        assert!(rest.len() > 0 && rest.windows.iter().all(|window| *window > first));
    }
}
