//! A container engine of a test's own, with an image of a web server.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{Place, Started};

/// A private engine, with an image of a web server in it; ended when dropped.
pub struct Engine {
    folder: TempDir,
    pub daemon: Child,
}

impl Engine {
    /// None, loudly, where there is no engine to start.
    pub fn start() -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("runner-docker-").tempdir_in("/var/tmp").expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let log = std::fs::File::create(path("log")).expect("the folder can be written to");
        let started = Command::new("dockerd")
            .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["--host", &format!("unix://{}", path("sock")), "--iptables=false", "--ip6tables=false", "--bridge=none"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn();
        let Ok(daemon) = started else {
            eprintln!("NOT TESTED: dockerd is not installed");
            return None;
        };
        let mut engine = Self { folder, daemon };
        let ready = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            engine.docker(&["info"]).status.success() || engine.daemon.try_wait().is_ok_and(|s| s.is_some())
        });
        if !ready || engine.daemon.try_wait().is_ok_and(|s| s.is_some()) {
            let log = std::fs::read_to_string(engine.folder.path().join("log")).unwrap_or_default();
            eprintln!("NOT TESTED: dockerd does not start here: {}", log.lines().last().unwrap_or_default());
            return None;
        }
        engine.import();
        Some(engine)
    }

    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("sock").display())
    }

    pub fn docker(&self, words: &[&str]) -> std::process::Output {
        Command::new("docker").env("DOCKER_HOST", self.host()).args(words).output().expect("docker is installed with dockerd")
    }

    /// An image of one static binary, and a page to serve.
    fn import(&self) {
        let root = self.folder.path().join("root");
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::create_dir_all(root.join("www")).unwrap();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|p| p.exists());
        std::fs::copy(busybox.expect("tests/needs.sh installs busybox-static"), root.join("bin/busybox")).unwrap();
        std::fs::write(root.join("www/index.html"), "hello\n").unwrap();
        let tar = self.folder.path().join("image.tar").display().to_string();
        let root = root.display().to_string();
        assert!(Command::new("tar").args(["-C", &root, "-cf", &tar, "."]).status().unwrap().success());
        let imported = self.docker(&["import", &tar, "runner-test-web:1"]);
        assert!(imported.status.success(), "{imported:?}");
    }

    pub fn containers(&self) -> String {
        String::from_utf8_lossy(&self.docker(&["ps", "--all", "--format", "{{.Names}}"]).stdout).trim().to_owned()
    }

    pub fn run(&self, place: &Place) -> Started {
        self.run_with(place, &[])
    }

    /// Likewise, with further words on the command line.
    pub fn run_with(&self, place: &Place, words: &[&str]) -> Started {
        Started::spawn(place.runner().env("DOCKER_HOST", self.host()).args(["run", "test.yaml"]).args(words))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.daemon.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.daemon.wait();
        // What a daemon that was killed has left: what keeps its containers, those, and mounts.
        let folder = self.folder.path().display().to_string();
        let ours = |pid: &str| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&folder)
        };
        let parent = |pid: &str| -> Option<String> {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1).map(str::to_owned)
        };
        let processes = crate::support::listing(std::path::Path::new("/proc"));
        // All are looked at before the first is killed: what runs inside is known by its parent only.
        let doomed = processes.iter().filter(|p| ours(p) || parent(p).is_some_and(|parent| ours(&parent)));
        let doomed: Vec<Pid> = doomed.filter_map(|p| Pid::from_raw(p.parse().ok()?)).collect();
        for pid in doomed {
            let _ = kill_process(pid, Signal::KILL);
        }
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        for mount in mounts.lines().filter_map(|l| l.split(' ').nth(1)).filter(|m| m.starts_with(&folder)).rev() {
            let _ = rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH);
        }
    }
}
