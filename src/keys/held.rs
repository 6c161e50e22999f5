//! One MUK and one MSK as the store holds them, and how each verifies a message.

use std::sync::Arc;

use hmac::Hmac;
use sha2::Sha256;

use super::{
    CryptoSession, Interval, Msk, Muk, accept::counter_is_newer, message::algorithms, prf::mac,
    protection::MessageKeys,
};
use crate::{
    error::Reject,
    ids::{MskId, MtkId},
    srtp::Profile,
    wire::mikey::{Kemac, Message},
};

/// A client key in use.
#[derive(Debug)]
pub(super) struct HeldMuk {
    pub(super) current: CountedMuk,
    /// The key that `current` replaces, until a message under `current` verifies (K23).
    former: Option<CountedMuk>,
}

#[derive(Debug)]
pub(super) struct CountedMuk {
    muk: Muk,
    print: MukPrint,
    pub(super) counter: Option<u32>,
}

/// Tells client keys apart without being one: what a counter is kept under when the key is not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct MukPrint(pub(super) [u8; 16]);

impl MukPrint {
    pub(super) fn of(muk: &Muk) -> Self {
        let digest = mac::<Hmac<Sha256>>(muk.0.expose(), &[b"mcast-srtp print of a MUK"]);
        Self(digest.first_chunk().copied().unwrap_or_default())
    }
}

impl CountedMuk {
    pub(super) const fn new(muk: Muk, print: MukPrint, counter: Option<u32>) -> Self {
        Self { muk, print, counter }
    }

    fn authenticate(
        &mut self,
        message: &Message<'_>,
        kemac: &Kemac<'_>,
        counter: u32,
        rand: &[u8],
    ) -> Result<(MessageKeys, MukPrint), Reject> {
        counter_is_newer(counter, self.counter)?;
        let header = message.header();
        let algorithms = algorithms(message, kemac);
        let proof = (&[message.without_mac()][..], kemac.mac);
        let muk = self.muk.0.expose();
        let keys = MessageKeys::derive_verified(muk, rand, header.csb, algorithms, proof)?;
        self.counter = Some(counter);
        Ok((keys, self.print))
    }
}

impl HeldMuk {
    pub(super) const fn new(current: CountedMuk) -> Self {
        Self { current, former: None }
    }

    /// Puts a key in place of the current one.
    pub(super) fn replace(&mut self, next: CountedMuk) {
        if self.current.muk.same_as(&next.muk) {
            return;
        }
        let known = self.former.take_if(|former| former.muk.same_as(&next.muk));
        let replaced = std::mem::replace(&mut self.current, known.unwrap_or(next));
        // A key that no message has confirmed does not drive out the one that the server uses.
        if replaced.counter.is_some() || self.former.is_none() {
            self.former = Some(replaced);
        }
    }

    /// TS 33.246 §6.4.6.1: counter, MAC, and only then the counter moves. Also tells which key it was.
    pub(super) fn authenticate(
        &mut self,
        message: &Message<'_>,
        kemac: &Kemac<'_>,
        counter: u32,
        rand: &[u8],
    ) -> Result<(MessageKeys, MukPrint), Reject> {
        match self.current.authenticate(message, kemac, counter, rand) {
            Ok(authentic) => {
                self.former = None;
                Ok(authentic)
            }
            Err(reject) => match &mut self.former {
                Some(former) => {
                    former.authenticate(message, kemac, counter, rand).map_err(|of_former| {
                        if reject == Reject::KeyAuthFailed { of_former } else { reject }
                    })
                }
                None => Err(reject),
            },
        }
    }
}

/// A service key with what has been accepted under it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) msk_id: MskId,
    pub(super) msk: Msk,
    pub(super) interval: Interval,
    pub(super) profile: Profile,
    pub(super) sessions: Arc<[CryptoSession]>,
    pub(super) last_mtk: Option<MtkId>,
    pub(super) counter: Option<u32>,
    /// Keys of the bundle in use, derived once.
    pub(super) keys: Option<MessageKeys>,
    /// The last accepted MTK message, to tell its repeats from replays.
    pub(super) last_message: Box<[u8]>,
}

impl Entry {
    /// TS 33.246 §6.4.6.2: the MAC. The keys are those of the last message if the bundle is the same,
    /// so that the usual cost is one HMAC over the message.
    pub(super) fn authenticate(
        &mut self,
        message: &Message<'_>,
        kemac: &Kemac<'_>,
    ) -> Result<MessageKeys, Reject> {
        let (csb, algorithms) = (message.header().csb, algorithms(message, kemac));
        let proof @ (pieces, mac) = (&[message.without_mac()][..], kemac.mac);
        let are_kept = |keys: &MessageKeys| keys.are_for(csb, algorithms);
        if let Some(kept) = self.keys.as_ref().filter(|keys| are_kept(keys)) {
            kept.verify(pieces, mac)?;
        }
        if let Some(kept) = self.keys.take_if(|keys| are_kept(keys)) {
            return Ok(kept);
        }
        let Msk { key, rand } = &self.msk;
        MessageKeys::derive_verified(key.expose(), rand, csb, algorithms, proof)
    }
}
