//! Command line of the program.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use mcast_srtp::srtp::Profile;

use crate::{ctl::CtlArgs, key_source::KeySource};

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
    Demo(DemoArgs),
    Recv(Box<RecvArgs>),
    Inspect(InspectArgs),
    KeyServer(KeyServerArgs),
    Broadcast(BroadcastArgs),
    Ctl(Box<CtlArgs>),
}

/// Key server, broadcaster and three clients in one process, with a client expelled in mid-stream.
///
/// Needs no set-up and no network but loopback.
///
/// The key server hands an MSK to clients c1, c2 and c3. The broadcaster protects a speech clip and the
/// burst control around it, and sends both to a multicast group on the loopback interface. On the way
/// the MTK changes, the MSK is updated by schedule, and c3 is expelled. Exit code 0: c1 and c2
/// delivered every packet with the clip's octets, and c3 none after the switch.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mcast-srtp demo --seconds 10 --profile AEAD_AES_128_GCM")]
pub(crate) struct DemoArgs {
    /// Print one JSON object instead of the timeline
    #[arg(long)]
    pub(crate) json: bool,

    /// Length of the transmission
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u16).range(2..=3600))]
    pub(crate) seconds: u16,

    /// Suite that protects media and burst control, for example AEAD_AES_256_GCM; with the rollover
    /// counter in every 50th media packet: AES_CM_128_HMAC_SHA1_80+RCCm2:50
    #[arg(long, value_name = "NAME", default_value = "AES_CM_128_HMAC_SHA1_80",
          value_parser = profile)]
    pub(crate) profile: Profile,
}

/// Receive protected talk groups: plain RTP, burst events and counters out.
///
/// Joins the groups of a session description, takes their keys and writes out what they carry. MTK messages are taken from the group address at the MIKEY port and from the media port; MSK
/// messages from the session description, the key file and, with --msk-at, by unicast. Ends by
/// --packets, --seconds, Ctrl-C or SIGTERM. Exit code 1: the end came before --packets.
///
/// With --state no key message takes effect before it is in the file, and none is accepted while the file
/// cannot be written (state_failed). The file has mode 0600; give it a folder that belongs to the user
/// of the program, and --state-key if its disk may be read by others. Client keys are not in it.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  mcast-srtp recv --sdp group17.sdp --keys keys.toml --iface eth1 \
                        --to 192.0.2.20:5004\n\n\
Key file (TOML; any number of each kind of entry):\n  \
[[muk]]\n  idi = \"bmsc.example\"\n  idr = \"user@bsf.example\"\n  key = \"<64 hex digits>\"\n\n  \
[[gba]]\n  variant = \"me\"          # or \"u\"\n  ck = \"<32 hex>\"\n  ik = \"<32 hex>\"\n  \
rand = \"<32 hex>\"\n  impi = \"user@ims.example\"\n  naf = \"bmsc.example\"\n  \
idr = \"user@bsf.example\"\n\n  \
[[msk_message]]\n  base64 = \"<one MIKEY message>\"\n\n  \
[[mtk]]                   # tooling: a traffic key as it is\n  mki = \"<12 hex>\"\n  \
key = \"<32 hex>\"\n  salt = \"<28 hex>\"\n  profile = \"AES_CM_128_HMAC_SHA1_80\""
)]
pub(crate) struct RecvArgs {
    /// Session description: groups, ports, sources, payload types, key messages
    #[arg(long, value_name = "FILE")]
    pub(crate) sdp: PathBuf,

    /// Key file
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: PathBuf,

    /// Interface to join on; routing chooses without
    #[arg(long, value_name = "NAME|ADDR")]
    pub(crate) iface: Option<String>,

    /// Let the kernel merge datagrams of equal length and one sender (UDP_GRO)
    ///
    /// Saves most of the receive cost where the network card or the sender hands over such runs; else
    /// it changes nothing. The device feature is rx-udp-gro-forwarding (ethtool -K).
    #[arg(long)]
    pub(crate) gro: bool,

    /// Send the media there as plain RTP
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub(crate) to: Option<SocketAddr>,

    /// Write the media to this file as plain RTP (rtptools format)
    #[arg(long, value_name = "FILE")]
    pub(crate) rtpdump: Option<PathBuf>,

    /// Write burst events as JSON lines; - is the standard output
    #[arg(long, value_name = "FILE|-")]
    pub(crate) events: Option<PathBuf>,

    /// Port of the key messages
    #[arg(long, value_name = "PORT", default_value_t = 2269)]
    pub(crate) mikey_port: u16,

    /// Take MSK messages by unicast at this address of the host, and answer them
    #[arg(long, value_name = "ADDR")]
    pub(crate) msk_at: Option<IpAddr>,

    /// Keep MSKs, traffic keys and counters in this file, so that a restart or a crash goes on from there
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,

    /// Seal the state under a key: 64 hex digits in a file, an environment variable or a systemd credential
    #[arg(long, value_name = "FILE|env:NAME|credential:NAME", requires = "state", value_parser = KeySource::from_str)]
    pub(crate) state_key: Option<KeySource>,

