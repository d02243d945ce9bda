//! Files that follow each other: when one is full it is named `FILE.1`, older ones one number
//! higher, and the oldest goes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use popnet_terms::Octets;

/// Octets that are collected before they are written.
const AHEAD: usize = 64 << 10;
/// Who asks what is not for everybody on the machine.
const MODE: u32 = 0o640;

/// The file that is written, and those before.
#[derive(Debug)]
pub(super) struct Rotating {
    path: PathBuf,
    size_max: u64,
    keep: u32,
    /// What each file begins with.
    head: Vec<u8>,
    /// What each file ends with.
    tail: Vec<u8>,
    file: Option<File>,
    /// What is in the file.
    size: u64,
    /// What is not yet there.
    ahead: Vec<u8>,
}

impl Rotating {
    /// Lines at `path`. Opens nothing yet.
    pub(super) fn new(path: PathBuf, size_max: Octets, keep: u32) -> Self {
        let (head, tail, ahead) = (Vec::new(), Vec::new(), Vec::new());
        Self { path, size_max: size_max.0, keep, head, tail, file: None, size: 0, ahead }
    }

    /// The same with octets at the beginning and the end of each file.
    pub(super) fn framed(self, head: Vec<u8>, tail: Vec<u8>) -> Self {
        Self { head, tail, ..self }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds octets that belong together.
    pub(super) fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.open()?;
        let filled = self.size + length(&self.ahead);
        let with = filled + length(octets) + length(&self.tail);
        if with > self.size_max && filled > length(&self.head) {
            self.close()?;
            self.move_on()?;
            self.open()?;
        }
        self.ahead.extend_from_slice(octets);
        if self.ahead.len() >= AHEAD { self.flush() } else { Ok(()) }
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.open()?;
        let Some(file) = &self.file else { return Ok(()) };
        let written = file.write_all_at(&self.ahead, self.size);
        match written {
            Ok(()) => self.size += length(&self.ahead),
            // Half a record would spoil those after it.
            Err(_) => drop(file.set_len(self.size)),
        }
        self.ahead.clear();
        if written.is_err() {
            self.file = None;
        }
        written
    }

    /// Ends the file.
    pub(super) fn close(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            self.ahead.extend_from_slice(&self.tail);
            self.flush()?;
            self.file = None;
        }
        Ok(())
    }

    /// Goes on where the file ended; one that has an end is moved away.
    fn open(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let found = fs::metadata(&self.path).map_or(0, |found| found.len());
        if found > 0 && (!self.tail.is_empty() || found >= self.size_max) {
            self.move_on()?;
        }
        let options = OpenOptions::new().create(true).write(true).mode(MODE).clone();
        let file = options.open(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        if self.size == 0 {
            self.ahead.splice(0..0, self.head.iter().copied());
        }
        Ok(())
    }

    fn move_on(&self) -> io::Result<()> {
        if self.keep == 0 {
            return gone(fs::remove_file(&self.path));
        }
        // Of a time when more were kept.
        let mut surplus = self.keep.saturating_add(1);
        while fs::remove_file(self.numbered(surplus)).is_ok() {
            surplus = surplus.saturating_add(1);
        }
        for number in (1..self.keep).rev() {
            gone(fs::rename(self.numbered(number), self.numbered(number + 1)))?;
        }
        gone(fs::rename(&self.path, self.numbered(1)))
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

/// What is not there need not be moved.
fn gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn length(octets: &[u8]) -> u64 {
    octets.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    #[test]
    fn full_files_move_on_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/q");
        let new = || Rotating::new(path.clone(), Octets(10), 2);
        let mut file = new();
        for line in ["aaaa\n", "bbbb\n", "cccc\n", "dddd\n", "eeee\n", "ffff\n", "gggg\n"] {
            file.put(line.as_bytes()).unwrap();
        }
        file.close().unwrap();
        let names = |number: u32| read(&file.numbered(number));
        assert_eq!(read(&path).unwrap(), "gggg\n");
        assert_eq!(
            (names(1).unwrap(), names(2).unwrap()),
            ("eeee\nffff\n".into(), "cccc\ndddd\n".into())
        );
        assert_eq!(names(3), None);
        // Lines go on where they ended; what is longer than a file gets one of its own.
        let mut again = new();
        again.put(b"h\n").unwrap();
        again.put(b"a line that is too long\n").unwrap();
        again.put(b"i\n").unwrap();
        again.flush().unwrap();
        assert_eq!(read(&again.numbered(2)).unwrap(), "gggg\nh\n");
        assert_eq!(read(&again.numbered(1)).unwrap(), "a line that is too long\n");
        assert_eq!(read(&path).unwrap(), "i\n");
    }

    #[test]
    fn each_file_has_its_beginning_and_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tap");
        let new = || Rotating::new(path.clone(), Octets(9), 3).framed(b"<".into(), b">".into());
        let mut file = new();
        for record in ["aaa", "bbb", "ccc"] {
            file.put(record.as_bytes()).unwrap();
        }
        file.flush().unwrap();
        assert_eq!(read(&file.numbered(1)).unwrap(), "<aaabbb>");
        // Killed here. What comes next has a file of its own.
        drop(file);
        let mut file = new();
        file.flush().unwrap();
        file.close().unwrap();
        assert_eq!(read(&path).unwrap(), "<>");
        assert_eq!(read(&file.numbered(1)).unwrap(), "<ccc");
        // Of a longer row only what is kept now stays.
        let mut file = Rotating::new(path.clone(), Octets(9), 1).framed(b"<".into(), b">".into());
        file.put(b"d").unwrap();
        file.close().unwrap();
        assert_eq!(read(&path).unwrap(), "<d>");
        assert_eq!(read(&file.numbered(1)).unwrap(), "<>");
        assert_eq!(read(&file.numbered(2)), None);
        let mut file = Rotating::new(path.clone(), Octets(9), 0).framed(b"<".into(), b">".into());
        file.put(b"e").unwrap();
        file.close().unwrap();
        assert_eq!(read(&file.numbered(1)).unwrap(), "<>", "not touched");
        assert_eq!(read(&path).unwrap(), "<e>");
    }

    #[test]
    fn a_folder_in_its_place_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = Rotating::new(folder.path().to_owned(), Octets(1 << 20), 0);
        assert!(file.put(b"a").is_err() && file.flush().is_err());
    }
}
