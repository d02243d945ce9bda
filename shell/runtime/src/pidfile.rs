//! Which processes of this node run: each holds a locked file with its process id. A lock dies
//! with its process, so a stale file is never mistaken for a live one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Files in the run folder that end so are process-id files.
const ENDING: &str = "pid";
/// A process id has at most ten digits.
const LONGEST: u64 = 32;

/// This process's locked process-id file; dropped, it disappears.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    _lock: Flock<File>,
    _hangup: Option<Signal>,
}

impl PidFile {
    /// Takes `run_dir/NAME.pid` for this process. Inside the runtime, SIGHUP no longer ends the
    /// process from then on.
    ///
    /// # Errors
    /// `AlreadyExists` with the holder's number when another process has it; what the file system
    /// says else.
    pub fn hold(run_dir: &Path, name: &str) -> io::Result<Self> {
        let path = run_dir.join(format!("{name}.{ENDING}"));
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let pid = read_pid(&mut file).map_or_else(|| "?".to_owned(), |p| p.to_string());
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!("{} is held by process {pid}", path.display()),
                ));
            }
            Err((_, errno)) => return Err(errno.into()),
        };
        lock.set_len(0)?;
        lock.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        // Whoever is listed here is told of changes by SIGHUP, which must not end a process that
        // has nothing to read again.
        let hangup = Handle::try_current().ok().and_then(|_| signal(SignalKind::hangup()).ok());
        Ok(Self { path, _lock: lock, _hangup: hangup })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn read_pid(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 1)
}

/// Process ids of the other live processes that hold a file in `run_dir`.
#[must_use]
pub fn others(run_dir: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(run_dir) else { return Vec::new() };
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut pids: Vec<i32> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == ENDING))
        .filter_map(|path| live_holder(&path))
        .filter(|pid| *pid != own)
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// The process id in `path` while its lock is held; a file nobody holds says nothing.
fn live_holder(path: &Path) -> Option<i32> {
    let file = File::open(path).ok()?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Err((mut file, Errno::EWOULDBLOCK)) => read_pid(&mut file),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_and_no_ghosts() {
        let folder = tempfile::tempdir().unwrap();
        let held = PidFile::hold(folder.path(), "nameserver").unwrap();
        let error = PidFile::hold(folder.path(), "nameserver").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        fs::write(folder.path().join("ghost.pid"), "4242\n").unwrap();
        fs::write(folder.path().join("junk.pid"), [0xff, 0xfe]).unwrap();
        assert!(others(folder.path()).is_empty(), "our own and unlocked files do not count");
        drop(held);
        assert!(PidFile::hold(folder.path(), "nameserver").is_ok());
    }
}
