//! Runs made at different times: each is a session, and sessions differ even when nothing has changed.
//!
//! A machine is a little faster today than yesterday, by more than its repetitions within an hour differ. A test that takes
//! repetitions for the sample calls that a difference, and the more repetitions, the more confidently: with sessions that
//! are 3 % apart, in 55 of 100 comparisons of equal things with 50 repetitions. Here a session is one value, the mean of its
//! logarithms; the floor, by which sessions of equal things differ, is estimated from sessions, and the number of sessions
//! is what counts.

use super::descriptive::{mean, standard_deviation};
use super::sample::{SampleError, positive, share};
use super::student::{Student, student_quantile};
use super::welch::{ROUNDING, constant_p, logs};

#[cfg(test)]
mod tests;

/// One run as one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Session {
    /// Mean of the logarithms of its repetitions.
    pub log_mean: f64,
    /// What its repetitions say about the variance of that mean, s²/n; 0 where it is unknown.
    pub mean_variance: f64,
}

impl Session {
    /// From the repetitions of a run, at least 2 above zero.
    ///
    /// # Errors
    /// [`SampleError::TooFew`], [`SampleError::NotFinite`], [`SampleError::NotPositive`].
    pub fn of(repetitions: &[f64]) -> Result<Self, SampleError> {
        positive(repetitions, 2)?;
        let logs = logs(repetitions);
        let deviation = standard_deviation(&logs);
        Ok(Self { log_mean: mean(&logs), mean_variance: deviation * deviation / logs.len() as f64 })
    }

    /// From its geometric mean alone, which is above zero.
    ///
    /// # Errors
    /// [`SampleError::NotFinite`], [`SampleError::NotPositive`].
    pub fn of_mean(mean: f64) -> Result<Self, SampleError> {
        positive(&[mean], 1)?;
        Ok(Self { log_mean: libm::log(mean), mean_variance: 0.0 })
    }
}

/// What sessions say about a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionComparison {
    /// Geometric mean of the other side over that of the baseline, without unit.
    pub ratio: f64,
    /// Lower and upper end; `None` where sessions do not differ at all and are too few for the level.
    pub interval: Option<(f64, f64)>,
    /// Student's t; infinite for constants that differ.
    pub t: f64,
    /// Degrees of freedom.
    pub freedom: f64,
    /// Two-sided p if there were no difference except that of sessions.
    pub p: f64,
    /// Standard deviation of the logarithms of session means: the floor.
    pub spread: f64,
    /// Standard error of the logarithm of the ratio.
    error: f64,
}

impl SessionComparison {
    /// The smallest ratio above 1 that these sessions could show as a difference at `alpha`, in (0, 1).
    pub fn smallest_ratio(&self, alpha: f64) -> f64 {
        libm::exp(student_quantile(1.0 - alpha / 2.0, self.freedom) * self.error)
    }
}

/// By which factor one session differs from a baseline, compared with the floor of earlier sessions of the baseline.
///
/// `floor`: at least one session, of the same thing as `baseline`, each with about as many repetitions. `level`: in (0,
/// 1).
///
/// Student's t of one new value against a sample (a prediction interval: Whitmore 1986, "Prediction limits for a
/// univariate normal observation"): with m and s of the k + 1 sessions of floor and baseline, (other − m) / (s √(1 +
/// 1/(k + 1))) on k degrees of freedom. s² is at least what repetitions alone explain, the mean of the sessions' s²/n: k + 1
/// sessions may be close together by luck. Sessions that are rarely bad, but then by much, are called different more often
/// than `level` says.
///
/// # Errors
/// [`SampleError::TooFewSessions`] without floor; [`SampleError::Share`] for the level.
pub fn one_session(floor: &[Session], baseline: Session, other: Session, level: f64) -> Result<SessionComparison, SampleError> {
    share("confidence level", level)?;
    if floor.is_empty() {
        return Err(SampleError::TooFewSessions { found: 1, needed: 2 });
    }
    let known: Vec<Session> = floor.iter().copied().chain([baseline]).collect();
    let means: Vec<f64> = known.iter().map(|session| session.log_mean).collect();
    let within = known.iter().chain([&other]).map(|session| session.mean_variance).sum::<f64>() / (known.len() + 1) as f64;
    let deviation = standard_deviation(&means);
    let spread = deviation.max(within.sqrt());
    let count = known.len() as f64;
    let constant = constant_p(count, 1.0);
    Ok(judged(other.log_mean - mean(&means), spread, (1.0 + 1.0 / count).sqrt(), count - 1.0, constant, level))
}

