//! Command line of the program.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// SRTP over multicast, keyed by MIKEY as MBMS security and OMA Multicast PoC define it.
///
/// Exit codes: 0 done, 1 the asked condition failed, 2 usage or unusable input.
#[derive(Debug, Parser)]
#[command(name = "mcast-srtp", disable_version_flag = true, arg_required_else_help = true)]
pub(crate) struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Print the version; with -v also the crypto back end in use
    #[arg(long, short = 'V')]
    pub(crate) version: bool,

    /// Log more: -v what happens, -vv details (to the standard error)
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

// Their help is that of their arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Inspect(InspectArgs),
}

/// Explain MIKEY, SRTP, SRTCP and burst control from a capture, hex or base64.
///
/// Prints what each packet is and, given keys, what it says and with which verdict.
///
/// Input: pcap or pcapng; hex dumps of UDP payloads (xxd, hexdump -C, tcpdump -x) or one packet of
/// hex a line; base64, one message a line, also as a=key-mgmt lines of a session description.
/// Exit code 1: no packet in the input.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mcast-srtp inspect capture.pcapng --keys keys.toml\n  \
                        base64 message.bin | mcast-srtp inspect - --keys keys.toml")]
pub(crate) struct InspectArgs {
    /// Input; - is the standard input
    #[arg(value_name = "FILE|-")]
    pub(crate) input: PathBuf,

    /// Key file, as for recv
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,

    /// Print one JSON object per packet and a closing one
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in CommandLine::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example:\n  mcast-srtp "), "{help}");
        }
    }
}
