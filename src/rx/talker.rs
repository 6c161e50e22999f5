//! Who talks in one group, as a listener sees it: idle, or somebody is talking.
//!
//! Fed with what a lane delivered, in any order: burst control and media race each other. The talker is
//! known for sure while the server announces it; lost announcements are made up for by the media
//! itself, and by its end. No sockets; the time is an argument.

use std::{
    array, iter,
    time::{Duration, Instant},
};

use crate::{error::Reject, ids::Ssrc, wire::burst::BurstEvent};

/// How long to wait, and for whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TalkerSettings {
    /// Silence after which a burst is over although nobody said so: timer T13 of PoC, by default 4 s.
    pub end_of_media: Duration,
    /// How long media may trail the end of its burst without starting a new one, by default 200 ms.
    pub reordering: Duration,
    /// Whether media of somebody else than the talker is accepted, by default not.
    pub accept_others: bool,
}

impl Default for TalkerSettings {
    fn default() -> Self {
        Self {
            end_of_media: Duration::from_secs(4),
            reordering: Duration::from_millis(200),
            accept_others: false,
        }
    }
}

/// Follows the bursts of one group.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use mcast_srtp::ids::Ssrc;
/// use mcast_srtp::rx::{Talker, TalkerChange, TalkerSettings};
///
/// let (start, alice) = (Instant::now(), Ssrc(7));
/// let mut talker = Talker::new(TalkerSettings::default());
/// let began = TalkerChange::Began { talker: alice, announced: false };
/// assert!(talker.media(alice, start)?.eq([began]));
/// let ended = TalkerChange::Ended { talker: alice, inferred: true };
/// assert!(talker.tick(start + Duration::from_secs(4)).eq([ended]));
/// # Ok::<(), mcast_srtp::Reject>(())
/// ```
#[derive(Clone, Debug)]
pub struct Talker {
    settings: TalkerSettings,
    current: Option<Current>,
    /// The talker before, and when its end was announced.
    former: Option<(Ssrc, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    talker: Ssrc,
    announced: bool,
    /// When the burst is over, unless there is another sign of life.
    deadline: Instant,
}

impl Talker {
    /// Nobody talks.
    #[must_use]
    pub const fn new(settings: TalkerSettings) -> Self {
        Self { settings, current: None, former: None }
    }

    /// Takes burst control. Messages that do not say who talks change nothing.
    pub fn burst(&mut self, event: &BurstEvent<'_>, now: Instant) -> TalkerChanges {
        let expired = self.expire(now);
        match event {
            BurstEvent::Taken(taken) => {
                let (ended, began) = self.taken(taken.talker, now);
                TalkerChanges::new(expired.or(ended), began)
            }
            // After a disconnect there is nothing to listen to either.
            BurstEvent::Idle | BurstEvent::Disconnected => {
                TalkerChanges::new(expired, self.end(now))
            }
            _ => TalkerChanges::new(expired, None),
        }
    }

    /// Takes the arrival of an authenticated media packet.
    ///
    /// # Errors
    /// [`Reject::NotTalking`] if somebody else has the burst: the packet should not be played.
    pub fn media(&mut self, ssrc: Ssrc, now: Instant) -> Result<TalkerChanges, Reject> {
        let expired = self.expire(now);
        let deadline = now + self.settings.end_of_media;
        let trails = self.trails(ssrc, now);
        match &mut self.current {
            Some(current) if current.talker == ssrc => current.deadline = deadline,
            _ if trails => {}
            Some(_) if self.settings.accept_others => {}
            Some(_) => return Err(Reject::NotTalking),
            None => {
                let began = self.begin(ssrc, false, now);
                return Ok(TalkerChanges::new(expired, Some(began)));
            }
        }
        Ok(TalkerChanges::new(expired, None))
    }

    /// Takes an RTCP BYE of a source.
    pub fn bye(&mut self, ssrc: Ssrc, now: Instant) -> TalkerChanges {
        let expired = self.expire(now);
        let ended = if self.current() == Some(ssrc) { self.end(now) } else { None };
        TalkerChanges::new(expired, ended)
    }

    /// Ends a burst whose media has stopped. Call it at [`Talker::deadline`], or now and then.
    pub fn tick(&mut self, now: Instant) -> TalkerChanges {
        TalkerChanges::new(self.expire(now), None)
    }

    /// When [`Talker::tick`] will have something to do, unless something arrives before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.current.map(|current| current.deadline)
    }

