//! Encoded histograms, bucket by bucket: HdrHistogram's V2 form, read without making a histogram of it.
//!
//! `hdrhistogram` itself keeps every bucket, 270 KB per histogram, and decodes into a new histogram for each window. Here the
//! caller receives bucket and count, and adds them up where it likes.
//!
//! Only histograms as the engine makes them are supported: 1 ns to an hour, 3 significant digits, not compressed. Form and
//! buckets: HdrHistogram's `AbstractHistogram.java`, `encodeIntoByteBuffer` and `countsArrayIndex`.

use std::ops::Range;

use super::MAX_TIME_NS;

/// Values below this have one bucket each; above it, each power of two has half as many buckets.
const SUB_BUCKETS: u32 = 2048;
const HALF: u32 = SUB_BUCKETS / 2;
const HALF_MAGNITUDE: u32 = HALF.trailing_zeros();
/// How many buckets there are: powers of two until the longest time fits.
pub const BUCKETS: usize = {
    let mut powers = 1;
    while ((SUB_BUCKETS as u64) << (powers - 1)) <= MAX_TIME_NS {
        powers += 1;
    }
    (powers + 1) * HALF as usize
};

/// First bytes of a histogram in the V2 form, with 16-bit words, like this one.
const COOKIE: u32 = 0x1c84_9313;
/// Bytes before the counts.
const HEADER: usize = 40;

/// Why bytes are not a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// Another form, or other bounds.
    #[error("its header is not that of a histogram from 1 ns to an hour with 3 digits")]
    Head,
    /// More or fewer bytes than the header says.
    #[error("its length differs from what its header says")]
    Length,
    /// The last count is cut short.
    #[error("its last count is cut short")]
    CutShort,
    /// A count beyond the last bucket, or of more than 2³² − 1 times, which no window has.
    #[error("it counts times beyond its bounds")]
    Beyond,
}

/// The meaning of a number of one byte: a count, or how many buckets to skip. Zigzag: an even number is twice a count, an
/// odd one says how many buckets, less one, are empty. Which of them comes next cannot be predicted, so it is looked up
/// instead of branched on: that takes a third of the time.
const SHORT: [(u8, u8); 128] = {
    let mut all = [(0, 1); 128];
    let mut number = 0;
    while number < 128 {
        let half = number as u8 >> 1;
        all[number] = if number & 1 == 0 { (half, 1) } else { (0, half + 1) };
        number += 1;
    }
    all
};

/// What [`decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Sum of all counts.
    pub total: u64,
    /// The range that contains every bucket that occurs.
    pub buckets: Range<usize>,
}

/// Calls `each` with bucket and count, ascending, for every bucket that occurs and for some that do not, with a count of 0.
///
/// # Errors
/// [`Damaged`]; `each` has then been called for everything before the error.
pub fn decode(bytes: &[u8], mut each: impl FnMut(usize, u64)) -> Result<Extent, Damaged> {
    decode_while(bytes, |bucket, count| {
        each(bucket, count);
        true
    })
}

