//! The last good sheet on disk, so that a node can start while nobody else answers.

use std::path::{Path, PathBuf};

use popnet_runtime::files::{self, FileError, Kind};
use popnet_runtime::{Context, StartError};
use popnet_wire::frame::{Conversation, decode, encode};
use popnet_wire::sheet::{EarlierSheet, Sheet};

const KIND: Kind = Kind { name: *b"SHET", version: 2 };
/// The form before, in which sites have no delivery.
const EARLIER: Kind = Kind { version: 1, ..KIND };

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
    let found = match files::read_framed(path, KIND) {
        Ok(content) => read_sheet(&content?),
        Err(error) => match files::read_framed(path, EARLIER) {
            Ok(content) => read_earlier(&content?),
            Err(_) => {
                tracing::warn!(%error, "the kept role sheet cannot be used; fetching it again");
                None
            }
        },
    };
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

/// The sheet in the content of a kept file of the form before. Takes any octets.
#[must_use]
pub fn read_earlier(content: &[u8]) -> Option<Sheet> {
    decode::<EarlierSheet>(Conversation::Control, content).ok().map(Sheet::from)
}

/// The sheet in the content of a kept file. Takes any octets.
#[must_use]
pub fn read_sheet(content: &[u8]) -> Option<Sheet> {
    decode(Conversation::Control, content).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_of_the_form_before_is_read() {
        // Written before sites had a delivery.
        let kept = include_bytes!("../tests/earlier/sheet.bin");
        let sheet = read_earlier(kept).unwrap();
        assert_eq!(sheet.sites.len(), 1);
        assert_eq!(*sheet.sites[0].delivery, Default::default());
        assert_eq!(sheet.sites[0].paths.len(), 1);
        assert_eq!(read_sheet(kept), None);
    }
}
