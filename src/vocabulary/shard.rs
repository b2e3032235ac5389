//! A part of a run that is executed by itself, anywhere: some of its whole rounds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Every `of`-th round, from the `number`-th on: of `2/5` the rounds 2, 7, 12 and so on. All cells of a round stay together, so
/// that they are compared under the same circumstances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    number: u32,
    of: u32,
}

/// More shards than this are a mistake: a run has no more rounds.
const MOST: u32 = 1_000_000;

impl Shard {
    /// All shards of a run, if it has `of` of them.
    pub fn all(of: u32) -> impl Iterator<Item = Self> {
        (1..=of).map(move |number| Self { number, of })
    }

    /// Whether a round, counted from 1, belongs to it.
    pub fn holds(self, round: u32) -> bool {
        round > 0 && (round - 1) % self.of == self.number - 1
    }

    /// How many of the first `rounds` rounds belong to it.
    pub fn count(self, rounds: u32) -> u32 {
        (rounds + self.of - self.number) / self.of
    }

    /// How many shards there are.
    pub fn of(self) -> u32 {
        self.of
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) && of <= MOST => Ok(Self { number, of }),
            Some((number, of)) if of > 0 && of <= MOST => {
                Err(format!("there is no shard {number} of {of}; expected one from 1/{of} to {of}/{of}"))
            }
            _ => Err("expected a shard and how many there are, such as `2/5`".to_owned()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl Serialize for Shard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Shard {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_shard_holds_every_so_many_rounds() {
        let shard: Shard = "2/5".parse().unwrap();
        assert_eq!((1..=13).filter(|round| shard.holds(*round)).collect::<Vec<_>>(), [2, 7, 12]);
        assert!(!shard.holds(0));
    }

    #[test]
    fn what_is_not_a_shard_is_refused() {
        for text in ["", "2", "2/", "/5", "a/b", "-1/5", "1/0", "1.5/2", "2/5/7", "1/4294967296", "1/2000000"] {
            assert!(text.parse::<Shard>().unwrap_err().contains("such as `2/5`"), "{text}");
        }
        assert_eq!("6/5".parse::<Shard>().unwrap_err(), "there is no shard 6 of 5; expected one from 1/5 to 5/5");
        assert!("0/5".parse::<Shard>().unwrap_err().contains("no shard 0 of 5"));
    }

    proptest! {
        #[test]
        fn shards_share_out_all_rounds_and_print_as_they_are_read(of in 1_u32..20, rounds in 0_u32..200) {
            let shards: Vec<Shard> = Shard::all(of).collect();
            for round in 1..=rounds {
                prop_assert_eq!(shards.iter().filter(|shard| shard.holds(round)).count(), 1);
            }
            for shard in &shards {
                prop_assert_eq!(shard.count(rounds), (1..=rounds).filter(|round| shard.holds(*round)).count() as u32);
                prop_assert_eq!(shard.to_string().parse(), Ok(*shard));
            }
        }
    }
}
