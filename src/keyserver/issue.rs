//! MSKs made and MSK messages sealed.
//!
//! A key number serves once in its key group, an MSK has one RAND for life, and each message to a
//! client takes the next counter of that client's MUK.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Instant};

use super::{
    Action, ChannelSpec, ClientId, Reach, Undelivered,
    roster::Roster,
    schedule::{Agenda, Retry, Timing},
};
use crate::{
    broadcast::{BroadcasterId, ChannelId},
    error::Error,
    ids::{CsbId, KeyDomainId, MskId, MtkId, Roc, Ssrc},
    keys::{
        CryptoSession, Interval, Msk,
        issue::{MskForm, MskIssue, seal_solicited_pull},
    },
    record::NotedMap,
    secret::SecretBytes,
    srtp::Profile,
};

/// One MSK message, ready to go out.
#[derive(Debug)]
#[non_exhaustive]
pub struct MskMessage {
    /// The channel it belongs to.
    pub channel: ChannelId,
    /// Whose message it is: nobody else can open it.
    pub client: ClientId,
    /// How it travels.
    pub to: Route,
    /// What it is for.
    pub purpose: Purpose,
    /// The MSK it delivers or deletes; key number 0 in a solicited pull.
    pub msk_id: MskId,
    /// The value of its T payload.
    pub counter: u32,
    /// The MIKEY message.
    pub octets: Vec<u8>,
}

/// What an MSK message is for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// It gives the client the MSK.
    Deliver,
    /// It tells the client to delete the MSK (SEQl > SEQu), which will never be used.
    Delete,
    /// It asks the client to request the MSK (solicited pull), and carries none.
    Solicit,
}

impl Purpose {
    /// The name, in snake case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Delete => "delete",
            Self::Solicit => "solicit",
        }
    }
}

/// How an MSK message travels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Route {
    /// In a UDP datagram to this address.
    Udp(SocketAddr),
    /// In the SDP of a new offer to the client; its answer carries the verification message.
    SdpOffer,
    /// In the SDP answer to the client's own offer; no verification message comes back.
    SdpAnswer,
}

/// An MSK as the key server keeps it.
#[derive(Debug)]
pub(super) struct IssuedMsk {
    pub(super) id: MskId,
    pub(super) msk: Arc<Msk>,
    pub(super) interval: Interval,
    /// The broadcasters among which its MTK IDs are divided, for as long as it lives.
    pub(super) broadcasters: Vec<BroadcasterId>,
}

impl IssuedMsk {
    /// Draws a key and its RAND.
    pub(super) fn draw(id: MskId, spec: &ChannelSpec, random: &mut dyn FnMut(&mut [u8])) -> Self {
        let key = SecretBytes::fresh(spec.msk_len, random);
        //= RFC 3830 §6.11: at least 16 octets, one RAND for every member of the bundle
        let mut rand = vec![0; RAND_LEN];
        random(&mut rand);
        let (interval, broadcasters) = (spec.mtk_ids, spec.broadcasters.clone());
        Self { id, msk: Arc::new(Msk { key, rand }), interval, broadcasters }
    }
}

impl IssuedMsk {
    /// What is left of an MSK that will never be used: enough to tell clients to delete it. Its RAND is
    /// no secret; instead of the key there are zeros.
    pub(super) fn without_key(&self) -> Self {
        let key = SecretBytes::new(&vec![0; self.msk.key.len()]);
        let msk = Arc::new(Msk { key, rand: self.msk.rand.clone() });
        Self { id: self.id, msk, interval: self.interval, broadcasters: Vec::new() }
    }
}

/// The last key number used in each key group, of open channels and of closed ones.
#[derive(Debug, Default)]
pub(super) struct KeyNumbers(pub(super) NotedMap<(KeyDomainId, u16), u16>);

impl KeyNumbers {
    /// The next MSK ID of a key group.
    //= TS 33.246 §6.3.2.1: a new MSK of a group has a new key number; 0000 is no key
    pub(super) fn take(&mut self, domain: KeyDomainId, group: u16) -> Result<MskId, Error> {
        let last = self.0.get(&(domain, group)).unwrap_or(0);
        let number = last.checked_add(1).ok_or_else(|| {
            Error::invalid(format!(
                "key group {group:04x} of key domain {domain} has used all its 65535 key numbers; \
                 close the channel and open it with another key group"
            ))
        })?;
        self.0.insert((domain, group), number);
        Ok(MskId { group, number })
    }
}

