//! Command line of `ctl`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::control::{ChannelSettings, Leave, MtkIds, Seconds, UnconfirmedPolicy};

/// Control a key server: clients, channels, membership, MSK updates, events.
///
/// Requests that may be repeated are, when the connection breaks. Exit code 1: the server refused, or
/// does not answer; 2: what was asked cannot work.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mcast-srtp ctl channel open 'group 17' --domain 00f110 \
    --key-group 17\n  mcast-srtp ctl client add --keys clients.toml\n  \
    mcast-srtp ctl join 'group 17' c1 c2 c3\n  mcast-srtp ctl expel 'group 17' c3\n\n\
    Another server:\n  mcast-srtp ctl --server unix:/run/mcast-srtp/key-server.sock health")]
pub(crate) struct CtlArgs {
    /// The key server
    #[arg(
        long,
        value_name = "http://HOST:PORT|unix:PATH",
        global = true,
        env = "MCAST_SRTP_SERVER",
        default_value = "http://127.0.0.1:7269"
    )]
    pub(super) server: String,

    /// File with the token; without, the environment variable MCAST_SRTP_TOKEN
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) token_file: Option<PathBuf>,

    /// Print the server's JSON instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// What to do
    #[command(subcommand)]
    pub(super) command: CtlCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum CtlCommand {
    /// Who is served: keys, addresses
    #[command(subcommand, after_help = "Example:\n  mcast-srtp ctl client list")]
    Client(ClientCommand),

    /// Channels and their settings
    #[command(subcommand, after_help = "Example:\n  mcast-srtp ctl channel list")]
    Channel(ChannelCommand),

    /// Let clients join a channel; each is given the MSK
    #[command(after_help = "Example:\n  mcast-srtp ctl join 'group 17' c1 c2")]
    Join(Members),

    /// Let clients leave a channel; whether that brings an update is the channel's policy
    #[command(after_help = "Example:\n  mcast-srtp ctl leave 'group 17' c2")]
    Leave(Members),

    /// Expel clients from a channel, all at the cost of one MSK update
    #[command(after_help = "Example:\n  mcast-srtp ctl expel 'group 17' c3 c4")]
    Expel(Members),

    /// Let expelled clients join again
    #[command(after_help = "Example:\n  mcast-srtp ctl readmit 'group 17' c3")]
    Readmit(Members),

    /// Replace the MSK of a channel
    ///
    /// Reads first which MSK is in force and replaces that one, so that no second update follows when
    /// the request is repeated.
    #[command(after_help = "Example:\n  mcast-srtp ctl update 'group 17' --compromise")]
    Update {
        /// The channel
        channel: String,
        /// The MSK may be in the wrong hands: an update under way does not do
        #[arg(long)]
        compromise: bool,
    },

    /// Make a member ask for the MSK (solicited pull)
    #[command(after_help = "Example:\n  mcast-srtp ctl solicit 'group 17' c1")]
    Solicit(Member),

    /// Send a member the MSK once more
    #[command(after_help = "Example:\n  mcast-srtp ctl resend 'group 17' c1")]
    Resend(Member),

    /// Print the SDP offer that waits for a member
    #[command(after_help = "Example:\n  mcast-srtp ctl offer 'group 17' c1 > offer.sdp")]
    Offer(Member),

    /// Feed back a member's answer to an SDP offer
    #[command(after_help = "Example:\n  mcast-srtp ctl answer 'group 17' c1 answer.sdp")]
    Answer {
        #[command(flatten)]
        member: Member,
        /// The SDP, or the MIKEY message with --mikey; - is the standard input
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// The file is a MIKEY message
        #[arg(long)]
        mikey: bool,
    },

    /// Print what happened: what the server keeps, or what comes
    #[command(after_help = "Example:\n  mcast-srtp ctl events --follow")]
    Events {
        /// Go on until Ctrl-C, also over restarts of the server
        #[arg(long)]
        follow: bool,
        /// Begin after the event with this number; with --follow and without this, from now on
        #[arg(long, value_name = "NUMBER")]
        after: Option<u64>,
    },

    /// Tell whether the server does its work; exit code 1 if not
    #[command(after_help = "Example:\n  mcast-srtp ctl health")]
    Health,
}

/// A channel and clients.
#[derive(Args, Debug)]
pub(super) struct Members {
    /// The channel
    pub(super) channel: String,
    /// The clients
    #[arg(required = true, value_name = "CLIENT")]
    pub(super) clients: Vec<String>,
}

