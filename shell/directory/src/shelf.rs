//! The last good sheet on disk, so that a node can start while nobody else answers.

use std::path::{Path, PathBuf};

use popnet_runtime::files::{self, FileError, Kind};
use popnet_runtime::{Context, StartError};
use popnet_wire::earlier::{WithoutCodings, WithoutDelivery};
use popnet_wire::frame::{Conversation, decode, encode};
use popnet_wire::sheet::Sheet;

const KIND: Kind = Kind { name: *b"SHET", version: 3 };

/// How the content of a kept file is read.
type Read = fn(&[u8]) -> Option<Sheet>;

/// Every form that is read, with its version; the newest first.
const FORMS: [(u16, Read); 3] =
    [(KIND.version, read_sheet), (2, read_without_codings), (1, read_without_delivery)];

/// Where the sheet is kept.
pub(crate) fn path(context: &Context) -> PathBuf {
    context.state_dir.join("directory").join("sheet")
}

/// Makes the folder.
pub(crate) fn prepare(path: &Path) -> Result<(), StartError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    files::create_private_dir(folder).map_err(StartError::io(folder.display()))
}

/// The sheet that was kept for this node, if it can be read and is its own.
pub(crate) fn load(path: &Path, context: &Context) -> Option<Sheet> {
    let mut refused = None;
    let found = FORMS.into_iter().find_map(|(version, read)| {
        match files::read_framed(path, Kind { version, ..KIND }) {
            Ok(content) => Some(content.as_deref().and_then(read)),
            Err(error) => {
                refused = refused.take().or(Some(error));
                None
            }
        }
    });
    if let (None, Some(error)) = (&found, &refused) {
        tracing::warn!(%error, "the kept role sheet cannot be used; fetching it again");
    }
    let found = found.flatten();
    found.filter(|sheet| belongs(sheet, context))
}

/// Whether the sheet was drawn for this node of this network.
pub(crate) fn belongs(sheet: &Sheet, context: &Context) -> bool {
    sheet.node == context.node && *sheet.domain == *context.domain
}

/// Keeps the sheet.
pub(crate) fn store(path: &Path, sheet: &Sheet) -> Result<(), FileError> {
    files::write_framed(path, KIND, &encode(Conversation::Control, sheet))
}

/// The sheet in the content of a kept file. Takes any octets.
#[must_use]
pub fn read_sheet(content: &[u8]) -> Option<Sheet> {
    decode(Conversation::Control, content).ok()
}

/// The same of the form before, in which stored responses have no codings.
#[must_use]
pub fn read_without_codings(content: &[u8]) -> Option<Sheet> {
    decode::<WithoutCodings>(Conversation::Control, content).ok().map(Sheet::from)
}

/// The same of the form before that, in which sites have no delivery.
#[must_use]
pub fn read_without_delivery(content: &[u8]) -> Option<Sheet> {
    decode::<WithoutDelivery>(Conversation::Control, content).ok().map(Sheet::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_of_earlier_forms_are_read() {
        // Each written by the program of its time.
        let kept = include_bytes!("../tests/earlier/sheet.bin");
        let sheet = read_without_delivery(kept).unwrap();
        assert_eq!(sheet.sites.len(), 1);
        assert_eq!(*sheet.sites[0].delivery, Default::default());
        assert_eq!(sheet.sites[0].paths.len(), 1);
        let later = include_bytes!("../tests/earlier/without_codings.bin");
        assert_eq!(read_without_codings(later), Some(sheet));
        for (kept, own) in [(&kept[..], 1), (later, 2)] {
            for (version, read) in FORMS {
                assert_eq!(read(kept).is_some(), version == own, "{own} as {version}");
            }
        }
    }
}
