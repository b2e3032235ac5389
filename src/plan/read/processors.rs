//! Processors that a scenario names.

use super::diagnostics::Diagnostics;
use plan::cgroups;
use schema::{Mistake, Node};

/// Where Linux says which processors there are: `0-3,6`.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// Notes processors that this machine does not have: nothing could run on them.
pub(super) fn check(notes: &mut Diagnostics<'_>, node: &Node, cpus: &[u32]) {
    let Ok(online) = std::fs::read_to_string(ONLINE) else { return };
    let Some(cpus_node) = node.get("cpus") else { return };
    for (index, cpu) in cpus.iter().enumerate().filter(|(_, cpu)| !is_among(**cpu, online.trim())) {
        let span = cpus_node.items().get(index).map_or(cpus_node.span, |item| item.span);
        let mistake = Mistake::new(notes.file, span, format!("this machine has no processor {cpu}"));
        notes.mistakes.push(mistake.expected("expected numbers of processors, counted from 0; `nproc` says how many there are"));
    }
}

/// The processors of a node of the machine's memory, or those of `cpus`, which must be among them.
pub(super) fn of_node(notes: &mut Diagnostics<'_>, node: &Node, number: u32, cpus: &[u32]) -> Vec<u32> {
    if !notes.is_here {
        return cpus.to_vec();
    }
    let Some(ranges) = cgroups::node(number) else {
        let expected = "expected the number of a node, counted from 0; `numactl --hardware` lists them";
        notes.say(node, "numa", format!("this machine has no node {number}"), expected);
        return cpus.to_vec();
    };
    if let Some(cpu) = cpus.iter().find(|cpu| !is_among(**cpu, &ranges)) {
        notes.say(node, "cpus", format!("processor {cpu} is not on node {number}"), format!("expected some of {ranges}"));
    }
    if !cpus.is_empty() {
        return cpus.to_vec();
    }
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse::<u32>().ok().zip(last.parse::<u32>().ok())
    };
    ranges.split(',').filter_map(range).flat_map(|(first, last)| first..=last).collect()
}

/// Whether a number is in a list of ranges; an unreadable list contains everything.
fn is_among(cpu: u32, ranges: &str) -> bool {
    ranges.split(',').any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<u32>(), last.parse::<u32>()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&cpu),
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::is_among;

    #[test]
    fn ranges_are_read_as_linux_writes_them() {
        for (cpu, ranges, there) in
            [(0, "0", true), (1, "0", false), (3, "0-3,6", true), (4, "0-3,6", false), (6, "0-3,6", true), (9, "", true)]
        {
            assert_eq!(is_among(cpu, ranges), there, "{cpu} in {ranges}");
        }
    }
}
