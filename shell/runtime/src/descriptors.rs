//! File descriptors: how many this process may have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the number of descriptors to all that the system grants. A server needs up to four for a
/// request on its way to an origin, and the usual soft limit of 1,024 is only for programs that
/// call `select`. Where it cannot be raised, what is there has to do.
pub fn raise() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(%error, soft, hard, "the number of file descriptors cannot be raised");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raised() {
        raise();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
    }
}
