//! One attempt of any kind: what the prober wants done is done, once, within its limit.

use std::path::Path;

use popnet_http::roots::Trust;
use popnet_probe::{Action, Attempt, Outcome, Task, Told};
use tokio::time::{Instant, timeout};

use crate::connect::{Progress, Wrong, failed, late, micros, tcp};
use crate::{command, dns, ftp, http, icmp, snmp, stream, talk};

/// What attempts need beside their job.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Authorities for TLS.
    pub trust: Trust,
    /// Where the configuration's relative paths begin.
    pub base_dir: std::path::PathBuf,
}

/// Carries one service attempt out; `None` when `action` is none.
pub async fn once(
    action: &Action,
    around: &Surroundings,
    progress: &mut Progress,
) -> Option<Outcome> {
    match action {
        Action::Http(job) => Some(http::timed(job, &around.trust, progress).await),
        Action::Tcp(job) => Some(tcp(job, progress).await),
        Action::Try(job) => Some(attempt(job, around, progress).await),
        Action::Measure(_) | Action::Report(_) | Action::Announce(_) => None,
    }
}

/// Carries `job` out.
pub(crate) async fn attempt(
    job: &Attempt,
    around: &Surroundings,
    progress: &mut Progress,
) -> Outcome {
    let begun = Instant::now();
    match timeout(job.timeout, carry_out(job, around, progress)).await {
        Ok(Ok(told)) => {
            let connect = told.connect.or(progress.connect);
            Outcome::Told(Told { connect, total: micros(begun.elapsed()), ..told })
        }
        Ok(Err(wrong)) => failed(wrong, progress, begun),
        Err(_) => failed(late(job.timeout), progress, begun),
    }
}

async fn carry_out(
    job: &Attempt,
    around: &Surroundings,
    progress: &mut Progress,
) -> Result<Told, Wrong> {
    let at = &job.address;
    match &job.task {
        Task::Talk { send, expect } => {
            talk::talk(at, send.as_deref(), expect.as_deref(), progress).await
        }
        Task::Ftp { user, password_file, path, digest } => {
            let secret = match password_file {
                Some(file) => secret(&around.base_dir, file).await?,
                None => "popnet@".into(),
            };
            ftp::fetch(at, &ftp::Wish { user, secret: &secret, path, digest: *digest }, progress)
                .await
        }
        Task::Dns { name, rtype } => dns::ask(at, name, rtype, progress).await,
        Task::Stream { format, tls, host, path, listen } => {
            let wish = stream::Wish { format: *format, tls: *tls, host, path, listen: *listen };
            stream::listen(job, &wish, &around.trust, progress).await
        }
        Task::Echo => icmp::probe(at, job.timeout, progress).await,
        Task::Command { program, arguments } => command::run(program, arguments, progress).await,
        Task::Snmp(request) => snmp::load(at, request, &around.base_dir, progress).await,
    }
}

/// A secret's file holds a line.
const SECRET_MAX: u64 = 1_024;

/// The secret in `file`, without its line's end.
pub(crate) async fn secret(base_dir: &Path, file: &Path) -> Result<String, Wrong> {
    use popnet_wire::probing::Cause;
    use tokio::io::AsyncReadExt;

    let path = base_dir.join(file);
    let unread =
        |error: std::io::Error| Wrong::new(Cause::Protocol, format!("{}: {error}", path.display()));
    let file = tokio::fs::File::open(&path).await.map_err(unread)?;
    let mut text = String::new();
    file.take(SECRET_MAX).read_to_string(&mut text).await.map_err(unread)?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(Wrong::new(Cause::Protocol, format!("{}: empty", path.display())));
    }
    Ok(line.to_owned())
}
