//! The settings of one channel: how it is protected, and the policies of its MSK.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::sdp::check_template;
use crate::{
    broadcast::{BroadcasterId, check_profile},
    error::Error,
    ids::{KeyDomainId, MtkId},
    keys::Interval,
    srtp::Profile,
};

/// What to do when a member leaves of its own will (requirement P4).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LeavePolicy {
    /// Go on with the MSK that the member who left still holds.
    #[default]
    KeepMsk,
    /// Give everybody who remains a new MSK, as after an expulsion.
    UpdateMsk,
    /// As `UpdateMsk`, so long after the first leave; all leaves until then cost one update.
    Batched(Duration),
}

impl LeavePolicy {
    /// How long after a leave the MSK is updated, if it is.
    pub(super) const fn window(self) -> Option<Duration> {
        match self {
            Self::KeepMsk => None,
            Self::UpdateMsk => Some(Duration::ZERO),
            Self::Batched(window) => Some(window),
        }
    }
}

/// What to do with a member that has confirmed none of the copies of an MSK.
///
/// The switch does not wait for it beyond the deadline in any case, and a late confirmation counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Unconfirmed {
    /// Go on sending copies, each after the longest wait. For clients that come back by themselves;
    /// costs a message and a counter each time.
    KeepTrying,
    /// Send nothing until it asks, is moved, or gets a new MUK.
    #[default]
    WaitForRequest,
    /// Strike it off, as if it had left, under the policy for leaves.
    Remove,
}

/// The settings of a channel.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChannelSpec {
    /// Key domain: MCC and MNC of the operator.
    pub domain: KeyDomainId,
    /// Key group; one per channel.
    pub key_group: u16,
    /// How RTP and RTCP are protected. Default: AES-CM-128 with HMAC-SHA1-80 and a six-octet MKI.
    pub profile: Profile,
    /// Whether and when a leave renews the MSK. Default: it does not.
    pub leave: LeavePolicy,
    /// How long after an expulsion the MSK is updated; all expulsions until then cost one update.
    /// Who is expelled is struck off and sent nothing from the call on, but hears on until the
    /// switch. Default: zero, each expulsion begins an update at once.
    pub expulsion_window: Duration,
    /// Longest time between the start of an MSK update and the switch: what slow clients get to
    /// confirm and broadcasters to take the coming MSK, and what an expelled client still hears.
    /// Default 5 s.
    ///
    /// An expulsion during an update starts over with another MSK; whatever the number of such
    /// expulsions, the first one takes effect within twice this time.
    pub confirm_within: Duration,
    /// How long the old MSK is kept after the switch. Default 10 s.
    pub grace: Duration,
    /// What becomes of a member that confirms nothing. Default: nothing is sent until it asks.
    pub unconfirmed: Unconfirmed,
    /// How long an MSK is used before it is renewed. Default: no limit.
    pub msk_lifetime: Option<Duration>,
    /// How long an MTK is used before the next one. Default: until a command at the broadcaster.
    pub mtk_period: Option<Duration>,
    /// MTK IDs of each MSK. Default: 0000 to FFFF, of which broadcasters use 0001 and up.
    pub mtk_ids: Interval,
    /// Octets of an MSK, 16 to 32. Default 16.
    pub msk_len: usize,
    /// The broadcasters of the channel, each of which gets a part of the MTK IDs of its own, and
    /// for which a switch waits. Default: none is named, one uses all MTK IDs, and no switch waits
    /// for it.
    pub broadcasters: Vec<BroadcasterId>,
    /// Template of the session description in offers to clients. Default: none.
    pub sdp: Option<Arc<str>>,
}

impl ChannelSpec {
    /// The longest window, deadline, grace or MTK period: a day.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

    /// The longest lifetime of an MSK: ten years.
    pub const LONGEST_LIFETIME: Duration = Duration::from_secs(3650 * 86_400);

    /// The shortest MTK period and MSK lifetime.
    pub const SHORTEST_PERIOD: Duration = Duration::from_millis(100);

    /// Broadcasters that a channel may name.
    pub const MAX_BROADCASTERS: usize = 64;

    /// Default settings for a key group.
    #[must_use]
    pub fn new(domain: KeyDomainId, key_group: u16) -> Self {
        Self {
            domain,
            key_group,
            profile: Profile::default(),
            leave: LeavePolicy::default(),
            expulsion_window: Duration::ZERO,
            confirm_within: Duration::from_secs(5),
            grace: Duration::from_secs(10),
            unconfirmed: Unconfirmed::default(),
            msk_lifetime: None,
            mtk_period: None,
            mtk_ids: Interval { low: MtkId(0), high: MtkId(0xffff) },
            msk_len: 16,
            broadcasters: Vec::new(),
            sdp: None,
        }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        check_profile(self.profile)?;
        if !(16..=32).contains(&self.msk_len) {
            return Err(Error::invalid(format!(
                "an MSK has 16 to 32 octets, not {}",
                self.msk_len
            )));
        }
        //= TS 33.246 §6.4.6.2: readings differ on whether SEQl itself may be used, so it is not
        if self.mtk_ids.low >= self.mtk_ids.high {
            return Err(Error::invalid(
                "the MTK IDs of an MSK need an upper end above the lower one, which is not used",
            ));
        }
        if let Some(template) = &self.sdp {
            check_template(template)?;
        }
        self.validate_times()?;
        self.validate_broadcasters()
    }

