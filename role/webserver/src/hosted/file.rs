//! One file of a folder: found without leaving the folder, read at any place.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use popnet_tier::shelf::{Reader, ShelfError};

/// What a published folder's content lies in: a link that one rename puts another way.
const CURRENT: &str = ".current";

/// A file changed as late as this may be changed once more without another time: the clock of a
/// file system is coarse. Until then its tag is a weak one (RFC 9110 8.8.1).
const SETTLED: i64 = 2;

/// What lies at a path.
pub(super) enum Found {
    File(HostedFile),
    Folder,
}

/// Why there is nothing to send.
#[derive(Debug)]
pub(super) enum NotFound {
    /// There is no such file, or it is none that is served.
    Nothing,
    /// We may not read it.
    Forbidden,
    /// The whole folder cannot be opened.
    NoFolder(String),
    /// The disk failed.
    Broken(String),
}

/// A file that is open.
#[derive(Clone, Debug)]
pub(super) struct HostedFile {
    file: Arc<File>,
    pub(super) length: u64,
    /// When it was changed, in seconds since 1970.
    pub(super) modified: i64,
    nanoseconds: i64,
    /// It is of a release, which never changes.
    is_released: bool,
}

impl HostedFile {
    fn of(file: File, is_released: bool) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            length: metadata.len(),
            modified: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
            is_released,
            file: Arc::new(file),
        })
    }

    /// The tag of the content: the same on every node that has a faithful copy.
    pub(super) fn tag(&self, now: i64) -> String {
        let settled = self.is_released || self.modified <= now - SETTLED;
        let weak = if settled { "" } else { "W/" };
        format!("{weak}\"{:x}.{:x}-{:x}\"", self.modified, self.nanoseconds, self.length)
    }

    fn read_now(&self, at: u64, most: usize) -> io::Result<Bytes> {
        let mut octets = vec![0; most];
        self.file.read_exact_at(&mut octets, at)?;
        // Written over while it is read: what comes would be neither the old nor the new.
        let metadata = self.file.metadata()?;
        let now = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        if now != (self.length, self.modified, self.nanoseconds) {
            return Err(io::Error::other("the file was changed while it was read"));
        }
        Ok(octets.into())
    }
}

impl Reader for HostedFile {
    async fn read(&self, at: u64, most: usize) -> Result<Bytes, ShelfError> {
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let (file, most) = (self.clone(), most.min(left));
        let reading = tokio::task::spawn_blocking(move || file.read_now(at, most));
        Ok(reading.await.map_err(io::Error::other)??)
    }
}

/// Finds what lies at `path` in the content of `folder`; a folder's page is named as such.
pub(super) fn open(folder: &Path, path: &Path, is_page: bool) -> Result<Found, NotFound> {
    let (root, is_released) =
        content_of(folder).map_err(|error| NotFound::NoFolder(error.desc().to_owned()))?;
    // A pipe must not hold us up, nor a terminal become ours.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = File::from(below(&root, path, flags).map_err(reason)?);
    let broken = |error: io::Error| NotFound::Broken(error.to_string());
    let kind = file.metadata().map_err(broken)?.file_type();
    if kind.is_file() {
        return Ok(Found::File(HostedFile::of(file, is_released).map_err(broken)?));
    }
    if kind.is_dir() && !is_page { Ok(Found::Folder) } else { Err(NotFound::Nothing) }
}

/// The folder that holds the content: the current release where there is one. Whoever has opened
/// it sees one release until the end. Says whether it is one.
fn content_of(folder: &Path) -> Result<(OwnedFd, bool), Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = nix::fcntl::open(folder, flags, nix::sys::stat::Mode::empty())?;
    match below(&root, Path::new(CURRENT), flags) {
        Ok(current) => Ok((current, true)),
        // Only where there is no such link: one that leads nowhere must not show other content.
        Err(Errno::ENOENT) => match below(&root, Path::new(CURRENT), flags_of_link()) {
            Err(Errno::ENOENT) => Ok((root, false)),
            Ok(_) | Err(_) => Err(Errno::ENOENT),
        },
        Err(error) => Err(error),
    }
}

fn flags_of_link() -> OFlag {
    OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

fn below(root: &OwnedFd, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags).resolve(resolve);
    loop {
        match openat2(root, path, how) {
            // A rename went on at the same time, and the kernel could not tell where it led.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            done => return done,
        }
    }
}

/// Not there, a link out of the folder or in a circle, a socket, a name too long.
const NOTHING: [Errno; 7] = [
    Errno::ENOENT,
    Errno::ENOTDIR,
    Errno::EXDEV,
    Errno::ELOOP,
    Errno::ENXIO,
    Errno::ENAMETOOLONG,
    Errno::EINVAL,
];

fn reason(error: Errno) -> NotFound {
    if NOTHING.contains(&error) {
        NotFound::Nothing
    } else if matches!(error, Errno::EACCES | Errno::EPERM) {
        NotFound::Forbidden
    } else {
        NotFound::Broken(error.desc().to_owned())
    }
}
