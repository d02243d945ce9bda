//! `popnet run`: the roles of one node in the foreground, straight from a file or managed.

mod fixed;
mod me;
mod roles;

use std::path::Path;

use popnet_runtime::{Context, Ended, PidFile};
use popnet_wire::control::Problem;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::cli::RunArguments;
use crate::command::no_runtime;
use crate::notify;
use crate::output::{Done, Outcome, Style};
use me::Me;
use roles::Selection;

/// Runs until told to stop.
pub(crate) fn execute(arguments: &RunArguments, style: Style) -> Outcome {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    let selection = Selection::of(&arguments.roles)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| no_runtime(&error))?;
    let outcome = runtime.block_on(run(arguments, &selection, style));
    // Every role has ended. A thread that still waits for standard input must not hold us.
    runtime.shutdown_background();
    outcome
}

async fn run(arguments: &RunArguments, selection: &Selection, style: Style) -> Outcome {
    let shutdown = CancellationToken::new();
    let me = Me::find(arguments, &shutdown, style)?;
    let _pid = hold_pid_file(&me.context, selection)?;
    tokio::spawn(wait_for_end(shutdown.clone(), arguments.until_stdin_closes));
    let mut started = Vec::new();
    let outcome = tokio::select! {
        outcome = roles::start(&me, selection, &mut started) => outcome,
        () = shutdown.cancelled() => Ok(()),
    };
    if outcome.is_ok() && !shutdown.is_cancelled() {
        let names: Vec<&str> = started.iter().map(popnet_runtime::Running::name).collect();
        tracing::info!(node = %me.context.node, roles = names.join(" "), "ready");
        notify::ready(&format!("{} runs {}", me.context.node, names.join(" ")));
        shutdown.cancelled().await;
    }
    // Also where one role could not start: the others must let go of their ports.
    shutdown.cancel();
    let mut well = true;
    for running in started {
        well &= running.wait().await == Ended::Stopped;
    }
    outcome?;
    Ok(if well { Done::WELL } else { Done { exit: 1 } })
}

/// One process a role and node: two would write the same state.
fn hold_pid_file(context: &Context, selection: &Selection) -> Result<PidFile, Problem> {
    popnet_runtime::files::create_private_dir(&context.run_dir)
        .map_err(|error| folder_problem(&context.run_dir, &error))?;
    PidFile::hold(&context.run_dir, &selection.name())
        .map_err(|error| folder_problem(&context.run_dir, &error))
}

fn folder_problem(path: &Path, error: &std::io::Error) -> Problem {
    let what = format!("{}: {error}", path.display());
    Problem::new("R0002", what, "stop the other process, or name another --state-dir")
}

/// Cancels `shutdown` on a signal, or when the parent that holds our input is gone.
async fn wait_for_end(shutdown: CancellationToken, until_stdin_closes: bool) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    let input = async {
        if !until_stdin_closes {
            return std::future::pending().await;
        }
        let mut input = tokio::io::stdin();
        let mut octets = [0u8; 64];
        while matches!(input.read(&mut octets).await, Ok(1..)) {}
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        () = input => tracing::warn!("standard input ended: so does this process"),
    }
    shutdown.cancel();
    // A role that does not end in time is left to the kernel: a second signal, or the parent's end,
    // must never leave a process behind.
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    tracing::error!("a role did not end in time");
    std::process::abort();
}