/// What every MSK message of a channel says alike.
#[derive(Debug)]
pub(super) struct Heading {
    pub(super) channel: ChannelId,
    pub(super) domain: KeyDomainId,
    pub(super) profile: Profile,
    sessions: Vec<CryptoSession>,
    /// What each broadcaster has said last, in the order of SSRCs.
    reported: BTreeMap<Option<BroadcasterId>, Vec<CryptoSession>>,
    /// Policy and map encoded, if they can be.
    form: Option<MskForm>,
}

impl Heading {
    pub(super) fn new(channel: ChannelId, domain: KeyDomainId, profile: Profile) -> Self {
        let sessions = vec![ANY_STREAM];
        let form = MskForm::new(&profile, &sessions).ok();
        Self { channel, domain, profile, sessions, reported: BTreeMap::new(), form }
    }

    /// Takes the streams of one broadcaster for the SRTP-ID map; the wildcard stays, for talkers to come.
    /// Tells whether they are others than it had before.
    pub(super) fn set_streams(
        &mut self,
        broadcaster: Option<&BroadcasterId>,
        streams: &[CryptoSession],
    ) -> bool {
        // A broadcaster gives those heard last first; who was heard last changes all the time.
        let mut streams = streams.get(..MAX_STREAMS).unwrap_or(streams).to_vec();
        streams.sort_by_key(|stream| stream.ssrc);
        let known = self.reported.entry(broadcaster.cloned()).or_default();
        if *known == streams {
            return false;
        }
        *known = streams;
        self.merge_streams();
        true
    }

    /// Forgets the streams of broadcasters that are not named; tells whether there were any.
    pub(super) fn keep_streams_of(&mut self, named: &[BroadcasterId]) -> bool {
        let before = self.reported.len();
        self.reported.retain(|name, _| name.as_ref().is_none_or(|name| named.contains(name)));
        self.merge_streams();
        self.reported.len() != before
    }

    /// The streams that each broadcaster has told last.
    pub(super) const fn reported(&self) -> &BTreeMap<Option<BroadcasterId>, Vec<CryptoSession>> {
        &self.reported
    }

    /// A stream that several broadcasters send has the highest rollover counter of all.
    fn merge_streams(&mut self) {
        let mut merged = BTreeMap::<Ssrc, CryptoSession>::new();
        for stream in self.reported.values().flatten() {
            let known = merged.entry(stream.ssrc).or_insert(*stream);
            known.roc = known.roc.max(stream.roc);
        }
        self.sessions = merged.into_values().take(MAX_STREAMS).chain([ANY_STREAM]).collect();
        self.form = MskForm::new(&self.profile, &self.sessions).ok();
    }
}

/// What one call has to work with, and the actions it leaves behind.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) roster: &'a mut Roster,
    pub(super) agenda: &'a mut Agenda,
    pub(super) timing: &'a Timing,
    pub(super) now: Instant,
    pub(super) actions: Vec<Action>,
}

impl<'a> Desk<'a> {
    pub(super) const fn new(
        roster: &'a mut Roster,
        agenda: &'a mut Agenda,
        timing: &'a Timing,
        now: Instant,
    ) -> Self {
        Self { roster, agenda, timing, now, actions: Vec::new() }
    }

