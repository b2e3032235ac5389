//! What is served: an experiment, or a directory of them.
//!
//! Which of the two a directory is is looked up each time: the first run may come later.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use export::Source;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::absent::Absent;
use super::metrics;
use super::results::{Experiment, Results, name_of, sorted};
use super::store::Store;

/// A directory of results.
pub(super) struct Site {
    root: PathBuf,
    source: Source,
    /// The answers of the directory itself, if it is that of an experiment.
    only: Arc<Store>,
    /// The answers of each experiment in it.
    experiments: Mutex<BTreeMap<String, Arc<Store>>>,
    /// Whether requests from other machines are allowed, under any name.
    is_public: bool,
    /// The newest figures, as last computed, and when.
    figures: Mutex<Option<(Instant, Result<String, Absent>)>>,
    /// Places for clients that follow a run in progress.
    followers: Arc<Semaphore>,
}

/// How many clients may follow at a time: each occupies one of the few connections.
const FOLLOWERS: usize = 16;
/// How long computed figures count as the newest.
const BELIEVED: Duration = Duration::from_secs(5);

impl Site {
    pub fn new(root: PathBuf, source: Source, is_public: bool) -> Arc<Self> {
        let only = Store::new(Results::new(root.clone()), source.clone(), false);
        let followers = Arc::new(Semaphore::new(FOLLOWERS));
        let (experiments, figures) = (Mutex::default(), Mutex::default());
        Arc::new(Self { root, source, only, experiments, is_public, figures, followers })
    }

    /// Tries to read what will be read later: the directory, and the newest run of each experiment in it.
    ///
    /// # Errors
    /// What cannot be read, and what the system says about it.
    pub fn try_to_read(root: &Path) -> Result<(), (PathBuf, io::Error)> {
        results(root).try_to_read()?;
        let entries = sorted(root).map_err(|error| (root.to_owned(), error))?;
        let folders = entries.into_iter().filter(|(_, kind)| kind.is_dir()).map(|(entry, _)| results(&entry.path()));
        folders.filter(Results::has_runs).try_for_each(|results| results.try_to_read())
    }

    /// Whether `host` in a request means this server: `localhost` or a loopback address, unless anybody may send requests.
    pub fn is_called(&self, host: &str) -> bool {
        let address = || {
            host.parse::<SocketAddr>()
                .map(|address| address.ip())
                .or_else(|_| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>())
        };
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        self.is_public || name.eq_ignore_ascii_case("localhost") || address().is_ok_and(|address| address.is_loopback())
    }