    /// Who talks.
    #[must_use]
    pub fn current(&self) -> Option<Ssrc> {
        self.current.map(|current| current.talker)
    }

    /// A repeated announcement refreshes the burst; another talker's ends it.
    fn taken(
        &mut self,
        talker: Ssrc,
        now: Instant,
    ) -> (Option<TalkerChange>, Option<TalkerChange>) {
        match &mut self.current {
            Some(current) if current.talker == talker => {
                current.deadline = now + self.settings.end_of_media;
                let known = std::mem::replace(&mut current.announced, true);
                (None, (!known).then_some(TalkerChange::Announced { talker }))
            }
            _ => {
                let ended = self.end(now);
                (ended, Some(self.begin(talker, true, now)))
            }
        }
    }

    fn begin(&mut self, talker: Ssrc, announced: bool, now: Instant) -> TalkerChange {
        let deadline = now + self.settings.end_of_media;
        self.current = Some(Current { talker, announced, deadline });
        TalkerChange::Began { talker, announced }
    }

    fn end(&mut self, now: Instant) -> Option<TalkerChange> {
        let Current { talker, .. } = self.current.take()?;
        self.former = Some((talker, now));
        Some(TalkerChange::Ended { talker, inferred: false })
    }

    fn expire(&mut self, now: Instant) -> Option<TalkerChange> {
        let Current { talker, .. } = self.current.take_if(|current| current.deadline <= now)?;
        self.former = None;
        Some(TalkerChange::Ended { talker, inferred: true })
    }

    /// Whether media of this source still belongs to the burst that has just ended.
    fn trails(&self, ssrc: Ssrc, now: Instant) -> bool {
        self.former.is_some_and(|(former, ended)| {
            former == ssrc && now.saturating_duration_since(ended) < self.settings.reordering
        })
    }
}

/// Something a listener should know about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TalkerChange {
    /// A burst began.
    Began {
        /// SSRC of the talker's media.
        talker: Ssrc,
        /// Whether the server announced it; otherwise its media came first, and the name is not known.
        announced: bool,
    },
    /// The server announced a talker whose media had come first.
    Announced {
        /// SSRC of the talker's media.
        talker: Ssrc,
    },
    /// A burst ended.
    Ended {
        /// SSRC of the talker's media.
        talker: Ssrc,
        /// Whether nobody said so: the media stopped.
        inferred: bool,
    },
}

/// What changed, in this order: nothing, or one or two things when a talker takes over from another.
#[derive(Clone, Debug)]
pub struct TalkerChanges(iter::Flatten<array::IntoIter<Option<TalkerChange>, 2>>);

impl TalkerChanges {
    fn new(first: Option<TalkerChange>, second: Option<TalkerChange>) -> Self {
        Self([first, second].into_iter().flatten())
    }
}

impl Iterator for TalkerChanges {
    type Item = TalkerChange;

    fn next(&mut self) -> Option<TalkerChange> {
        self.0.next()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::wire::burst::Taken;

    const ALICE: Ssrc = Ssrc(0xa);
    const BOB: Ssrc = Ssrc(0xb);

    fn taken(talker: Ssrc) -> BurstEvent<'static> {
        BurstEvent::Taken(Taken { talker, ..Taken::default() })
    }

    const fn began(talker: Ssrc, announced: bool) -> TalkerChange {
        TalkerChange::Began { talker, announced }
    }

