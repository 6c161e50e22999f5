//! Numbers of burst control that have a meaning. Unknown ones pass through: later versions add some.

use std::{fmt, time::Duration};

macro_rules! codes {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident($int:ty) { $($(#[doc = $code_doc:literal])+ $code:ident = $value:literal $text:literal,)+ }
    )+) => { $(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub $int);

        impl $name {
            $($(#[doc = $code_doc])+ pub const $code: Self = Self($value);)+

            /// Snake-case name, `None` for a number that has no meaning here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$code => Some($text),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}", self.0),
                }
            }
        }
    )+ };
}

codes! {
    /// Which message it is: the five count bits of the RTCP header, which SRTCP never encrypts.
    Subtype(u8) {
        /// Talk Burst Request, from a client.
        REQUEST = 0 "request",
        /// Talk Burst Granted.
        GRANTED = 1 "granted",
        /// Talk Burst Taken, no acknowledgement expected.
        TAKEN = 2 "taken",
        /// Talk Burst Deny.
        DENY = 3 "deny",
        /// Talk Burst Release, from a client.
        RELEASE = 4 "release",
        /// Talk Burst Idle: nobody talks.
        IDLE = 5 "idle",
        /// Talk Burst Revoke.
        REVOKE = 6 "revoke",
        /// Talk Burst Acknowledgement, from a client.
        ACKNOWLEDGEMENT = 7 "acknowledgement",
        /// Queue Status Request, from a client.
        QUEUE_STATUS_REQUEST = 8 "queue_status_request",
        /// Queue Status Response.
        QUEUE_STATUS_RESPONSE = 9 "queue_status_response",
        /// Disconnect.
        DISCONNECT = 11 "disconnect",
        /// Connect.
        CONNECT = 15 "connect",
        /// Talk Burst Taken, acknowledgement expected.
        TAKEN_ACK = 18 "taken_ack",
    }

    /// How urgent a request is.
    Priority(u16) {
        /// Not to be queued.
        NONE = 0 "none",
        /// Normal.
        NORMAL = 1 "normal",
        /// High.
        HIGH = 2 "high",
        /// Takes the burst from whoever has it.
        PRE_EMPTIVE = 3 "pre_emptive",
    }

    /// Why a request was denied.
    DenyReason(u8) {
        /// Another user has permission to talk.
        ANOTHER_USER = 1 "another_user",
        /// Internal error of the server.
        SERVER_ERROR = 2 "server_error",
        /// Nobody else is in the group.
        ONLY_ONE_PARTICIPANT = 3 "only_one_participant",
        /// The retry-after time of an earlier revocation is not over.
        RETRY_AFTER = 4 "retry_after",
        /// This client may only listen.
        LISTEN_ONLY = 5 "listen_only",
    }

    /// Why a burst was revoked.
    RevokeReason(u16) {
        /// Nobody else is left in the group.
        ONLY_ONE_USER = 1 "only_one_user",
        /// The talker exceeded the stop-talking time.
        TOO_LONG = 2 "too_long",
        /// The client has no permission to talk.
        NO_PERMISSION = 3 "no_permission",
        /// Somebody with a higher priority took the burst.
        PRE_EMPTED = 4 "pre_empted",
    }

    /// Answer to a Connect.
    AckReason(u16) {
        /// Accepted; also what an acknowledgement of another message says.
        ACCEPTED = 0 "accepted",
        /// Busy.
        BUSY = 1 "busy",
        /// Not accepted.
        NOT_ACCEPTED = 2 "not_accepted",
    }

    /// Kind of PoC session.
    SessionType(u8) {
        /// Not told.
        NONE = 0 "none",
        /// Two users.
        ONE_TO_ONE = 1 "one_to_one",
        /// A group made for this session.
        AD_HOC = 2 "ad_hoc",
        /// A group that is provisioned.
        PRE_ARRANGED = 3 "pre_arranged",
        /// A group that users join and leave.
        CHAT = 4 "chat",
    }

    /// Number of participants of a session.
    Participants(u16) {
        /// The server does not tell.
        UNKNOWN = 0 "unknown",
        /// 65535 or more.
        MANY = 65535 "65535_or_more",
    }

    /// How long a talker may talk.
    StopTalking(u16) {
        /// The server does not tell.
        UNKNOWN = 0 "unknown",
        /// As long as the talker wants.
        UNLIMITED = 65535 "unlimited",
    }

    /// Place in the queue: how many clients come first.
    QueuePosition(u16) {
        /// The request is not queued.
        NOT_QUEUED = 0 "not_queued",
        /// The server does not tell.
        UNKNOWN = 65535 "unknown",
    }
}

impl Subtype {
    /// The subtype in the header of a datagram that is one RTCP APP packet, encrypted or not. `None` for
    /// another packet type. Nothing is authenticated yet, and the name of an encrypted packet is hidden:
    /// use it to count, not to act.
    #[must_use]
    pub const fn peek(datagram: &[u8]) -> Option<Self> {
        match *datagram {
            [first @ 0x80..=0xbf, super::APP, ..] => Some(Self(first & 0x1f)),
            _ => None,
        }
    }

    /// Whether only a client sends such a message, so that it cannot come from a multicast group.
    #[must_use]
    pub const fn is_client_only(self) -> bool {
        matches!(
            self,
            Self::REQUEST | Self::RELEASE | Self::ACKNOWLEDGEMENT | Self::QUEUE_STATUS_REQUEST
        )
    }
}

impl StopTalking {
    /// The limit, `None` if there is none or the server does not tell.
    #[must_use]
    pub const fn limit(self) -> Option<Duration> {
        match self {
            Self::UNKNOWN | Self::UNLIMITED => None,
            Self(seconds) => Some(Duration::from_secs(seconds as u64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtype_is_read_from_the_clear_octets_of_a_protected_packet() {
        assert_eq!(Subtype::peek(&[0x92, 204, 0, 9]), Some(Subtype::TAKEN_ACK));
        assert_eq!(Subtype::peek(&[0x92, 203, 0, 9]), None);
        assert_eq!(Subtype::peek(&[0x12, 204, 0, 9]), None);
        assert_eq!(Subtype::peek(&[0x92]), None);
    }

    #[test]
    fn unknown_numbers_keep_their_value() {
        assert_eq!(DenyReason(7).to_string(), "7");
        assert_eq!(DenyReason::LISTEN_ONLY.to_string(), "listen_only");
    }

    #[test]
    fn stop_talking_time_is_a_limit_only_if_it_is_known() {
        assert_eq!(StopTalking(30).limit(), Some(Duration::from_secs(30)));
        assert_eq!(StopTalking::UNKNOWN.limit(), None);
        assert_eq!(StopTalking::UNLIMITED.limit(), None);
    }
}
