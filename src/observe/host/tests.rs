//! This host, and recorded ones: trees of files as kernels show them on other kinds of machines.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use vocabulary::rows::Pressure;

#[test]
fn this_host_has_cores_and_memory() {
    let mut host = Host::open(Path::new("/"), 10_000_000);
    let mut buffer = vec![0; 64 * 1024];
    let first = host.read(&mut buffer, true).expect("/proc is mounted");
    assert!(!first.cores.is_empty());
    assert!(first.cores.iter().any(|core| core.idle_ns + core.user_ns > 0));
    assert!(first.mem_available_bytes <= first.mem_total_bytes);
    assert!(first.load_1min >= 0.0);
    let second = host.read(&mut buffer, false).expect("/proc is mounted");
    assert!(second.at >= first.at);
    let some = |sample: &HostSample| sample.pressure.cpu.map(|p| p.some_us);
    assert!(some(&second) >= some(&first));
}

#[test]
fn kinds_of_time_that_belong_together_are_added() {
    let ticks = CoreTicks { core: 3, user: 1, nice: 10, system: 2, idle: 4, iowait: 5, irq: 20, softirq: 200, steal: 6 };
    let expected = CoreTimes {
        core: 3,
        user_ns: 110,
        system_ns: 2220,
        interrupt_ns: 2200,
        idle_ns: 40,
        iowait_ns: 50,
        steal_ns: 60,
        clock: CoreClock::default(),
    };
    assert_eq!(core_times(&ticks, 10), expected);
}

/// Writes files below a new root: `path = content`, or `path -> target` for a link; each content gets a line end.
fn tree(files: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), files);
    root
}

fn put(root: &Path, files: &str) {
    let make = |path: &str| {
        let path = root.join(path.trim());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    for line in files.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some((path, target)) = line.split_once(" -> ") {
            symlink(target, make(path)).unwrap();
        } else {
            let (path, content) = line.split_once(" = ").unwrap();
            fs::write(make(path), content.replace("\\n", "\n") + "\n").unwrap();
        }
    }
}

/// `/proc` of a machine with these cores.
fn proc(root: &Path, cores: &[u32]) {
    let lines: String = cores.iter().map(|c| format!("\\ncpu{c} 100 0 20 3000 4 0 1 5 0 0")).collect();
    put(
        root,
        &format!(
            "proc/stat = cpu  200 0 40 6000 8 0 2 10 0 0{lines}\\nintr 1
            proc/meminfo = MemTotal: 1000 kB\\nMemFree: 1 kB\\nMemAvailable: 500 kB
            proc/loadavg = 0.10 0.20 0.30 1/84 7748"
        ),
    );
}

const PSI: &str = "
    proc/pressure/cpu = some avg10=1.53 avg60=0.60 avg300=0.14 total=7841\\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0
    proc/pressure/memory = some avg10=0.00 avg60=0.02 avg300=0.12 total=3207\\nfull avg10=0.00 avg60=0.00 avg300=0.02 total=1729
    proc/pressure/io = some avg10=0.00 avg60=0.00 avg300=0.00 total=52\\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=48
";

/// Two cores of one package; each is a policy by itself, as with `intel_pstate`.
fn intel_laptop() -> tempfile::TempDir {
    let root = tree(PSI);
    proc(root.path(), &[0, 1]);
    for (core, khz) in [(0, 3_400_012), (1, 800_000)] {
        put(
            root.path(),
            &format!(
                "sys/devices/system/cpu/cpufreq/policy{core}/scaling_cur_freq = {khz}
                sys/devices/system/cpu/cpufreq/policy{core}/cpuinfo_max_freq = 4600000
                sys/devices/system/cpu/cpufreq/policy{core}/scaling_driver = intel_pstate
                sys/devices/system/cpu/cpu{core}/cpufreq -> ../cpufreq/policy{core}
                sys/devices/system/cpu/cpu{core}/topology/physical_package_id = 0
                sys/devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count = {}
                sys/devices/system/cpu/cpu{core}/thermal_throttle/package_throttle_count = 112",
                core + 3
            ),
        );
    }
    root
}