    /// A place for one more client that follows a run in progress.
    pub fn follow(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.followers).try_acquire_owned().ok()
    }

    /// The experiments as JSON: `{"experiments": [{"name", "runs", "newest"}]}`.
    ///
    /// # Errors
    /// What the system says about the directory.
    pub fn list_json(&self) -> Result<String, Absent> {
        Ok(serde_json::json!({"experiments": self.list()?}).to_string())
    }

    /// The figures of the newest run of each experiment, as Prometheus reads them.
    ///
    /// # Errors
    /// What the system says about the directory.
    pub fn metrics(&self) -> Result<String, Absent> {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        match &*figures {
            Some((at, text)) if at.elapsed() < BELIEVED => text.clone(),
            _ => {
                let text = self.newest().and_then(|newest| metrics::text(&newest));
                *figures = Some((Instant::now(), text.clone()));
                text
            }
        }
    }

    /// The directory of the newest run of each experiment.
    fn newest(&self) -> Result<Vec<(String, PathBuf)>, Absent> {
        let of = |folder: &Path| Some((name_of(folder), results(folder).newest()?));
        match self.only() {
            Some(only) => Ok(only.results().newest().map(|run| (name_of(&self.root), run)).into_iter().collect()),
            None => Ok(self.folders()?.iter().filter_map(|folder| of(folder)).collect()),
        }
    }

    /// The experiment, if the directory is that of one.
    pub fn only(&self) -> Option<Arc<Store>> {
        let is_of_several = || self.folders().is_ok_and(|folders| folders.iter().any(|folder| results(folder).has_runs()));
        (self.only.results().has_runs() || !is_of_several()).then(|| Arc::clone(&self.only))
    }

    /// The experiment of this name, which is looked up among those that exist.
    pub fn experiment(&self, name: &str) -> Option<Arc<Store>> {
        let folder = self.folders().ok()?.into_iter().find(|folder| name_of(folder) == name)?;
        if !results(&folder).has_runs() {
            return None;
        }
        let mut experiments = self.experiments.lock().unwrap_or_else(PoisonError::into_inner);
        let store = experiments.entry(name.to_owned()).or_insert_with(|| Store::new(results(&folder), self.source.clone(), true));
        Some(Arc::clone(store))
    }

    /// The experiments that have runs, by name.
    ///
    /// # Errors
    /// What the system says about the directory.
    pub fn list(&self) -> io::Result<Vec<Experiment>> {
        let of = |folder: &PathBuf| {
            let mut names = results(folder).names().ok()?;
            let newest = names.pop()?;
            Some(Experiment { name: name_of(folder), runs: names.len() + 1, newest })
        };
        Ok(self.folders()?.iter().filter_map(of).collect())
    }

    /// The directories in it, by name. Links are not followed.
    fn folders(&self) -> io::Result<Vec<PathBuf>> {
        let entries = sorted(&self.root)?.into_iter().filter(|(_, kind)| kind.is_dir());
        Ok(entries.map(|(entry, _)| entry.path()).collect())
    }
}

fn results(folder: &Path) -> Results {
    Results::new(folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with a file that makes it a run.
    fn run(folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("plan.json"), "{}").unwrap();
    }

    #[test]
    fn a_directory_is_that_of_an_experiment_or_of_several() {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::new(folder.path().to_owned(), Source::cleaned("here"), false);
        assert!(site.only().is_some(), "there is no run yet");
        run(&folder.path().join("blobs/20261130T000000Z-0001"));
        run(&folder.path().join("blobs/20261130T000000Z-0002"));
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        assert!(site.only().is_none());
        let found = site.list().unwrap();
        assert_eq!(
            found.iter().map(|e| (e.name.as_str(), e.runs, e.newest.as_str())).collect::<Vec<_>>(),
            [("blobs", 2, "20261130T000000Z-0002")]
        );
        assert!(site.experiment("blobs").is_some() && site.experiment("empty").is_none());
        let one = Site::new(folder.path().join("blobs"), Source::cleaned("here"), false);
        assert!(one.only().is_some());
    }

    #[test]
    fn other_names_than_those_of_this_machine_are_not_answered() {
        let site = |is_public| Site::new("/".into(), Source::cleaned("here"), is_public);
        let ours =
            ["localhost", "localhost:8700", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:80", "127.1.2.3:80", "[::1]", "[::1]:80"];
        assert!(ours.iter().all(|host| site(false).is_called(host)));
        let others =
            ["", "example.org", "localhost.example.org", "127.0.0.1.example.org:80", "192.0.2.1:80", "[2001:db8::1]", "x:y:z"];
        for host in others {
            assert!(!site(false).is_called(host) && site(true).is_called(host), "{host}");
        }
    }

    #[test]
    fn a_name_is_one_of_those_that_exist_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        run(&folder.path().join("results/blobs/20261130T000000Z-0001"));
        run(&folder.path().join("secret/20261130T000000Z-0001"));
        std::os::unix::fs::symlink("../secret", folder.path().join("results/link")).unwrap();
        let site = Site::new(folder.path().join("results"), Source::cleaned("here"), false);
        for name in ["", ".", "..", "../secret", "link", "blobs/", "/", "blobs/20261130T000000Z-0001", "a\0b"] {
            assert!(site.experiment(name).is_none(), "{name:?}");
        }
        assert_eq!(site.list().unwrap().len(), 1);
    }
}
