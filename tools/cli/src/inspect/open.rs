//! Opening what the key file has keys for: MSK messages, MTK messages, SRTP and SRTCP.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use mcast_srtp::{
    Error, Reject,
    ids::{CsbId, Mki, Roc, Ssrc},
    keys::{
        KeyLimits, KeyStore, MskAccepted, MtkAccepted, Muk, MukId, Outcome,
        issue::open_verification,
    },
    secret::{Secret, SecretBytes},
    srtp::{
        KeyRing, Opened, Packet, PacketKind, Profile, SessionId, StreamLimits, TrafficKey,
        Unprotector,
    },
    wire::mikey::{DataType, Message},
};

use crate::{
    field::Field,
    keyfile::{GivenClient, GivenKey, KeyFile},
};

/// Keys, and the state of the streams they open.
#[derive(Debug)]
pub(super) struct Opener {
    store: KeyStore,
    muks: Vec<(MukId, Muk)>,
    /// MSK messages accepted: what a verification message answers.
    sent: Vec<SentMsk>,
    /// Newest first.
    keys: Vec<Arc<TrafficKey>>,
    /// What MTK messages brought, in their order.
    opened: Vec<GivenKey>,
    announced: Vec<(Ssrc, Roc)>,
    ring: KeyRing,
    streams: Unprotector,
    sessions: BTreeMap<Option<SocketAddr>, SessionId>,
}

#[derive(Debug)]
struct SentMsk {
    csb: CsbId,
    counter: Option<u32>,
    rand: Vec<u8>,
    muk: usize,
}

impl Opener {
    /// Takes the keys of a file and opens its MSK messages.
    ///
    /// # Errors
    /// An MSK message of the file is refused, or there are too many MUKs.
    pub(super) fn new(file: KeyFile) -> Result<Self, Error> {
        let mut limits = StreamLimits::default();
        // A capture may start anywhere, and there is time.
        limits.roc_candidates = 256;
        limits.roc_trials_per_batch = 256;
        limits.roc_trial_pause = Duration::ZERO;
        let mut opener = Self {
            store: KeyStore::new(KeyLimits::default()),
            muks: Vec::new(),
            sent: Vec::new(),
            keys: Vec::new(),
            opened: Vec::new(),
            announced: Vec::new(),
            ring: KeyRing::default(),
            streams: Unprotector::new(limits),
            sessions: BTreeMap::new(),
        };
        for GivenClient { id, muk, .. } in file.muks {
            // The second copy checks verification messages, which the store only makes.
            let copy = Muk(Secret::new(*muk.0.expose()));
            opener.store.insert_muk(id.clone(), muk)?;
            opener.muks.push((id, copy));
        }
        for message in file.msk_messages {
            opener.key_message(&message)?;
        }
        for key in file.traffic_keys {
            opener.keys.push(Arc::new(key.expand()?));
        }
        Ok(opener)
    }

    /// Opens a MIKEY message; the fields tell what it brought.
    ///
    /// # Errors
    /// The verdict on it.
    pub(super) fn key_message(&mut self, octets: &[u8]) -> Result<Vec<Field>, Reject> {
        let message = Message::parse(octets)?;
        if message.header().data_type == DataType::PRE_SHARED_VERIFICATION {
            return self.verification(octets, &message);
        }
        match self.store.receive(octets)? {
            Outcome::Msk(accepted) => {
                self.note_sent(&message);
                Ok(self.msk(&accepted))
            }
            Outcome::Mtk(accepted) => self.mtk(&accepted),
            Outcome::MskDeleted { domain, msk_id, .. } => {
                Ok(vec![Field::text("msk deleted", msk_id), Field::text("key domain", domain)])
            }
            Outcome::MskRequested { domain, key_group } => Ok(vec![
                Field::text("key domain", domain),
                Field::text("request the msk of key group", format_args!("{key_group:04x}")),
            ]),
            _ => Ok(Vec::new()),
        }
    }

    /// To be called when all key messages are in: packets may come before their keys.
    pub(super) fn ready(&mut self) {
        self.ring =
            KeyRing::new(self.keys.clone()).with_announced(std::mem::take(&mut self.announced));
    }