fn read(root: &Path) -> HostSample {
    Host::open(root, 10_000_000).read(&mut vec![0; 64 * 1024], false).expect("the tree has /proc")
}

fn clocks(sample: &HostSample) -> Vec<CoreClock> {
    sample.cores.iter().map(|c| c.clock).collect()
}

fn clock(mhz: Option<u64>, max_mhz: Option<u64>, throttles: Option<u64>) -> CoreClock {
    let hz = |mhz: Option<u64>| mhz.map(|m| m * 1_000_000);
    CoreClock { frequency_hz: hz(mhz), frequency_max_hz: hz(max_mhz), throttles }
}

#[test]
fn an_intel_laptop_tells_everything() {
    let root = intel_laptop();
    let sample = read(root.path());
    let first = CoreClock { frequency_hz: Some(3_400_012_000), ..clock(None, Some(4600), Some(3)) };
    assert_eq!(clocks(&sample), [first, clock(Some(800), Some(4600), Some(4))]);
    assert_eq!(sample.package_throttles, Some(112), "both cores show the count of their one package");
    let pressure = |some_us, full_us| Some(Pressure { some_us, full_us: Some(full_us) });
    let expected = HostPressure { cpu: pressure(7841, 0), memory: pressure(3207, 1729), io: pressure(52, 48) };
    assert_eq!(sample.pressure, expected);
    let all = HostSources { cores: 2, frequency: 2, throttles: 2, package_throttles: true, pressure: [true; 3] };
    assert_eq!(host_sources(root.path()), Some(all));
}

#[test]
fn two_packages_are_counted_each() {
    let root = intel_laptop();
    put(
        root.path(),
        "sys/devices/system/cpu/cpu1/topology/physical_package_id = 1
        sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count = 5",
    );
    assert_eq!(read(root.path()).package_throttles, Some(117));
}

#[test]
fn an_amd_server_counts_no_throttling() {
    let root = tree(PSI);
    proc(root.path(), &[0, 1]);
    for core in 0..2 {
        // `amd-pstate`; the mean over the last milliseconds exists since Linux 6.15.
        put(
            root.path(),
            &format!(
                "sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq = 3695000
                sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_avg_freq = 3251000
                sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq = 3695000
                sys/devices/system/cpu/cpu{core}/topology/physical_package_id = 0"
            ),
        );
    }
    let sample = read(root.path());
    assert_eq!(clocks(&sample), [clock(Some(3251), Some(3695), None); 2]);
    assert_eq!(sample.package_throttles, None);
    // An idle core has no mean: the frequency at which it last ran is used instead.
    put(root.path(), "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_avg_freq = <unknown>");
    assert_eq!(clocks(&read(root.path())), [clock(Some(3695), Some(3695), None), clock(Some(3251), Some(3695), None)]);
}

#[test]
fn clusters_of_an_arm_board_are_read_once_each() {
    let root = tree(
        "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq = 1416000
        sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq = 1416000
        sys/devices/system/cpu/cpufreq/policy2/scaling_cur_freq = 408000
        sys/devices/system/cpu/cpufreq/policy2/cpuinfo_max_freq = 1800000
        sys/devices/system/cpu/cpu0/cpufreq -> ../cpufreq/policy0
        sys/devices/system/cpu/cpu1/cpufreq -> ../cpufreq/policy0
        sys/devices/system/cpu/cpu2/cpufreq -> ../cpufreq/policy2
        sys/devices/system/cpu/cpu0/topology/physical_package_id = -1",
    );
    proc(root.path(), &[0, 1, 2]);
    let little = clock(Some(1416), Some(1416), None);
    assert_eq!(clocks(&read(root.path())), [little, little, clock(Some(408), Some(1800), None)]);
    let mut host = Host::open(root.path(), 1);
    host.read(&mut vec![0; 4096], false).unwrap();
    assert!(format!("{:?}", host.sensors).matches("Frequency").count() == 2, "{:?}", host.sensors);
}

