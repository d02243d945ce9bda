//! What transit is billed for, on disk: a bill by a percentile of the month's traffic has to
//! outlive a restart.

use std::path::{Path, PathBuf};

use popnet_probe::Prober;
use popnet_runtime::files::{Kind, read_framed, write_framed};

const KIND: Kind = Kind { name: *b"BILL", version: 1 };

/// The file, and what it holds.
#[derive(Debug)]
pub(crate) struct Bill {
    path: PathBuf,
    written: Option<Vec<u8>>,
}

impl Bill {
    /// Gives `prober` what an earlier start kept in `folder`.
    pub(crate) fn read(folder: &Path, prober: &mut Prober) -> Self {
        let path = folder.join("bill");
        let written = match read_framed(&path, KIND) {
            Ok(written) => written,
            Err(error) => {
                tracing::warn!(%error, "the bill so far is lost; it is learnt anew");
                None
            }
        };
        if written.as_ref().is_some_and(|octets| prober.restore_bill(octets).is_none()) {
            tracing::warn!(path = %path.display(), "the bill so far does not decode");
        }
        Self { path, written }
    }

    /// Writes what `prober` knows of the bill, where that is new.
    pub(crate) fn write(&mut self, prober: &Prober) {
        let Some(octets) = prober.bill() else { return };
        if self.written.as_ref() == Some(&octets) {
            return;
        }
        if let Err(error) = write_framed(&self.path, KIND, &octets) {
            tracing::warn!(%error, "the bill so far is not kept");
        }
        self.written = Some(octets);
    }
}
