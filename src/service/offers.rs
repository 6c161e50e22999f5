//! SDP offers for a SIP stack to take: the newest of each member that is reached by SDP.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    broadcast::ChannelId,
    ids::MskId,
    keyserver::{ClientId, MskMessage},
};

/// An MSK message on its way in an SDP offer.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offer {
    /// The MSK it delivers or deletes.
    pub msk_id: MskId,
    /// The counter of the message; rises from offer to offer.
    pub counter: u32,
    /// The attribute line `a=key-mgmt:mikey …` for the session level, without a line end.
    pub key_mgmt: String,
    /// The whole session description, if the channel has a template for it.
    pub sdp: Option<String>,
}

/// The offers that wait to be taken, or to be answered.
#[derive(Debug, Default)]
pub(super) struct Offers(Mutex<BTreeMap<(ChannelId, ClientId), Arc<Offer>>>);

impl Offers {
    /// Puts an offer in the place of the one before.
    pub(super) fn put(&self, message: &MskMessage, template: Option<&str>) {
        let offer = Offer {
            msk_id: message.msk_id,
            counter: message.counter,
            key_mgmt: message.key_mgmt_line(),
            // A template that cannot hold the message is refused when the channel is opened.
            sdp: template.and_then(|template| message.in_sdp(template).ok()),
        };
        let place = (message.channel.clone(), message.client.clone());
        self.lock().insert(place, Arc::new(offer));
    }

    pub(super) fn get(&self, channel: &ChannelId, client: &ClientId) -> Option<Arc<Offer>> {
        self.lock().get(&(channel.clone(), client.clone())).cloned()
    }

    /// The client has answered, or is to get nothing more.
    pub(super) fn withdraw(&self, channel: &ChannelId, client: &ClientId) {
        self.lock().remove(&(channel.clone(), client.clone()));
    }

    /// The client has left the roster, or is reached in another way.
    pub(super) fn withdraw_all(&self, client: &ClientId) {
        self.lock().retain(|(_, of), _| of != client);
    }

    /// The client has confirmed this MSK: no offer of it is needed any more.
    pub(super) fn settle(&self, channel: &ChannelId, client: &ClientId, msk_id: MskId) {
        let mut offers = self.lock();
        let place = (channel.clone(), client.clone());
        if offers.get(&place).is_some_and(|offer| offer.msk_id == msk_id) {
            offers.remove(&place);
        }
    }

    /// The MSK was destroyed: nobody is to be given it any more.
    pub(super) fn forget(&self, channel: &ChannelId, msk_id: MskId) {
        self.lock().retain(|(of, _), offer| of != channel || offer.msk_id != msk_id);
    }

    /// The channel was closed.
    pub(super) fn close(&self, channel: &ChannelId) {
        self.lock().retain(|(of, _), _| of != channel);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(ChannelId, ClientId), Arc<Offer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
