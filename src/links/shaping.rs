//! Translates the shapes of a link into input for `tc`, `nft` and `iptables`. Pure.

use std::time::Duration;

use plan::links::{Changes, Link, Shape};

/// A packet on an Ethernet link with an MTU of 1500.
const FRAME: f64 = 1514.0;
/// The most that a link without a rate may carry before netem's queue is full.
const UNLIMITED: f64 = 40e9;

/// Whether netem must not get large segments, each up to 44 packets that would be lost, or arrive, together: both ends then
/// send single packets. A queue splits segments by itself where it must, and so does TBF, and the ends keep their speed.
pub fn needs_single_packets(link: &Link) -> bool {
    link.changes == Changes::Loss || [&link.forward, &link.back].iter().any(|s| s.loss > 0.0 || s.rate_bits_per_s.is_some())
}

/// How long a packet may wait for its turn: as in a router by the rule of thumb, one round trip, and at least 50 ms.
pub fn buffer(link: &Link) -> Duration {
    link.round_trip().max(Duration::from_millis(50))
}

/// Lines for `tc -batch`: netem for delay, jitter and loss, with TBF inside for the rate. `changes`: netem is there even if it has
/// nothing to do yet.
pub fn netem(device: &str, shape: &Shape, buffer: Duration, changes: bool) -> String {
    let Shape { delay, jitter, loss, rate_bits_per_s } = *shape;
    if delay.is_zero() && jitter.is_zero() && loss == 0.0 && !changes {
        return rate_bits_per_s.map_or_else(String::new, |rate| tbf("add", device, "root", rate, buffer));
    }
    // Where it exists already, it keeps its packets.
    let verb = if changes { "replace" } else { "add" };
    let mut line = format!("qdisc {verb} dev {device} root handle 1: netem limit {} delay {}us", limit(shape), micros(delay));
    if !jitter.is_zero() {
        // netem keeps the order of packets only when it has a rate to account for; this rate takes no time.
        line += &format!(" {}us", micros(jitter));
    }
    if loss > 0.0 {
        line += &format!(" loss {}%", loss * 100.0);
    }
    if !jitter.is_zero() {
        line += " rate 1tbit";
    }
    line += "\n";
    if let Some(rate) = rate_bits_per_s {
        line += &tbf(verb, device, "parent 1:", rate, buffer);
    }
    line
}

/// The same for a link that has been made and changes from one shape to another.
pub fn netem_change(device: &str, from: &Shape, to: &Shape, buffer: Duration) -> String {
    let mut lines = String::new();
    if from.rate_bits_per_s.is_some() && to.rate_bits_per_s.is_none() {
        lines += &format!("qdisc del dev {device} parent 1: handle 10:\n");
    }
    lines + &netem(device, to, buffer, true)
}

/// Where only the rate is TBF's.
pub fn rate_change(device: &str, from: &Shape, to: &Shape, buffer: Duration) -> String {
    match (from.rate_bits_per_s, to.rate_bits_per_s) {
        (Some(_), None) => format!("qdisc del dev {device} root\n"),
        (before, Some(rate)) if before != Some(rate) => tbf("replace", device, "root", rate, buffer),
        _ => String::new(),
    }
}

/// With decimals where needed: older versions of tc do not know nanoseconds.
fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}

/// A line for `tc -batch`: a token bucket.
///
/// The bucket holds 1 ms' worth, and at least two packets: small enough that a burst does not distort anything at the scale
/// of round trips, large enough that a timer that is late by some tenths of a millisecond costs no throughput.
pub fn tbf(verb: &str, device: &str, place: &str, rate: f64, buffer: Duration) -> String {
    let handle = if place == "root" { "1:" } else { "10:" };
    format!(
        "qdisc {verb} dev {device} {place} handle {handle} tbf rate {}bit burst {}b latency {}us\n",
        rate.round(),
        burst(rate),
        buffer.as_micros()
    )
}

/// How much TBF lets through at once, in bytes.
pub fn burst(rate: f64) -> u64 {
    (rate / 8.0 * 0.001).max(2.0 * FRAME).ceil() as u64
}

/// netem's queue in packets: all that are in flight at twice the rate, if they had a third of the largest size, as small
/// packets need room, too. The default of 1000 would drop packets silently. Packets that wait for their turn are in TBF's
/// queue.
pub fn limit(shape: &Shape) -> u64 {
    let on_the_way = shape.rate_bits_per_s.unwrap_or(UNLIMITED) / 8.0 * (shape.delay + shape.jitter).as_secs_f64();
    (1000.0 + 2.0 * on_the_way / (FRAME / 3.0)).min(4e9).ceil() as u64
}

