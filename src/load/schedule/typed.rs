//! The gaps between the keys of a person who types, with mean 1.
//!
//! Intervals between keys are far from even and skewed to the right; this, and their length at different typing speeds,
//! is known from 136 million of them (Dhakal, Feit, Kristensson & Oulasvirta, *Observations on Typing from 136 Million
//! Keystrokes*, CHI 2018: 239 ms on average, 112 ms of standard deviation between people). A log-normal distribution is
//! the usual description of the fluent ones. The numbers below are our own, and rounded: their purpose is bursts and
//! pauses as people make them, the same from the same seed, and not to imitate a particular person.

use super::Random;

/// Letters of a word; the space after it is one more key.
const LETTERS: u32 = 5;
/// Standard deviation of the logarithm of a gap.
const SIGMA: f64 = 0.45;
/// The first letter of a word takes this many times as long as the others.
const BETWEEN_WORDS: f64 = 1.6;
/// One word in this many starts after a pause…
const WORDS_FOR_PAUSE: f64 = 8.0;
/// …which is this many times as long as the normal gap.
const PAUSE: f64 = 5.0;

/// A person who types: the current key of a word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hand {
    key: u32,
}

impl Hand {
    /// The gap before the next key, in units of the mean gap.
    pub fn gap(&mut self, random: &mut Random) -> f64 {
        let first = self.key == 0;
        self.key = (self.key + 1) % (LETTERS + 1);
        let mut gap = libm::exp(SIGMA * normal(random) - SIGMA * SIGMA / 2.0);
        if first {
            gap *= BETWEEN_WORDS;
            if random.share() <= 1.0 / WORDS_FOR_PAUSE {
                gap *= PAUSE;
            }
        }
        let of_first = BETWEEN_WORDS * (1.0 + (PAUSE - 1.0) / WORDS_FOR_PAUSE);
        gap * f64::from(LETTERS + 1) / (f64::from(LETTERS) + of_first)
    }
}

/// A standard normal number (Box & Muller 1958).
fn normal(random: &mut Random) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(random.share()));
    radius * libm::cos(std::f64::consts::TAU * random.share())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_mean_one_and_words_with_pauses_between_them() {
        let (mut hand, mut random) = (Hand::default(), Random::new(5, 0));
        let gaps: Vec<f64> = (0..600_000).map(|_| hand.gap(&mut random)).collect();
        let mean = |gaps: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = gaps.fold((0.0, 0.0), |(sum, count), gap| (sum + gap, count + 1.0));
            sum / count
        };
        // The standard error of 600 000 such gaps is about 0.002.
        assert!((mean(&mut gaps.iter().copied()) - 1.0).abs() < 0.01);
        let of_key = |key: usize| mean(&mut gaps.iter().copied().skip(key).step_by(6));
        let expected = BETWEEN_WORDS * (1.0 + (PAUSE - 1.0) / WORDS_FOR_PAUSE);
        assert!((of_key(0) / of_key(3) / expected - 1.0).abs() < 0.03, "{}", of_key(0) / of_key(3));
        // Within words the logarithms are normal: their median is e^(-σ²/2) of their mean.
        let mut inside: Vec<f64> = gaps.iter().copied().skip(3).step_by(6).collect();
        inside.sort_by(f64::total_cmp);
        assert!((inside[inside.len() / 2] / of_key(3) / (-SIGMA * SIGMA / 2.0).exp() - 1.0).abs() < 0.01);
        assert!(gaps.iter().all(|gap| *gap > 0.0));
    }

    #[test]
    fn the_same_seed_types_the_same() {
        let take = |seed| {
            let (mut hand, mut random) = (Hand::default(), Random::new(seed, 0));
            (0..50).map(|_| hand.gap(&mut random).to_bits()).collect::<Vec<u64>>()
        };
        assert!(take(1) == take(1) && take(1) != take(2));
    }
}