#[test]
fn a_virtual_machine_tells_nothing_and_is_read_all_the_same() {
    let root = tree("sys/devices/system/cpu/cpu0/topology/physical_package_id = 0\n sys/devices/system/cpu/cpufreq/x = 1");
    proc(root.path(), &[0]);
    let sample = read(root.path());
    assert_eq!(clocks(&sample), [CoreClock::default()]);
    assert_eq!((sample.package_throttles, sample.pressure), (None, HostPressure::default()));
    assert_eq!(sample.cores[0].steal_ns, 50_000_000);
    let nothing = HostSources { cores: 1, frequency: 0, throttles: 0, package_throttles: false, pressure: [false; 3] };
    assert_eq!(host_sources(root.path()), Some(nothing));
    assert_eq!(host_sources(&root.path().join("sys")), None);
}

#[test]
fn a_core_may_be_switched_off_and_on() {
    let root = intel_laptop();
    let mut host = Host::open(root.path(), 10_000_000);
    let mut buffer = vec![0; 64 * 1024];
    assert_eq!(host.read(&mut buffer, false).unwrap().cores.len(), 2);
    // Its folder remains, without cpufreq.
    proc(root.path(), &[0]);
    let link = root.path().join("sys/devices/system/cpu/cpu1/cpufreq");
    fs::remove_file(&link).unwrap();
    assert_eq!(host.read(&mut buffer, false).unwrap().cores.len(), 1);
    proc(root.path(), &[0, 1]);
    let off = host.read(&mut buffer, false).unwrap();
    assert_eq!((off.cores[0].clock.frequency_hz.is_some(), off.cores[1].clock.frequency_hz), (true, None));
    symlink("../cpufreq/policy1", &link).unwrap();
    proc(root.path(), &[0]);
    host.read(&mut buffer, false).unwrap();
    proc(root.path(), &[0, 1]);
    assert_eq!(host.read(&mut buffer, false).unwrap().cores[1].clock.frequency_hz, Some(800_000_000));
}

#[test]
fn many_sensors_are_read_in_turn_and_at_once_when_it_matters() {
    let root = tree("");
    let cores: Vec<u32> = (0..50).collect();
    proc(root.path(), &cores);
    for core in &cores {
        put(root.path(), &format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq = 1000000"));
    }
    let mut host = Host::open(root.path(), 1);
    let mut buffer = vec![0; 64 * 1024];
    let mut host_sources = |whole| {
        let sample = host.read(&mut buffer, whole).unwrap();
        sample.cores.iter().map(|c| c.clock.frequency_hz.is_some()).collect::<Vec<bool>>()
    };
    let all = [true; 50];
    assert_eq!(host_sources(false), all, "the first sample is whole");
    let (second, third) = (host_sources(false), host_sources(false));
    assert_eq!((second.iter().filter(|t| **t).count(), third.iter().filter(|t| **t).count()), (32, 32));
    assert!(second.iter().zip(&third).all(|(a, b)| *a || *b), "{second:?} {third:?}");
    assert_eq!(host_sources(true), all);
}

/// What one sample costs here; `cargo test --release --workspace --lib -- --ignored --nocapture cost_of_a_sample`.
#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_a_sample() {
    let mut buffer = vec![0; 64 * 1024];
    let mut measure = |name: &str, root: &Path| {
        let mut host = Host::open(root, 10_000_000);
        host.read(&mut buffer, true).unwrap();
        let begin = Instant::now();
        for _ in 0..20_000 {
            std::hint::black_box(host.read(&mut buffer, false));
        }
        println!("{name}: {:.2} µs", begin.elapsed().as_secs_f64() * 1e6 / 20_000.0);
    };
    measure("this host", Path::new("/"));
    measure("two cores with everything, as plain files", intel_laptop().path());
}