    /// Seals one copy and puts it among the actions. Returns its counter and how it is repeated, or
    /// why there is none.
    pub(super) fn send(
        &mut self,
        heading: &Heading,
        client_id: &ClientId,
        purpose: Purpose,
        issued: &IssuedMsk,
        in_answer: bool,
    ) -> Result<(u32, Retry), Undelivered> {
        let form = heading.form.as_ref().ok_or(Undelivered::NotEncodable)?;
        let (client, counter) = self.roster.next_counter(client_id)?;
        let retry = self.timing.retry(client.reach);
        let to = match client.reach {
            _ if in_answer => Route::SdpAnswer,
            Reach::Udp(address) => Route::Udp(address),
            Reach::Sdp => Route::SdpOffer,
        };
        let (domain, msk_id) = (heading.domain, purpose.names(issued.id));
        let octets = match purpose {
            Purpose::Solicit => {
                // Nothing is encrypted, and the counter is new: the RAND may be that of the MSK.
                let (muk_id, muk, rand) = (&client.muk_id, &client.muk, &issued.msk.rand);
                seal_solicited_pull(domain, msk_id.group, counter, muk_id, muk, rand)
            }
            Purpose::Deliver | Purpose::Delete => form.seal(
                &MskIssue {
                    domain,
                    msk_id,
                    msk: &issued.msk,
                    interval: purpose.interval(issued),
                    counter,
                    csb: CsbId(0),
                    muk_id: &client.muk_id,
                    // An answer has no further message in which an R_MESSAGE could come back.
                    verify: !in_answer,
                    profile: heading.profile,
                    sessions: &heading.sessions,
                    sdp_ids: match to {
                        Route::Udp(_) => None,
                        //= RFC 4567 §4.1.4: the list of protocol identifiers travels under the MAC
                        Route::SdpOffer | Route::SdpAnswer => Some("mikey"),
                    },
                },
                &client.muk,
            ),
        }
        .map_err(|_| Undelivered::NotEncodable)?;
        self.actions.push(Action::SendMsk(MskMessage {
            channel: heading.channel.clone(),
            client: client_id.clone(),
            to,
            purpose,
            msk_id,
            counter,
            octets,
        }));
        Ok((counter, retry))
    }

    /// How messages to this client are repeated.
    pub(super) fn retry(&self, client: &ClientId) -> Retry {
        self.timing.retry(self.roster.get(client).map_or(Reach::Sdp, |client| client.reach))
    }
}

impl Purpose {
    /// The MSK ID in the message.
    //= TS 33.246 §6.3.2.2.4: key number 0000 stands for the MSK that the client is to request
    const fn names(self, msk_id: MskId) -> MskId {
        match self {
            Self::Deliver | Self::Delete => msk_id,
            Self::Solicit => MskId { number: 0, ..msk_id },
        }
    }

    const fn interval(self, issued: &IssuedMsk) -> Interval {
        match self {
            //= TS 33.246 §6.3.2.2: SEQl > SEQu makes the terminal delete the MSK
            Self::Delete => Interval { low: MtkId(1), high: MtkId(0) },
            Self::Deliver | Self::Solicit => issued.interval,
        }
    }
}

/// Length of the RAND of an MSK.
const RAND_LEN: usize = 16;

/// Records of the SRTP-ID map beside the wildcard: the map counts to 255 (RFC 3830 §6.1).
const MAX_STREAMS: usize = 254;

/// SSRC 0: policy and ROC 0 apply to any stream that the map does not name.
const ANY_STREAM: CryptoSession = CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(0) };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_numbers_run_from_1_to_the_last_and_end_in_an_error() {
        let (mut numbers, domain) = (KeyNumbers::default(), KeyDomainId([0, 0xf1, 0x10]));
        assert_eq!(numbers.take(domain, 7).unwrap(), MskId { group: 7, number: 1 });
        numbers.0.insert((domain, 7), 0xfffe);
        assert_eq!(numbers.take(domain, 7).unwrap().number, 0xffff);
        assert!(numbers.take(domain, 7).unwrap_err().to_string().contains("another key group"));
        assert!(numbers.take(domain, 7).is_err());
        assert_eq!(numbers.take(domain, 8).unwrap(), MskId { group: 8, number: 1 });
    }

    #[test]
    fn map_never_outgrows_its_count_octet() {
        let mut heading = Heading::new("17".into(), KeyDomainId::default(), Profile::default());
        let stream = |n| CryptoSession { policy: 0, ssrc: Ssrc(n), roc: Roc(n) };
        assert!(heading.set_streams(None, &(1..=300).map(stream).collect::<Vec<_>>()));
        assert_eq!(heading.sessions.len(), 255);
        assert_eq!(heading.sessions.last(), Some(&ANY_STREAM));
    }
}
