//! How fast the cores run, and how often they were throttled, from files of `/sys` that stay open.
//!
//! Which files exist differs from machine to machine, and most virtual machines have none: a missing value is `None`. Cores
//! that change their speed together (one policy of cpufreq) share one file, which is read once for all of them. A processor
//! with a hundred cores has more files than a sample may cost, so each sample reads some of them, in turn.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::procfs::sensors::{count, hertz};
use vocabulary::rows::CoreTimes;

/// How many files one sample reads at most, unless it is to be whole.
const AT_A_TIME: usize = 32;

/// The files that could be opened.
#[derive(Debug, Default)]
pub(super) struct Sensors {
    files: Vec<Sensor>,
    /// The file that is read next.
    next: usize,
}

/// One file, and the cores to which it applies.
#[derive(Debug)]
enum Sensor {
    /// The frequency of cores: the mean over the last milliseconds if the kernel has it, which it does not while a core is
    /// idle; otherwise the frequency that was last requested or seen.
    Frequency { policy: PathBuf, cores: Vec<u32>, mean: Option<File>, current: Option<File>, max_hz: Option<u64> },
    /// How often a core was throttled, with the count that was last read.
    Core(u32, File, Option<u64>),
    /// How often a whole package was throttled, with the count that was last read.
    Package(u64, File, Option<u64>),
}

impl Sensors {
    /// Looks for the files of these cores below `root`, which is `/` except in tests.
    pub(super) fn open(root: &Path, cores: impl Iterator<Item = u32>) -> Self {
        let mut files: Vec<Sensor> = Vec::new();
        for core in cores {
            let folder = root.join(format!("sys/devices/system/cpu/cpu{core}"));
            if let Ok(policy) = folder.join("cpufreq").canonicalize() {
                Self::join_policy(&mut files, core, policy);
            }
            let throttled = folder.join("thermal_throttle");
            if let Ok(file) = File::open(throttled.join("core_throttle_count")) {
                files.push(Sensor::Core(core, file, None));
            }
            let package = once(&folder.join("topology/physical_package_id"), count).unwrap_or_default();
            let is_known = files.iter().any(|f| matches!(f, Sensor::Package(known, ..) if *known == package));
            if !is_known && let Ok(file) = File::open(throttled.join("package_throttle_count")) {
                files.push(Sensor::Package(package, file, None));
            }
        }
        Self { files, next: 0 }
    }

    fn join_policy(files: &mut Vec<Sensor>, core: u32, folder: PathBuf) {
        let same = files.iter_mut().find_map(|f| match f {
            Sensor::Frequency { policy, cores, .. } if *policy == folder => Some(cores),
            _ => None,
        });
        if let Some(cores) = same {
            cores.push(core);
            return;
        }
        let [mean, current] = ["cpuinfo_avg_freq", "scaling_cur_freq"].map(|name| File::open(folder.join(name)).ok());
        if mean.is_some() || current.is_some() {
            let max_hz = once(&folder.join("cpuinfo_max_freq"), hertz);
            files.push(Sensor::Frequency { policy: folder, cores: vec![core], mean, current, max_hz });
        }
    }

    /// Adds to `cores`, which ascend, what is read this time: the next files in turn, or all of them when it is to be
    /// `whole`. Counts are repeated until they are read again, frequencies are not. Returns how often whole packages were
    /// throttled.
    pub(super) fn read(&mut self, cores: &mut [CoreTimes], buffer: &mut [u8], whole: bool) -> Option<u64> {
        let most = if whole { usize::MAX } else { AT_A_TIME };
        for _ in 0..self.files.len().min(most) {
            self.next %= self.files.len();
            match &mut self.files[self.next] {
                Sensor::Frequency { cores: of, mean, current, max_hz, .. } => {
                    let hz = number(mean.as_ref(), buffer, hertz).or_else(|| number(current.as_ref(), buffer, hertz));
                    for core in of {
                        if let Some(core) = find(cores, *core) {
                            (core.clock.frequency_hz, core.clock.frequency_max_hz) = (hz, *max_hz);
                        }
                    }
                }
                Sensor::Core(_, file, last) | Sensor::Package(_, file, last) => {
                    *last = number(Some(file), buffer, count).or(*last);
                }
            }
            self.next += 1;
        }
        let mut packages = None;
        for file in &self.files {
            match file {
                Sensor::Core(core, _, last) => {
                    if let Some(core) = find(cores, *core) {
                        core.clock.throttles = *last;
                    }
                }
                Sensor::Package(_, _, Some(last)) => packages = Some(packages.unwrap_or(0) + last),
                Sensor::Package(..) | Sensor::Frequency { .. } => {}
            }
        }
        packages
    }
}

fn find(cores: &mut [CoreTimes], number: u32) -> Option<&mut CoreTimes> {
    let at = cores.binary_search_by_key(&number, |core| core.core).ok()?;
    cores.get_mut(at)
}

/// Reads a file again from its start. A file whose core was switched off can no longer be read.
fn number(file: Option<&File>, buffer: &mut [u8], parse: fn(&[u8]) -> Option<u64>) -> Option<u64> {
    let read = file?.read_at(buffer, 0).ok()?;
    parse(&buffer[..read])
}

fn once(path: &Path, parse: fn(&[u8]) -> Option<u64>) -> Option<u64> {
    std::fs::read(path).ok().and_then(|text| parse(&text))
}