    /// Worker threads that share the decryption by stream; 0: the receiving thread does it
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u8).range(0..=64))]
    pub(crate) workers: u8,

    /// End after this many media packets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) packets: Option<u64>,

    /// End after this time
    #[arg(long, value_name = "N", value_parser = seconds)]
    pub(crate) seconds: Option<Duration>,

    /// Print the counters as JSON lines, each second and at the end
    #[arg(long)]
    pub(crate) json: bool,
}

/// Explain MIKEY, SRTP, SRTCP and burst control from a capture, hex or base64.
///
/// Prints what each packet is and, given keys, what it says and with which verdict.
///
/// Input: pcap or pcapng; hex dumps of UDP payloads, IP packets or Ethernet frames (xxd, hexdump -C,
/// tcpdump -x, tshark -x), or one of them as a line of hex; base64, one message a line, also as
/// a=key-mgmt lines of a session description; rtpdump.
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

    /// Write the traffic keys of the MTK messages that were opened to this new file, as [[mtk]] entries of
    /// a key file
    ///
    /// For tools that take SRTP keys but no MIKEY. Its mode is 0600; a file that exists is not written
    /// over. Without this option no key leaves the program.
    #[arg(long, value_name = "FILE", requires = "keys")]
    pub(crate) keylog: Option<PathBuf>,

    /// Print one JSON object per packet and a closing one
    #[arg(long)]
    pub(crate) json: bool,
}

/// Key server: clients, channels, membership and MSK updates, controlled over HTTP.
///
/// Serves HTTP/JSON on a loopback address (127.0.0.1:7269) or a Unix socket, and MSK messages on UDP
/// 2269. What was answered survives a crash. `mcast-srtp ctl` is the client; GET /openapi.json
/// describes the interface. Requests and answers are not encrypted: other hosts come through a reverse
/// proxy with TLS. Ends by SIGTERM or Ctrl-C. Prints the addresses when it serves; tells systemd too.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mcast-srtp key-server --config key-server.toml\n\n\
Least configuration (TOML; tools/cli/examples/key-server.toml shows all):\n  \
[state]\n  file = \"/var/lib/mcast-srtp/key-server.state\"\n  \
key = \"credential:state-key\"      # FILE, env:NAME or credential:NAME, 64 hex digits\n\n  \
[http]\n  listen = \"127.0.0.1:7269\"\n  \
token = \"credential:operator-token\"\n\n  \
[mikey]\n  listen = \"0.0.0.0:2269\"")]
pub(crate) struct KeyServerArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,

    /// Check the configuration and the files it names, then end
    #[arg(long)]
    pub(crate) check: bool,

    /// Print the addresses as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Broadcaster: plain RTP and burst control in, protected groups out, following a key server.
///
/// Takes plain RTP, RTCP and burst control at UDP ports, or sends recordings (rtpdump, pcap, pcapng);
/// protects them under traffic keys that it makes, announces and changes, and sends them to multicast
/// groups. Channel documents are pulled from a key server, or pushed to it. No key is announced before the
/// journal has it, so that a crash uses no MTK ID or counter twice. A plain packet never leaves. Without its
/// key server it sends on, or with silence_after falls silent. Ends by SIGTERM, Ctrl-C, --seconds
/// or --once. Exit code 1: with --once, something was not sent.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mcast-srtp broadcast --config broadcast.toml --json\n\n\
Least configuration (TOML; tools/cli/examples/broadcast.toml shows all):\n  \
[state]\n  file = \"/var/lib/mcast-srtp/broadcast.state\"\n\n  \
[key_server]\n  url = \"http://127.0.0.1:7269\"\n\n  \
[[channel]]\n  name = \"group 17\"\n  group = \"239.10.0.17\"\n  port = 49170\n  \
input = { udp = \"127.0.0.1:6000\" }")]
pub(crate) struct BroadcastArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,

    /// Check the configuration and the secrets it names, then end
    #[arg(long)]
    pub(crate) check: bool,

    /// End when all recordings have been sent
    #[arg(long)]
    pub(crate) once: bool,

    /// End after this time
    #[arg(long, value_name = "N", value_parser = seconds)]
    pub(crate) seconds: Option<Duration>,

    /// Print the counters as JSON lines, each second and at the end
    #[arg(long)]
    pub(crate) json: bool,
}

fn profile(name: &str) -> Result<Profile, String> {
    Profile::from_name(name).map_err(|error| error.to_string())
}

fn host_and_port(text: &str) -> Result<SocketAddr, String> {
    use std::net::ToSocketAddrs;
    text.to_socket_addrs()
        .map_err(|error| format!("{error}; write HOST:PORT, for example 192.0.2.20:5004"))?
        .next()
        .ok_or_else(|| "the host has no address".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err("must be more than zero".to_owned()),
    }
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
        fn check(command: &mut clap::Command) {
            for command in command.get_subcommands_mut().filter(|one| one.get_name() != "help") {
                let help = command.render_long_help().to_string();
                assert!(help.contains("Example:\n  mcast-srtp "), "{help}");
                check(command);
            }
        }
        check(&mut CommandLine::command());
    }
}
