//! Settings of a channel as texts and numbers: in requests, answers and the configuration file.

use std::{sync::Arc, time::Duration};

use clap::ValueEnum;
use mcast_srtp::{
    broadcast::BroadcasterId,
    ids::{KeyDomainId, MtkId},
    keys::Interval,
    keyserver::{ChannelSpec, LeavePolicy, Unconfirmed},
    srtp::Profile,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check_name;
use crate::user_key::FieldFault;

/// Settings of a channel. What is left out is as the server's configuration says, else as the library
/// does; in a change of policy, as it was.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ChannelSettings {
    /// Key domain, MCC and MNC of the operator: 6 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "00f110")]
    pub(crate) domain: Option<String>,
    /// Key group; one per channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 17)]
    pub(crate) key_group: Option<u16>,
    /// How RTP and RTCP are protected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "AES_CM_128_HMAC_SHA1_80")]
    pub(crate) profile: Option<String>,
    /// Whether a leave renews the MSK.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leave: Option<Leave>,
    /// How long leaves are gathered, with `leave` `batched`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leave_window: Option<Seconds>,
    /// How long after an expulsion the MSK is updated; all until then cost one update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expulsion_window: Option<Seconds>,
    /// Longest time between the start of an update and the switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) confirm_within: Option<Seconds>,
    /// How long an old MSK is kept after the switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grace: Option<Seconds>,
    /// What becomes of a member that confirms nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unconfirmed: Option<UnconfirmedPolicy>,
    /// How long an MSK is used before it is renewed; 0 is for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) msk_lifetime: Option<Seconds>,
    /// How long an MTK is used before the next one; 0 is until a command at the broadcaster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mtk_period: Option<Seconds>,
    /// MTK IDs of each MSK; the lower end is not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mtk_ids: Option<MtkIds>,
    /// Octets of an MSK, 16 to 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) msk_len: Option<u8>,
    /// The broadcasters, which share the MTK IDs and for which a switch waits; none: one, not named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) broadcasters: Option<Vec<String>>,
    /// Template of the session description in offers; "" is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sdp: Option<String>,
}

/// What to do when a member leaves of its own will.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Leave {
    /// Go on with the MSK that the member who left still holds.
    KeepMsk,
    /// Update at once.
    UpdateMsk,
    /// Update when `leave_window` is over; all leaves until then cost one update.
    Batched,
}

/// What becomes of a member that confirms nothing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum UnconfirmedPolicy {
    /// Go on sending, each time after the longest wait.
    KeepTrying,
    /// Send nothing until it asks, is moved, or gets a new MUK.
    WaitForRequest,
    /// Strike it off, as if it had left.
    Remove,
}

/// Ends of the MTK IDs of an MSK.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MtkIds {
    /// 4 hex digits.
    #[schema(example = "0000")]
    pub(crate) low: String,
    /// 4 hex digits.
    #[schema(example = "ffff")]
    pub(crate) high: String,
}

/// A time in seconds, with fractions.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub(crate) struct Seconds(pub(crate) f64);

impl Seconds {
    /// The time.
    ///
    /// # Errors
    /// It is negative, or longer than any time that makes sense here.
    pub(crate) fn read(self) -> Result<Duration, String> {
        const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);
        match Duration::try_from_secs_f64(self.0) {
            Ok(time) if time <= LONGEST => Ok(time),
            _ => Err("a time in seconds is from 0 up, and not longer than a century".to_owned()),
        }
    }

    fn field(self, field: &'static str) -> Result<Duration, FieldFault> {
        self.read().map_err(|what| FieldFault::new(field, what))
    }
}

impl From<Duration> for Seconds {
    fn from(time: Duration) -> Self {
        Self(time.as_secs_f64())
    }
}

impl ChannelSettings {
    /// These, and where they say nothing, `others`.
    pub(crate) fn over(self, others: &Self) -> Self {
        let others = others.clone();
        Self {
            domain: self.domain.or(others.domain),
            key_group: self.key_group.or(others.key_group),
            profile: self.profile.or(others.profile),
            leave: self.leave.or(others.leave),
            leave_window: self.leave_window.or(others.leave_window),
            expulsion_window: self.expulsion_window.or(others.expulsion_window),
            confirm_within: self.confirm_within.or(others.confirm_within),
            grace: self.grace.or(others.grace),
            unconfirmed: self.unconfirmed.or(others.unconfirmed),
            msk_lifetime: self.msk_lifetime.or(others.msk_lifetime),
            mtk_period: self.mtk_period.or(others.mtk_period),
            mtk_ids: self.mtk_ids.or(others.mtk_ids),
            msk_len: self.msk_len.or(others.msk_len),
            broadcasters: self.broadcasters.or(others.broadcasters),
            sdp: self.sdp.or(others.sdp),
        }
    }

