//! A broadcaster whose power is cut at every step of writing: no MTK ID, counter or index is used twice, and
//! receivers keep their rollover counters.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::disk::{Disk, Unsynced};
use crate::{
    Error,
    broadcast::{
        BroadcastAction, BroadcastTiming, Broadcaster, ChannelDocument, ChannelId, DocumentMsk,
        Lead,
    },
    ids::{KeyDomainId, MskId, MtkId, PacketIndex, Ssrc},
    keys::{Interval, Msk},
    secret::SecretBytes,
    srtp::Profile,
    state::{BroadcastState, seal::Owner},
    wire::{burst::BurstMessage, mikey::Message},
};

/// What the key server, the operator and the talker do, in this order.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// The document of this version lists these MSKs; the second number is in force.
    Follow(u64, &'static [u16], u16),
    NewMtk,
    /// So many packets, a burst-control message with each 256.
    Talk(u32),
}

const SCRIPT: &[Op] = &[
    Op::Follow(1, &[1], 1),
    Op::Talk(300),
    Op::NewMtk,
    // The sequence number wraps.
    Op::Talk(6000),
    Op::Follow(3, &[1, 2], 1),
    Op::NewMtk,
    Op::Follow(4, &[1, 2], 2),
    // More than one record of the stream lasts.
    Op::Talk(17_000),
    // Late, and so without effect.
    Op::Follow(2, &[1], 1),
    Op::Follow(5, &[2], 2),
    Op::Talk(300),
];

struct World {
    disk: Disk,
    now: Instant,
    channel: ChannelId,
    timing: BroadcastTiming,
    told: String,
    entropy: u8,
    /// Packets that the talker has sent.
    packets: u32,
    /// What has left, by MSK, MTK ID.
    messages: BTreeMap<(MskId, MtkId), Vec<u8>>,
    counters: BTreeMap<MskId, u32>,
    last_rtp: Option<PacketIndex>,
    last_rtcp: Option<PacketIndex>,
}

type Service = (Broadcaster, BroadcastState);

impl World {
    fn start(&mut self) -> Result<Service, Error> {
        let mut state = BroadcastState::on(self.disk.journal(Owner::Broadcaster, Some(7))?);
        self.entropy += 1;
        let random = &mut |out: &mut [u8]| out.fill(self.entropy);
        let restored = state.restore(&self.channel, self.timing, self.now, random)?;
        let (mut broadcaster, actions) = restored;
        // Keys of one process are told apart by their messages; those of two by what they are made of.
        self.carry_out(&mut broadcaster, actions);
        Ok((broadcaster, state))
    }

    fn live(&mut self, unsynced: Unsynced) {
        let mut service = self.start();
        let mut cuts = 0;
        for op in SCRIPT {
            let until = self.packets + if let Op::Talk(count) = op { *count } else { 0 };
            while let Err(error) = self.attempt(&mut service, *op, until) {
                assert!(error.to_string().ends_with("no power"), "{}: {error}", self.told);
                cuts += 1;
                assert!(cuts < 3, "{}", self.told);
                self.disk = self.disk.after_the_cut(unsynced);
                service = self.start();
            }
        }
        let (broadcaster, _) = service.unwrap();
        assert!(broadcaster.msk_ids().eq([msk_id(2)]), "{}", self.told);
        assert_eq!(self.last_rtp.unwrap().value(), u64::from(self.packets), "{}", self.told);
    }

    fn attempt(
        &mut self,
        service: &mut Result<Service, Error>,
        op: Op,
        until: u32,
    ) -> Result<(), Error> {
        let (broadcaster, state) = match service {
            Ok(service) => service,
            Err(error) => return Err(Error::invalid(error.to_string())),
        };
        self.entropy += 1;
        let (now, random) = (self.now, &mut |out: &mut [u8]| out.fill(self.entropy));
        let actions = match op {
            Op::Follow(version, msks, in_force) => {
                let document = self.document(version, msks, in_force);
                let followed = broadcaster.followed();
                let actions = broadcaster.follow(&document, now, random)?;
                assert_eq!(broadcaster.followed(), version.max(followed));
                actions
            }
            Op::NewMtk => broadcaster.new_mtk(Lead::None, now, random)?,
            Op::Talk(_) => Vec::new(),
        };
        self.commit(broadcaster, state, actions)?;
        self.now += Duration::from_millis(250);
        let actions = broadcaster.poll(self.now, &mut |out: &mut [u8]| out.fill(0));
        self.commit(broadcaster, state, actions)?;
        while self.packets < until {
            self.talk(broadcaster);
            // A second of a busy channel.
            if self.packets.is_multiple_of(2048) {
                self.commit(broadcaster, state, Vec::new())?;
            }
        }
        Ok(())
    }

