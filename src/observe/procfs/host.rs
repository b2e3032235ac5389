//! `/proc/stat`, `/proc/meminfo` and `/proc/loadavg`.

use super::{entry, number, whole_fields, whole_lines, words};

/// One core's line of `/proc/stat`, in clock ticks since boot. Time of guests is inside `user` and `nice`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreTicks {
    /// The core's number; numbers of cores that are switched off are missing.
    pub core: u32,
    /// Time in user mode.
    pub user: u64,
    /// User mode at low priority.
    pub nice: u64,
    /// Time in kernel mode.
    pub system: u64,
    /// Idle.
    pub idle: u64,
    /// Idle while waiting for storage; a rough number, which may even decrease.
    pub iowait: u64,
    /// Time in hardware interrupts.
    pub irq: u64,
    /// Deferred interrupt work, including much of the network's.
    pub softirq: u64,
    /// Wanted to run, but the hypervisor ran something else.
    pub steal: u64,
}

/// Reads the lines of single cores from `/proc/stat`, in order; lines that cannot be parsed are skipped.
pub fn cores(text: &[u8]) -> impl Iterator<Item = CoreTicks> {
    // The lines of cores come first, before a long one about interrupts that is not needed.
    whole_lines(text).take_while(|line| line.starts_with(b"cpu")).filter_map(core)
}

fn core(line: &[u8]) -> Option<CoreTicks> {
    let mut words = words(line);
    // The line of all cores together is called `cpu`: the rest of its name is not a number.
    let core = number(words.next()?.strip_prefix(b"cpu")?)?;
    let mut ticks = || number::<u64>(words.next()?);
    Some(CoreTicks {
        core,
        user: ticks()?,
        nice: ticks()?,
        system: ticks()?,
        idle: ticks()?,
        iowait: ticks()?,
        irq: ticks()?,
        softirq: ticks()?,
        steal: ticks()?,
    })
}

/// The content of `/proc/meminfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemInfo {
    /// Memory that the kernel manages.
    pub total_bytes: u64,
    /// Memory available without swapping, by the kernel's estimate.
    pub available_bytes: u64,
}

/// Reads `/proc/meminfo`.
pub fn meminfo(text: &[u8]) -> Option<MemInfo> {
    let (mut total, mut available) = (None, None);
    for (key, value) in whole_lines(text).filter_map(entry) {
        match key {
            b"MemTotal" => total = Some(value),
            b"MemAvailable" => available = Some(value),
            _ => {}
        }
        if total.is_some() && available.is_some() {
            break;
        }
    }
    Some(MemInfo { total_bytes: total?, available_bytes: available? })
}

/// Reads the mean over one minute from `/proc/loadavg`: tasks that ran, were ready to run, or waited for storage.
pub fn load_1min(text: &[u8]) -> Option<f64> {
    let load: f64 = number(whole_fields(text).next()?)?;
    (load.is_finite() && load >= 0.0).then_some(load)
}

#[cfg(test)]
mod tests {
    use super::{super::assert_cut_text_gives_nothing_or_the_same as assert_cuts, *};

    const STAT: &[u8] = b"cpu  30 0 7 295049 600 0 72 436 0 0\ncpu0 10 1 2 3 4 5 6 7 8 9\n\
        cpu2 20 1 2 3 4 5 6 7 8 9\nintr 1 2 3\nctxt 5\n";

    #[test]
    fn cores_keep_their_numbers_and_the_sum_is_left_out() {
        let cores: Vec<CoreTicks> = cores(STAT).collect();
        assert_eq!(cores.len(), 2);
        assert_eq!(
            cores[0],
            CoreTicks { core: 0, user: 10, nice: 1, system: 2, idle: 3, iowait: 4, irq: 5, softirq: 6, steal: 7 }
        );
        assert_eq!((cores[1].core, cores[1].user), (2, 20));
    }

    #[test]
    fn a_core_that_was_cut_off_is_left_out() {
        for end in 0..STAT.len() {
            let whole: Vec<CoreTicks> = cores(STAT).collect();
            let cut: Vec<CoreTicks> = cores(&STAT[..end]).collect();
            assert!(whole.starts_with(&cut), "cut after {end} bytes");
        }
        assert_eq!(cores(b"cpu0 1 2 x\ncpu1 1\ncpux 1 2 3 4 5 6 7 8\n").count(), 0);
    }

    const MEMINFO: &[u8] = b"MemTotal:       24689676 kB\nMemFree:        12 kB\nMemAvailable:   34 kB\nBuffers: 1 kB\n";

    #[test]
    fn memory_in_bytes() {
        assert_eq!(meminfo(MEMINFO), Some(MemInfo { total_bytes: 24_689_676 * 1024, available_bytes: 34 * 1024 }));
        assert_eq!(meminfo(b"MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn load_is_a_finite_number() {
        assert_eq!(load_1min(b"2.10 1.26 0.54 1/84 7748\n"), Some(2.10));
        for text in [&b""[..], b"nan 1 1", b"inf 1 1", b"-1 1 1", b"2.1"] {
            assert_eq!(load_1min(text), None);
        }
    }

    #[test]
    fn cut_text_gives_nothing_or_the_same() {
        assert_cuts(MEMINFO, meminfo);
        assert_cuts(b"2.10 1.26 0.54 1/84 7748\n", load_1min);
    }
}
