//! What of a broadcaster must survive a restart (D6), as records, and back.
//!
//! | record | changes with |
//! |---|---|
//! | the document followed, the MSK in use, key numbers taken | each document, each MTK, each start |
//! | MSK: key, MTK IDs, the last one used | each document, each MTK |
//! | stream: where it stands | every 2^14 packets |
//!
//! So no MTK ID, which is the counter too, is used twice, and receivers keep their rollover counters. Traffic
//! keys are not in the records; the next one is made at once.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{
    BroadcastAction, BroadcastTiming, Broadcaster, ChannelId, DocumentMsk, Lead, protect::Stream,
    traffic::HeldMsk,
};
use crate::{
    error::Error,
    ids::{MskId, MtkId, PacketIndex, Ssrc},
    keys::{read_key_group, read_msk, read_profile, write_key_group, write_msk, write_profile},
    record::{Noted, Record, RecordReader, RecordWriter, Table, unreadable},
    srtp::ReplayWindow,
};

/// Keys and values.
#[cfg(feature = "state")]
pub(crate) type KeptRecords<'a> = Vec<(&'a [u8], &'a [u8])>;

/// What of a broadcaster has changed since it was kept.
#[derive(Debug, Default)]
pub(super) struct Changed {
    followed: Noted<()>,
    msks: Noted<MskId>,
    streams: Noted<Ssrc>,
}

impl Changed {
    const fn nothing() -> Self {
        Self { followed: Noted::nothing(), msks: Noted::nothing(), streams: Noted::nothing() }
    }

    /// The document followed, the MSK in use, or key numbers taken.
    pub(super) fn followed(&mut self) {
        self.followed.note(&());
    }

    pub(super) fn msk(&mut self, id: MskId) {
        self.msks.note(&id);
    }

    pub(super) fn stream(&mut self, ssrc: Ssrc) {
        self.streams.note(&ssrc);
    }
}

impl Broadcaster {
    /// What has changed since the last call, to be kept before key messages of the calls between are
    /// sent, and before a packet under a new MTK is; else within 2^14 packets of each stream. The first call
    /// gives all there is; before it nothing is noted. Costs the encoding of what has changed.
    pub fn take_changes(&mut self) -> Vec<Record> {
        let channel = self.channel.clone();
        let mut records = Vec::new();
        for () in self.changed.followed.take([()].iter()) {
            let key = RecordWriter::key(Table::Broadcaster).octets(channel.as_str().as_bytes());
            records.push(Record::new(key, Some(self.write())));
        }
        for id in self.changed.msks.take(self.msks.keys()) {
            let key = of_channel(Table::BroadcastMsk, &channel).octets(&id.to_bytes());
            records.push(Record::new(key, self.msks.get(&id).map(HeldMsk::write)));
        }
        for ssrc in self.changed.streams.take(self.streams.keys()) {
            let key = of_channel(Table::BroadcastStream, &channel).u32(ssrc.0);
            records.push(Record::new(key, self.streams.get_mut(&ssrc).map(Stream::write)));
        }
        records
    }

    /// The broadcaster of a channel that goes on from what [`Broadcaster::take_changes`] has given, with a
    /// new MTK that is in force at once. Records of other channels are left alone; without any of its own it
    /// begins. If no MTK ID is left under the MSK in use, it is [silent](BroadcastAction::Silent) until the
    /// next one. Changes are noted from now on; those of this call are to be kept before its actions are
    /// carried out.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a record that cannot be read or contradicts another.
    pub fn restore<'a>(
        channel: &ChannelId,
        timing: BroadcastTiming,
        records: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        now: Instant,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(Self, Vec<BroadcastAction>), Error> {
        let mut broadcaster = Self::new(channel, timing);
        broadcaster.changed = Changed::nothing();
        let mut in_use = None;
        for (key, value) in records {
            let (table, of, rest) = split(key).ok_or_else(|| unreadable(key))?;
            if of != channel.as_str() {
                continue;
            }
            let value = RecordReader::new(value);
            let read = match table {
                Table::Broadcaster => broadcaster.read(value, &mut in_use),
                Table::BroadcastMsk => broadcaster.read_msk(rest, value),
                _ => broadcaster.read_stream(rest, value, now),
            };
            read.ok_or_else(|| unreadable(key))?;
        }
        broadcaster.check_kept(in_use)?;
        let Some(msk_id) = in_use else { return Ok((broadcaster, Vec::new())) };
        if !broadcaster.msks.get(&msk_id).is_some_and(HeldMsk::is_used_up) {
            let actions = broadcaster.announce(msk_id, Lead::None, now, random)?;
            return Ok((broadcaster, actions));
        }
        // The key server is told that none is left, and has to update the MSK.
        broadcaster.spent = Some(msk_id);
        let mut actions = broadcaster.tell(now);
        actions.push(BroadcastAction::Silent { in_force: msk_id });
        Ok((broadcaster, actions))
    }

