//! Who is served: each client's MUK, the counter under it, and the way to reach the client.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Undelivered;
use crate::{
    broadcast::ChannelId,
    error::Error,
    ids::name,
    keys::{Muk, MukId},
    record::Noted,
};

name! {
    /// Name of a PoC client at the key server; not the B-TID, which changes with each
    /// bootstrapping.
    ClientId
}

/// How MSK messages get to a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// As MIKEY in UDP, to this address; the port is in general [`super::MIKEY_PORT`].
    Udp(SocketAddr),
    /// As `a=key-mgmt:mikey` in the SDP of its SIP session (RFC 4567).
    Sdp,
}

/// One client: what the roster knows of it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) muk_id: MukId,
    pub(super) muk: Arc<Muk>,
    pub(super) reach: Reach,
    /// Channels in which messages may be under way to this client.
    pub(super) channels: BTreeSet<ChannelId>,
    last_counter: u32,
}

impl Client {
    /// Whether this is its MUK, in constant time.
    pub(super) fn has(&self, muk: &Muk) -> bool {
        self.muk.0.expose().ct_eq(muk.0.expose()).into()
    }

    /// The last counter used, 0 if there is none.
    pub(super) const fn last_counter(&self) -> u32 {
        self.last_counter
    }
}

/// All clients, by name and by address.
#[derive(Debug, Default)]
pub(super) struct Roster {
    pub(super) clients: BTreeMap<ClientId, Client>,
    /// Clients whose MUK or reach is to be kept.
    pub(super) changed: Noted<ClientId>,
    /// Clients whose counter is to be kept.
    pub(super) counted: Noted<ClientId>,
    by_address: BTreeMap<SocketAddr, BTreeSet<ClientId>>,
    by_identity: BTreeMap<String, BTreeSet<ClientId>>,
    by_muk: BTreeMap<Fingerprint, ClientId>,
    /// The highest counter under any MUK that was removed or replaced. Every MUK that comes begins
    /// above it, so that one that was here before repeats none; terminals take any higher counter.
    pub(super) floor: u32,
    /// The floor is to be kept.
    pub(super) floor_changed: Noted<()>,
}

/// SHA-256 of a MUK: tells it from others, and nothing else of it.
type Fingerprint = [u8; 32];

fn fingerprint(muk: &Muk) -> Fingerprint {
    Sha256::digest(muk.0.expose()).into()
}

impl Roster {
    /// Enters a client. `last_counter` is that of its record, if it has one.
    pub(super) fn add(
        &mut self,
        id: &ClientId,
        muk_id: MukId,
        muk: Arc<Muk>,
        reach: Reach,
        last_counter: Option<u32>,
    ) -> Result<(), Error> {
        if self.clients.contains_key(id) {
            return Err(Error::invalid(format!(
                "client {id} is on the roster already; renew its MUK or move it instead"
            )));
        }
        id.check()?;
        self.check_identities(id, &muk_id)?;
        self.check_muk(id, &muk)?;
        self.index(id, &muk_id, reach);
        self.by_muk.insert(fingerprint(&muk), id.clone());
        let last_counter = last_counter.unwrap_or(self.floor);
        let client = Client { muk_id, muk, reach, channels: BTreeSet::new(), last_counter };
        self.clients.insert(id.clone(), client);
        self.note(id);
        Ok(())
    }

    /// Replaces the MUK after a new bootstrapping. The counter goes on.
    pub(super) fn renew(&mut self, id: &ClientId, muk_id: MukId, muk: Muk) -> Result<(), Error> {
        self.check_identities(id, &muk_id)?;
        self.check_muk(id, &muk)?;
        let former = Arc::clone(&self.get_mut(id)?.muk);
        self.retire(&former, id);
        self.by_muk.insert(fingerprint(&muk), id.clone());
        let floor = self.floor;
        let client = self.get_mut(id)?;
        (client.muk, client.last_counter) = (Arc::new(muk), floor);
        let reach = client.reach;
        let former = std::mem::replace(&mut client.muk_id, muk_id.clone());
        self.unindex(id, &former, reach);
        self.index(id, &muk_id, reach);
        self.note(id);
        Ok(())
    }