/// A channel and a client.
#[derive(Args, Debug)]
pub(super) struct Member {
    /// The channel
    pub(super) channel: String,
    /// The client
    pub(super) client: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Put the clients of a key file on the roster
    ///
    /// Each entry [[muk]] or [[gba]] may say `client`, its name (else the IDr), and `reach`, its
    /// address (else sdp).
    #[command(after_help = "Example:\n  mcast-srtp ctl client add --keys clients.toml")]
    Add {
        /// Key file, as for recv
        #[arg(long, value_name = "FILE")]
        keys: PathBuf,
        /// These clients only
        #[arg(value_name = "CLIENT")]
        clients: Vec<String>,
    },
    /// Show a client
    #[command(after_help = "Example:\n  mcast-srtp ctl client show c1")]
    Show {
        /// The client
        client: String,
    },
    /// List the clients
    #[command(after_help = "Example:\n  mcast-srtp ctl client list --json")]
    List,
    /// Take a client off the roster; it has to have left its channels
    #[command(after_help = "Example:\n  mcast-srtp ctl client remove c1")]
    Remove {
        /// The client
        client: String,
    },
    /// Give a client the MUK of a new bootstrapping
    #[command(after_help = "Example:\n  mcast-srtp ctl client muk c1 --keys new.toml")]
    Muk {
        /// The client
        client: String,
        /// Key file with an entry of this client, or with one entry
        #[arg(long, value_name = "FILE")]
        keys: PathBuf,
    },
    /// Reach a client in another way
    #[command(after_help = "Example:\n  mcast-srtp ctl client reach c1 192.0.2.7:2269")]
    Reach {
        /// The client
        client: String,
        /// sdp, or an address with or without port
        #[arg(value_name = "sdp|ADDR[:PORT]")]
        reach: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ChannelCommand {
    /// Open a channel with its first MSK
    #[command(after_help = "Example:\n  mcast-srtp ctl channel open 'group 17' --domain 00f110 \
        --key-group 17 --leave batched --leave-window 60")]
    Open {
        /// The channel
        channel: String,
        #[command(flatten)]
        settings: Box<SettingsArgs>,
    },
    /// Show a channel: settings, MSK in force, update under way, members
    #[command(after_help = "Example:\n  mcast-srtp ctl channel show 'group 17'")]
    Show {
        /// The channel
        channel: String,
    },
    /// List the channels
    #[command(after_help = "Example:\n  mcast-srtp ctl channel list")]
    List,
    /// Close a channel: every MSK of it is destroyed
    #[command(after_help = "Example:\n  mcast-srtp ctl channel close 'group 17'")]
    Close {
        /// The channel
        channel: String,
    },
    /// Change settings of an open channel; domain, key group and profile cannot change
    #[command(after_help = "Example:\n  mcast-srtp ctl channel policy 'group 17' \
        --expulsion-window 0.5 --unconfirmed remove")]
    Policy {
        /// The channel
        channel: String,
        #[command(flatten)]
        settings: Box<SettingsArgs>,
    },
}

/// Settings; what is left out is as the server's configuration says, or stays.
#[derive(Args, Debug)]
pub(super) struct SettingsArgs {
    /// Key domain, MCC and MNC
    #[arg(long, value_name = "6 HEX DIGITS")]
    domain: Option<String>,
    /// Key group; one per channel
    #[arg(long, value_name = "N")]
    key_group: Option<u16>,
    /// Suite that protects media and burst control
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Whether a leave renews the MSK
    #[arg(long, value_name = "POLICY")]
    leave: Option<Leave>,
    /// Seconds in which leaves are gathered, with --leave batched
    #[arg(long, value_name = "SECONDS")]
    leave_window: Option<f64>,
    /// Seconds in which expulsions are gathered
    #[arg(long, value_name = "SECONDS")]
    expulsion_window: Option<f64>,
    /// Seconds from the start of an update to the switch at most
    #[arg(long, value_name = "SECONDS")]
    confirm_within: Option<f64>,
    /// Seconds an old MSK is kept after the switch
    #[arg(long, value_name = "SECONDS")]
    grace: Option<f64>,
    /// What becomes of a member that confirms nothing
    #[arg(long, value_name = "POLICY")]
    unconfirmed: Option<UnconfirmedPolicy>,
    /// Seconds an MSK is used; 0 is for ever
    #[arg(long, value_name = "SECONDS")]
    msk_lifetime: Option<f64>,
    /// Seconds an MTK is used; 0 is until a command
    #[arg(long, value_name = "SECONDS")]
    mtk_period: Option<f64>,
    /// MTK IDs of each MSK
    #[arg(long, value_name = "LOW-HIGH", value_parser = mtk_ids)]
    mtk_ids: Option<MtkIds>,
    /// Octets of an MSK
    #[arg(long, value_name = "16-32")]
    msk_len: Option<u8>,
    /// A broadcaster; may be given several times
    #[arg(long = "broadcaster", value_name = "NAME")]
    broadcasters: Option<Vec<String>>,
    /// File with a template of the session description in offers
    #[arg(long, value_name = "FILE")]
    pub(super) sdp: Option<PathBuf>,
}

impl SettingsArgs {
    /// The settings given, with the text of the template.
    pub(super) fn settings(&self, sdp: Option<String>) -> ChannelSettings {
        ChannelSettings {
            domain: self.domain.clone(),
            key_group: self.key_group,
            profile: self.profile.clone(),
            leave: self.leave,
            leave_window: self.leave_window.map(Seconds),
            expulsion_window: self.expulsion_window.map(Seconds),
            confirm_within: self.confirm_within.map(Seconds),
            grace: self.grace.map(Seconds),
            unconfirmed: self.unconfirmed,
            msk_lifetime: self.msk_lifetime.map(Seconds),
            mtk_period: self.mtk_period.map(Seconds),
            mtk_ids: self.mtk_ids.clone(),
            msk_len: self.msk_len,
            broadcasters: self.broadcasters.clone(),
            sdp,
        }
    }
}

fn mtk_ids(text: &str) -> Result<MtkIds, String> {
    let (low, high) = text.split_once('-').ok_or("write LOW-HIGH, for example 0000-7fff")?;
    Ok(MtkIds { low: low.to_owned(), high: high.to_owned() })
}
