use proptest::prelude::*;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::super::reference::{assert_close, normal, uniform};
use super::*;

#[test]
fn looks_are_few_and_spend_the_level_once() {
    let hundred = looks(100);
    assert_eq!(hundred.iter().map(|look| look.rounds).collect::<Vec<_>>(), [5, 7, 10, 14, 20, 28, 39, 55, 77, 100]);
    let spent: Vec<f64> = hundred.iter().map(|look| (1e4 * 0.01 * look.share).round()).collect();
    assert_eq!(spent, [5.0, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 16.0, 22.0, 23.0]);
    assert_eq!(looks(5), [Look { rounds: 5, share: 1.0 }]);
    assert_eq!(looks(4), []);
}

/// How a series of up to `most` rounds was decided, and after how many.
fn series(
    most: usize,
    paired: bool,
    threshold: f64,
    rng: &mut Xoshiro256PlusPlus,
    mut draw: impl FnMut(&mut Xoshiro256PlusPlus) -> (f64, f64),
) -> (Decision, usize) {
    let (a, b): (Vec<f64>, Vec<f64>) = (0..most).map(|_| draw(rng)).unzip();
    let pairs: Vec<(usize, usize)> = (0..most).map(|i| (i, i)).collect();
    for look in looks(most) {
        let n = look.rounds;
        let pairs = paired.then_some(&pairs[..n]);
        let decision = decide(&a[..n], &b[..n], pairs, threshold, look, 0.01).unwrap();
        if decision != Decision::GoOn {
            return (decision, n);
        }
    }
    (Decision::GoOn, most)
}

const SERIES: usize = if cfg!(debug_assertions) { 200 } else { 2000 };

fn spread(rng: &mut Xoshiro256PlusPlus) -> f64 {
    libm::exp(0.05 * normal(rng))
}

/// Shares of "differs" and "same", and the mean number of rounds.
fn outcomes(
    seed: u64,
    paired: bool,
    threshold: f64,
    mut draw: impl FnMut(&mut Xoshiro256PlusPlus) -> (f64, f64),
) -> (f64, f64, f64) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let found: Vec<(Decision, usize)> = (0..SERIES).map(|_| series(100, paired, threshold, &mut rng, &mut draw)).collect();
    let share = |wanted| found.iter().filter(|(decision, _)| *decision == wanted).count() as f64 / SERIES as f64;
    let rounds = found.iter().map(|(_, n)| *n as f64).sum::<f64>() / SERIES as f64;
    (share(Decision::Differs), share(Decision::Same), rounds)
}

#[test]
fn equal_things_are_rarely_called_different() {
    for paired in [false, true] {
        let (differs, same, rounds) = outcomes(41, paired, 0.05, |rng| (spread(rng), spread(rng)));
        println!("paired {paired}: differs {differs}, same {same}, {rounds} rounds");
        assert!(differs <= 0.012, "{differs}");
        assert!(same > 0.97 && rounds < 45.0, "{same} {rounds}");
        // To the last look: a threshold so small that nothing is the same.
        let (differs, same, _) = outcomes(42, paired, 1e-4, |rng| (spread(rng), spread(rng)));
        println!("paired {paired}, no threshold: differs {differs}, same {same}");
        assert!(differs <= 0.012, "{differs}");
        assert_eq!(same, 0.0);
    }
    let mode = |rng: &mut Xoshiro256PlusPlus| libm::exp(0.01 * normal(rng)) * if uniform(rng) < 0.5 { 1.0 } else { 1.1 };
    let (differs, _, _) = outcomes(43, false, 1e-4, |rng| (mode(rng), mode(rng)));
    println!("two modes: differs {differs}");
    assert!(differs <= 0.012, "{differs}");
}

#[test]
fn differences_are_found_soon() {
    for (effect, most) in [(1.1, 15.0), (1.5, 6.0)] {
        for paired in [false, true] {
            let (differs, same, rounds) = outcomes(44, paired, 0.05, |rng| (spread(rng), effect * spread(rng)));
            println!("{effect}, paired {paired}: differs {differs}, same {same}, {rounds} rounds");
            assert!(differs > 0.995 && rounds <= most, "{effect}: {differs} {rounds}");
        }
    }
}

#[test]
fn a_difference_of_the_threshold_is_rarely_called_the_same() {
    let (differs, same, rounds) = outcomes(45, false, 0.05, |rng| (spread(rng), 1.05 * spread(rng)));
    println!("of the threshold: differs {differs}, same {same}, {rounds} rounds");
    assert!(same <= 0.02 && differs > 0.9, "{same} {differs}");
}

