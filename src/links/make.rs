//! Makes a link, with names that were chosen before.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::path::{Path, PathBuf};

use super::names::{LinkNames, path};
use super::namespace::{create, inside};
use super::rules::{rates, rules, tc};
use super::shape_text::encode;
use super::{Error, commands, control, holder, relay, shaping};
use plan::links::{Link, Mechanism};

/// A process that the caller starts after [`make`], and ends after everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// Arguments of the runner's own executable.
    pub argv: Vec<String>,
    /// The namespace in which it must run: the file to enter before it is started; none: the runner's own.
    pub namespace: Option<PathBuf>,
    /// The start of the line that it writes to standard output once it works; see [`Made::ready`].
    pub ready: &'static str,
}

/// A link that was made. Keep it until the link is undone: it holds the claim on the link's network.
#[derive(Debug)]
pub struct Made {
    /// The link's name.
    pub link: String,
    /// The mechanism that emulates it.
    pub mechanism: Mechanism,
    /// The far side's address as seen from the near side.
    pub host: IpAddr,
    /// The near side's address as seen from the far side.
    pub near_host: IpAddr,
    /// Each port of a far target, with the port under which the near side reaches it. Those of a relay are known once it is
    /// ready.
    pub ports: BTreeMap<u16, u16>,
    /// The namespace in which the targets at the far side run: the file to enter; none with a relay.
    pub namespace: Option<PathBuf>,
    /// What must be started before the first packet.
    pub helpers: Vec<Helper>,
    /// The program that set the rules of `nfqueue`, for the record.
    pub rules: Option<&'static str>,
    pub(super) names: LinkNames,
    /// Where helpers listen for changes; see [`super::change`].
    pub(super) control: Option<PathBuf>,
    /// For a relay: the port for measurements.
    pub(super) measure_port: Option<u16>,
    /// Held for as long as the network of the link is in use.
    #[allow(dead_code)]
    pub(super) claim: Option<UnixDatagram>,
}

impl Made {
    /// Makes helpers listen at a path for changes of the link. Call this before they are started.
    pub fn listen_at(&mut self, path: &Path) {
        for helper in &mut self.helpers {
            helper.argv.insert(1, format!("{}{}", control::OPTION, path.display()));
        }
        self.control = (!self.helpers.is_empty()).then(|| path.to_owned());
    }

    /// Takes the line with which a helper announced itself; a relay's line contains its ports.
    ///
    /// # Errors
    /// [`Error::NotReady`] when the line is a different one.
    pub fn ready(&mut self, line: &str) -> Result<(), Error> {
        let wrong = || Error::NotReady { link: self.link.clone(), expected: holder::READY.to_owned(), line: line.to_owned() };
        let rest = line.trim().strip_prefix(holder::READY).ok_or_else(wrong)?;
        let mut ports = BTreeMap::new();
        let mut measure_port = None;
        for word in rest.split_ascii_whitespace() {
            let (from, to) = word.split_once('=').ok_or_else(wrong)?;
            let to = to.parse().map_err(|_| wrong())?;
            match from {
                relay::MEASURE => measure_port = Some(to),
                _ => drop(ports.insert(from.parse::<u16>().map_err(|_| wrong())?, to)),
            }
        }
        if self.mechanism == Mechanism::Relay {
            if measure_port.is_none() || !self.ports.keys().eq(ports.keys()) {
                return Err(wrong());
            }
            (self.ports, self.measure_port) = (ports, measure_port);
        }
        Ok(())
    }
}

/// Makes a link with a mechanism that [`super::choose`] found to work. Takes some 40 ms, for up to six commands.
///
/// The caller must have arranged before that [`super::undo`] is called for all of [`LinkNames::namespaces`], whatever
/// happens, including when this fails. `seed` decides which packets are lost.
///
/// # Errors
/// Those of commands, namespaces and settings; [`Error::NoNetwork`].
pub fn make(link: &Link, names: &LinkNames, mechanism: Mechanism, seed: u64) -> Result<Made, Error> {
    match mechanism {
        Mechanism::Relay => Ok(make_relay(link, names, seed)),
        Mechanism::Netem | Mechanism::Nfqueue => make_network(link, names, mechanism, seed),
        Mechanism::Auto => make(link, names, super::choose(mechanism, link, &std::process::id().to_string())?.mechanism, seed),
    }
}

