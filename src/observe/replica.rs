//! One replica: the processes of its tree, and their sums.

use std::{sync::Arc, time::Instant};

use super::{
    cpu_account::Cpu,
    files,
    process::{Presence, Process},
    procfs::process::Io,
    tree::ChildLookup,
};
use vocabulary::rows::ProcessSample;

/// A replica to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Name of the target.
    pub target: String,
    /// Number of the replica.
    pub replica: u32,
    /// The root of its process tree.
    pub pid: u32,
    /// The value of [`MARKER`](vocabulary::marker::MARKER) in its environment, by which orphans are recognised.
    pub marker: String,
}

/// What is needed to read a process tree of this host.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) buffer: Vec<u8>,
    pub(super) ns_per_tick: u64,
    pub(super) bytes_per_page: u64,
}

/// The tree of one replica. Members are stored parents first: those found later have a member as parent, or none.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) target: Arc<str>,
    pub(super) number: u32,
    /// How orphans of this replica are marked.
    pub(super) marker: String,
    members: Vec<Process>,
    /// The totals of members that ended and had no parent in the tree.
    ended: Totals,
    /// The previous totals, below which no total may fall.
    last: Totals,
    at: Instant,
    pss_bytes: Option<u64>,
    /// The root, while it could not be opened.
    unopened: Option<u32>,
    /// Whether the last survey found everything.
    surveyed_whole: bool,
    /// Whether the size in this tick was read as completely as permitted.
    sized_whole: bool,
}

/// Totals that outlive the processes to which they belong.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    cpu: Cpu,
    io: Io,
    switches: [u64; 2],
}

impl Replica {
    /// Watches its root; the first [`Self::survey`] finds the rest of the tree.
    pub(super) fn new(watched: &Watched, reader: &mut Reader) -> Self {
        let before = files::refused_opens();
        let root = Process::open(watched.pid, reader.ns_per_tick, &mut reader.buffer);
        let whole = files::refused_opens() == before;
        Self {
            target: watched.target.as_str().into(),
            number: watched.replica,
            marker: watched.marker.clone(),
            members: root.into_iter().collect(),
            ended: Totals::default(),
            last: Totals::default(),
            at: Instant::now(),
            pss_bytes: None,
            unopened: (!whole).then_some(watched.pid),
            surveyed_whole: whole,
            sized_whole: true,
        }
    }

    /// The cheap readings of every member; members that have ended leave the tree, but their totals remain.
    pub(super) fn refresh(&mut self, reader: &mut Reader) {
        self.at = Instant::now();
        (self.pss_bytes, self.sized_whole) = (None, true);
        // Parents are read before children. In the other order, a child that ends between the two readings would be counted
        // twice: as itself, and in its parent's waited-for time.
        let mut gone = Vec::new();
        for (index, member) in self.members.iter_mut().enumerate() {
            if member.refresh(reader.ns_per_tick, &mut reader.buffer) == Presence::Gone {
                gone.push(index);
            }
        }
        // Here children end before parents, so that their totals move up with them.
        for index in gone.into_iter().rev() {
            let member = self.members.remove(index);
            self.hand_over_totals(&member);
        }
    }

    fn hand_over_totals(&mut self, member: &Process) {
        let [voluntary, involuntary] = member.switches();
        self.ended.switches[0] += voluntary;
        self.ended.switches[1] += involuntary;
        let total = member.account.total();
        let parent = member.stat.ppid;
        // The kernel adds storage of a child to the parent that waits for it. Where the parent does not wait, that storage
        // is lost here.
        if let Some(parent) = self.members.iter_mut().find(|other| other.pid == parent) {
            parent.account.add_ended_child(total);
        } else {
            self.ended.cpu += total;
            self.ended.io.read_bytes += member.io.read_bytes;
            self.ended.io.written_bytes += member.io.written_bytes;
        }
    }

    /// The expensive readings: finds new members, and reads peak, open files and context switches of all members.
    pub(super) fn survey(&mut self, reader: &mut Reader) {
        let before = files::refused_opens();
        if let Some(root) = self.unopened {
            self.join(root, reader);
            self.unopened = (files::refused_opens() != before).then_some(root);
        }
        let lookup = ChildLookup::now();
        // The list grows while it is walked: children follow their parents.
        let mut next = 0;
        while let Some(member) = self.members.get_mut(next) {
            let threads = member.threads();
            member.survey(&threads, &mut reader.buffer);
            for child in lookup.children_of(member.pid, &threads) {
                self.join(child, reader);
            }
            next += 1;
        }
        self.surveyed_whole = files::refused_opens() == before;
    }

    /// Makes `pid` a member, unless it is one already or has ended.
    pub(super) fn join(&mut self, pid: u32, reader: &mut Reader) {
        if !self.has(pid) {
            let process = Process::open(pid, reader.ns_per_tick, &mut reader.buffer);
            self.members.extend(process);
        }
    }

    pub(super) fn has(&self, pid: u32) -> bool {
        self.members.iter().any(|member| member.pid == pid)
    }

    /// Reads the proportional set size of the tree, for this tick's sample.
    pub(super) fn read_pss(&mut self, reader: &mut Reader) {
        let before = files::refused_opens();
        let sizes = self.members.iter_mut().map(|member| member.pss_bytes(&mut reader.buffer));
        self.pss_bytes = sizes.sum();
        self.sized_whole = files::refused_opens() == before;
    }

    /// The sums over the tree, as of the last [`Self::refresh`].
    /// `adopted_whole`: whether all orphans were looked at.
    pub(super) fn sample(&mut self, reader: &Reader, adopted_whole: bool) -> ProcessSample {
        let complete = adopted_whole && self.surveyed_whole && self.sized_whole;
        let mut now = self.ended;
        let (mut processes, mut threads) = (0, 0);
        let (mut rss_bytes, mut peak_rss_bytes, mut open_files) = (0, 0, 0);
        for member in &self.members {
            now.cpu += member.account.total();
            now.io.read_bytes += member.io.read_bytes;
            now.io.written_bytes += member.io.written_bytes;
            let [voluntary, involuntary] = member.switches();
            now.switches[0] += voluntary;
            now.switches[1] += involuntary;
            if !member.stat.is_zombie() || member.stat.threads > 1 {
                let rss = member.stat.rss_pages.saturating_mul(reader.bytes_per_page);
                processes += 1;
                threads += member.stat.threads;
                rss_bytes += rss;
                peak_rss_bytes += member.peak_rss_bytes;
                open_files += member.open_files;
            }
        }
        let last = &mut self.last;
        last.cpu = last.cpu.max(now.cpu);
        last.io.read_bytes = last.io.read_bytes.max(now.io.read_bytes);
        last.io.written_bytes = last.io.written_bytes.max(now.io.written_bytes);
        last.switches[0] = last.switches[0].max(now.switches[0]);
        last.switches[1] = last.switches[1].max(now.switches[1]);
        ProcessSample {
            at: self.at,
            target: Arc::clone(&self.target),
            replica: self.number,
            processes,
            threads,
            pss_bytes: self.pss_bytes.filter(|_| complete),
            rss_bytes,
            peak_rss_bytes,
            cpu_user_ns: last.cpu.user_ns,
            cpu_system_ns: last.cpu.system_ns,
            open_files,
            voluntary_switches: last.switches[0],
            involuntary_switches: last.switches[1],
            read_bytes: last.io.read_bytes,
            written_bytes: last.io.written_bytes,
            complete,
        }
    }
}

#[cfg(test)]
mod tests;
