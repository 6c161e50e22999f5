//! A bad packet is a [`Reject`], a bad call is an [`Error`].

use std::{fmt, io};

macro_rules! rejects {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Why a datagram or a key message was not accepted. The discriminant indexes the counters.
        ///
        /// The same name, in snake case, appears in the program's output and in metrics.
        #[repr(u8)]
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reject { $($(#[doc = $doc])+ $name,)+ }

        impl Reject {
            /// Every verdict, in the order of the discriminants.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// How many verdicts there are: the length of a table of counters.
            pub const COUNT: usize = Self::ALL.len();

            /// Snake-case name, as counters and `--json` print it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

rejects! {
    /// Shorter than the lengths inside it ask for.
    Truncated = "truncated",
    /// Longer than the receive slot, so its end is missing.
    Oversized = "oversized",
    /// First octet belongs to no protocol expected here.
    UnknownProtocol = "unknown_protocol",
    /// RTP or RTCP version other than 2.
    BadVersion = "bad_version",
    /// RTP padding count is zero or longer than the payload, found after authentication.
    BadPadding = "bad_padding",
    /// RTCP length fields do not fit the datagram, found after authentication.
    BadRtcp = "bad_rtcp",
    /// Payload type that the session description does not list.
    UnknownPayloadType = "unknown_payload_type",
    /// The MKI names no key that is held or was held.
    UnknownMki = "unknown_mki",
    /// The MKI names a key that has been retired.
    MkiExpired = "mki_expired",
    /// Authentication tag does not match.
    AuthFailed = "auth_failed",
    /// Authentication tag does not match under the likeliest rollover counter, and no try was left for
    /// others.
    TrialLimit = "trial_limit",
    /// This index was received before.
    Replayed = "replayed",
    /// Older than the replay window reaches.
    TooOld = "too_old",
    /// Index lies before the start of the stream.
    BeforeStart = "before_start",
    /// Under RCC: the packet proves nothing, and none that does has told where its stream is.
    Unsynchronized = "unsynchronized",
    /// The key has protected as many packets as it may.
    KeyExhausted = "key_exhausted",
    /// Authenticated, but from another source address than the stream's.
    SourceConflict = "source_conflict",
    /// One stream more than the limit allows.
    StreamLimit = "stream_limit",
    /// The transform cannot be applied by this build (for example cryptex).
    Unsupported = "unsupported",
    /// Waited for its key until the hold-back time was over.
    HoldExpired = "hold_expired",
    /// The hold-back buffer had no room left.
    HoldFull = "hold_full",
    /// More burst-control messages a second than one group may send.
    BurstRateLimit = "burst_rate_limit",
    /// The worker of its stream was too slow: all memory for packets on their way to it was in use.
    WorkerQueueFull = "worker_queue_full",
    /// Burst-control message whose fields do not fit.
    BadBurst = "bad_burst",
    /// Burst-control subtype nobody has defined.
    UnknownBurst = "unknown_burst",
    /// Burst-control message that only a client sends.
    UnexpectedDirection = "unexpected_direction",
    /// Authentic media of a source that does not have the talk burst.
    NotTalking = "not_talking",
    /// MIKEY message that cannot be decoded.
    MikeyMalformed = "mikey_malformed",
    /// MIKEY message with an algorithm or data type that is not supported.
    MikeyUnsupported = "mikey_unsupported",
    /// MIKEY message without the Key ID extension of MBMS.
    MikeyNotMbms = "mikey_not_mbms",
    /// More MIKEY messages a second than one source of a group may send.
    KeyRateLimit = "key_rate_limit",
    /// More MIKEY messages than the key thread could take.
    MikeyQueueFull = "mikey_queue_full",
    /// No MUK for the identities in an MSK message.
    UnknownMuk = "unknown_muk",
    /// No MSK for the identifiers in an MTK message.
    UnknownMsk = "unknown_msk",
    /// The counter of a key message is not newer than the last accepted one.
    KeyReplayed = "key_replayed",
    /// The identical octets of the MTK message accepted last: a repeat for late joiners.
    KeyRepeated = "key_repeated",
    /// MTK ID outside the interval of its MSK.
    MtkOutOfInterval = "mtk_out_of_interval",
    /// MTK ID not greater than the last accepted one.
    MtkNotNewer = "mtk_not_newer",
    /// MAC of a key message does not match.
    KeyAuthFailed = "key_auth_failed",
    /// Authenticated key message whose key data cannot be used.
    BadKeyData = "bad_key_data",
    /// More keys than the limit allows.
    KeyLimit = "key_limit",
    /// What the message says could not be kept: the state cannot be written at the moment.
    StateFailed = "state_failed",
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Reject {}

/// A configuration, call or I/O that cannot work, with what to do about it.
#[non_exhaustive]
#[derive(Debug)]
pub enum Error {
    /// A value given by the caller cannot be used; the text says which and why.
    Invalid(String),
    /// The operating system refused; the text says what was tried and what would help.
    Io {
        /// What was tried, and what to do.
        context: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A key message, or a packet to be protected, was refused.
    Rejected(Reject),
    /// The gateway has been stopped.
    Stopped,
}

impl Error {
    /// A value the caller gave cannot be used.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// A system call failed.
    pub(crate) fn io(context: impl Into<String>, source: io::Error) -> Self {
        Self::Io { context: context.into(), source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) => f.write_str(text),
            Self::Io { context, source } => write!(f, "{context}: {source}"),
            Self::Rejected(reject) => write!(f, "refused: {reject}"),
            Self::Stopped => f.write_str("the gateway has been stopped"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Rejected(reject) => Some(reject),
            Self::Invalid(_) | Self::Stopped => None,
        }
    }
}

impl From<Reject> for Error {
    fn from(reject: Reject) -> Self {
        Self::Rejected(reject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reject_has_its_place_and_a_distinct_name() {
        for (place, reject) in Reject::ALL.iter().enumerate() {
            assert_eq!(*reject as usize, place);
            assert_eq!(Reject::ALL.iter().filter(|r| r.name() == reject.name()).count(), 1);
        }
    }
}
