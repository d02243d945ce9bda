//! popnet: a self-hosted content delivery network and global traffic manager in one program.
//!
//! The only crate that reads arguments and the environment, prints, and chooses exit codes.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod cli;
mod command;
mod demo;
mod node_file;
mod notify;
mod output;
mod place;
mod run;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return cli::refuse(&error),
    };
    let style = arguments.style();
    match command::execute(arguments) {
        Ok(done) => ExitCode::from(done.exit),
        Err(problem) => {
            output::complain(&problem, style);
            ExitCode::from(problem.exit)
        }
    }
}