    /// The settings that a channel has.
    pub(crate) fn of(spec: &ChannelSpec) -> Self {
        let (leave, leave_window) = match spec.leave {
            LeavePolicy::KeepMsk => (Leave::KeepMsk, None),
            LeavePolicy::UpdateMsk => (Leave::UpdateMsk, None),
            LeavePolicy::Batched(window) => (Leave::Batched, Some(window.into())),
        };
        let unconfirmed = match spec.unconfirmed {
            Unconfirmed::KeepTrying => UnconfirmedPolicy::KeepTrying,
            Unconfirmed::WaitForRequest => UnconfirmedPolicy::WaitForRequest,
            Unconfirmed::Remove => UnconfirmedPolicy::Remove,
        };
        let Interval { low, high } = spec.mtk_ids;
        Self {
            domain: Some(spec.domain.to_string()),
            key_group: Some(spec.key_group),
            profile: Some(spec.profile.to_string()),
            leave: Some(leave),
            leave_window,
            expulsion_window: Some(spec.expulsion_window.into()),
            confirm_within: Some(spec.confirm_within.into()),
            grace: Some(spec.grace.into()),
            unconfirmed: Some(unconfirmed),
            msk_lifetime: Some(spec.msk_lifetime.unwrap_or_default().into()),
            mtk_period: Some(spec.mtk_period.unwrap_or_default().into()),
            mtk_ids: Some(MtkIds { low: low.to_string(), high: high.to_string() }),
            // `validate` lets 16 to 32 through.
            msk_len: u8::try_from(spec.msk_len).ok(),
            broadcasters: Some(spec.broadcasters.iter().map(ToString::to_string).collect()),
            sdp: spec.sdp.as_deref().map(str::to_owned),
        }
    }

    /// The settings ready for use.
    ///
    /// # Errors
    /// The field that is missing or cannot be read. Whether they work together, the key server says.
    pub(crate) fn spec(&self) -> Result<ChannelSpec, FieldFault> {
        let missing = |field| FieldFault::new(field, "missing");
        let domain = domain(self.domain.as_deref().ok_or_else(|| missing("domain"))?)?;
        let mut spec =
            ChannelSpec::new(domain, self.key_group.ok_or_else(|| missing("key_group"))?);
        self.apply(&mut spec)?;
        Ok(spec)
    }

    fn apply(&self, spec: &mut ChannelSpec) -> Result<(), FieldFault> {
        if let Some(name) = &self.profile {
            spec.profile =
                Profile::from_name(name).map_err(|error| FieldFault::new("profile", error))?;
        }
        spec.leave = self.leave_policy()?;
        let limit = |time: Duration| (!time.is_zero()).then_some(time);
        for (field, given, place) in [
            ("expulsion_window", self.expulsion_window, &mut spec.expulsion_window),
            ("confirm_within", self.confirm_within, &mut spec.confirm_within),
            ("grace", self.grace, &mut spec.grace),
        ] {
            if let Some(time) = given {
                *place = time.field(field)?;
            }
        }
        if let Some(time) = self.msk_lifetime {
            spec.msk_lifetime = limit(time.field("msk_lifetime")?);
        }
        if let Some(time) = self.mtk_period {
            spec.mtk_period = limit(time.field("mtk_period")?);
        }
        match self.unconfirmed {
            None => {}
            Some(UnconfirmedPolicy::KeepTrying) => spec.unconfirmed = Unconfirmed::KeepTrying,
            Some(UnconfirmedPolicy::WaitForRequest) => {
                spec.unconfirmed = Unconfirmed::WaitForRequest
            }
            Some(UnconfirmedPolicy::Remove) => spec.unconfirmed = Unconfirmed::Remove,
        }
        if let Some(ids) = &self.mtk_ids {
            spec.mtk_ids = Interval { low: mtk_id(&ids.low)?, high: mtk_id(&ids.high)? };
        }
        if let Some(len) = self.msk_len {
            spec.msk_len = len.into();
        }
        if let Some(names) = &self.broadcasters {
            let read = |name: &String| match check_name(name) {
                Ok(()) => Ok(BroadcasterId::from(name.as_str())),
                Err(what) => Err(FieldFault::new("broadcasters", what)),
            };
            spec.broadcasters = names.iter().map(read).collect::<Result<_, _>>()?;
        }
        if let Some(template) = &self.sdp {
            spec.sdp = (!template.is_empty()).then(|| Arc::from(template.as_str()));
        }
        Ok(())
    }