    /// Another way to the same client.
    pub(super) fn relocate(&mut self, id: &ClientId, reach: Reach) -> Result<(), Error> {
        let client = self.get_mut(id)?;
        let muk_id = client.muk_id.clone();
        let former = std::mem::replace(&mut client.reach, reach);
        self.unindex(id, &muk_id, former);
        self.index(id, &muk_id, reach);
        self.changed.note(id);
        Ok(())
    }

    /// Strikes a client from the roster. Returns the channels it is in.
    pub(super) fn remove(&mut self, id: &ClientId) -> Result<BTreeSet<ChannelId>, Error> {
        let former = Arc::clone(&self.get_mut(id)?.muk);
        self.retire(&former, id);
        let Some(client) = self.clients.remove(id) else { return Ok(BTreeSet::new()) };
        self.unindex(id, &client.muk_id, client.reach);
        self.note(id);
        Ok(client.channels)
    }

    /// A client's MUK goes: no other begins below its counter.
    fn retire(&mut self, muk: &Muk, id: &ClientId) {
        self.by_muk.remove(&fingerprint(muk));
        let last_counter = self.get(id).map_or(0, Client::last_counter);
        if last_counter > self.floor {
            self.floor = last_counter;
            self.floor_changed.note(&());
        }
    }

    /// All that is here has been read from records.
    pub(super) fn restored(&mut self, floor: u32) {
        self.floor = floor;
        (self.changed, self.counted) = (Noted::nothing(), Noted::nothing());
        self.floor_changed = Noted::nothing();
    }

    /// The next value of T for a message under this client's MUK, and the client.
    //= TS 33.246 §6.4.6.1: one counter per MUK, rising with each message under it
    //= RFC 3830 §5.2: the same counter under the same key never protects different contents
    pub(super) fn next_counter(&mut self, id: &ClientId) -> Result<(&Client, u32), Undelivered> {
        let client = self.clients.get_mut(id).ok_or(Undelivered::NotOnRoster)?;
        let next = client.last_counter.checked_add(1).ok_or(Undelivered::CountersUsedUp)?;
        client.last_counter = next;
        self.counted.note(id);
        Ok((client, next))
    }

    fn note(&mut self, id: &ClientId) {
        self.changed.note(id);
        self.counted.note(id);
    }