    fn validate_times(&self) -> Result<(), Error> {
        let leave = self.leave.window().unwrap_or_default();
        for (name, wait) in [
            ("window for leaves", leave),
            ("window for expulsions", self.expulsion_window),
            ("deadline of confirmations", self.confirm_within),
            ("grace of an old MSK", self.grace),
            ("MTK period", self.mtk_period.unwrap_or_default()),
        ] {
            if wait > Self::LONGEST_WAIT {
                return Err(Error::invalid(format!("the {name} is at most a day, not {wait:?}")));
            }
        }
        if self.msk_lifetime.is_some_and(|lifetime| lifetime > Self::LONGEST_LIFETIME) {
            return Err(Error::invalid("an MSK is used for at most ten years"));
        }
        for (name, period) in [("MTK period", self.mtk_period), ("MSK lifetime", self.msk_lifetime)]
        {
            if period.is_some_and(|period| period < Self::SHORTEST_PERIOD) {
                return Err(Error::invalid(format!(
                    "an {name} has at least {:?}; leave it out for none",
                    Self::SHORTEST_PERIOD
                )));
            }
        }
        Ok(())
    }

    fn validate_broadcasters(&self) -> Result<(), Error> {
        let count = self.broadcasters.len();
        self.broadcasters.iter().try_for_each(BroadcasterId::check)?;
        if self.broadcasters.iter().collect::<BTreeSet<_>>().len() != count {
            return Err(Error::invalid("a broadcaster is named twice"));
        }
        let ids = usize::from(self.mtk_ids.high.0 - self.mtk_ids.low.0);
        if count > Self::MAX_BROADCASTERS.min(ids) {
            return Err(Error::invalid(format!(
                "{count} broadcasters are too many: a channel has at most {}, and at least one MTK \
                 ID for each",
                Self::MAX_BROADCASTERS
            )));
        }
        Ok(())
    }

    /// Checks that an open channel may go over to these settings.
    pub(super) fn may_become(&self, next: &Self) -> Result<(), Error> {
        next.validate()?;
        let fixed = |spec: &Self| (spec.domain, spec.key_group, spec.profile);
        if fixed(self) != fixed(next) {
            return Err(Error::invalid(
                "key domain, key group and profile of an open channel stay; close it, and open it \
                 again with others",
            ));
        }
        if self.broadcasters.is_empty() != next.broadcasters.is_empty() {
            return Err(Error::invalid(
                "an open channel goes on with named broadcasters, or with none named; close it, \
                 and open it again",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(adjust: impl FnOnce(&mut ChannelSpec)) -> String {
        let mut spec = ChannelSpec::new(KeyDomainId::default(), 1);
        spec.validate().unwrap();
        adjust(&mut spec);
        spec.validate().unwrap_err().to_string()
    }

    #[test]
    fn settings_that_cannot_work_are_refused_and_named() {
        let forever = Duration::MAX;
        assert!(refusal(|spec| spec.msk_len = 15).contains("16 to 32"));
        assert!(refusal(|spec| spec.mtk_ids.high = MtkId(0)).contains("upper end"));
        assert!(refusal(|spec| spec.leave = LeavePolicy::Batched(forever)).contains("for leaves"));
        assert!(refusal(|spec| spec.expulsion_window = forever).contains("for expulsions"));
        assert!(refusal(|spec| spec.confirm_within = forever).contains("deadline"));
        assert!(refusal(|spec| spec.grace = forever).contains("grace"));
        assert!(refusal(|spec| spec.sdp = Some("v=0\ns=-\n".into())).contains("no m= line"));
        assert!(refusal(|spec| spec.msk_lifetime = Some(forever)).contains("ten years"));
        assert!(refusal(|spec| spec.mtk_period = Some(Duration::ZERO)).contains("MTK period"));
        assert!(refusal(|spec| spec.broadcasters = vec!["a".into(), "a".into()]).contains("twice"));
        let three = vec!["a".into(), "b".into(), "c".into()];
        let few = Interval { low: MtkId(7), high: MtkId(9) };
        assert!(
            refusal(|spec| (spec.broadcasters, spec.mtk_ids) = (three, few)).contains("too many")
        );
    }
}
