//! The order in which repetitions are executed. Pure: the same plan gives the same order.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::Plan;
use vocabulary::Shard;
use vocabulary::choices::Order;

/// One repetition of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// Index of the cell in the plan.
    pub cell: usize,
    /// Number of the repetition, from 1.
    pub repetition: u32,
}

/// All repetitions in the order of their execution; skipped cells have none.
pub fn sequence(plan: &Plan) -> Vec<Turn> {
    let cells: Vec<usize> = (0..plan.cells.len()).filter(|c| plan.cells[*c].skipped.is_none()).collect();
    let turns = |order: &[usize], repetition| order.iter().map(move |c| Turn { cell: *c, repetition }).collect::<Vec<_>>();
    match plan.order {
        Order::Sequential => {
            cells.iter().flat_map(|c| (1..=plan.repetitions).map(|repetition| Turn { cell: *c, repetition })).collect()
        }
        Order::Rounds => (1..=plan.repetitions).flat_map(|r| turns(&cells, r)).collect(),
        Order::Interleaved => {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(plan.seed);
            let mut order = cells;
            (1..=plan.repetitions)
                .flat_map(|r| {
                    order.shuffle(&mut rng);
                    turns(&order, r)
                })
                .collect()
        }
    }
}

/// Those of a sequence that belong to a shard. Their order stays: the order of a round does not depend on who executes it.
pub fn of_shard(mut turns: Vec<Turn>, shard: Option<Shard>) -> Vec<Turn> {
    if let Some(shard) = shard {
        turns.retain(|turn| shard.holds(turn.repetition));
    }
    turns
}

/// One round of a run without a last round: every cell once, each round in a different order. A round does not depend on earlier
/// rounds, so it is the same after a restart.
pub fn endless_round(plan: &Plan, repetition: u32) -> Vec<Turn> {
    let mut cells: Vec<usize> = (0..plan.cells.len()).filter(|c| plan.cells[*c].skipped.is_none()).collect();
    let seed = seed_of(plan.seed, Turn { cell: plan.cells.len(), repetition });
    cells.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
    cells.into_iter().map(|cell| Turn { cell, repetition }).collect()
}

/// `turns` in rounds: each holds one repetition of every cell that still has one. A single round if the order has no rounds.
pub fn rounds(order: Order, turns: &[Turn]) -> Vec<&[Turn]> {
    match order {
        Order::Sequential if turns.is_empty() => Vec::new(),
        Order::Sequential => vec![turns],
        Order::Rounds | Order::Interleaved => turns.chunk_by(|a, b| a.repetition == b.repetition).collect(),
    }
}

/// A separate seed for each repetition, so that a single one can be executed again (SplitMix64, Steele et al. 2014).
pub fn seed_of(plan_seed: u64, turn: Turn) -> u64 {
    let mut z = plan_seed
        .wrapping_add((turn.cell as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .wrapping_add(u64::from(turn.repetition).wrapping_mul(0xD1B5_4A32_D192_ED03));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
