//! The spread of answer times in bounded memory.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::micros;

/// Counts of answer times in buckets a 64th of an octave wide: any run fits into some 20 KiB, and
/// the percentiles are right to 1.6 per cent. Least and greatest are exact.
#[derive(Debug, Clone, Default)]
pub struct Latency {
    buckets: Vec<u64>,
    count: u64,
    min: Duration,
    max: Duration,
}

/// What a report says about answer times, from a record's last byte out to its answer's last byte
/// in. Each in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// The quickest.
    #[serde(rename = "min_us", with = "micros")]
    pub min: Duration,
    /// Half were no slower.
    #[serde(rename = "median_us", with = "micros")]
    pub median: Duration,
    /// 99 of 100 were no slower.
    #[serde(rename = "p99_us", with = "micros")]
    pub p99: Duration,
    /// The slowest.
    #[serde(rename = "max_us", with = "micros")]
    pub max: Duration,
}

impl Latency {
    /// Counts one answer time.
    pub fn add(&mut self, time: Duration) {
        let index = bucket_of(time);
        if self.buckets.len() <= index {
            self.buckets.resize(index + 1, 0);
        }
        self.buckets[index] += 1;
        self.min = if self.count == 0 { time } else { self.min.min(time) };
        self.max = self.max.max(time);
        self.count += 1;
    }

    /// The summary, or `None` if there was no answer.
    pub fn summary(&self) -> Option<LatencySummary> {
        (self.count > 0).then(|| LatencySummary {
            min: self.min,
            median: self.quantile(50),
            p99: self.quantile(99),
            max: self.max,
        })
    }

    fn quantile(&self, percent: u64) -> Duration {
        let rank = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        let index = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        index.map_or(self.max, floor_of).clamp(self.min, self.max)
    }
}

fn bucket_of(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).min(LARGEST);
    if micros < STEPS {
        return micros as usize;
    }
    let octave = micros.ilog2() - STEPS.ilog2();
    ((u64::from(octave) + 1) * STEPS + ((micros >> octave) - STEPS)) as usize
}

/// The least time that falls into the bucket.
fn floor_of(index: usize) -> Duration {
    let index = index as u64;
    if index < STEPS {
        return Duration::from_micros(index);
    }
    let octave = index / STEPS - 1;
    Duration::from_micros((STEPS + index % STEPS) << octave)
}

/// Buckets in an octave.
const STEPS: u64 = 64;

/// Longer times count as this, some 12 days, which bounds the buckets.
const LARGEST: u64 = (1 << 40) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_within_two_per_cent() {
        let mut before = 0;
        for micros in (0..100_000).chain([1 << 30, 1 << 39, LARGEST]) {
            let index = bucket_of(Duration::from_micros(micros));
            assert!(index >= before);
            before = index;
            let floor = floor_of(index).as_micros() as u64;
            assert!(floor <= micros && micros - floor <= micros / 64, "{micros} {floor}");
        }
        assert_eq!(bucket_of(Duration::MAX), bucket_of(Duration::from_micros(LARGEST)));
        assert!(bucket_of(Duration::MAX) < 2500);
    }

    #[test]
    fn summary_of_a_hundred() {
        let mut latency = Latency::default();
        assert_eq!(latency.summary(), None);
        for micros in (1..=99).rev() {
            latency.add(Duration::from_micros(micros));
        }
        latency.add(Duration::from_secs(3));
        let summary = latency.summary().unwrap();
        assert_eq!(summary.min, Duration::from_micros(1));
        assert_eq!(summary.median, Duration::from_micros(50));
        assert_eq!(summary.p99, Duration::from_micros(99));
        assert_eq!(summary.max, Duration::from_secs(3));
    }
}