fn shapes(link: &Link, seed: u64) -> [String; 2] {
    [encode(&link.forward, seed), encode(&link.back, !seed)]
}

/// What the helper of queues is told of each of them.
pub(super) fn queue_arguments(link: &Link, seed: u64) -> Vec<String> {
    let [forward, back] = shapes(link, seed);
    let queues = shaping::queues(link).into_iter();
    queues.map(|(queue, _, _)| format!("{queue}:{}", if queue == 0 { &forward } else { &back })).collect()
}

fn make_relay(link: &Link, names: &LinkNames, seed: u64) -> Made {
    let ports = link.ports.iter().map(ToString::to_string);
    let argv = [relay::ARGUMENT.to_owned()].into_iter().chain(shapes(link, seed)).chain(ports).collect();
    Made {
        link: link.name.clone(),
        mechanism: Mechanism::Relay,
        host: Ipv4Addr::LOCALHOST.into(),
        near_host: Ipv4Addr::LOCALHOST.into(),
        ports: link.ports.iter().map(|p| (*p, 0)).collect(),
        namespace: None,
        helpers: vec![Helper { argv, namespace: None, ready: holder::READY }],
        rules: None,
        names: names.clone(),
        control: None,
        measure_port: None,
        claim: None,
    }
}

fn make_network(link: &Link, names: &LinkNames, mechanism: Mechanism, seed: u64) -> Result<Made, Error> {
    if let Some(near) = &names.near {
        create(near)?;
    }
    create(&names.middle)?;
    create(&names.far)?;
    let (network, claim) = claim(link, names.near.as_deref())?;
    connect(names, &network, mechanism == Mechanism::Netem && shaping::needs_single_packets(link))?;
    forward(&names.middle)?;
    let mut helpers = Vec::new();
    let mut rules_by = None;
    if mechanism == Mechanism::Netem {
        let buffer = shaping::buffer(link);
        let changes = !link.changes.is_never();
        let lines = shaping::netem("far", &link.forward, buffer, changes) + &shaping::netem("near", &link.back, buffer, changes);
        tc(&names.middle, &lines)?;
    } else {
        rates(&names.middle, link)?;
        let queues = shaping::queues(link);
        if !queues.is_empty() {
            rules_by = Some(rules(&names.middle, link)?);
            let argv = [holder::ARGUMENT.to_owned()].into_iter().chain(queue_arguments(link, seed)).collect();
            helpers.push(Helper { argv, namespace: Some(path(&names.middle)), ready: holder::READY });
        }
    }
    Ok(Made {
        link: link.name.clone(),
        mechanism,
        host: network.far.into(),
        near_host: network.near.into(),
        ports: link.ports.iter().map(|p| (*p, *p)).collect(),
        namespace: Some(path(&names.far)),
        helpers,
        rules: rules_by,
        names: names.clone(),
        control: None,
        measure_port: None,
        claim: Some(claim),
    })
}

/// The addresses of a link: near side and middle share the first half of a /29, middle and far side the second.
#[derive(Debug, PartialEq, Eq)]
struct Network {
    near: Ipv4Addr,
    middle_near: Ipv4Addr,
    middle_far: Ipv4Addr,
    far: Ipv4Addr,
    first_half: Ipv4Addr,
    second_half: Ipv4Addr,
}

/// How many /29 networks 198.18.0.0/15 contains.
const NETWORKS: u32 = 1 << 14;

impl Network {
    fn new(number: u32) -> Self {
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + number % NETWORKS * 8;
        let [first_half, near, middle_near, second_half, middle_far, far] = [0, 1, 2, 4, 5, 6].map(|n| Ipv4Addr::from(base + n));
        Self { near, middle_near, middle_far, far, first_half, second_half }
    }
}

/// A network that no other run has: a name in the abstract socket space claims it as long as its socket is open. An address
/// that already exists belongs to a run that has just been killed, or to another program.
fn claim(link: &Link, near: Option<&str>) -> Result<(Network, UnixDatagram), Error> {
    let start = std::process::id().wrapping_mul(61);
    for number in (0..NETWORKS).map(|n| start.wrapping_add(n) % NETWORKS) {
        let name = UnixAddress::from_abstract_name(format!("runner-network-{number}"));
        let Ok(claim) = name.and_then(|name| UnixDatagram::bind_addr(&name)) else { continue };
        let network = Network::new(number);
        if inside(near, || UdpSocket::bind((network.near, 0)).is_err())? {
            return Ok((network, claim));
        }
    }
    Err(Error::NoNetwork { link: link.name.clone() })
}

