//! The program's own text: what a start has touched and nothing needs any more.

use std::ffi::c_void;
use std::ptr::{NonNull, with_exposed_provenance_mut};

use nix::sys::mman::{MmapAdvise, madvise};

/// Takes the program's text out of this process's memory; what is used comes back by itself, from
/// the page cache, at a fraction of a microsecond a page. A start goes through most of the program
/// once (configuration, certificates, zones), and each page that it meets brings its neighbours:
/// some 14 MiB stay mapped, of which a name server at work uses five. Where it does not work,
/// everything stays as it was.
pub fn let_go() {
    let Ok(own) = std::fs::read_link("/proc/self/exe") else { return };
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    for (start, length) in maps.lines().filter_map(|line| text_of(line, own.to_str()?)) {
        let Some(start) = NonNull::new(with_exposed_provenance_mut::<c_void>(start)) else {
            continue;
        };
        // SAFETY: the range is a private mapping of a file, executable and not writable, so that
        // no page of it differs from the file (position-independent programs have no relocations
        // in their text). Whatever reads or runs it after this finds the same octets.
        #[expect(unsafe_code, reason = "the kernel takes this advice by address only")]
        let advised = unsafe { madvise(start, length, MmapAdvise::MADV_DONTNEED) };
        if let Err(error) = advised {
            tracing::debug!(%error, "the program's text stays mapped");
        }
    }
}

/// Where the text of `program` lies, when `line` of the memory map (proc(5)) is about it.
fn text_of(line: &str, program: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, rights) = (fields.next()?, fields.next()?);
    // Offset, device, inode; the path is the rest, and may have spaces.
    let path = line.get(line.find('/')?..)?;
    if rights != "r-xp" || path != program {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let [start, end] = [start, end].map(|number| usize::from_str_radix(number, 16).ok());
    Some((start?, end?.checked_sub(start?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_programs_own_text() {
        let line = |rights: &str, path: &str| {
            text_of(
                &format!("55e93f0af000-55e9409aa000 {rights} 00776000 fe:00 1234   {path}"),
                "/a b/p",
            )
        };
        assert_eq!(line("r-xp", "/a b/p"), Some((0x55e9_3f0a_f000, 0x18f_b000)));
        // Data that was relocated is only for reading, too, and must stay.
        for (rights, path) in [
            ("r--p", "/a b/p"),
            ("rw-p", "/a b/p"),
            ("rwxp", "/a b/p"),
            ("r-xp", "/a b/q"),
            ("r-xp", ""),
        ] {
            assert_eq!(line(rights, path), None, "{rights} {path}");
        }
        assert_eq!(text_of("", "/p"), None);
    }

    #[test]
    fn the_program_goes_on() {
        let mapped = || {
            let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let own = std::fs::read_link("/proc/self/exe").unwrap();
            let mut lines =
                smaps.lines().skip_while(|l| text_of(l, own.to_str().unwrap()).is_none());
            let rss = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
            rss.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        let before = mapped();
        let_go();
        let after = mapped();
        assert!(after < before, "{after} of {before} kB");
        // Something that has not run yet in this test.
        assert_eq!(format!("{:?}", "a b".parse::<u8>().is_err()), "true");
    }
}