    fn leave_policy(&self) -> Result<LeavePolicy, FieldFault> {
        Ok(match (self.leave, self.leave_window) {
            (None | Some(Leave::KeepMsk), _) => LeavePolicy::KeepMsk,
            (Some(Leave::UpdateMsk), _) => LeavePolicy::UpdateMsk,
            (Some(Leave::Batched), Some(window)) => {
                LeavePolicy::Batched(window.field("leave_window")?)
            }
            (Some(Leave::Batched), None) => {
                return Err(FieldFault::new("leave_window", "missing, with leave \"batched\""));
            }
        })
    }
}

fn domain(text: &str) -> Result<KeyDomainId, FieldFault> {
    let mut octets = [0; 3];
    hex::decode_to_slice(text, &mut octets)
        .map_err(|_| FieldFault::new("domain", "a key domain is of 6 hex digits"))?;
    Ok(KeyDomainId(octets))
}

fn mtk_id(text: &str) -> Result<MtkId, FieldFault> {
    let mut octets = [0; 2];
    hex::decode_to_slice(text, &mut octets)
        .map_err(|_| FieldFault::new("mtk_ids", "an MTK ID is of 4 hex digits"))?;
    Ok(MtkId(u16::from_be_bytes(octets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"{"domain":"00f110","key_group":17,"profile":"AEAD_AES_128_GCM",
        "leave":"batched","leave_window":2.5,"expulsion_window":0.25,"confirm_within":3,"grace":4,
        "unconfirmed":"remove","msk_lifetime":86400,"mtk_period":60,
        "mtk_ids":{"low":"0100","high":"01ff"},"msk_len":32,"broadcasters":["east","west"],
        "sdp":"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 1 RTP/SAVP 97\r\n"}"#;

    fn settings(json: &str) -> ChannelSettings {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn settings_say_all_of_a_channel_and_come_back_as_they_were() {
        let given = settings(ALL);
        assert_eq!(ChannelSettings::of(&given.spec().unwrap()), given);
        let few = settings(r#"{"domain":"00f110","key_group":17}"#);
        let spec = few.spec().unwrap();
        assert_eq!(spec, ChannelSpec::new(KeyDomainId([0, 0xf1, 0x10]), 17));
        assert_eq!(ChannelSettings::of(&spec).spec().unwrap(), spec);
        assert_eq!(few.over(&given).spec().unwrap(), given.spec().unwrap());
    }

    #[test]
    fn time_of_zero_takes_a_limit_away() {
        let change = settings(r#"{"msk_lifetime":0,"mtk_period":0,"sdp":"","broadcasters":[]}"#);
        let spec = change.over(&settings(ALL)).spec().unwrap();
        assert_eq!((spec.msk_lifetime, spec.mtk_period, spec.sdp), (None, None, None));
        assert!(spec.broadcasters.is_empty());
    }

    #[test]
    fn field_that_cannot_be_read_is_named() {
        for (change, field) in [
            (r#"{"domain":"xyz"}"#, "domain"),
            (r#"{"profile":"ROT13"}"#, "profile"),
            (r#"{"grace":-1}"#, "grace"),
            (r#"{"msk_lifetime":1e300}"#, "msk_lifetime"),
            (r#"{"mtk_ids":{"low":"0","high":"ffff"}}"#, "mtk_ids"),
            (r#"{"broadcasters":[""]}"#, "broadcasters"),
        ] {
            let fault = settings(change).over(&settings(ALL)).spec().unwrap_err();
            assert_eq!(fault.field, field);
        }
        assert_eq!(settings("{}").spec().unwrap_err().field, "domain");
        let batched = settings(r#"{"domain":"00f110","key_group":1,"leave":"batched"}"#);
        assert_eq!(batched.spec().unwrap_err().field, "leave_window");
        assert!(serde_json::from_str::<ChannelSettings>(r#"{"graze":1}"#).is_err());
    }
}
