//! A hint for a refused checked pass: the port on which nothing of the experiment listens, and the port that was probably
//! meant.

use super::error::Error;
use plan::links::is_local;
use plan::{Target, Workload};
use vocabulary::Outcome;

/// A checked pass that failed, with a hint if it used a port of this machine that no target has.
pub(super) fn of_refusal(error: load::Error, workload: &Workload, targets: &[Target]) -> Error {
    if !matches!(error, load::Error::Verify { outcome: Outcome::Refused, .. }) {
        return error.into();
    }
    match nobody_at_any(&workload.protocol().addresses(), &ports(targets.iter())) {
        Some(hint) => Error::Refused { error, hint },
        None => error.into(),
    }
}

/// The ports of targets.
pub fn ports<'a>(targets: impl Iterator<Item = &'a Target>) -> Vec<u16> {
    targets.flat_map(|target| &target.replicas).flat_map(|replica| replica.ports.clone()).collect()
}

/// The hint that nothing listens at one of these addresses of this machine, if some ports are `known`.
pub(super) fn nobody_at_any(asked: &[(&str, u16)], known: &[u16]) -> Option<String> {
    nobody_at(asked.iter().filter(|(host, _)| is_local(host)).map(|(_, port)| *port), known)
}

/// The hint that nothing listens on one of these ports, if some ports are `known`.
fn nobody_at(asked: impl Iterator<Item = u16>, known: &[u16]) -> Option<String> {
    let port = asked.into_iter().find(|port| !known.contains(port)).filter(|_| !known.is_empty())?;
    let meant = known.iter().filter(|other| is_near(port, **other)).min_by_key(|other| port.abs_diff(**other));
    let meant = meant.map_or_else(String::new, |other| format!("; did you mean {other}?"));
    Some(format!("nothing of this experiment listens on {port}{meant}"))
}

/// Whether one port may be a typing mistake for another: it is less than ten away, or differs in one digit or in the order of
/// two.
fn is_near(typed: u16, meant: u16) -> bool {
    let [one, other] = [typed, meant].map(|port| port.to_string().into_bytes());
    let differing: Vec<usize> = (0..one.len().min(other.len())).filter(|at| one[*at] != other[*at]).collect();
    let is_swapped = |at: &[usize]| matches!(at, [a, b] if one[*a] == other[*b] && one[*b] == other[*a]);
    typed.abs_diff(meant) < 10 || one.len() == other.len() && (differing.len() == 1 || is_swapped(&differing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_that_was_meant_is_near() {
        let hint = |asked: u16, known: &[u16]| nobody_at([asked].into_iter(), known);
        assert_eq!(hint(8611, &[8610, 9000]).unwrap(), "nothing of this experiment listens on 8611; did you mean 8610?");
        assert_eq!(hint(8160, &[8610, 9000]).unwrap(), "nothing of this experiment listens on 8160; did you mean 8610?");
        assert_eq!(hint(1234, &[8610]).unwrap(), "nothing of this experiment listens on 1234");
        assert_eq!((hint(8610, &[8610]), hint(8610, &[])), (None, None), "a target has it, or there are only others");
    }
}
