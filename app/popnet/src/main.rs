//! popnet: a self-hosted content delivery network and global traffic manager in one program.
//!
//! The only crate that reads arguments and the environment, prints, and chooses exit codes.

/// As in the standard library, but a reader who leaves (`popnet config show | head`) or a full disk
/// makes no panic: what is lost is told at the end.
macro_rules! print {
    ($($text:tt)*) => { $crate::output::say(format_args!($($text)*)) };
}
/// The same with the end of the line.
macro_rules! println {
    ($($text:tt)*) => { $crate::output::say(format_args!("{}\n", format_args!($($text)*))) };
}
/// To standard error, whether anybody reads it or not.
macro_rules! eprint {
    ($($text:tt)*) => { $crate::output::mutter(format_args!($($text)*)) };
}
/// The same with the end of the line.
macro_rules! eprintln {
    () => { $crate::output::mutter(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::mutter(format_args!("{}\n", format_args!($($text)*))) };
}

mod cli;
mod command;
mod demo;
mod node_file;
mod notify;
mod output;
mod place;
mod publish;
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
    let exit = match command::execute(arguments).and_then(output::finish) {
        Ok(done) => done.exit,
        Err(problem) => {
            output::complain(&problem, style);
            problem.exit
        }
    };
    ExitCode::from(exit)
}