    /// Records by the channel that they are about.
    #[cfg(feature = "state")]
    pub(crate) fn kept_by_channel<'a>(
        records: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<BTreeMap<ChannelId, KeptRecords<'a>>, Error> {
        let mut kept = BTreeMap::<_, KeptRecords<'_>>::new();
        for (key, value) in records {
            let (_, channel, _) = split(key).ok_or_else(|| unreadable(key))?;
            kept.entry(ChannelId::from(channel)).or_default().push((key, value));
        }
        Ok(kept)
    }

    fn write(&self) -> RecordWriter {
        let out = RecordWriter::default().u64(self.followed).u32(self.first_rtcp);
        let out = out.octets(&self.domain.0);
        let out = write_profile(out, &self.profile);
        let out = out.option(self.mtk_period, RecordWriter::duration);
        let out = out.option(self.newest_msk(), |out, id| out.octets(&id.to_bytes()));
        out.list(self.taken.iter(), |out, (key_group, number)| {
            write_key_group(out, key_group).u16(*number)
        })
    }

    fn read(&mut self, mut value: RecordReader<'_>, in_use: &mut Option<MskId>) -> Option<()> {
        self.followed = value.u64()?;
        // Of a stream that was new when the process ended there is no record.
        self.first_rtcp = value.u32()?.saturating_add(RESERVED).min(1 << 30);
        self.changed.followed();
        self.domain.0 = value.array()?;
        self.profile = read_profile(&mut value)?;
        self.mtk_period = value.option(RecordReader::duration)?;
        *in_use = value.option(|value| value.array().map(MskId::from_bytes))?;
        let taken = value.list(|value| Some((read_key_group(value)?, value.u16()?)))?;
        self.taken = taken.into_iter().collect::<BTreeMap<_, _>>();
        value.finish()
    }

    fn read_msk(&mut self, mut key: RecordReader<'_>, mut value: RecordReader<'_>) -> Option<()> {
        let msk_id = MskId::from_bytes(key.array()?);
        let (msk, interval) = read_msk(&mut value)?;
        let last_mtk = MtkId(value.u16()?);
        let listed = DocumentMsk { msk_id, msk: Arc::new(msk), interval };
        self.msks.insert(msk_id, HeldMsk { listed, last_mtk, reported: None });
        key.finish().and_then(|()| value.finish())
    }

    fn read_stream(
        &mut self,
        mut key: RecordReader<'_>,
        mut value: RecordReader<'_>,
        now: Instant,
    ) -> Option<()> {
        let ssrc = Ssrc(key.u32()?);
        let highest = value.option(RecordReader::u64)?.map(PacketIndex::from_value);
        let next_rtcp = value.u32()?;
        key.finish().and_then(|()| value.finish())?;
        //= Receivers refuse an SRTCP index they have seen, so what may have been sent is skipped.
        let mut stream = Stream::new(now, next_rtcp);
        self.protector.resume_rtcp(ssrc, next_rtcp);
        if let Some(highest) = highest {
            self.protector.resume(ssrc, highest);
            stream.used = Some(ReplayWindow::starting_at(highest));
        }
        self.streams.insert(ssrc, stream);
        // Else another crash would begin at the same index.
        self.changed.stream(ssrc);
        Some(())
    }

    fn check_kept(&self, in_use: Option<MskId>) -> Result<(), Error> {
        let contradiction = |text: String| {
            Error::invalid(format!(
                "what is kept of channel {} contradicts itself: {text}",
                self.channel
            ))
        };
        if let Some(id) = in_use.filter(|id| !self.msks.contains_key(id)) {
            return Err(contradiction(format!("MSK {id} is in use, but it is not held")));
        }
        for (id, held) in &self.msks {
            let taken = self.taken.get(&(self.domain, id.group)).copied().unwrap_or(0);
            if id.number > taken {
                return Err(contradiction(format!("MSK {id} is held, but it was never taken")));
            }
            if held.last_mtk < held.listed.interval.low {
                return Err(contradiction(format!("an MTK ID below those of MSK {id} was used")));
            }
        }
        Ok(())
    }
}

impl HeldMsk {
    fn write(&self) -> RecordWriter {
        let listed = &self.listed;
        write_msk(RecordWriter::default(), &listed.msk, listed.interval).u16(self.last_mtk.0)
    }
}

impl Stream {
    /// Where the stream stands: for RTP the highest index, from which a receiver finds the next one;
    /// for RTCP the index to go on with, ahead of those that will be used until it is written again.
    fn write(&mut self) -> RecordWriter {
        let highest = self.used.map(|used| used.highest());
        self.kept_rtp = highest;
        self.kept_rtcp = self.next_rtcp.saturating_add(RESERVED).min(1 << 31);
        RecordWriter::default()
            .option(highest, |out, highest| out.u64(highest.value()))
            .u32(self.kept_rtcp)
    }

    /// Whether so many packets were sent since it was written that it has to be written again.
    pub(super) fn has_moved(&self) -> bool {
        let kept = self.kept_rtp.map_or(0, PacketIndex::value);
        let moved = self.used.is_some_and(|used| {
            self.kept_rtp.is_none() || used.highest().value() - kept >= MOVED.into()
        });
        moved || self.next_rtcp.saturating_add(RESERVED - MOVED) >= self.kept_rtcp
    }
}

fn of_channel(table: Table, channel: &ChannelId) -> RecordWriter {
    RecordWriter::key(table).prefixed(channel.as_str().as_bytes())
}

/// The table and the channel of a record's key, and the rest of it.
fn split(key: &[u8]) -> Option<(Table, &str, RecordReader<'_>)> {
    let (table, rest) = Table::split(key)?;
    let mut rest = RecordReader::new(rest);
    let channel = match table {
        Table::Broadcaster => rest.last_text()?,
        Table::BroadcastMsk | Table::BroadcastStream => rest.text()?,
        _ => return None,
    };
    Some((table, channel, rest))
}

/// Packets of a stream until its record is renewed: half of what the search for a rollover counter
/// bears.
const MOVED: u32 = 1 << 14;

/// SRTCP indexes that are set aside with each record of a stream.
const RESERVED: u32 = 1 << 15;
