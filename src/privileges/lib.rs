//! How a server gets its port and gives up root for good: a socket that was passed to it ([`passed`]), and, once a port is
//! bound, the user that the process becomes ([`Identity`]). The process can then read only what everybody may read.
//!
//! This crate knows nothing of experiments and is not a layer of `runner`: `serve` and the fixture `random-data` both need
//! it.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod passed;

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;

use libc::{gid_t, uid_t};
use rustix::process::{geteuid, getppid, parent_process_death_signal, set_parent_process_death_signal};

/// The maximum size of the entry of a user, in bytes.
const MOST_KNOWN: usize = 1 << 20;

/// The user that the process will become.
#[derive(Debug)]
pub struct Identity {
    name: String,
    uid: uid_t,
    gid: gid_t,
}

impl Identity {
    /// Looks the user up, and checks whether this process may become that user.
    ///
    /// # Errors
    /// Why it may not, in words.
    pub fn of(name: &str) -> Result<Self, String> {
        let refused = |reason: &str| format!("--user {name}: {reason}");
        if !geteuid().is_root() {
            return Err(refused("only root can become another user; start this as root, or leave out --user"));
        }
        let none = || refused("there is no such user");
        let text = CString::new(name).map_err(|_| none())?;
        let user = user(&text).map_err(|error| refused(&format!("cannot look this user up: {error}")))?;
        let (uid, gid) = user.ok_or_else(none)?;
        if uid == 0 || gid == 0 {
            return Err(refused("expected a user other than root, in another group"));
        }
        Ok(Self { name: name.to_owned(), uid, gid })
    }

    /// Becomes the user, and verifies that: there is no way back, no supplementary group is left, and executed programs get no
    /// additional rights.
    ///
    /// The kernel forgets at this point which signal this process gets when its parent ends, so it is set again.
    ///
    /// # Errors
    /// What failed. The process may then be half changed, and has to end.
    pub fn assume(&self) -> Result<(), String> {
        let failed = |what: &str, error: &dyn std::fmt::Display| format!("--user {}: cannot {what}: {error}", self.name);
        let parent = getppid();
        let signal = parent_process_death_signal().map_err(|error| failed("read the parent-death signal", &error))?;

        // SAFETY: none of them reads or writes memory of ours: the list of groups is empty. The functions of libc are used,
        // since they change all threads and not only the calling one.
        let changes = unsafe {
            [
                ("leave the groups", libc::setgroups(0, std::ptr::null())),
                ("change the group", libc::setresgid(self.gid, self.gid, self.gid)),
                ("change the user", libc::setresuid(self.uid, self.uid, self.uid)),
                ("rule out new rights", libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)),
            ]
        };
        if let Some((what, _)) = changes.iter().find(|(_, result)| *result != 0) {
            return Err(failed(what, &io::Error::last_os_error()));
        }
        self.verify()?;

        if let Some(signal) = signal {
            set_parent_process_death_signal(Some(signal)).map_err(|error| failed("set the parent-death signal", &error))?;
            // The parent may have ended in between; then no signal is sent.
            if getppid() != parent {
                return Err(failed("continue", &"the parent has ended"));
            }
        }
        Ok(())
    }

    fn verify(&self) -> Result<(), String> {
        let (mut users, mut groups) = ([0; 3], [0; 3]);
        // SAFETY: each pointer is to a separate number that lives as long as the call, and no group is written, as none is
        // asked for. The last call is a real attempt and not only a look: a capability may have been kept.
        let given_up = unsafe {
            libc::getresuid(&raw mut users[0], &raw mut users[1], &raw mut users[2]) == 0
                && libc::getresgid(&raw mut groups[0], &raw mut groups[1], &raw mut groups[2]) == 0
                && libc::getgroups(0, std::ptr::null_mut()) == 0
                && libc::setuid(0) != 0
        };
        if given_up && users == [self.uid; 3] && groups == [self.gid; 3] {
            Ok(())
        } else {
            Err(format!("--user {}: root was not given up completely, so this process stops", self.name))
        }
    }
}

/// The user id and group id of a user; none if no user has this name.
fn user(name: &CStr) -> io::Result<Option<(uid_t, gid_t)>> {
    let mut texts: Vec<libc::c_char> = vec![0; 4096];
    loop {
        let mut found = MaybeUninit::<libc::passwd>::uninit();
        let mut result = std::ptr::null_mut();
        // SAFETY: `name` ends with a zero byte, `texts` is as long as the given length, and `found` and `result` may be
        // written to.
        let code =
            unsafe { libc::getpwnam_r(name.as_ptr(), found.as_mut_ptr(), texts.as_mut_ptr(), texts.len(), &raw mut result) };
        match code {
            0 if result.is_null() => return Ok(None),
            0 => {
                // SAFETY: it was filled in, as `result` points to it; the texts that it points to are not read.
                let found = unsafe { found.assume_init_ref() };
                return Ok(Some((found.pw_uid, found.pw_gid)));
            }
            libc::ERANGE if texts.len() < MOST_KNOWN => texts.resize(2 * texts.len(), 0),
            // These errors also mean that there is no such user (getpwnam(3)).
            libc::ENOENT | libc::ESRCH => return Ok(None),
            code => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}
