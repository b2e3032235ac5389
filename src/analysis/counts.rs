//! Distributions of times as counts per bucket: sums of encoded histograms, and their percentiles.
//!
//! A window is decoded directly into a sum ([`Sum`]); what is kept ([`Counts`]) holds only buckets that occur. All numbers
//! are bit-identical to those of `hdrhistogram`; the tests compare them.

use super::times::Times;
use vocabulary::rows::histogram::{BUCKETS, Damaged, bounds, decode};

/// A distribution of times: how many are in which bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bucket and count, ascending, without counts of zero.
    buckets: Vec<(u32, u64)>,
    total: u64,
}

impl Counts {
    /// How many times there are.
    pub fn len(&self) -> u64 {
        self.total
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Longest time of each bucket that occurs, in nanoseconds, ascending, with the number of times in the bucket.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        self.buckets.iter().map(|(bucket, count)| {
            let (low, width) = bounds(*bucket);
            (low + width - 1, *count)
        })
    }

    /// Arithmetic mean in nanoseconds, with each time taken as the middle of its bucket; none when it is empty.
    pub fn mean(&self) -> Option<f64> {
        let total = self.total as f64;
        let part = |sum: f64, (bucket, count): &(u32, u64)| {
            let (low, width) = bounds(*bucket);
            sum + (low + (width >> 1)) as f64 * *count as f64 / total
        };
        (self.total > 0).then(|| self.buckets.iter().fold(0.0, part))
    }

    /// Standard deviation of the times themselves (divided by their number) in nanoseconds around their `mean`, with each
    /// time taken as the middle of its bucket; 0 when it is empty.
    fn standard_deviation(&self, mean: f64) -> f64 {
        let part = |sum: f64, (bucket, count): &(u32, u64)| {
            let (low, width) = bounds(*bucket);
            let distance = (low + (width >> 1)) as f64 - mean;
            sum + (distance * distance) * *count as f64
        };
        (self.buckets.iter().fold(0.0, part) / self.total.max(1) as f64).sqrt()
    }

    /// Percentiles in nanoseconds, for each of `shares`, ascending and in (0, 1]. Each is the longest time of the bucket
    /// that contains the smallest value that at least this share of all values does not exceed (Hyndman & Fan 1996, type 1,
    /// to three digits). All 0 when it is empty.
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> [u64; N] {
        let mut found = [0; N];
        let mut values = self.values();
        let (mut below, mut value) = (0, 0);
        for (found, share) in found.iter_mut().zip(shares) {
            let wanted = ((share * self.total as f64).ceil() as u64).max(1);
            while below < wanted {
                let Some((next, count)) = values.next() else { break };
                (value, below) = (next, below + count);
            }
            *found = value;
        }
        found
    }

    /// The position of the value with a rank, from 1: its bucket, and how many values are in the buckets before and in this
    /// one.
    pub(super) fn locate(&self, rank: u64) -> Option<(u32, u64, u64)> {
        let mut below = 0;
        for (bucket, count) in &self.buckets {
            if below + count >= rank {
                return Some((*bucket, below, *count));
            }
            below += count;
        }
        None
    }

    /// Mean, spread and percentiles; none when it is empty.
    pub fn times(&self) -> Option<Times> {
        let [p25, p50, p75, p90, p95, p99, p99_9] = self.quantiles([0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]);
        let max = self.values().next_back()?.0;
        let mean = self.mean()?;
        let standard_deviation = self.standard_deviation(mean);
        Some(Times { mean, standard_deviation, p25, p50, p75, p90, p95, p99, p99_9, max })
    }
}

/// A sum of distributions. Holds every bucket, but memory is used only for those between the shortest and the longest time;
/// meant to be reused again and again.
pub struct Sum {
    counts: Vec<u64>,
    /// The first bucket that occurs, and the one after the last.
    first: usize,
    end: usize,
}

impl Default for Sum {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], first: BUCKETS, end: 0 }
    }
}

impl Sum {
    /// Adds the times of an encoded histogram and returns how many there are.
    ///
    /// # Errors
    /// [`Damaged`]; everything before the error has then been added.
    pub fn add_encoded(&mut self, bytes: &[u8]) -> Result<u64, Damaged> {
        let counts = self.counts.as_mut_slice();
        match decode(bytes, |bucket, count| counts[bucket] += count) {
            Ok(found) => {
                self.first = self.first.min(found.buckets.start);
                self.end = self.end.max(found.buckets.end);
                Ok(found.total)
            }
            Err(error) => {
                (self.first, self.end) = (0, BUCKETS);
                Err(error)
            }
        }
    }

    /// Adds a distribution.
    pub fn add(&mut self, counts: &Counts) {
        let (Some((first, _)), Some((last, _))) = (counts.buckets.first(), counts.buckets.last()) else { return };
        self.first = self.first.min(*first as usize);
        self.end = self.end.max(*last as usize + 1);
        for (bucket, count) in &counts.buckets {
            let sum = &mut self.counts[*bucket as usize];
            *sum = sum.saturating_add(*count);
        }
    }

