//! The program `mcast-srtp`: a demonstration, a gateway in one command, a key server and its control, a
//! broadcaster, and a reader of captures.

mod args;
mod broadcast;
mod burst;
mod control;
mod ctl;
mod demo;
mod exit;
mod field;
mod http;
mod inspect;
mod key_server;
mod key_source;
mod keyfile;
mod recv;
mod rtpdump;
mod table;
mod toml_file;
mod user_key;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{CommandFactory, Parser};
use mcast_srtp::srtp::Backend;

use args::{Command, CommandLine};
use exit::Failure;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    start_log(&line);
    match run(&line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Closed) => Failure::Closed.code(),
        Err(failure) => {
            eprintln!("mcast-srtp: {failure}");
            failure.code()
        }
    }
}

fn run(line: &CommandLine) -> Result<(), Failure> {
    match &line.command {
        _ if line.version => print_version(line.verbose > 0).map_err(Failure::output),
        Some(Command::Inspect(args)) => inspect::run(args),
        Some(Command::Recv(args)) => recv::run(args),
        Some(Command::Demo(args)) => demo::run(args),
        Some(Command::Ctl(args)) => ctl::run(args),
        Some(Command::KeyServer(args)) => key_server::run(args),
        Some(Command::Broadcast(args)) => broadcast::run(args),
        None => Err(Failure::usage(CommandLine::command().render_help())),
    }
}

fn print_version(with_backend: bool) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "mcast-srtp {}", env!("CARGO_PKG_VERSION"))?;
    if with_backend {
        writeln!(out, "crypto back end: {}", Backend::active())?;
    }
    Ok(())
}

/// Warnings, or more with `-v`; the environment variable `MCAST_SRTP_LOG` overrides, for example with
/// `mcast_srtp=trace`.
fn start_log(line: &CommandLine) {
    use tracing_subscriber::EnvFilter;
    let level = match (line.verbose, &line.command) {
        // The demo means its expelled client to be refused.
        (0, Some(Command::Demo(_))) => "error",
        (0, Some(Command::KeyServer(_) | Command::Broadcast(_))) => "info",
        (0, _) => "warn",
        (1, _) => "info",
        _ => "debug",
    };
    let filter =
        EnvFilter::try_from_env("MCAST_SRTP_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}
