//! What making a link and trying a mechanism have in common: rates, and the rules that send packets to queues.

use super::namespace::inside;
use super::{Error, commands, shaping};
use plan::links::Link;

/// Only TBF, where a direction has a rate, in a namespace with the devices `near` and `far`.
pub fn rates(namespace: &str, link: &Link) -> Result<(), Error> {
    let buffer = shaping::buffer(link);
    let lines = [("far", &link.forward), ("near", &link.back)].map(|(device, shape)| {
        shape.rate_bits_per_s.map_or_else(String::new, |rate| shaping::tbf("add", device, "root", rate, buffer))
    });
    tc(namespace, &lines.concat())
}

/// The rules that send packets to the queues, by the first program that works; returns which.
///
/// nft comes first, as iptables is built on it nearly everywhere; but some kernels have queues only for iptables.
pub fn rules(namespace: &str, link: &Link) -> Result<&'static str, Error> {
    inside(Some(namespace), || {
        let mut errors = vec![match commands::run("nft", &["-f", "-"], &shaping::nft(link)) {
            Ok(()) => return Ok("nft"),
            Err(error) => error,
        }];
        for program in ["iptables-legacy", "iptables"] {
            let mut rules = shaping::iptables(link).into_iter();
            let result = rules.try_for_each(|rule| {
                let words: Vec<&str> = rule.iter().map(String::as_str).collect();
                commands::run(program, &words, "")
            });
            match result {
                Ok(()) => return Ok(program),
                Err(error) => errors.push(error),
            }
        }
        let text = errors.iter().map(Error::in_words).collect::<Vec<_>>().join("; ");
        Err(Error::Command { command: "nft, iptables-legacy and iptables".to_owned(), text })
    })?
}

/// Gives `tc` its lines, where there are any.
pub fn tc(namespace: &str, lines: &str) -> Result<(), Error> {
    if lines.is_empty() { Ok(()) } else { commands::run("tc", &["-n", namespace, "-batch", "-"], lines) }
}