    /// The profiles that packets may have by then.
    pub(super) fn profiles(&self) -> impl Iterator<Item = Profile> {
        self.keys.iter().map(|key| *key.profile())
    }

    /// The traffic keys that MTK messages brought, in their order.
    pub(super) fn opened_keys(&self) -> &[GivenKey] {
        &self.opened
    }

    /// Authenticates and decrypts a packet in place.
    ///
    /// # Errors
    /// The verdict on it.
    pub(super) fn packet(
        &mut self,
        to: Option<SocketAddr>,
        kind: PacketKind,
        bytes: &mut [u8],
    ) -> Result<Opened, Reject> {
        let next = u32::try_from(self.sessions.len()).unwrap_or(u32::MAX);
        let session = *self.sessions.entry(to).or_insert(SessionId(next));
        let keys = &self.ring;
        self.streams.unprotect(&mut Packet { session, kind, source: 0, keys, bytes })
    }

    fn msk(&mut self, accepted: &MskAccepted) -> Vec<Field> {
        self.announced.extend(accepted.sessions.iter().map(|s| (s.ssrc, s.roc)));
        let interval = accepted.interval;
        let mut fields = vec![
            Field::text("msk", accepted.msk_id),
            Field::text("key domain", accepted.domain),
            Field::text("mtk ids", format_args!("{} to {}", interval.low, interval.high)),
            Field::text("profile", accepted.profile),
            Field::flag("held before", accepted.redelivered),
        ];
        fields.extend(accepted.evicted.map(|msk| Field::text("msk evicted", msk)));
        fields
    }

    fn mtk(&mut self, accepted: &MtkAccepted) -> Result<Vec<Field>, Reject> {
        let mki = Mki::mbms(accepted.msk_id, accepted.mtk_id);
        //= K14: a missing salt counts as zero
        let salt = accepted.mtk.salt.as_ref().map_or(&[][..], |salt| salt.expose());
        let profile = accepted.profile.with_mki_len(Mki::MBMS_LEN as u8);
        let key = GivenKey {
            mki,
            profile,
            key: accepted.mtk.key.duplicate(),
            // GCM takes the first 12 octets of the 14 that MBMS messages may bring.
            salt: SecretBytes::new(salt.get(..profile.cipher.salt_len()).unwrap_or_default()),
        };
        let expanded = key.expand().map_err(|_| Reject::BadKeyData)?;
        self.keys.insert(0, Arc::new(expanded));
        let fields = vec![
            Field::text("mki", mki),
            Field::number("key", key.key.len() as u64).meaning("octets"),
            Field::number("salt", salt.len() as u64).meaning("octets"),
            Field::text("profile", profile),
        ];
        self.opened.push(key);
        Ok(fields)
    }

    fn note_sent(&mut self, message: &Message<'_>) {
        let (Some(idi), Some(idr), Some(rand)) =
            (message.first_id(), message.second_id(), message.rand())
        else {
            return;
        };
        let muk = self.muks.iter().position(|(id, _)| {
            id.idr.as_bytes() == idr.data && idi.data.starts_with(id.idi.as_bytes())
        });
        self.sent.extend(muk.map(|muk| SentMsk {
            csb: message.header().csb,
            counter: message.timestamp().and_then(|t| t.counter()),
            rand: rand.to_vec(),
            muk,
        }));
    }

    /// Checks a verification message against the MSK message whose counter it repeats.
    fn verification(&self, octets: &[u8], message: &Message<'_>) -> Result<Vec<Field>, Reject> {
        let counter = message.timestamp().and_then(|t| t.counter());
        let answered =
            |sent: &&SentMsk| sent.counter == counter && sent.csb == message.header().csb;
        let mut verdict = Err(Reject::UnknownMuk);
        for sent in self.sent.iter().filter(answered) {
            let Some((id, muk)) = self.muks.get(sent.muk) else { continue };
            match open_verification(octets, &sent.rand, id, muk) {
                Ok(counter) => {
                    let answers = Field::number("answers counter", counter);
                    return Ok(vec![answers, Field::text("of client", &id.idr)]);
                }
                Err(reject) => verdict = Err(reject),
            }
        }
        verdict
    }
}
