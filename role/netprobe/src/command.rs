//! A program of the operator's: started without a shell and with an empty environment, ended with
//! its probe's time.

use std::path::Path;
use std::process::Stdio;

use popnet_probe::Told;
use popnet_wire::probing::Cause;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::Instant;

use crate::connect::{Progress, Wrong};

/// What of its output is read; the rest is thrown away.
const OUTPUT_MAX: u64 = 64 << 10;

/// Runs `program`.
pub(crate) async fn run(
    program: &Path,
    arguments: &[String],
    progress: &mut Progress,
) -> Result<Told, Wrong> {
    let begun = Instant::now();
    let no = |error: std::io::Error| {
        Wrong::new(Cause::Refused, format!("{}: {error}", program.display()))
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Whoever waits no longer takes the program with them.
        .kill_on_drop(true)
        .spawn()
        .map_err(no)?;
    let mut content = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        (&mut output).take(OUTPUT_MAX).read_to_end(&mut content).await.map_err(no)?;
        // A program that prints on must not wait for a reader for ever.
        tokio::io::copy(&mut output, &mut tokio::io::sink()).await.map_err(no)?;
    }
    let status = child.wait().await.map_err(no)?;
    progress.phase("run", begun);
    let Some(code) = status.code() else {
        return Err(Wrong::new(Cause::Status, "ended by a signal"));
    };
    Ok(Told { code: u16::try_from(code).unwrap_or(u16::MAX), content, ..Told::default() })
}