/// The same until `each` says that it has seen enough; the extent then ends there.
///
/// # Errors
/// Like [`decode`], for errors before that.
pub fn decode_while(bytes: &[u8], mut each: impl FnMut(usize, u64) -> bool) -> Result<Extent, Damaged> {
    let Some((head, mut rest)) = bytes.split_at_checked(HEADER) else { return Err(Damaged::Length) };
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let long = |at: usize| (u64::from(word(at)) << 32) | u64::from(word(at + 4));
    // Cookie, length of the counts, normalizing offset, digits, lowest, highest, ratio of conversion.
    let expected = (COOKIE, 0, 3, 1, MAX_TIME_NS, 1_f64.to_bits());
    if (word(0), word(8), word(12), long(16), long(24), long(32)) != expected {
        return Err(Damaged::Head);
    }
    if word(4) as usize != rest.len() {
        return Err(Damaged::Length);
    }
    let (mut bucket, mut total) = (0_usize, 0_u64);
    // Usually it starts with an empty stretch, and that is all that needs to be known about the first bucket that occurs.
    let start = match rest {
        [first, ..] if *first < 0x80 && first & 1 == 1 => usize::from(*first >> 1) + 1,
        [first, second, ..] if *first & 1 == 1 && *second < 0x80 => {
            (usize::from(*second) << 6 | usize::from(*first & 0x7f) >> 1) + 1
        }
        _ => 0,
    };
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        let (count, step) = match SHORT.get(usize::from(first)) {
            Some((count, step)) => (u64::from(*count), usize::from(*step)),
            None => {
                let number = long_number(first, &mut rest).ok_or(Damaged::CutShort)?;
                let half = number >> 1;
                if number & 1 == 0 { (half, 1) } else { (0, usize::try_from(half).map_err(|_| Damaged::Beyond)? + 1) }
            }
        };
        if bucket >= BUCKETS || count > u64::from(u32::MAX) {
            return Err(Damaged::Beyond);
        }
        let goes_on = each(bucket, count);
        total += count;
        bucket = bucket.saturating_add(step);
        if !goes_on {
            break;
        }
    }
    Ok(Extent { total, buckets: start.min(bucket)..bucket.min(BUCKETS) })
}

/// LEB128 of at most nine bytes, of which the ninth has eight bits. The first byte has been read already.
fn long_number(first: u8, rest: &mut &[u8]) -> Option<u64> {
    let mut number = u64::from(first & 0x7f);
    for place in 1..9 {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        if place == 8 {
            return Some(number | (u64::from(byte) << 56));
        }
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// The shortest time in a bucket, and how many nanoseconds wide it is.
pub fn bounds(bucket: u32) -> (u64, u64) {
    match (bucket >> HALF_MAGNITUDE).checked_sub(1) {
        None => (u64::from(bucket), 1),
        Some(power) => (u64::from((bucket & (HALF - 1)) + HALF) << power, 1 << power),
    }
}

/// The longest time of a bucket.
pub fn longest(bucket: u32) -> u64 {
    let (low, width) = bounds(bucket);
    low + width - 1
}

/// The bucket of a time.
pub fn bucket_of(ns: u64) -> u32 {
    let ns = ns.min(MAX_TIME_NS);
    match ns.checked_ilog2().and_then(|bits| bits.checked_sub(HALF_MAGNITUDE)) {
        None | Some(0) => ns as u32,
        Some(power) => (power << HALF_MAGNITUDE) + (ns >> power) as u32,
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::{Serializer as _, V2Serializer};
    use proptest::prelude::*;

    use super::super::new_histogram;
    use super::*;

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

    #[test]
    fn there_are_as_many_buckets_as_hdrhistogram_has() {
        assert_eq!(BUCKETS, new_histogram().distinct_values());
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut whole = encoded(&of(&[]));
            whole.truncate(HEADER);
            whole[4..8].copy_from_slice(&(bytes.len() as u32).to_be_bytes());
            whole.extend(bytes);
            let _ = decode(&whole, |_, _| ());
        }

        #[test]
        fn a_time_lies_in_its_bucket(bits in 0_u32..42, any: u64) {
            let ns = (any & ((1 << bits) - 1)).min(MAX_TIME_NS);
            let (low, width) = bounds(bucket_of(ns));
            prop_assert!((low..low + width).contains(&ns), "{ns}: {low} + {width}");
            prop_assert!((bucket_of(ns) as usize) < BUCKETS);
        }
    }

    #[test]
    fn what_is_no_histogram_is_said() {
        let mut bytes = encoded(&of(&[(1_000_000, 3)]));
        assert_eq!(decode(&bytes[..30], |_, _| ()), Err(Damaged::Length));
        assert_eq!(decode(&bytes[..bytes.len() - 1], |_, _| ()), Err(Damaged::Length));
        bytes[15] = 2;
        assert_eq!(decode(&bytes, |_, _| ()), Err(Damaged::Head));
        let narrow: Histogram<u32> = Histogram::new_with_bounds(1, 1000, 3).unwrap();
        assert_eq!(decode(&encoded(&narrow), |_, _| ()), Err(Damaged::Head));
    }
}