/// The queues that the helper must serve: number, incoming device in the middle, shape.
pub fn queues(link: &Link) -> Vec<(u16, &'static str, Shape)> {
    let both = [(0, "near", link.forward), (1, "far", link.back)];
    both.into_iter()
        .filter(|(_, _, s)| !link.changes.is_never() || !s.delay.is_zero() || !s.jitter.is_zero() || s.loss > 0.0)
        .collect()
}

/// A rule set for `nft -f` that sends forwarded packets to the queues.
pub fn nft(link: &Link) -> String {
    let rules: String =
        queues(link).iter().map(|(queue, device, _)| format!("iifname \"{device}\" queue num {queue}\n")).collect();
    format!("table ip runner {{\nchain forward {{\ntype filter hook forward priority mangle\n{rules}}}\n}}\n")
}

/// The same for `iptables-legacy`, as argument lists.
pub fn iptables(link: &Link) -> Vec<Vec<String>> {
    let words = |text: String| text.split(' ').map(str::to_owned).collect();
    let rule = |queue, device| words(format!("-w -t mangle -A FORWARD -i {device} -j NFQUEUE --queue-num {queue}"));
    queues(link).into_iter().map(|(queue, device, _)| rule(queue, device)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::link;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn netem_is_told_everything_with_a_limit_that_fits() {
        let shape = Shape { delay: 100 * MS, ..Shape::default() };
        assert_eq!(netem("far", &shape, 50 * MS, false), "qdisc add dev far root handle 1: netem limit 1982506 delay 100000us\n");
        let shape = Shape { delay: 20 * MS, jitter: 5 * MS, loss: 0.01, rate_bits_per_s: Some(10e6) };
        assert_eq!(
            netem("far", &shape, 50 * MS, false),
            "qdisc add dev far root handle 1: netem limit 1124 delay 20000us 5000us loss 1% rate 1tbit\n\
             qdisc add dev far parent 1: handle 10: tbf rate 10000000bit burst 3028b latency 50000us\n"
        );
        let shape = Shape { rate_bits_per_s: Some(1e9), ..Shape::default() };
        assert_eq!(
            netem("far", &shape, 50 * MS, false),
            "qdisc add dev far root handle 1: tbf rate 1000000000bit burst 125000b latency 50000us\n"
        );
        assert_eq!(netem("far", &Shape::default(), MS, false), "");
    }

    #[test]
    fn a_link_that_changes_keeps_its_queues_and_loses_only_what_it_had() {
        let slow = Shape { delay: 5 * MS, rate_bits_per_s: Some(1e6), ..Shape::default() };
        let plain = Shape::default();
        assert_eq!(netem("far", &plain, MS, true), "qdisc replace dev far root handle 1: netem limit 1000 delay 0us\n");
        assert_eq!(
            netem_change("far", &plain, &slow, MS),
            "qdisc replace dev far root handle 1: netem limit 1003 delay 5000us\n\
             qdisc replace dev far parent 1: handle 10: tbf rate 1000000bit burst 3028b latency 1000us\n"
        );
        assert_eq!(
            netem_change("far", &slow, &plain, MS),
            "qdisc del dev far parent 1: handle 10:\nqdisc replace dev far root handle 1: netem limit 1000 delay 0us\n"
        );
        assert_eq!(rate_change("far", &plain, &plain, MS) + &rate_change("far", &slow, &slow, MS), "");
        assert_eq!(rate_change("far", &slow, &plain, MS), "qdisc del dev far root\n");
        assert!(rate_change("far", &plain, &slow, MS).starts_with("qdisc replace dev far root handle 1: tbf rate 1000000bit"));
        let mut link = link(plain, plain);
        assert_eq!(queues(&link).len(), 0);
        link.changes = Changes::Shape;
        assert_eq!(queues(&link).len(), 2);
        assert!(!needs_single_packets(&link));
        link.changes = Changes::Loss;
        assert!(needs_single_packets(&link));
    }

    #[test]
    fn only_directions_with_something_to_do_have_a_queue() {
        let shape = Shape { delay: MS, ..Shape::default() };
        let rate = Shape { rate_bits_per_s: Some(1e6), ..Shape::default() };
        assert_eq!(queues(&link(shape, rate)).len(), 1);
        assert_eq!(iptables(&link(rate, shape))[0].join(" "), "-w -t mangle -A FORWARD -i far -j NFQUEUE --queue-num 1");
        assert_eq!(
            nft(&link(shape, rate)),
            "table ip runner {\nchain forward {\ntype filter hook forward priority mangle\niifname \"near\" queue num 0\n}\n}\n"
        );
        assert!(needs_single_packets(&link(shape, rate)) && !needs_single_packets(&link(shape, shape)));
    }
}