/// Both veth pairs with addresses and routes. Neighbours are known from the start, so that no address resolution is delayed,
/// or lost, together with the first packet.
fn connect(names: &LinkNames, network: &Network, single_packets: bool) -> Result<(), Error> {
    let Network { near, middle_near, middle_far, far, first_half, second_half } = network;
    let [near_device, far_device] = [names.near_device.clone(), names.far_device()];
    // Link-local addresses of IPv6 would cause unwanted packets.
    let ipv6 = Path::new("/proc/sys/net/ipv6").exists();
    let up = |device: &str, address: &Ipv4Addr, peer: &Ipv4Addr, peer_mac: u8| {
        let mut lines = format!("addr add {address}/30 dev {device}\n");
        if ipv6 {
            lines += &format!("link set dev {device} addrgenmode none\n");
        }
        if single_packets {
            lines += &format!("link set dev {device} gso_max_segs 1\n");
        }
        lines + &format!("link set dev {device} up\nneigh replace {peer} lladdr {} dev {device} nud permanent\n", mac(peer_mac))
    };
    let pair = |device: &str, first: u8, peer: &str, namespace: &str| {
        let [first, second] = [mac(first), mac(first + 1)];
        format!("link add dev {device} address {first} type veth peer name {peer} address {second} netns {namespace}\n")
    };
    let at_near = pair(&near_device, 1, "near", &names.middle)
        + &up(&near_device, near, middle_near, 2)
        + &format!("route add {second_half}/30 via {middle_near} dev {near_device}\n");
    let at_middle = pair("far", 3, &far_device, &names.far) + &up("near", middle_near, near, 1) + &up("far", middle_far, far, 4);
    let at_far = up(&far_device, far, middle_far, 3) + &format!("route add {first_half}/30 via {middle_far} dev {far_device}\n");
    match &names.near {
        Some(namespace) => ip(&["-n", namespace], &at_near)?,
        None => ip(&[], &at_near)?,
    }
    ip(&["-n", &names.middle], &at_middle)?;
    ip(&["-n", &names.far], &at_far)
}

fn mac(number: u8) -> String {
    format!("02:72:75:6e:00:{number:02x}")
}

pub(super) fn ip(place: &[&str], lines: &str) -> Result<(), Error> {
    commands::run("ip", &[place, &["-batch", "-"]].concat(), lines)
}

pub(super) fn forward(namespace: &str) -> Result<(), Error> {
    let path = Path::new("/proc/sys/net/ipv4/ip_forward");
    // These files belong to the namespace of the thread that opens them.
    inside(Some(namespace), || std::fs::write(path, "1"))?.map_err(|source| Error::Setting { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{link, names_of_one};

    #[test]
    fn networks_are_apart_and_within_the_range_for_emulation() {
        let first = Network::new(0);
        assert_eq!((first.near, first.far), (Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 0, 6)));
        assert_eq!(Network::new(1).first_half, Ipv4Addr::new(198, 18, 0, 8));
        assert_eq!(Network::new(NETWORKS - 1).far, Ipv4Addr::new(198, 19, 255, 254));
        assert_eq!(Network::new(NETWORKS), first);
    }

    #[test]
    fn a_relay_announces_its_ports() {
        let mut link = link(Default::default(), Default::default());
        link.ports = vec![8000, 8001];
        let mut made = make_relay(&link, &names_of_one(), 1);
        assert!(made.ready("link ready").is_err());
        assert!(made.ready("link ready measure=1 8000=2").is_err());
        assert_eq!(
            made.ready("error: no").unwrap_err().to_string(),
            "the helper of link `wan` should have announced itself with `link ready`, but said `error: no`"
        );
        made.ready("link ready measure=4000 8000=4001 8001=4002\n").unwrap();
        assert_eq!(made.ports, BTreeMap::from([(8000, 4001), (8001, 4002)]));
        assert_eq!(made.measure_port, Some(4000));
    }
}