#[test]
fn what_does_not_vary_is_decided() {
    let look = looks(20)[1];
    let decided = |a: f64, b: f64, threshold| decide(&[a; 7], &[b; 7], None, threshold, look, 0.01).unwrap();
    assert_eq!(decided(5.0, 5.0, 0.05), Decision::Same);
    assert_eq!(decided(5.0, 6.0, 0.05), Decision::Differs);
    assert_eq!(decided(100.0, 101.0, 0.05), Decision::Same);
    use SampleError::*;
    assert!(matches!(decide(&[1.0; 5], &[0.0; 5], None, 0.05, look, 0.01), Err(NotPositive { .. })));
    assert!(matches!(decide(&[1.0; 5], &[1.0; 5], None, 0.0, look, 0.01), Err(Effect { .. })));
    assert!(matches!(decide(&[1.0; 5], &[1.0; 5], None, 0.05, look, 1.0), Err(Share { .. })));
}

// K = 1 + n / 2; nu = 2 * n - 2; K ** -0.5 * ((1 + t * t / nu / K) / (1 + t * t / nu)) ** (-(nu + 1) / 2)     numpy 2.4.6
#[test]
fn safe_t_by_hand() {
    assert_close("3", safe_t(3.0, 10), 8.985688, 1e-7);
    assert_close("5", safe_t(5.0, 10), 221.167339, 1e-8);
    assert_close("critical", safe_t(4.482669, 10), 100.0, 1e-5);
    assert!(safe_t(0.0, 10) < 1.0);
}

/// How often an interval that was waited for contains the mean, the mean number of values, and the share of series refused.
fn waited(phi: f64, half_width: f64, seed: u64) -> (f64, f64, f64) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (mut covered, mut values_used, mut refused) = (0, 0, 0);
    let step = f64::sqrt(1.0 - phi * phi);
    for _ in 0..SERIES {
        let mut last = normal(&mut rng);
        let mut values = Vec::new();
        loop {
            last = phi * last + step * normal(&mut rng);
            values.push(100.0 * libm::exp(0.05 * last));
            if values.len() < FEWEST {
                continue;
            }
            match mean_interval_until(&values, half_width) {
                Ok(found) if found.reached => {
                    covered += usize::from(found.low <= 100.0 && 100.0 <= found.high);
                    values_used += values.len();
                    break;
                }
                Err(UntilError::Dependent(_)) => {
                    refused += 1;
                    break;
                }
                other => assert!(other.is_ok() && values.len() < 2000),
            }
        }
    }
    let stopped = (SERIES - refused).max(1) as f64;
    (covered as f64 / stopped, values_used as f64 / stopped, refused as f64 / SERIES as f64)
}

#[test]
fn an_interval_that_was_waited_for_covers() {
    for (half_width, seed) in [(0.02, 51), (0.01, 52), (0.05, 53)] {
        let (covered, values, refused) = waited(0.0, half_width, seed);
        println!("±{half_width}: covers {covered}, {values} values, refused {refused}");
        assert!(covered >= 0.95 && refused < 0.08, "{half_width}: {covered} {refused}");
    }
    for (phi, least) in [(0.3, 0.35), (0.7, 0.68)] {
        let (covered, values, refused) = waited(phi, 0.02, 54);
        println!("phi {phi}: covers {covered}, {values} values, refused {refused}");
        assert!(refused >= least, "{phi}: {refused}");
    }
}

#[test]
fn an_interval_by_hand() {
    // np.exp(np.log(x).mean() ± t.ppf(0.985, 9) * np.log(x).std(ddof=1) / np.sqrt(10))     scipy 1.17.1
    let values = [101.0, 99.0, 102.5, 98.0, 100.5, 103.0, 97.5, 101.5, 99.5, 100.0];
    let found = mean_interval_until(&values, 0.02).unwrap();
    assert_close("mean", found.mean, 100.23522127930632, 1e-13);
    assert_close("low", found.low, 98.7692600730683, 1e-12);
    assert_close("high", found.high, 101.72294069509866, 1e-12);
    assert!(found.reached && found.level == 0.95);
    assert!(!mean_interval_until(&values, 0.001).unwrap().reached);
    assert!(!mean_interval_until(&values[..9], 0.9).unwrap().reached);
    let same = mean_interval_until(&[7.0; 10], 0.01).unwrap();
    assert!(same.reached && (same.low - 7.0).abs() < 1e-12);

    let rising: Vec<f64> = (0..12).map(|i| 100.0 + 0.1 * f64::from(i)).collect();
    let refused = mean_interval_until(&rising, 0.02).unwrap_err();
    assert!(matches!(refused, UntilError::Dependent(_)));
    assert!(refused.to_string().starts_with("successive values depend on each other (correlation 0."), "{refused}");
    assert!(matches!(mean_interval_until(&[1.0], 0.1), Err(UntilError::Sample(SampleError::TooFew { .. }))));
    assert!(matches!(mean_interval_until(&values, 0.0), Err(UntilError::Sample(SampleError::Effect { .. }))));
}

proptest! {
    #[test]
    fn looks_end_at_the_end(most in 5usize..5000) {
        let looks = looks(most);
        prop_assert_eq!(looks.last().map(|look| look.rounds), Some(most));
        prop_assert!(looks.windows(2).all(|pair| pair[0].rounds < pair[1].rounds));
        prop_assert!((looks.iter().map(|look| look.share).sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!(looks.len() <= 25);
    }
}