    pub(super) fn get(&self, id: &ClientId) -> Option<&Client> {
        self.clients.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &ClientId) -> Result<&mut Client, Error> {
        self.clients.get_mut(id).ok_or_else(|| {
            Error::invalid(format!("client {id} is not on the roster; add it with its MUK first"))
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ClientId, &Client)> {
        self.clients.iter()
    }

    /// Clients that are reached at this address.
    pub(super) fn at(&self, address: SocketAddr) -> impl Iterator<Item = &ClientId> {
        self.by_address.get(&address).into_iter().flatten()
    }

    /// Clients with this IDr (B-TID).
    pub(super) fn named(&self, idr: &str) -> impl Iterator<Item = &ClientId> {
        self.by_identity.get(idr).into_iter().flatten()
    }

    fn check_identities(&self, id: &ClientId, muk_id: &MukId) -> Result<(), Error> {
        //= RFC 3830 §6.7: the length of an identity has 16 bits
        if muk_id.idi.len().max(muk_id.idr.len()) > usize::from(u16::MAX) {
            return Err(Error::invalid(format!(
                "the MUK of client {id} has an identity of more than 65535 octets"
            )));
        }
        //= TS 31.102 §4.2.81: IDi and IDr together select one MUK
        match self.named(&muk_id.idr).find(|other| {
            *other != id && self.get(other).is_some_and(|client| client.muk_id == *muk_id)
        }) {
            Some(other) => Err(Error::invalid(format!(
                "the MUK of client {id} has the identities of client {other}'s; give each its own B-TID"
            ))),
            None => Ok(()),
        }
    }

    /// Two clients under one MUK would use each other's counters.
    fn check_muk(&self, id: &ClientId, muk: &Muk) -> Result<(), Error> {
        match self.by_muk.get(&fingerprint(muk)).filter(|owner| *owner != id) {
            Some(owner) => Err(Error::invalid(format!(
                "the MUK of client {id} is that of client {owner}; bootstrap one of them again"
            ))),
            None => Ok(()),
        }
    }

    fn index(&mut self, id: &ClientId, muk_id: &MukId, reach: Reach) {
        if let Reach::Udp(address) = reach {
            self.by_address.entry(address).or_default().insert(id.clone());
        }
        self.by_identity.entry(muk_id.idr.clone()).or_default().insert(id.clone());
    }

    fn unindex(&mut self, id: &ClientId, muk_id: &MukId, reach: Reach) {
        if let Reach::Udp(address) = reach
            && let Some(clients) = self.by_address.get_mut(&address)
        {
            clients.remove(id);
            if clients.is_empty() {
                self.by_address.remove(&address);
            }
        }
        if let Some(clients) = self.by_identity.get_mut(&muk_id.idr) {
            clients.remove(id);
            if clients.is_empty() {
                self.by_identity.remove(&muk_id.idr);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn muk_id(idr: &str) -> MukId {
        MukId { idi: "bmsc.example".to_owned(), idr: idr.to_owned() }
    }

    fn muk(byte: u8) -> Muk {
        Muk(Secret::new([byte; 32]))
    }

    fn roster_of_one() -> (Roster, ClientId) {
        let (mut roster, c1) = (Roster::default(), ClientId::from("c1"));
        roster.add(&c1, muk_id("b1@bsf"), Arc::new(muk(1)), Reach::Sdp, None).unwrap();
        (roster, c1)
    }

    fn next(roster: &mut Roster, id: &ClientId) -> Option<u32> {
        roster.next_counter(id).ok().map(|(_, counter)| counter)
    }

    #[test]
    fn counter_never_repeats_when_a_muk_comes_back_there_and_back_or_under_another_name() {
        let (mut roster, c1) = roster_of_one();
        assert_eq!(next(&mut roster, &c1), Some(1));
        for (byte, counter) in [(1, 2), (2, 3), (1, 4)] {
            roster.renew(&c1, muk_id(&format!("b{byte}@bsf")), muk(byte)).unwrap();
            assert_eq!(next(&mut roster, &c1), Some(counter), "MUK {byte}");
        }
        assert_eq!((roster.named("b1@bsf").count(), roster.named("b2@bsf").count()), (1, 0));
        roster.remove(&c1).unwrap();
        let c2 = ClientId::from("c2");
        roster.add(&c2, muk_id("b3@bsf"), Arc::new(muk(2)), Reach::Sdp, None).unwrap();
        assert_eq!(next(&mut roster, &c2), Some(5));
    }

    #[test]
    fn two_clients_never_share_a_muk() {
        let (mut roster, c1) = roster_of_one();
        let c2 = ClientId::from("c2");
        let add = |roster: &mut Roster, byte| {
            roster.add(&c2, muk_id("b2@bsf"), Arc::new(muk(byte)), Reach::Sdp, None)
        };
        assert!(add(&mut roster, 1).unwrap_err().to_string().contains("that of client c1"));
        add(&mut roster, 2).unwrap();
        assert!(roster.renew(&c1, muk_id("b1@bsf"), muk(2)).is_err());
        roster.renew(&c1, muk_id("b1@bsf"), muk(3)).unwrap();
        roster.renew(&c2, muk_id("b2@bsf"), muk(1)).unwrap();
    }

    #[test]
    fn counter_ends_instead_of_wrapping() {
        let mut roster = Roster::default();
        let c1 = ClientId::from("c1");
        roster.add(&c1, muk_id("b1"), Arc::new(muk(1)), Reach::Sdp, Some(u32::MAX - 1)).unwrap();
        assert_eq!(next(&mut roster, &c1), Some(u32::MAX));
        assert_eq!((next(&mut roster, &c1), next(&mut roster, &c1)), (None, None));
    }

    #[test]
    fn two_clients_never_share_the_identities_of_a_muk() {
        let (mut roster, _) = roster_of_one();
        let c2 = ClientId::from("c2");
        let added = roster.add(&c2, muk_id("b1@bsf"), Arc::new(muk(2)), Reach::Sdp, None);
        assert!(added.unwrap_err().to_string().contains("client c1"));
        assert!(roster.get(&c2).is_none());
    }

    #[test]
    fn moved_client_is_found_at_its_new_address_only() {
        let (mut roster, c1) = roster_of_one();
        let (old, new) = ("192.0.2.1:2269".parse().unwrap(), "192.0.2.2:2269".parse().unwrap());
        roster.relocate(&c1, Reach::Udp(old)).unwrap();
        roster.relocate(&c1, Reach::Udp(new)).unwrap();
        assert_eq!((roster.at(old).count(), roster.at(new).count()), (0, 1));
    }
}