    fn commit(
        &mut self,
        broadcaster: &mut Broadcaster,
        state: &mut BroadcastState,
        actions: Vec<BroadcastAction>,
    ) -> Result<(), Error> {
        state.commit(broadcaster.take_changes())?;
        self.carry_out(broadcaster, actions);
        let actions = broadcaster.stored(self.now);
        self.carry_out(broadcaster, actions);
        Ok(())
    }

    fn carry_out(&mut self, broadcaster: &mut Broadcaster, actions: Vec<BroadcastAction>) {
        for action in actions {
            let BroadcastAction::SendKeyMessage(octets) = action else { continue };
            let message = Message::parse(&octets).unwrap();
            let ids = message.key_ids().unwrap();
            let (msk, mtk) = (ids.msk.unwrap(), ids.mtk.unwrap());
            let counter = message.timestamp().unwrap().counter().unwrap();
            let told = &self.told;
            if let Some(former) = self.messages.insert((msk, mtk), octets.to_vec()) {
                assert_eq!(former, *octets, "{told}: another MTK {msk} {mtk}");
            } else {
                let last = self.counters.insert(msk, counter).unwrap_or(0);
                assert!(last < counter, "{told}: counter {counter} after {last}");
            }
            assert!(broadcaster.msk_ids().any(|held| held == msk), "{told}: {msk} is erased");
        }
    }

    fn talk(&mut self, broadcaster: &mut Broadcaster) {
        self.packets += 1;
        let mut packet = rtp(self.packets);
        let index = broadcaster.protect_rtp(&mut packet, self.now).unwrap();
        assert_eq!(index.value(), u64::from(self.packets), "{}: rollover counter", self.told);
        // Under a key that was announced.
        let mki = broadcaster.mki().unwrap().split_mbms().unwrap();
        assert!(self.messages.contains_key(&mki), "{}: {mki:?} was not announced", self.told);
        self.last_rtp = Some(index);
        if self.packets.is_multiple_of(256) {
            let datagram = broadcaster.burst(Ssrc(5), BurstMessage::Idle, self.now).unwrap();
            // The index stands behind the packet, before MKI and tag.
            let word = datagram[datagram.len() - 20..].first_chunk().unwrap();
            let index = Some(PacketIndex::srtcp(u32::from_be_bytes(*word)));
            assert!(self.last_rtcp < index, "{}: {index:?}", self.told);
            self.last_rtcp = index;
        }
    }

    fn document(&self, version: u64, msks: &[u16], in_force: u16) -> ChannelDocument {
        let listed = |number: &u16| DocumentMsk {
            msk_id: msk_id(*number),
            msk: Arc::new(Msk {
                key: SecretBytes::new(&[u8::try_from(*number).unwrap(); 16]),
                rand: vec![3; 16],
            }),
            interval: Interval { low: MtkId(0), high: MtkId(99) },
        };
        ChannelDocument {
            channel: self.channel.clone(),
            broadcaster: None,
            version,
            domain: KeyDomainId([0, 0xf1, 0x10]),
            profile: Profile::default(),
            mtk_period: None,
            msks: msks.iter().map(listed).collect(),
            in_force: msk_id(in_force),
        }
    }
}

fn msk_id(number: u16) -> MskId {
    MskId { group: 7, number }
}

fn rtp(number: u32) -> Vec<u8> {
    let [.., high, low] = number.to_be_bytes();
    let mut packet = vec![0x80, 97, high, low];
    packet.extend((number * 160).to_be_bytes());
    packet.extend([0xca, 0xfe, 0, 1, 0]);
    packet
}

fn world(disk: Disk, write_ahead: bool, told: String) -> World {
    let timing = BroadcastTiming { write_ahead, ..BroadcastTiming::default() };
    World {
        disk,
        now: Instant::now(),
        channel: "group 17".into(),
        timing,
        told,
        entropy: 0,
        packets: 60_000,
        messages: BTreeMap::new(),
        counters: BTreeMap::new(),
        last_rtp: None,
        last_rtcp: None,
    }
}

#[test]
fn power_cut_at_every_step_uses_no_mtk_id_twice_and_keeps_the_rollover_counters() {
    let whole = Disk::default();
    world(whole.clone(), true, "no cut".into()).live(Unsynced::Lost);
    let steps = whole.0.lock().unwrap().steps;
    assert!(steps > 15, "{steps}");
    for cut in 0..2 * steps {
        let (cut, write_ahead) = (cut / 2, cut % 2 == 0);
        let unsynced = match cut % 3 {
            0 => Unsynced::Lost,
            1 => Unsynced::Begun(500),
            _ => Unsynced::Sectors(0x5555_5555),
        };
        let disk = Disk::default();
        disk.0.lock().unwrap().cut_at = Some(cut);
        let told = format!("write ahead: {write_ahead}, cut at {cut}, {unsynced:?}");
        world(disk, write_ahead, told).live(unsynced);
    }
}
