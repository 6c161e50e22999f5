//! What a talk group is made of: keys by number, the messages that carry them, protected packets.

use mcast_srtp::{
    ids::{CsbId, KeyDomainId, Mki, MskId, MtkId, PacketIndex, Roc, Ssrc},
    keys::{
        CryptoSession, Interval, Msk, Mtk, Muk, MukId,
        issue::{MskIssue, MtkIssue, seal_msk, seal_mtk},
    },
    secret::{Secret, SecretBytes},
    srtp::{Profile, Protector, TrafficKey},
    wire::burst::{BurstMessage, BurstPacket},
};

pub(crate) const DOMAIN: KeyDomainId = KeyDomainId([0x00, 0xf1, 0x10]);
pub(crate) const TALKER: Ssrc = Ssrc(0xcafe_0001);
pub(crate) const SERVER: Ssrc = Ssrc(0x5e4e_0001);
pub(crate) const PAYLOAD_TYPE: u8 = 97;

/// The SRTP-ID map of most MSK messages: any stream, rollover counter 0.
pub(crate) const ANY_STREAM: CryptoSession =
    CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(0) };

/// The keys of one talk group. Which octets they have follows from their numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    pub(crate) key_group: u16,
    pub(crate) profile: Profile,
}

impl Default for Keys {
    fn default() -> Self {
        Self { key_group: 0x0017, profile: Profile::default() }
    }
}

impl Keys {
    pub(crate) fn of_group(key_group: u16) -> Self {
        Self { key_group, ..Self::default() }
    }

    pub(crate) fn msk_id(&self, number: u16) -> MskId {
        MskId { group: self.key_group, number }
    }

    pub(crate) fn msk(&self, number: u16) -> Msk {
        let [octet, _] = (self.key_group ^ number).to_le_bytes();
        Msk { key: SecretBytes::new(&[octet; 16]), rand: vec![octet ^ 0xff; 16] }
    }

    pub(crate) fn mtk(&self, msk: u16, mtk: u16) -> Mtk {
        let number = self.key_group ^ msk.rotate_left(8) ^ mtk.rotate_left(4);
        let octets = |len: usize, salt: u8| {
            let octets = number.to_be_bytes().into_iter().chain([salt]).cycle();
            SecretBytes::new(&octets.take(len).collect::<Vec<_>>())
        };
        let cipher = self.profile.cipher;
        Mtk { key: octets(cipher.key_len(), 0x11), salt: Some(octets(cipher.salt_len(), 0x22)) }
    }

    pub(crate) fn traffic_key(&self, msk: u16, mtk: u16) -> TrafficKey {
        let Mtk { key, salt } = self.mtk(msk, mtk);
        let salt = salt.as_ref().map_or(&[][..], SecretBytes::expose);
        let mki = Mki::mbms(self.msk_id(msk), MtkId(mtk));
        TrafficKey::new(mki, self.profile, key.expose(), salt).unwrap()
    }

    /// An MSK to the client `c1`.
    pub(crate) fn msk_message(&self, msk: u16, counter: u32) -> Vec<u8> {
        self.msk_message_with(msk, counter, |_| ())
    }

    /// The same with something else than usual in it.
    pub(crate) fn msk_message_with(
        &self,
        msk: u16,
        counter: u32,
        change: impl FnOnce(&mut MskIssue<'_>),
    ) -> Vec<u8> {
        let (key, muk_id) = (self.msk(msk), muk_id("c1"));
        let mut issue = MskIssue {
            domain: DOMAIN,
            msk_id: self.msk_id(msk),
            msk: &key,
            interval: Interval { low: MtkId(0), high: MtkId(0xffff) },
            counter,
            csb: CsbId(0),
            muk_id: &muk_id,
            verify: true,
            profile: self.profile,
            sessions: &[ANY_STREAM],
            sdp_ids: None,
        };
        change(&mut issue);
        seal_msk(&issue, &muk("c1")).unwrap()
    }

    /// A traffic key to the group. The counter is the MTK ID, which rises as well.
    pub(crate) fn mtk_message(&self, msk: u16, mtk: u16) -> Vec<u8> {
        self.mtk_message_with(msk, mtk, |_| ())
    }

    /// The same with something else than usual in it.
    pub(crate) fn mtk_message_with(
        &self,
        msk: u16,
        mtk: u16,
        change: impl FnOnce(&mut MtkIssue<'_>),
    ) -> Vec<u8> {
        let (key, traffic) = (self.msk(msk), self.mtk(msk, mtk));
        let mut issue = MtkIssue {
            domain: DOMAIN,
            msk_id: self.msk_id(msk),
            mtk_id: MtkId(mtk),
            counter: mtk.into(),
            csb: CsbId(0),
            msk: &key,
            mtk: &traffic,
        };
        change(&mut issue);
        seal_mtk(&issue).unwrap()
    }
}

/// A protected media packet that carries its own index.
pub(crate) fn media(key: &TrafficKey, ssrc: Ssrc, index: u64) -> Vec<u8> {
    protect(key, index, rtp(ssrc, index, &index.to_be_bytes()))
}

/// A plain RTP packet with the sequence number of this index.
pub(crate) fn rtp(ssrc: Ssrc, index: u64, payload: &[u8]) -> Vec<u8> {
    let [high, low] = PacketIndex::from_value(index).seq().0.to_be_bytes();
    let mut packet = vec![0x80, PAYLOAD_TYPE, high, low, 0, 0, 0, 1];
    packet.extend(ssrc.0.to_be_bytes());
    packet.extend(payload);
    packet
}

/// Protects a plain RTP packet under this index, in whatever order that is called for.
pub(crate) fn protect(key: &TrafficKey, index: u64, mut packet: Vec<u8>) -> Vec<u8> {
    let [.., a, b, c, d] = *packet.first_chunk::<12>().unwrap();
    let mut protector = Protector::new();
    protector.resume(Ssrc(u32::from_be_bytes([a, b, c, d])), PacketIndex::from_value(index));
    protector.protect_rtp(key, &mut packet).unwrap();
    packet
}

/// A protected burst-control message with this SRTCP index.
pub(crate) fn burst(key: &TrafficKey, index: u32, message: BurstMessage<'_>) -> Vec<u8> {
    let mut packet = vec![0; BurstPacket::MAX_LEN];
    let len = BurstPacket::new(SERVER, message).write(&mut packet).unwrap();
    packet.truncate(len);
    protect_rtcp(key, index, packet)
}

/// Protects a plain RTCP packet under this index.
pub(crate) fn protect_rtcp(key: &TrafficKey, index: u32, mut packet: Vec<u8>) -> Vec<u8> {
    let [.., a, b, c, d] = *packet.first_chunk::<8>().unwrap();
    let mut protector = Protector::new();
    protector.resume_rtcp(Ssrc(u32::from_be_bytes([a, b, c, d])), index);
    protector.protect_rtcp(key, &mut packet).unwrap();
    packet
}

/// The identities of a client's MUK.
pub(crate) fn muk_id(name: &str) -> MukId {
    MukId { idi: "bmsc.example".to_owned(), idr: format!("{name}@bsf.example") }
}

/// A client's MUK.
pub(crate) fn muk(name: &str) -> Muk {
    let mut octets = [0x3c; 32];
    octets.iter_mut().zip(name.bytes()).for_each(|(octet, letter)| *octet ^= letter);
    Muk(Secret::new(octets))
}