/// By which factor several sessions of one thing differ from several of another, with what is known about the floor.
///
/// `a`, `b`: sessions of either, at least one each. `floor`: earlier sessions of one thing, whatever its level; may be
/// empty. `level`: in (0, 1).
///
/// Student's t of session means, with the variance pooled over both sides and the floor: for S sessions per side and k of
/// the floor 2 (S − 1) + k − 1 degrees of freedom. The variance is at least what repetitions alone explain, the mean of the
/// sessions' s²/n.
///
/// # Errors
/// [`SampleError::TooFewSessions`] when nothing shows how sessions differ; [`SampleError::Share`] for the level.
pub fn several_sessions(floor: &[Session], a: &[Session], b: &[Session], level: f64) -> Result<SessionComparison, SampleError> {
    share("confidence level", level)?;
    for side in [a, b] {
        if side.is_empty() {
            return Err(SampleError::TooFewSessions { found: 0, needed: 1 });
        }
    }
    let (mut squares, mut freedom) = (0.0, 0.0);
    for group in [floor, a, b].into_iter().filter(|group| group.len() > 1) {
        let deviation = standard_deviation(&log_means(group));
        squares += deviation * deviation * (group.len() - 1) as f64;
        freedom += (group.len() - 1) as f64;
    }
    if freedom == 0.0 {
        return Err(SampleError::TooFewSessions { found: a.len().min(b.len()), needed: 2 });
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    // Sessions may be close together by luck, but not closer than their repetitions explain.
    let all = || floor.iter().chain(a).chain(b);
    let within = all().map(|session| session.mean_variance).sum::<f64>() / all().count() as f64;
    let spread = (squares / freedom).max(within).sqrt();
    let difference = mean(&log_means(b)) - mean(&log_means(a));
    Ok(judged(difference, spread, (1.0 / n + 1.0 / m).sqrt(), freedom, constant_p(n, m), level))
}

/// By which factor sessions of one thing differ from those of another, by the method that fits their number: [`one_session`]
/// for one per side, else [`several_sessions`].
///
/// # Errors
/// [`SampleError::TooFewSessions`] for one per side without a floor, as this cannot be distinguished from a difference
/// between sessions, however many repetitions they have; [`SampleError::Share`] for the level.
pub fn compare_sessions(floor: &[Session], a: &[Session], b: &[Session], level: f64) -> Result<SessionComparison, SampleError> {
    match (a, b) {
        (&[a], &[b]) => one_session(floor, a, b, level),
        _ => several_sessions(floor, a, b, level),
    }
}

/// The smallest ratio above 1 that one session per side could show as a difference at `alpha`, for a floor of `sessions`
/// earlier ones, at least 1, whose logarithms have a standard deviation of `spread`.
///
/// exp(t₁₋α/₂ · spread · √(1 + 1/(k + 1))) with k degrees of freedom, see [`one_session`]: 1.22, 1.14 and 1.10 for 3, 5 and
/// 10 sessions that are 3 % apart, at 0.01. NaN without sessions.
pub fn smallest_ratio(spread: f64, sessions: usize, alpha: f64) -> f64 {
    let k = sessions as f64;
    if sessions == 0 {
        return f64::NAN;
    }
    libm::exp(student_quantile(1.0 - alpha / 2.0, k) * spread * (1.0 + 1.0 / (k + 1.0)).sqrt())
}

fn log_means(sessions: &[Session]) -> Vec<f64> {
    sessions.iter().map(|session| session.log_mean).collect()
}

/// Student's t of a difference whose error is `spread` times `factor`; without spread, `constant` is the p of any
/// difference.
fn judged(difference: f64, spread: f64, factor: f64, freedom: f64, constant: f64, level: f64) -> SessionComparison {
    let (ratio, error) = (libm::exp(difference), spread * factor);
    if spread <= ROUNDING {
        let (t, p) = match difference.abs() <= ROUNDING {
            true => (0.0, 1.0),
            false => (f64::INFINITY.copysign(difference), constant),
        };
        let interval = (constant <= 1.0 - level).then_some((ratio, ratio));
        return SessionComparison { ratio, interval, t, freedom, p, spread: 0.0, error: 0.0 };
    }
    let student = Student::new(freedom);
    let half = student.quantile(0.5 + level / 2.0) * error;
    SessionComparison {
        ratio,
        interval: Some((libm::exp(difference - half), libm::exp(difference + half))),
        t: difference / error,
        freedom,
        p: student.two_sided(difference / error),
        spread,
        error,
    }
}
