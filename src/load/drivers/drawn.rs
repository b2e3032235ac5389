//! Which row of a file is drawn: pure, from the number of the pass or of the user alone, so that a seed gives the same sequence
//! however many threads and machines there are.

use crate::schedule::mix;
use plan::DrawnRow;
use vocabulary::choices::RowOrder;

/// Connections with this number or a higher one are those of checked passes.
const CHECKED: u64 = 1 << 23;

/// The row that a pass or a user draws. `number`: which one it is; `connection`: that of its client; `seed`: that of the workload.
pub(super) fn row(drawn: &DrawnRow, number: u64, connection: u64, seed: u64) -> u64 {
    let count = drawn.rows.count();
    match drawn.order {
        RowOrder::InTurn => number % count,
        RowOrder::Shuffled => {
            let (round, at) = (number / count, number % count);
            shuffled(at, count, mix(drawn.seed.unwrap_or(seed) ^ mix(round)))
        }
        // Kept for the checked pass: no other uses it.
        RowOrder::Unique if connection >= CHECKED => count - 1,
        // Nobody asks for more than there are; should somebody do, nothing is out of bounds.
        RowOrder::Unique => number.min(count - 1),
    }
}

/// Where a place comes to lie when `count` places are shuffled: a permutation that takes no memory.
///
/// A Feistel network permutes the next power of 4 (Luby & Rackoff 1988: four rounds of it are a pseudorandom permutation if its
/// functions are pseudorandom), and is followed until it leads to a place that exists (Black & Rogaway 2002, "cycle walking"):
/// at most four times on average.
fn shuffled(place: u64, count: u64, key: u64) -> u64 {
    let half = (u64::BITS - (count - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1_u64 << half) - 1;
    let mut at = place;
    loop {
        let (mut left, mut right) = (at >> half, at & mask);
        for round in 0..4 {
            (left, right) = (right, left ^ (mix(right ^ mix(key.wrapping_add(round))) & mask));
        }
        at = (left << half) | right;
        if at < count {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::Rows;
    use proptest::prelude::*;
    use std::sync::Arc;
    use vocabulary::choices::DrawnPer;

    fn drawn(count: u64, order: RowOrder) -> DrawnRow {
        let mut rows = Rows::new("x.csv".into(), vec!["n".to_owned()]);
        (0..count).for_each(|n| assert!(rows.push(&n.to_string())));
        DrawnRow { rows: Arc::new(rows), order, per: DrawnPer::Pass, seed: None }
    }

    proptest! {
        /// Each round over the rows draws each of them once, in an order of its own.
        #[test]
        fn shuffling_permutes(count in 1_u64..3000, key: u64) {
            let drawn_: std::collections::BTreeSet<u64> = (0..count).map(|place| shuffled(place, count, key)).collect();
            prop_assert_eq!(drawn_.len() as u64, count);
        }

        /// The row of a pass depends on nothing but its number and the seed.
        #[test]
        fn threads_make_no_difference(count in 2_u64..100, seed: u64, number in 0_u64..10_000, one in 0..CHECKED, other in 0..CHECKED) {
            for order in [RowOrder::InTurn, RowOrder::Shuffled] {
                let drawn = drawn(count, order);
                prop_assert_eq!(row(&drawn, number, one, seed), row(&drawn, number, other, seed));
            }
        }
    }

    #[test]
    fn every_order_is_what_it_says() {
        let rows = |order, seed| (0..200).map(|n| row(&drawn(100, order), n, 0, seed)).collect::<Vec<u64>>();
        assert!(rows(RowOrder::InTurn, 1).into_iter().eq((0..100).chain(0..100)));
        let (shuffled, again, other) = (rows(RowOrder::Shuffled, 1), rows(RowOrder::Shuffled, 1), rows(RowOrder::Shuffled, 2));
        assert!(shuffled == again && shuffled != other && shuffled[..100] != shuffled[100..]);
        let displaced = shuffled[..100].iter().enumerate().filter(|(at, row)| *at as u64 != **row).count();
        assert!(displaced > 90, "{displaced} of 100 rows lie elsewhere");
        assert!(rows(RowOrder::Unique, 1).into_iter().take(99).eq(0..99));
        assert_eq!(row(&drawn(100, RowOrder::Unique), 0, CHECKED, 1), 99, "the last row is for the checked pass");
        assert_eq!(row(&drawn(1, RowOrder::Shuffled), 7, 0, 1), 0);
    }
}
