//! Keeps answers until the results change; one answer is made at a time.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use export::Source;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vocabulary::errors::tell;

use super::absent::Absent;
use super::archive::Archive;
use super::make::{Ingredients, Kind, make};
use super::results::{Heads, Needs, Results, Runs, Signature};

/// How long a look at the results is valid, so that many requests at a time look once.
const BELIEVED: Duration = Duration::from_millis(500);
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many answers are kept of the kinds that clients can request in many forms: days, runs, comparisons.
const MOST_OF_MANY: usize = 16;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// What was requested does not exist.
    Absent(Absent),
    /// Others are being served; the client may try again.
    Busy,
}

/// An answer of one kind.
#[derive(Clone)]
struct Kept {
    of: Version,
    /// Counts answers, so that the oldest can be identified.
    number: u64,
    made: Result<Arc<Archive>, Absent>,
}

/// What it was made from: the state of the results, and the minute if the time matters.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    signature: Signature,
    minute: Option<u64>,
}

/// All answers.
pub(super) struct Store {
    results: Results,
    source: Source,
    is_one_of_several: bool,
    /// What the last looks at the results found.
    seen: Mutex<BTreeMap<Needs, (Instant, Signature)>>,
    /// The runs as they were last opened.
    runs: Mutex<Option<(Needs, Signature, Arc<Runs>)>>,
    heads: Mutex<Heads>,
    kept: Mutex<BTreeMap<Kind, Kept>>,
    turn: Arc<Semaphore>,
}

/// A panic leaves everything intact: nothing is half done while a lock is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nanoseconds since 1970.
fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

impl Store {
    /// `is_one_of_several`: whether there are other experiments.
    pub fn new(results: Results, source: Source, is_one_of_several: bool) -> Arc<Self> {
        let turn = Arc::new(Semaphore::new(1));
        Arc::new(Self {
            results,
            source,
            is_one_of_several,
            seen: Mutex::default(),
            runs: Mutex::default(),
            heads: Mutex::default(),
            kept: Mutex::default(),
            turn,
        })
    }

    /// What an answer is made from.
    pub fn results(&self) -> &Results {
        &self.results
    }

    /// The requested answer for the current results.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn get(self: &Arc<Self>, kind: Kind) -> Result<Arc<Archive>, Refusal> {
        let of = self.version(&kind).await.map_err(|error| Refusal::Absent(error.into()))?;
        if let Some(made) = self.kept(&kind, of) {
            return made.map_err(Refusal::Absent);
        }
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turn).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Refusal::Busy) };
        // The previous request may have made the same answer, or the results may have changed meanwhile.
        let of = self.version(&kind).await.map_err(|error| Refusal::Absent(error.into()))?;
        if let Some(made) = self.kept(&kind, of) {
            return made.map_err(Refusal::Absent);
        }
        let store = Arc::clone(self);
        let asked = kind.clone();
        // This continues even if no client waits for it any more, and keeps the turn until it is done.
        let making = tokio::task::spawn_blocking(move || store.make(&asked, of, turn)).await;
        let made = making.unwrap_or_else(|_| {
            let fault = Absent::Failed("a bug in this program: see its standard error".to_owned());
            self.keep(kind, of, Err(fault))
        });
        made.map_err(Refusal::Absent)
    }

    async fn version(self: &Arc<Self>, kind: &Kind) -> io::Result<Version> {
        let store = Arc::clone(self);
        let needs = kind.needs();
        let looking = tokio::task::spawn_blocking(move || -> io::Result<Signature> {
            let mut seen = lock(&store.seen);
            seen.retain(|_, (at, _)| at.elapsed() < BELIEVED);
            if let Some((_, signature)) = seen.get(&needs) {
                return Ok(*signature);
            }
            // Read before the look at the results, so that later changes are seen the next time.
            let at = Instant::now();
            let signature = store.results.signature(&needs)?;
            seen.insert(needs, (at, signature));
            Ok(signature)
        });
        let signature = looking.await.map_err(io::Error::other)??;
        let minute = kind.depends_on_time().then(|| now() as u64 / 60_000_000_000);
        Ok(Version { signature, minute })
    }

    fn kept(&self, kind: &Kind, of: Version) -> Option<Result<Arc<Archive>, Absent>> {
        lock(&self.kept).get(kind).filter(|kept| kept.of == of).map(|kept| kept.made.clone())
    }

    fn make(&self, kind: &Kind, of: Version, _turn: OwnedSemaphorePermit) -> Result<Arc<Archive>, Absent> {
        let before = lock(&self.kept).get(kind).and_then(|kept| kept.made.clone().ok());
        let made = self.made_of(kind, of.signature).and_then(|of| make(kind, &of, &self.source, before.as_deref(), now()));
        if let Err(Absent::Failed(words)) = &made {
            tell(format_args!("warning: cannot make what a client requested: {words}"));
        }
        self.keep(kind.clone(), of, made.map(Arc::new))
    }

    fn keep(&self, kind: Kind, of: Version, made: Result<Arc<Archive>, Absent>) -> Result<Arc<Archive>, Absent> {
        let mut kept = lock(&self.kept);
        let number = kept.values().map(|kept| kept.number + 1).max().unwrap_or_default();
        kept.insert(kind, Kept { of, number, made: made.clone() });
        let many = || kept.iter().filter(|(kind, _)| kind.is_one_of_many());
        let oldest = many().min_by_key(|(_, kept)| kept.number).map(|(kind, _)| kind.clone());
        if let Some(oldest) = oldest.filter(|_| many().count() > MOST_OF_MANY) {
            kept.remove(&oldest);
        }
        made
    }

    /// What an answer is made from: opened runs, and the heads of all runs.
    fn made_of(&self, kind: &Kind, signature: Signature) -> Result<Ingredients, Absent> {
        let heads = if kind.needs_heads() { self.results.heads(&mut lock(&self.heads))? } else { Vec::new() };
        Ok(Ingredients { runs: self.runs(kind.needs(), signature)?, heads, is_one_of_several: self.is_one_of_several })
    }

    fn runs(&self, needs: Needs, signature: Signature) -> Result<Arc<Runs>, Absent> {
        let mut opened = lock(&self.runs);
        match &*opened {
            Some((which, of, runs)) if *which == needs && *of == signature => Ok(Arc::clone(runs)),
            _ => {
                let runs = Arc::new(self.results.open(&needs)?);
                *opened = Some((needs, signature, Arc::clone(&runs)));
                Ok(runs)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::make::Day;

    #[test]
    fn the_days_that_were_asked_for_last_are_kept() {
        let store = Store::new(Results::new("/".into()), Source::cleaned("here"), false);
        let of = Version { signature: [0; 20], minute: None };
        let day = |number: usize| Kind::Transfers(Day::parse(&format!("2026-11-{number:02}")).unwrap());
        let _ = store.keep(Kind::Database, of, Err(Absent::Nothing("")));
        for number in (1..=20).rev() {
            let _ = store.keep(day(number), of, Err(Absent::Nothing("")));
        }
        let is_kept = |kind: &Kind| store.kept(kind, of).is_some();
        assert!((1..=16).all(|number| is_kept(&day(number))) && !is_kept(&day(17)) && is_kept(&Kind::Database));
        let other = Version { signature: [1; 20], minute: None };
        assert!(store.kept(&day(1), other).is_none(), "the results have changed");
    }
}
