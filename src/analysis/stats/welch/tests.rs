use proptest::prelude::*;

use super::super::reference::assert_close;
use super::*;

const A: [f64; 5] = [100.0, 102.0, 98.0, 101.0, 99.0];
const B: [f64; 5] = [104.0, 107.0, 103.0, 108.0, 105.0];

// x, y = np.log([100, 102, 98, 101, 99]), np.log([104, 107, 103, 108, 105])
// r = scipy.stats.ttest_ind(y, x, equal_var=False); np.exp(r.confidence_interval()); scipy.stats.ttest_rel(y, x)
//                                                                                          scipy 1.17.1
#[test]
fn agrees_with_scipy() {
    let found = welch(&A, &B, 0.95).unwrap();
    assert_close("t", found.t, 4.657612, 2e-7);
    assert_close("freedom", found.freedom, 7.650086, 1e-7);
    assert_close("p", found.p / 0.0018343151, 1.0, 1e-7);
    assert_close("ratio", found.ratio, 1.053942, 1e-6);
    let (low, high) = found.interval.unwrap();
    assert_close("low", low, 1.026667, 1e-6);
    assert_close("high", high, 1.081943, 1e-6);

    let found = paired_t(&A, &B, 0.95).unwrap();
    assert_close("t", found.t, 11.000911, 1e-7);
    assert_close("p", found.p / 0.00038804621, 1.0, 1e-7);
    assert_eq!(found.freedom, 4.0);
}

#[test]
fn far_apart_p_keeps_its_digits() {
    let found = welch(&A, &[4040.0, 3998.4, 3920.0, 4120.8, 3920.4], 0.95).unwrap();
    assert_close("freedom", found.freedom, 7.4003, 1e-5);
    assert_close("p", found.p / 1.62938e-16, 1.0, 5e-6);
}

#[test]
fn values_that_do_not_vary() {
    let equal = welch(&[7.0; 3], &[7.0; 9], 0.95).unwrap();
    assert_eq!(equal, MeanRatio { ratio: 1.0, interval: Some((1.0, 1.0)), t: 0.0, freedom: 10.0, p: 1.0 });
    let different = welch(&[5.0; 5], &[6.0; 5], 0.95).unwrap();
    assert_close("p", different.p, 2.0 / 1024.0, 1e-14);
    assert_eq!((different.t, different.interval), (f64::INFINITY, Some((different.ratio, different.ratio))));
    assert_close("ratio", different.ratio, 1.2, 1e-14);
    // Two of each turn out like this once in eight times, so there is no interval of 95 %.
    let two = welch(&[5.0; 2], &[6.0; 2], 0.95).unwrap();
    assert_close("p", two.p, 0.125, 1e-14);
    assert_eq!(two.interval, None);
    // Uneven samples: q = 1/4.
    assert_close("p", welch(&[5.0; 2], &[6.0; 6], 0.95).unwrap().p, 2.0 / 16.0 * 0.75f64.powi(6), 1e-14);

    // One of the two varies: only its spread counts.
    let one = welch(&[5.0; 5], &[6.0, 6.1, 5.9, 6.0, 6.2], 0.95).unwrap();
    assert_eq!(one.freedom, 4.0);
    assert!(one.p > 0.0 && one.p < 1e-4);
    // 0.1 + 0.2 is not 0.3, and no difference.
    assert_eq!(welch(&[0.3; 4], &[0.1 + 0.2; 4], 0.95).unwrap().p, 1.0);

    let pairs = paired_t(&[1.0, 2.0, 3.0, 7.0], &[2.0, 4.0, 6.0, 14.0], 0.95).unwrap();
    assert_close("p", pairs.p, 0.125, 1e-14);
    assert_eq!((pairs.t, pairs.interval), (f64::INFINITY, None));
}

#[test]
fn what_cannot_be_judged() {
    use SampleError::*;
    assert_eq!(welch(&A[..1], &B, 0.95), Err(TooFew { found: 1, needed: 2 }));
    assert!(matches!(welch(&A, &[1.0, 0.0], 0.95), Err(NotPositive { index: 1, .. })));
    assert!(matches!(welch(&A, &B, 95.0), Err(Share { .. })));
    assert_eq!(paired_t(&A, &B[..3], 0.95), Err(Pair { index: 3 }));
}

proptest! {
    #[test]
    fn sides_are_alike_and_interval_agrees_with_p(
        a in prop::collection::vec(1.0..9.0, 2..20), b in prop::collection::vec(1.0..9.0, 2..20), factor in 0.3..3.0,
    ) {
        let b: Vec<f64> = b.iter().map(|value| value * factor).collect();
        let (one, other) = (welch(&a, &b, 0.95).unwrap(), welch(&b, &a, 0.95).unwrap());
        assert_close("p", one.p, other.p, 1e-10);
        assert_close("ratio", one.ratio * other.ratio, 1.0, 1e-12);
        if let Some((low, high)) = one.interval {
            prop_assert!(low <= one.ratio && one.ratio <= high);
            prop_assert!((one.p - 0.05).abs() < 1e-9 || (low <= 1.0 && 1.0 <= high) == (one.p > 0.05));
        }
    }

    #[test]
    fn whole_numbers_never_give_nan(
        a in prop::collection::vec(1..4i32, 2..8), b in prop::collection::vec(1..4i32, 2..8),
    ) {
        let [a, b] = [a, b].map(|values| values.into_iter().map(f64::from).collect::<Vec<_>>());
        let found = welch(&a, &b, 0.95).unwrap();
        prop_assert!((0.0..=1.0).contains(&found.p) && !found.t.is_nan() && found.freedom >= 1.0 && found.ratio > 0.0);
    }
}
