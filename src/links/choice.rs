//! Which mechanism works here: found out by trying it, in a namespace that is thrown away.

use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use serde::Serialize;

use super::namespace::{create, inside, undo};
use super::nfqueue::Queue;
use super::{Error, commands, names, rules, shaping};
use plan::links::{Changes, Link, Mechanism, Shape};

/// The mechanism that a link will be made with, and what else was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// Never [`Mechanism::Auto`].
    pub mechanism: Mechanism,
    /// The mechanisms that would have been preferred, most preferred first.
    pub rejected: Vec<Rejected>,
}

/// A mechanism that does not work here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// The mechanism that was tried.
    pub mechanism: Mechanism,
    /// Why it cannot be used here.
    pub reason: String,
}

/// The mechanism for one link: the requested one, or the first that works. `run` names the namespace in which mechanisms are
/// tried, see [`names::probe`]. Takes some 20 ms for each mechanism that is tried.
///
/// # Errors
/// [`Error::NoMechanism`] with the reasons for all mechanisms that were tried.
pub fn choose(asked: Mechanism, link: &Link, run: &str) -> Result<Choice, Error> {
    let candidates = match &asked {
        Mechanism::Auto => &[Mechanism::Netem, Mechanism::Nfqueue, Mechanism::Relay][..],
        one => std::slice::from_ref(one),
    };
    let mut rejected = Vec::new();
    for &mechanism in candidates {
        match works(mechanism, link, run) {
            Ok(()) => return Ok(Choice { mechanism, rejected }),
            Err(reason) => rejected.push(Rejected { mechanism, reason }),
        }
    }
    Err(Error::NoMechanism { link: link.name.clone(), reasons: rejected })
}

/// The mechanisms for all links of a cell: if one link works only as a relay, all must be relays, since targets are either
/// in a namespace or not.
///
/// # Errors
/// [`Error::NoMechanism`], and [`Error::Mixed`] when another link must not be a relay.
pub fn choose_all(links: &[Link], run: &str) -> Result<Vec<Choice>, Error> {
    let choices = links.iter().map(|link| choose(link.mechanism, link, run)).collect::<Result<Vec<_>, _>>()?;
    let Some(only_relay) = choices.iter().position(|c| c.mechanism == Mechanism::Relay) else { return Ok(choices) };
    let all = links.iter().zip(choices).map(|(link, choice)| match choice.mechanism {
        Mechanism::Relay => Ok(choice),
        _ if link.mechanism != Mechanism::Auto => {
            Err(Error::Mixed { link: links[only_relay].name.clone(), other: link.name.clone() })
        }
        better => {
            let reason = format!("link `{}` works only as a relay here", links[only_relay].name);
            let mut choice = choose(Mechanism::Relay, link, run)?;
            choice.rejected.push(Rejected { mechanism: better, reason });
            Ok(choice)
        }
    });
    all.collect()
}

fn works(mechanism: Mechanism, link: &Link, run: &str) -> Result<(), String> {
    match mechanism {
        Mechanism::Relay => relay(link),
        Mechanism::Netem => in_namespace(run, |name| netem(name, link)),
        Mechanism::Nfqueue => in_namespace(run, |name| nfqueue(name, link)),
        Mechanism::Auto => Err("`auto` is not a mechanism itself".to_owned()),
    }
}

fn relay(link: &Link) -> Result<(), String> {
    if link.forward.loss > 0.0 || link.back.loss > 0.0 || link.changes == Changes::Loss {
        return Err("a relay forwards bytes and cannot lose packets: `loss` needs netem or nfqueue".to_owned());
    }
    if link.ports.is_empty() {
        return Err("a relay needs to know the ports of the targets at the far side, but no port is known".to_owned());
    }
    Ok(())
}

/// One probe at a time: all probes of a run use one name, so that the journal can list what has to be removed.
static PROBE: Mutex<()> = Mutex::new(());

fn in_namespace(run: &str, probe: impl FnOnce(&str) -> Result<(), Error>) -> Result<(), String> {
    let _alone = PROBE.lock().unwrap_or_else(PoisonError::into_inner);
    let name = names::probe(run);
    let result = create(&name).and_then(|()| probe(&name));
    let gone = undo(&name);
    result.and(gone).map_err(|error| reason(&error))
}

fn reason(error: &Error) -> String {
    let mut text = error.in_words();
    let denied =
        |errno: Errno| text.contains(&std::io::Error::from(errno).to_string()) || text.contains("Operation not permitted");
    if denied(Errno::PERM) || denied(Errno::ACCESS) || denied(Errno::ROFS) {
        text += "; it needs root, or at least CAP_SYS_ADMIN and CAP_NET_ADMIN";
    }
    text
}

fn pair(name: &str) -> Result<(), Error> {
    commands::run("ip", &["-n", name, "-batch", "-"], "link add dev near type veth peer name far\n")
}

fn netem(name: &str, link: &Link) -> Result<(), Error> {
    pair(name)?;
    // A link may shape one direction only, or neither; but the mechanism called netem must work in any case.
    let least = Shape { delay: std::time::Duration::from_millis(1), ..Shape::default() };
    let [far, near] = [("far", &link.forward), ("near", &link.back)].map(|(device, shape)| {
        let shape = if *shape == Shape::default() { &least } else { shape };
        shaping::netem(device, shape, shaping::buffer(link), !link.changes.is_never())
    });
    commands::run("tc", &["-n", name, "-batch", "-"], &(far + &near))
}

fn nfqueue(name: &str, link: &Link) -> Result<(), Error> {
    pair(name)?;
    rules::rates(name, link)?;
    rules::rules(name, link)?;
    inside(Some(name), || {
        for (queue, _, shape) in shaping::queues(link) {
            Queue::open(queue, shape.loss == 0.0).map_err(|source| Error::Queue { queue, source })?;
        }
        Ok(())
    })?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::link;

    #[test]
    fn a_relay_says_what_it_cannot() {
        let mut lossy = link(Shape { loss: 0.01, ..Shape::default() }, Shape::default());
        let error = choose(Mechanism::Relay, &lossy, "test").unwrap_err();
        assert_eq!(
            error.to_string(),
            "link `wan` cannot be emulated here:\n  relay: a relay forwards bytes and cannot lose packets: `loss` needs netem or nfqueue"
        );
        lossy.forward.loss = 0.0;
        assert_eq!(choose(Mechanism::Relay, &lossy, "test").unwrap().mechanism, Mechanism::Relay);
        lossy.ports.clear();
        assert!(choose(Mechanism::Relay, &lossy, "test").is_err());
    }

    #[test]
    fn missing_rights_are_explained() {
        let denied = std::io::Error::from(Errno::ACCESS);
        let error = Error::Namespace { what: "make", path: "/run/netns/x".into(), source: denied };
        assert!(reason(&error).ends_with("it needs root, or at least CAP_SYS_ADMIN and CAP_NET_ADMIN"), "{}", reason(&error));
        let unknown = Error::Command { command: "tc".into(), text: "Specified qdisc kind is unknown".into() };
        assert_eq!(reason(&unknown), "`tc` failed: Specified qdisc kind is unknown");
    }
}