    /// Returns the sum, and empties it.
    pub fn take(&mut self) -> Counts {
        let range = self.first.min(self.end)..self.end;
        let mut found = Counts { buckets: Vec::with_capacity(range.len().min(512)), total: 0 };
        for (bucket, count) in range.clone().zip(&mut self.counts[range]).filter(|(_, count)| **count > 0) {
            found.total = found.total.saturating_add(*count);
            found.buckets.push((bucket as u32, *count));
            *count = 0;
        }
        (self.first, self.end) = (BUCKETS, 0);
        found
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
    use proptest::prelude::*;

    use super::*;
    use vocabulary::rows::{MAX_TIME_NS, new_histogram};

    fn encoded(histogram: &Histogram<u32>) -> Vec<u8> {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(histogram, &mut bytes).unwrap();
        bytes
    }

    fn of(values: &[(u64, u32)]) -> Histogram<u32> {
        let mut histogram = new_histogram();
        values.iter().for_each(|(value, count)| histogram.saturating_record_n(*value, *count));
        histogram
    }

    /// Times of all lengths, and counts that take up to five bytes.
    fn times() -> impl Strategy<Value = Vec<(u64, u32)>> {
        let time = (0_u32..43, any::<u64>()).prop_map(|(bits, any)| any & ((1 << bits) - 1));
        let count = (0_u32..31, any::<u32>()).prop_map(|(bits, any)| any & ((1 << bits) - 1));
        prop::collection::vec((time, count), 0..80)
    }

    proptest! {
        #[test]
        fn sums_say_what_hdrhistogram_says(windows in prop::collection::vec(times(), 1..4)) {
            let mut expected: Histogram<u64> = Histogram::new_with_bounds(1, MAX_TIME_NS, 3).unwrap();
            let (mut sum, mut of_sums) = (Sum::default(), Sum::default());
            for window in &windows {
                let histogram = of(window);
                let bytes = encoded(&histogram);
                let decoded: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                expected.add(&decoded).unwrap();
                prop_assert_eq!(sum.add_encoded(&bytes), Ok(histogram.len()));
                let mut alone = Sum::default();
                alone.add_encoded(&bytes).unwrap();
                of_sums.add(&alone.take());
            }
            let found = sum.take();
            prop_assert_eq!(&of_sums.take(), &found);
            prop_assert!(sum.take().is_empty());
            prop_assert_eq!(found.len(), expected.len());
            let recorded: Vec<_> = expected.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect();
            prop_assert_eq!(found.values().collect::<Vec<_>>(), recorded);
            let times = crate::times::times(&expected);
            let bits = |t: Times| [t.mean, t.standard_deviation].map(f64::to_bits);
            prop_assert_eq!(found.times().map(bits), times.map(bits));
            prop_assert_eq!(found.times(), times);
        }

        /// Whatever the bytes are: no panic, and the same histogram that `hdrhistogram` reads from them.
        #[test]
        fn a_damaged_histogram_is_refused_or_read_alike(window in times(), at: prop::sample::Index, flip in 1_u8.., cut: bool) {
            let mut bytes = encoded(&of(&window));
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
            let mut sum = Sum::default();
            if sum.add_encoded(&bytes).is_ok() {
                let read: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                prop_assert_eq!(sum.take().times(), crate::times::times(&read));
            }
        }

    }

    proptest! {
        /// A distribution that is moved by a whole number of buckets of the same width is as wide as before; also when its
        /// counts are doubled.
        #[test]
        fn a_spread_knows_neither_place_nor_number(values in prop::collection::vec(0_u64..1000, 1..40), by in 0_u64..1000) {
            let spread = |values: &[u64], count| {
                let mut sum = Sum::default();
                sum.add_encoded(&encoded(&of(&values.iter().map(|v| (*v, count)).collect::<Vec<_>>()))).unwrap();
                sum.take().times().unwrap().standard_deviation
            };
            let moved: Vec<u64> = values.iter().map(|v| v + by).collect();
            let here = spread(&values, 1);
            prop_assert!((here - spread(&moved, 1)).abs() < 1e-9 * (1.0 + here));
            prop_assert!((here - spread(&values, 2)).abs() < 1e-9 * (1.0 + here));
            // The sample's standard deviation, with n instead of n − 1.
            let plain: Vec<f64> = values.iter().map(|v| *v as f64).collect();
            let n = plain.len() as f64;
            let sample = if plain.len() > 1 { crate::stats::standard_deviation(&plain) } else { 0.0 };
            prop_assert!((here - sample * ((n - 1.0) / n).sqrt()).abs() < 1e-9 * (1.0 + here));
        }
    }
}
