//! What threads of this process use.

use std::fs;
use std::path::Path;

/// Processor time of all living threads of this process whose names start with `prefix`, in nanoseconds; `None` where the kernel
/// does not count it by thread. A thread that has ended takes its time with it.
pub fn threads_cpu_ns(prefix: &str) -> Option<u64> {
    let tasks = fs::read_dir("/proc/self/task").ok()?;
    let mut sum = 0;
    for task in tasks.flatten().map(|task| task.path()) {
        // A thread may end between two readings.
        let Ok(name) = fs::read_to_string(task.join("comm")) else { continue };
        if name.starts_with(prefix) {
            sum += on_cpu(&task)?;
        }
    }
    Some(sum)
}

/// The first number of `schedstat`: the time on a processor. An error is the end of the thread, unless there is no such file.
fn on_cpu(task: &Path) -> Option<u64> {
    match fs::read_to_string(task.join("schedstat")) {
        Ok(text) => text.split(' ').next()?.trim().parse().ok(),
        Err(_) if task.exists() => None,
        Err(_) => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_works_is_seen_by_its_name() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let work = move || while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {};
        let thread = std::thread::Builder::new().name("busy-own-0".to_owned()).spawn(work).unwrap();
        let used = || threads_cpu_ns("busy-own-");
        let before = used();
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while before.is_some() && used() <= before && std::time::Instant::now() < patience {
            std::thread::yield_now();
        }
        assert!(before.is_none() || used() > before, "{before:?}");
        assert_eq!(threads_cpu_ns("nobody-").unwrap_or_default(), 0);
        stop.send(()).unwrap();
        thread.join().unwrap();
    }
}
