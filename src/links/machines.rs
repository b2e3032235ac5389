//! Network namespaces as machines: each has an address of its own, and reaches the others through a namespace that forwards.
//!
//! ```text
//!   machine 1: .6 ── veth ── far .5 ┐ the line of machine 1, where a link ┌ near .2 ── veth ── .1 ┐
//!                                   └ to it is emulated                   ┘                       │ the switch,
//!   machine 2: .14 ─ … the same                                                              .9   │ which forwards
//!   machine 3: .22 ─ … the same                                                              .17  ┘
//! ```
//!
//! A link to a machine is emulated on its line: what reaches it from any other machine passes through it. Nothing leads out of these
//! namespaces, so that the same addresses serve every run: 198.19.0.0/16 (RFC 2544), eight of them for each machine.

use std::net::Ipv4Addr;

use super::make::{Made, forward, ip};
use super::names::{LinkNames, path};
use super::namespace::create;
use super::rules::{rates, rules, tc};
use super::{Error, commands, holder, make, shaping};
use plan::links::{Link, Mechanism};

/// A namespace that stands for a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name, for [`super::undo`].
    pub namespace: String,
    /// The name of the namespace of its line.
    pub line: String,
    /// Its address, at which the others reach it.
    pub address: Ipv4Addr,
    number: usize,
}

impl Machine {
    /// The file to enter.
    pub fn path(&self) -> std::path::PathBuf {
        path(&self.namespace)
    }
}

/// The name of the namespace that forwards, and the machines; nothing is made. `run`: eight characters of the run's id. At most
/// 8000 machines.
pub fn machines(run: &str, count: usize) -> (String, Vec<Machine>) {
    let machine = |number: usize| Machine {
        namespace: format!("runner-{run}-h{}", number + 1),
        line: format!("runner-{run}-l{}", number + 1),
        address: address(number, 6),
        number,
    };
    (format!("runner-{run}-h0"), (0..count).map(machine).collect())
}

/// An address of the network of a machine: 1 is the switch's, 2 and 5 are its line's, 6 is its own.
fn address(machine: usize, of: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 19, 0, 0)) + machine as u32 * 8 + of)
}

/// Makes the machines of [`machines`]. The caller must have arranged before that all of the namespaces are undone, whatever happens.
///
/// # Errors
/// Those of commands, namespaces and settings.
pub fn make_machines(switch: &str, machines: &[Machine]) -> Result<(), Error> {
    create(switch)?;
    forward(switch)?;
    let mut lines = String::new();
    for machine in machines {
        create(&machine.line)?;
        forward(&machine.line)?;
        create(&machine.namespace)?;
        let of = |number| address(machine.number, number);
        let device = format!("p{}", machine.number);
        lines += &format!(
            "link add dev {device} type veth peer name near netns {line}\naddr add {}/30 dev {device}\nlink set dev {device} up\n\
             route add {}/30 via {} dev {device}\n",
            of(1),
            of(4),
            of(2),
            line = machine.line
        );
    }
    // The switch's routes lead to lines whose devices are not up yet: a route needs only its own side.
    ip(&["-n", switch], &lines)?;
    for machine in machines {
        let of = |number| address(machine.number, number);
        let at_line = format!(
            "link add dev far type veth peer name eth0 netns {}\naddr add {}/30 dev near\nlink set dev near up\n\
             addr add {}/30 dev far\nlink set dev far up\nroute add default via {}\n",
            machine.namespace,
            of(2),
            of(5),
            of(1)
        );
        ip(&["-n", &machine.line], &at_line)?;
        let at_machine =
            format!("addr add {}/30 dev eth0\nlink set dev eth0 up\nroute add default via {}\n", machine.address, of(5));
        ip(&["-n", &machine.namespace], &at_machine)?;
    }
    Ok(())
}

/// Emulates a link on the line of the machine at its far side. The caller starts the helpers, and calls [`lift`] at the end.
///
/// # Errors
/// Those of commands and namespaces; [`Error::NoMechanism`] for a relay, which forwards connections of one machine.
pub fn lay(far: &Machine, near: &Machine, link: &Link, mechanism: Mechanism, seed: u64) -> Result<Made, Error> {
    let mut helpers = Vec::new();
    let mut rules_by = None;
    match mechanism {
        Mechanism::Netem => {
            let buffer = shaping::buffer(link);
            tc(
                &far.line,
                &(shaping::netem("far", &link.forward, buffer, false) + &shaping::netem("near", &link.back, buffer, false)),
            )?;
        }
        Mechanism::Nfqueue => {
            rates(&far.line, link)?;
            let queues = shaping::queues(link);
            if !queues.is_empty() {
                rules_by = Some(rules(&far.line, link)?);
                helpers.push(make::Helper {
                    argv: [holder::ARGUMENT.to_owned()].into_iter().chain(make::queue_arguments(link, seed)).collect(),
                    namespace: Some(path(&far.line)),
                    ready: holder::READY,
                });
            }
        }
        Mechanism::Relay | Mechanism::Auto => {
            let reason = "it forwards connections within one machine".to_owned();
            let rejected = super::Rejected { mechanism: Mechanism::Relay, reason };
            return Err(Error::NoMechanism { link: link.name.clone(), reasons: vec![rejected] });
        }
    }
    Ok(Made {
        link: link.name.clone(),
        mechanism,
        host: far.address.into(),
        near_host: near.address.into(),
        ports: link.ports.iter().map(|port| (*port, *port)).collect(),
        namespace: Some(far.path()),
        helpers,
        rules: rules_by,
        names: LinkNames {
            index: far.number,
            near: Some(near.namespace.clone()),
            middle: far.line.clone(),
            far: far.namespace.clone(),
            near_device: "eth0".to_owned(),
        },
        control: None,
        measure_port: None,
        claim: None,
    })
}

/// Takes a link off the line of a machine; its helpers have ended.
pub fn lift(far: &Machine) {
    for device in ["near", "far"] {
        // What was not there need not be taken off.
        let _ = commands::run("tc", &["-n", &far.line, "qdisc", "del", "dev", device, "root"], "");
    }
    let _ = super::namespace::inside(Some(&far.line), || {
        let _ = commands::run("nft", &["delete", "table", "ip", "runner"], "");
        for program in ["iptables-legacy", "iptables"] {
            let _ = commands::run(program, &["-w", "-t", "mangle", "-F", "FORWARD"], "");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_have_networks_of_their_own() {
        let (switch, all) = machines("0123abcd", 3);
        assert_eq!(switch, "runner-0123abcd-h0");
        let addresses: Vec<String> = all.iter().map(|machine| machine.address.to_string()).collect();
        assert_eq!(addresses, ["198.19.0.6", "198.19.0.14", "198.19.0.22"]);
        assert_eq!(all[2].path(), std::path::Path::new("/run/netns/runner-0123abcd-h3"));
        assert_eq!(all[2].line, "runner-0123abcd-l3");
    }
}