    const fn ended(talker: Ssrc, inferred: bool) -> TalkerChange {
        TalkerChange::Ended { talker, inferred }
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// A group in which Alice talks, announced, since the returned moment.
    fn alice_talks() -> (Talker, Instant) {
        let (mut talker, start) = (Talker::new(TalkerSettings::default()), Instant::now());
        assert!(talker.burst(&taken(ALICE), start).eq([began(ALICE, true)]));
        (talker, start)
    }

    #[test]
    fn repeated_announcement_is_no_new_burst() {
        let (mut talker, start) = alice_talks();
        assert!(talker.burst(&taken(ALICE), start + ms(3999)).eq([]));
        assert_eq!(talker.deadline(), Some(start + ms(7999)));
        assert_eq!(talker.current(), Some(ALICE));
    }

    #[test]
    fn media_before_its_announcement_begins_the_burst() {
        let (mut talker, start) = (Talker::new(TalkerSettings::default()), Instant::now());
        assert!(talker.media(BOB, start).unwrap().eq([began(BOB, false)]));
        let announced = TalkerChange::Announced { talker: BOB };
        assert!(talker.burst(&taken(BOB), start).eq([announced]));
        assert!(talker.burst(&taken(BOB), start).eq([]));
    }

    #[test]
    fn next_talker_ends_the_burst_before() {
        let (mut talker, start) = alice_talks();
        let changes = talker.burst(&taken(BOB), start);
        assert!(changes.eq([ended(ALICE, false), began(BOB, true)]));
    }

    #[test]
    fn media_that_trails_idle_starts_no_ghost_burst() {
        let (mut talker, start) = alice_talks();
        assert!(talker.burst(&BurstEvent::Idle, start).eq([ended(ALICE, false)]));
        assert!(talker.media(ALICE, start + ms(199)).unwrap().eq([]));
        assert!(talker.media(ALICE, start + ms(200)).unwrap().eq([began(ALICE, false)]));
    }

    #[test]
    fn media_of_somebody_else_is_dropped_unless_wanted() {
        let (mut talker, start) = alice_talks();
        assert_eq!(talker.media(BOB, start).map(drop), Err(Reject::NotTalking));
        assert!(talker.burst(&taken(BOB), start).eq([ended(ALICE, false), began(BOB, true)]));
        assert!(talker.media(ALICE, start + ms(199)).unwrap().eq([]), "reordered end of her burst");
        assert_eq!(talker.media(ALICE, start + ms(200)).map(drop), Err(Reject::NotTalking));

        let settings = TalkerSettings { accept_others: true, ..TalkerSettings::default() };
        let mut talker = Talker::new(settings);
        assert!(talker.media(ALICE, start).unwrap().eq([began(ALICE, false)]));
        assert!(talker.media(BOB, start).unwrap().eq([]));
        assert_eq!(talker.current(), Some(ALICE));
    }

    #[test]
    fn lost_idle_is_made_up_for_by_silence() {
        let (mut talker, start) = alice_talks();
        assert!(talker.media(ALICE, start + ms(1000)).unwrap().eq([]));
        assert!(talker.tick(start + ms(4999)).eq([]));
        assert!(talker.tick(start + ms(5000)).eq([ended(ALICE, true)]));
        assert_eq!((talker.deadline(), talker.current()), (None, None));
        // Without a tick the next arrival notices.
        let (mut talker, start) = alice_talks();
        let changes = talker.media(BOB, start + ms(4000)).unwrap();
        assert!(changes.eq([ended(ALICE, true), began(BOB, false)]));
        let (mut talker, start) = alice_talks();
        let changes = talker.burst(&taken(ALICE), start + ms(4000));
        assert!(changes.eq([ended(ALICE, true), began(ALICE, true)]));
    }

    #[test]
    fn goodbye_of_the_talker_ends_the_burst() {
        let (mut talker, start) = alice_talks();
        assert!(talker.bye(BOB, start).eq([]));
        assert!(talker.bye(ALICE, start).eq([ended(ALICE, false)]));
        assert!(talker.bye(ALICE, start).eq([]));
    }

    proptest! {
        #[test]
        fn bursts_begin_and_end_in_turn(
            ops in vec((0u8..5, 0u32..3, 0u64..3000), 0..200), accept_others: bool,
        ) {
            let settings = TalkerSettings { accept_others, ..TalkerSettings::default() };
            let (mut talker, mut now, mut talking) = (Talker::new(settings), Instant::now(), None);
            for (op, ssrc, wait) in ops {
                now += ms(wait);
                let changes = match op {
                    0 => talker.burst(&taken(Ssrc(ssrc)), now),
                    1 => talker.burst(&BurstEvent::Idle, now),
                    2 => talker.bye(Ssrc(ssrc), now),
                    3 => talker.tick(now),
                    _ => match talker.media(Ssrc(ssrc), now) {
                        Ok(changes) => changes,
                        Err(reject) => {
                            prop_assert!(!accept_others && talking != Some(Ssrc(ssrc)));
                            prop_assert_eq!(reject, Reject::NotTalking);
                            continue;
                        }
                    },
                };
                for change in changes {
                    match change {
                        TalkerChange::Began { talker, .. } => {
                            prop_assert_eq!(talking.replace(talker), None);
                        }
                        TalkerChange::Announced { talker } => prop_assert_eq!(talking, Some(talker)),
                        TalkerChange::Ended { talker, .. } => {
                            prop_assert_eq!(talking.take(), Some(talker));
                        }
                    }
                }
                prop_assert_eq!(talker.current(), talking);
            }
        }
    }
}
