//! The settings of a channel as a part of its record.

use crate::{
    broadcast::BroadcasterId,
    ids::MtkId,
    keys::{Interval, read_key_group, read_profile, write_key_group, write_profile},
    keyserver::{ChannelSpec, LeavePolicy, Unconfirmed},
    record::{RecordReader, RecordWriter},
};

/// The template of the session description comes last, because it may be long.
pub(super) fn write_spec(out: RecordWriter, spec: &ChannelSpec) -> RecordWriter {
    let out = write_key_group(out, &(spec.domain, spec.key_group));
    let out = write_profile(out, &spec.profile);
    let out = match spec.leave {
        LeavePolicy::KeepMsk => out.u8(0),
        LeavePolicy::UpdateMsk => out.u8(1),
        LeavePolicy::Batched(window) => out.u8(2).duration(window),
    };
    let out = out.duration(spec.expulsion_window).duration(spec.confirm_within);
    let out = out.duration(spec.grace).u8(match spec.unconfirmed {
        Unconfirmed::KeepTrying => 0,
        Unconfirmed::WaitForRequest => 1,
        Unconfirmed::Remove => 2,
    });
    let out = out.option(spec.msk_lifetime, RecordWriter::duration);
    let out = out.option(spec.mtk_period, RecordWriter::duration);
    let out = out.u16(spec.mtk_ids.low.0).u16(spec.mtk_ids.high.0);
    // At most 32; a longer one is refused.
    let out = out.u8(u8::try_from(spec.msk_len).unwrap_or(u8::MAX));
    let sdp = spec.sdp.as_deref().map(str::as_bytes);
    write_names(out, &spec.broadcasters).option(sdp, RecordWriter::octets)
}

/// Reads settings to the end of the record.
pub(super) fn read_spec(value: &mut RecordReader<'_>) -> Option<ChannelSpec> {
    let (domain, key_group) = read_key_group(value)?;
    let mut spec = ChannelSpec::new(domain, key_group);
    spec.profile = read_profile(value)?;
    spec.leave = match value.u8()? {
        0 => LeavePolicy::KeepMsk,
        1 => LeavePolicy::UpdateMsk,
        2 => LeavePolicy::Batched(value.duration()?),
        _ => return None,
    };
    (spec.expulsion_window, spec.confirm_within) = (value.duration()?, value.duration()?);
    spec.grace = value.duration()?;
    spec.unconfirmed = match value.u8()? {
        0 => Unconfirmed::KeepTrying,
        1 => Unconfirmed::WaitForRequest,
        2 => Unconfirmed::Remove,
        _ => return None,
    };
    spec.msk_lifetime = value.option(RecordReader::duration)?;
    spec.mtk_period = value.option(RecordReader::duration)?;
    spec.mtk_ids = Interval { low: MtkId(value.u16()?), high: MtkId(value.u16()?) };
    spec.msk_len = value.u8()?.into();
    spec.broadcasters = read_names(value)?;
    spec.sdp = value.option(|value| Some(value.last_text()?.into()))?;
    Some(spec)
}

pub(super) fn write_names(out: RecordWriter, names: &[BroadcasterId]) -> RecordWriter {
    out.list(names.iter(), |out, name| out.prefixed(name.as_str().as_bytes()))
}

pub(super) fn read_names(value: &mut RecordReader<'_>) -> Option<Vec<BroadcasterId>> {
    value.list(|value| value.text().map(BroadcasterId::from))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ids::KeyDomainId;

    #[test]
    fn every_setting_is_read_back() {
        let plain = ChannelSpec::new(KeyDomainId([0, 0xf1, 0x10]), 7);
        let mut full = plain.clone();
        full.profile = full.profile.with_mki_len(4);
        full.leave = LeavePolicy::Batched(Duration::from_millis(1500));
        full.expulsion_window = Duration::from_nanos(1);
        full.confirm_within = Duration::from_secs(3);
        full.grace = Duration::from_secs(4);
        full.unconfirmed = Unconfirmed::Remove;
        full.msk_lifetime = Some(ChannelSpec::LONGEST_LIFETIME);
        full.mtk_period = Some(Duration::from_secs(6));
        full.mtk_ids = Interval { low: MtkId(3), high: MtkId(0x1234) };
        full.msk_len = 32;
        full.broadcasters = vec!["b1".into(), "".into(), "b\u{fc}".into()];
        full.sdp = Some("v=0\r\n".repeat(20_000).into());
        let mut other = full.clone();
        (other.leave, other.unconfirmed) = (LeavePolicy::UpdateMsk, Unconfirmed::KeepTrying);
        for spec in [plain, full, other] {
            let octets = write_spec(RecordWriter::default(), &spec).into_value();
            let mut reader = RecordReader::new(octets.expose());
            assert_eq!(read_spec(&mut reader), Some(spec));
            assert_eq!(reader.finish(), Some(()));
        }
    }
}
