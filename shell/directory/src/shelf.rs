//! The last good sheet on disk, so that a node can start while nobody else answers.

use std::path::{Path, PathBuf};

use popnet_runtime::files::{self, FileError, Kind};
use popnet_runtime::{Context, StartError};
use popnet_wire::frame::{Conversation, decode, encode};
use popnet_wire::sheet::Sheet;

const KIND: Kind = Kind { name: *b"SHET", version: 1 };

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
    let content = match files::read_framed(path, KIND) {
        Ok(content) => content?,
        Err(error) => {
            tracing::warn!(%error, "the kept role sheet cannot be used; fetching it again");
            return None;
        }
    };
    read_sheet(&content).filter(|sheet| belongs(sheet, context))
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
